//! Seeding: which backends are known to hold everything that was there before they joined. A control object
//! says so, and nothing else does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::TryStreamExt;
use lifeboat_core::{RESERVED_PREFIX, is_reserved};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, Result};
use tokio::time::timeout;

use crate::backend::Backend;
use crate::engine::Engine;
use crate::error::{is_missing, within};
use crate::events::Operation;
use crate::list::is_complete;
use crate::write::conditional::head;

/// Keys that are looked up to tell a new bucket from one that has a history: what is written until a backend answers for the
/// first time. It costs a request each.
const MOST_OF_A_NEW_ONE: usize = 100;

/// Name of the control object.
const SEEDED: &str = "seeded";

fn control() -> Path {
    Path::from_iter([RESERVED_PREFIX, SEEDED])
}

impl Engine {
    /// Asks a backend whether it is seeded, unless that is known.
    pub(crate) async fn learn_seeding(&self, backend: &Backend) {
        if backend.seeded.load(Ordering::Acquire) {
            return;
        }
        let asked = timeout(self.settings.attempt_deadline, backend.store.head(&control())).await;
        match asked {
            Ok(Ok(_)) => backend.seeded.store(true, Ordering::Release),
            Ok(Err(error)) if is_missing(&*backend.store, &error) => backend.answered(),
            Ok(Err(error)) => {
                self.judge(backend.at, Operation::Journal, &error).await;
            }
            Err(_) => {}
        }
    }

    /// Learns whether a backend is empty: asked as soon as its journal is read, so that it mostly is before this process writes.
    pub(crate) async fn learn_blank(&self, backend: &Backend) {
        let known = self.seeding_known.load(Ordering::Acquire)
            || backend.blank.get().is_some()
            || self.backends.iter().any(|backend| backend.seeded.load(Ordering::Acquire));
        if known {
            return;
        }
        match self.first_keys(backend, 1).await {
            // Somebody else has asked meanwhile, or nobody.
            Ok(keys) => drop(backend.blank.set(keys.is_empty())),
            Err(error) => drop(self.judge(backend.at, Operation::Journal, &error).await),
        }
    }

    /// Where nothing was anywhere, everything is everywhere: new buckets are seeded. One that did not answer at first is new if it
    /// has nothing but what has been written to one that was.
    pub(crate) async fn seed_if_new(self: &Arc<Self>) {
        if self.seeding_known.load(Ordering::Acquire) {
            return;
        }
        if self.all_new.load(Ordering::Acquire) {
            return self.mark_new().await;
        }
        if self.backends.iter().any(|backend| backend.seeded.load(Ordering::Acquire)) {
            self.seeding_known.store(true, Ordering::Release);
            return;
        }
        let answered = |backend: &Arc<Backend>| {
            backend.is_in_use() && backend.journal_read.load(Ordering::Acquire)
        };
        if !self.backends.iter().all(answered) {
            return;
        }
        let (blank, others): (Vec<_>, Vec<_>) =
            self.backends.iter().partition(|backend| backend.blank.get() == Some(&true));
        for other in others {
            let new = match blank.first() {
                Some(blank) => self.adds_nothing(other, blank).await,
                None => Ok(Some(false)),
            };
            match new {
                Ok(Some(true)) => {}
                Ok(Some(false)) => {
                    self.seeding_known.store(true, Ordering::Release);
                    return;
                }
                // To be told later.
                Ok(None) => return,
                Err(error) => {
                    self.judge(other.at, Operation::Journal, &error).await;
                    return;
                }
            }
        }
        self.all_new.store(true, Ordering::Release);
        self.mark_new().await;
        if !self.seeding_known.load(Ordering::Acquire) {
            tracing::warn!("not every new bucket could be marked as seeded: it is tried again");
        }
    }

    /// Marks new backends as seeded, those that could not be marked before again.
    async fn mark_new(&self) {
        // Whoever reads journals does not wait for one that is away.
        let unmarked = |backend: &&Arc<Backend>| !is_complete(backend) && backend.is_in_use();
        for backend in self.backends.iter().filter(unmarked) {
            if let Err(error) = self.mark_seeded(backend.at).await {
                tracing::debug!(backend = %backend.id, %error, "not marked as seeded yet");
            }
        }
        let all = self.backends.iter().all(|backend| is_complete(backend));
        self.seeding_known.store(all, Ordering::Release);
    }

    /// Whether a backend has nothing that one which was empty lacks. Not known while somebody writes or deletes a key that it
    /// alone has. One that has more than a few keys is not new.
    async fn adds_nothing(&self, backend: &Backend, blank: &Backend) -> Result<Option<bool>> {
        let stall = self.settings.attempt_deadline;
        let keys = self.first_keys(backend, MOST_OF_A_NEW_ONE + 1).await?;
        if keys.len() > MOST_OF_A_NEW_ONE {
            return Ok(Some(false));
        }
        for key in &keys {
            if within(stall, head(&*blank.store, key)).await?.is_some() {
                continue;
            }
            // On its way there, or deleted meanwhile?
            let passing = self.locks.is_held(key) || self.index.dirt(key).is_some();
            if passing || within(stall, head(&*backend.store, key)).await?.is_none() {
                return Ok(None);
            }
            return Ok(Some(false));
        }
        Ok(Some(true))
    }

    /// So many keys of a backend at most, of those that are not reserved.
    async fn first_keys(&self, backend: &Backend, most: usize) -> Result<Vec<Path>> {
        let mut listing = backend.store.list(None);
        let mut keys = Vec::new();
        while let Some(object) = within(self.settings.attempt_deadline, listing.try_next()).await? {
            if is_reserved(&object.location) {
                continue;
            }
            keys.push(object.location);
            if keys.len() == most {
                break;
            }
        }
        Ok(keys)
    }

    /// Marks a backend as holding everything.
    pub(crate) async fn mark_seeded(&self, at: usize) -> Result<()> {
        let backend = &self.backends[at];
        let text =
            format!("complete since {} (milliseconds since 1970)\n", self.clock.unix_millis());
        let control = control();
        let put = backend.store.put(&control, PutPayload::from(text));
        match within(self.settings.write_deadline, put).await {
            Ok(_) => {
                backend.seeded.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.judge(at, Operation::Journal, &error).await;
                Err(error)
            }
        }
    }
}
