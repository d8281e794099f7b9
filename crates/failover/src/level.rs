//! One level of a listing: what one complete backend lists there, with the dirty keys under it looked up. Costs requests
//! for the level and for what is dirty, whatever else the bucket holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream;
use futures::{StreamExt, TryStreamExt};
use lifeboat_core::{Effect, is_reserved};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, ObjectStore, Result};
use tokio::time::timeout;

use crate::backend::{Backend, Mask};
use crate::engine::Engine;
use crate::error::{CutOff, FailoverError, Reason, within};
use crate::events::Operation;
use crate::latency::ReadKind;
use crate::list::{AT_ONCE, is_complete, look, relabel};
use crate::read::Choice;

/// A dirty key, and the backends whose word about it is not believed.
type Dirty = (Path, Mask);

/// What is known of one folder.
#[derive(Debug, Default)]
struct Folder {
    /// Backends that list it.
    shown_by: Mask,
    /// Dirty keys in it.
    dirty: Vec<Dirty>,
}

impl Folder {
    /// Whether somebody lists it who is believed about everything in it.
    fn is_certain(&self) -> bool {
        self.shown_by.iter().any(|at| !self.dirty.iter().any(|(_, doubted)| doubted.has(at)))
    }
}

impl Engine {
    /// Lists one level.
    pub(crate) async fn list_level(self: &Arc<Self>, prefix: Option<&Path>) -> Result<ListResult> {
        // Before the listing: a marker that goes while it is under way was needed to understand it.
        let mut dirty = self.index.dirty_under(prefix);
        let levels = self.levels(prefix, &dirty).await?;
        let listed: Mask = levels.iter().map(|(at, _)| *at).collect();
        dirty.retain(|(_, doubted)| listed.iter().any(|at| doubted.has(at)));

        let mut objects: BTreeMap<Path, ObjectMeta> = BTreeMap::new();
        let mut folders: BTreeMap<Path, Folder> = BTreeMap::new();
        let mut looks = Vec::new();
        for (at, level) in levels {
            let doubted: BTreeSet<&Path> =
                dirty.iter().filter(|(_, doubted)| doubted.has(at)).map(|(key, _)| key).collect();
            for mut object in level.objects {
                let key = &object.location;
                if is_reserved(key) || doubted.contains(key) || objects.contains_key(key) {
                    continue;
                }
                // Deleted, and listed by a backend that no marker names: an older request may have brought it back.
                if self.index.is_deleted(key) {
                    looks.push(look(Arc::clone(self), key.clone()));
                    continue;
                }
                relabel(&self.backends[at], &mut object);
                objects.insert(object.location.clone(), object);
            }
            for folder in level.common_prefixes.into_iter().filter(|folder| !is_reserved(folder)) {
                folders.entry(folder).or_default().shown_by.set(at);
            }
        }
        for (key, doubted) in dirty {
            match folder_of(prefix, &key) {
                Some(folder) => folders.entry(folder).or_default().dirty.push((key, doubted)),
                None => looks.push(look(Arc::clone(self), key)),
            }
        }
        let found: Vec<Option<ObjectMeta>> =
            stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        objects.extend(found.into_iter().flatten().map(|object| (object.location.clone(), object)));
        Ok(ListResult {
            common_prefixes: self.existing(folders).await?,
            objects: objects.into_values().collect(),
            extensions: object_store::Extensions::default(),
        })
    }

    /// The level as one complete backend has it; where none is, as each of them has it.
    async fn levels(
        &self,
        prefix: Option<&Path>,
        dirty: &[Dirty],
    ) -> Result<Vec<(usize, ListResult)>> {
        let call = |backend: &Backend| self.level_of(backend.at, prefix);
        let ask = |choice| self.read(Operation::List, ReadKind::Level, None, choice, call);
        let complete: Mask =
            self.backends.iter().filter(|backend| is_complete(backend)).map(|b| b.at).collect();
        if self.reachable().iter().any(|at| complete.has(at)) {
            let mut lagging = Mask::NONE;
            for (_, doubted) in dirty {
                lagging |= *doubted;
            }
            let served = ask(Choice { last: lagging, ..Choice::among(complete) }).await?;
            return Ok(vec![(served.at, served.result)]);
        }
        // What one lacks another may have: one that is missing makes it incomplete.
        if let Some(out) = self.backends.iter().find(|backend| !backend.is_reachable()) {
            let error = FailoverError::new(Reason::MissNotBelieved, prefix, Effect::None)
                .answered(&out.id, out.state().as_str());
            return Err(error.into());
        }
        let all = self.backends.iter().map(|backend| ask(Choice::among(Mask::only(backend.at))));
        let all = futures::future::try_join_all(all).await?;
        Ok(all.into_iter().map(|served| (served.at, served.result)).collect())
    }

    /// The level as a backend has it. All its pages are one request, which is waited for as long as the backend answers
    /// anything else.
    async fn level_of(&self, at: usize, prefix: Option<&Path>) -> Result<ListResult> {
        let backend = &self.backends[at];
        let bound = self.settings.attempt_deadline;
        let mut listing = backend.store.list_with_delimiter(prefix);
        loop {
            match timeout(bound, &mut listing).await {
                Ok(result) => return result,
                Err(_) if self.is_out(backend, 1).await => return Err(CutOff(bound).into_error()),
                Err(_) => {}
            }
        }
    }

    /// The folders that have something in them.
    async fn existing(self: &Arc<Self>, folders: BTreeMap<Path, Folder>) -> Result<Vec<Path>> {
        let checks = folders.into_iter().map(|(path, folder)| async move {
            let exists = folder.is_certain() || self.is_filled(&path, folder).await?;
            Ok::<_, object_store::Error>(exists.then_some(path))
        });
        let existing: Vec<Option<Path>> =
            stream::iter(checks).buffered(AT_ONCE).try_collect().await?;
        Ok(existing.into_iter().flatten().collect())
    }

    /// Whether a folder with dirty keys has anything in it: any one key answers that.
    async fn is_filled(self: &Arc<Self>, path: &Path, folder: Folder) -> Result<bool> {
        let Folder { shown_by, dirty } = folder;
        // A key that was written last is probably there.
        let likely = dirty.iter().position(|(key, _)| !self.index.is_deleted(key));
        if let Some(at) = likely
            && let Ok(Some(_)) = look(Arc::clone(self), dirty[at].0.clone()).await
        {
            return Ok(true);
        }
        for at in shown_by.iter() {
            match self.lists_more_than(at, path, &dirty).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) if self.judge(at, Operation::List, &error).await.is_fault() => {
                    return Ok(self.list_all(Some(path), None).try_next().await?.is_some());
                }
                Err(error) => return Err(error),
            }
        }
        let looks = dirty.into_iter().map(|(key, _)| look(Arc::clone(self), key));
        let mut looks = stream::iter(looks).buffered(AT_ONCE);
        let mut last = Ok(false);
        while let Some(found) = looks.next().await {
            match found {
                Ok(Some(_)) => return Ok(true),
                Ok(None) => {}
                // Another key may answer.
                Err(error) => last = Err(error),
            }
        }
        last
    }

    /// Whether a backend lists a key in a folder about which it is believed. Ends at the first.
    async fn lists_more_than(&self, at: usize, folder: &Path, dirty: &[Dirty]) -> Result<bool> {
        let doubted: BTreeSet<&Path> =
            dirty.iter().filter(|(_, doubted)| doubted.has(at)).map(|(key, _)| key).collect();
        let mut entries = self.backends[at].store.list(Some(folder));
        let bound = self.settings.attempt_deadline;
        while let Some(object) = within(bound, entries.try_next()).await? {
            let key = &object.location;
            if !doubted.contains(key) && !self.index.is_deleted(key) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The folder of this level in which a key lies; none if it lies on the level itself.
fn folder_of(prefix: Option<&Path>, key: &Path) -> Option<Path> {
    let depth = prefix.map_or(0, |prefix| prefix.parts().count());
    let deeper = key.parts().count() > depth + 1;
    deeper.then(|| key.parts().take(depth + 1).collect())
}
