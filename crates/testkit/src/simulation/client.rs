//! The clients: each does one operation after the other, as its seed says, and notes what came of it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, RenameOptions, Result, UpdateVersion,
};
use tokio::time::sleep;

use super::check;
use super::content::{NAMED, attributes, claimed, content, value_of, value_of_attributes};
use super::history::{Action, Outcome, Record, Refusal, Value};
use super::world::{Client, World, own_folder};
use crate::random::Random;

/// One client of one life of a process.
pub(super) struct Workload {
    pub(super) world: Arc<World>,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) process: usize,
    pub(super) incarnation: u32,
    pub(super) client: usize,
}

/// What an operation came to, beside its outcome.
#[derive(Default)]
struct Seen {
    version: Option<(Path, String, Value)>,
    wrong: Option<String>,
}

/// A client that stops waiting does so within this time, in milliseconds.
const PATIENCE: u64 = 3_000;

impl Workload {
    /// Works until all operations are done.
    pub(super) async fn run(self) {
        while let Some((pause, action, patience)) = self.begin_next() {
            sleep(Duration::from_millis(pause)).await;
            let Some((number, version)) = self.invoke(action) else { return };
            let (action, id) = {
                let record = &self.world.state().history.records[number];
                (record.action.clone(), record.id)
            };
            let perform = perform(&*self.store, &action, id, version);
            let (outcome, seen) = match patience {
                None => perform.await,
                Some(patience) => {
                    let limited = tokio::time::timeout(Duration::from_millis(patience), perform);
                    limited.await.unwrap_or((Outcome::GivenUp, Seen::default()))
                }
            };
            self.finish(number, outcome, seen);
        }
    }

    /// Draws the pause, the action and the patience. The action is decided before the pause, so that a crash during
    /// the pause loses it.
    fn begin_next(&self) -> Option<(u64, Action, Option<u64>)> {
        let mut state = self.world.state();
        let client = state.clients.get_mut(&(self.process, self.client))?;
        if client.remaining == 0 {
            return None;
        }
        client.remaining -= 1;
        let pause = client.random.in_range(0..self.world.plan.pause);
        let patience = client.random.permille(50).then(|| client.random.in_range(1..PATIENCE));
        let action = self.draw(&mut client.random);
        Some((pause, action, patience))
    }

    fn draw(&self, random: &mut Random) -> Action {
        let plan = &self.world.plan;
        let own = |random: &mut Random| {
            plan.own_key(self.process, self.client, random.index(plan.own_keys))
        };
        let any = |random: &mut Random| {
            if random.permille(350) {
                plan.shared_key(random.index(plan.shared_keys))
            } else {
                own(random)
            }
        };
        let conditions = self.world.profile.conditions;
        match random.in_range(0..100) {
            0..30 => Action::Put(any(random)),
            30..34 if conditions => Action::Create(any(random)),
            34..38 if conditions => Action::Update(any(random)),
            30..42 => Action::Multipart(any(random)),
            42 => Action::AbortedMultipart(any(random)),
            43..62 => Action::Get(any(random)),
            62..64 => Action::GetRange(any(random), range(random)),
            64..66 => {
                // The first part tells which version it is, and the others must be of the same.
                let others = (0..=random.index(3)).map(|_| range(random));
                let ranges = std::iter::once(0..NAMED).chain(others).collect();
                Action::GetRanges(any(random), ranges)
            }
            66..71 => Action::Head(any(random)),
            71..81 => Action::Delete(vec![any(random)]),
            81..84 => {
                let mut keys = vec![own(random), own(random), any(random)];
                keys.sort();
                keys.dedup();
                Action::Delete(keys)
            }
            84..92 => {
                let folder = own_folder(self.process, self.client);
                match random.in_range(0..10) {
                    0..2 => Action::List(Path::default()),
                    2..5 => Action::Level(folder),
                    _ => Action::List(folder),
                }
            }
            92..97 => {
                let (from, to) = (own(random), any(random));
                if from == to { Action::Head(from) } else { Action::Copy(from, to) }
            }
            _ => {
                let (from, to) = (own(random), own(random));
                if from == to { Action::Get(from) } else { Action::Rename(from, to) }
            }
        }
    }

    /// Notes the beginning. An update takes the version that was last seen.
    fn invoke(&self, action: Action) -> Option<(usize, Option<(String, Value)>)> {
        let invoked = self.world.now();
        let mut guard = self.world.state();
        let state = &mut *guard;
        let Client { model, versions, .. } = state.clients.get(&(self.process, self.client))?;
        let number = state.history.records.len();
        let id = Value::try_from(number).ok()? + 1;
        let values = match &action {
            Action::Copy(from, _) | Action::Rename(from, _) => {
                // What a process finds that cannot know of all its writes may be older, and so may what a provider
                // has that lost something.
                let knows =
                    self.world.could_read_all(self.process, state.born[self.process], invoked);
                if knows && !self.world.is_disturbed(state, from) {
                    model.values(from)
                } else {
                    model.all_values(from)
                }
            }
            _ => vec![id],
        };
        let version = match &action {
            Action::Update(key) => versions.get(key).cloned(),
            _ => None,
        };
        // There is nothing to update before something was seen.
        let action = match action {
            Action::Update(key) if version.is_none() => Action::Get(key),
            action => action,
        };
        state.history.records.push(Record {
            id,
            process: self.process,
            incarnation: self.incarnation,
            client: self.client,
            action,
            values,
            invoked,
            completed: None,
            outcome: Outcome::Pending,
        });
        Some((number, version))
    }

    /// Notes the end and checks what can be checked at once.
    fn finish(&self, number: usize, outcome: Outcome, seen: Seen) {
        let completed = self.world.now();
        let record = {
            let mut state = self.world.state();
            let record = &mut state.history.records[number];
            record.completed = Some(completed);
            record.outcome = outcome;
            record.clone()
        };
        // What someone else wrote has no attributes, and a part of it no name.
        let read = check::read_key(&record.action);
        let foreign = read.is_some_and(|key| self.world.is_disturbed(&self.world.state(), key));
        if let Some(wrong) = seen.wrong.filter(|_| !foreign) {
            self.world.complain(format!("{wrong}: {record}"));
        }
        check::online(&self.world, &record);
        let record = self.with_late_source(record);
        let mut state = self.world.state();
        // What the copy has brought to a key that others write too is judged in the end.
        state.history.records[number].values.clone_from(&record.values);
        let Some(client) = state.clients.get_mut(&(self.process, self.client)) else { return };
        client.model.apply(&record);
        if let Some((key, e_tag, value)) = seen.version {
            client.versions.insert(key, (e_tag, value));
        }
    }

    /// What a copy found may be older if its source was on one backend alone, and overwritten there by an old request, or if
    /// a write that was never acknowledged has landed on it.
    fn with_late_source(&self, mut record: Record) -> Record {
        let (Action::Copy(from, _) | Action::Rename(from, _)) = &record.action else {
            return record;
        };
        let state = self.world.state();
        let Some(Client { model, .. }) = state.clients.get(&(self.process, self.client)) else {
            return record;
        };
        let Some(known) = model.key(from) else { return record };
        let (expected, since) = known.expected();
        let haunted = known.allows_more(|value, since| self.world.landed(from, value, since));
        if haunted || self.world.overrun(from, &expected, since, self.process) {
            record.values = model.all_values(from);
        }
        record
    }
}

/// A part that every content has some of.
fn range(random: &mut Random) -> Range<u64> {
    let start = random.in_range(0..3);
    start..start + 1 + random.in_range(0..100)
}

async fn perform(
    store: &dyn ObjectStore,
    action: &Action,
    id: Value,
    version: Option<(String, Value)>,
) -> (Outcome, Seen) {
    let mut seen = Seen::default();
    let done = match action {
        Action::Put(key) => put(store, key, id, PutMode::Overwrite, &mut seen).await,
        Action::Create(key) => put(store, key, id, PutMode::Create, &mut seen).await,
        Action::Update(key) => {
            let e_tag = version.map(|(e_tag, _)| e_tag);
            let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
            put(store, key, id, mode, &mut seen).await
        }
        Action::Multipart(key) => multipart(store, key, id, true).await,
        Action::AbortedMultipart(key) => multipart(store, key, id, false).await,
        Action::Get(key) => get(store, key, GetOptions::new(), &mut seen).await,
        Action::GetRange(key, range) => {
            let options = GetOptions::new().with_range(Some(GetRange::Bounded(range.clone())));
            get(store, key, options, &mut seen).await
        }
        Action::GetRanges(key, ranges) => get_ranges(store, key, ranges, &mut seen).await,
        Action::Head(key) => get(store, key, GetOptions::new().with_head(true), &mut seen).await,
        Action::Delete(keys) => delete(store, keys).await,
        Action::List(prefix) => list(store, prefix).await,
        Action::Level(folder) => level(store, folder).await,
        Action::Copy(from, to) => {
            store.copy_opts(from, to, CopyOptions::new()).await.map(|()| Outcome::Done)
        }
        Action::Rename(from, to) => {
            store.rename_opts(from, to, RenameOptions::new()).await.map(|()| Outcome::Done)
        }
    };
    let reads = check::read_key(action).is_some();
    let outcome = done.unwrap_or_else(|error| match Refusal::of(&error) {
        Refusal::NotFound if reads => Outcome::Saw(None),
        refusal => Outcome::Failed(refusal, error.to_string()),
    });
    (outcome, seen)
}

async fn put(
    store: &dyn ObjectStore,
    key: &Path,
    id: Value,
    mode: PutMode,
    seen: &mut Seen,
) -> Result<Outcome> {
    let options = PutOptions { mode, attributes: attributes(id), ..PutOptions::default() };
    let put = store.put_opts(key, content(id).into(), options).await?;
    seen.version = put.e_tag.map(|e_tag| (key.clone(), e_tag, id));
    Ok(Outcome::Done)
}

async fn multipart(
    store: &dyn ObjectStore,
    key: &Path,
    id: Value,
    complete: bool,
) -> Result<Outcome> {
    /// Bytes of a part; a few parts for the longest contents.
    const PART: usize = 100;
    let options = PutMultipartOptions { attributes: attributes(id), ..Default::default() };
    let mut upload = store.put_multipart_opts(key, options).await?;
    let body = content(id);
    let mut parts = Vec::new();
    for part in body.chunks(PART) {
        parts.push(upload.put_part(PutPayload::from(part.to_vec())));
    }
    for part in parts {
        part.await?;
    }
    if complete {
        upload.complete().await?;
    } else {
        upload.abort().await?;
    }
    Ok(Outcome::Done)
}

async fn get(
    store: &dyn ObjectStore,
    key: &Path,
    options: GetOptions,
    seen: &mut Seen,
) -> Result<Outcome> {
    let head = options.head;
    let answer = store.get_opts(key, options).await?;
    let (meta, range) = (answer.meta.clone(), answer.range.clone());
    let by_attributes = value_of_attributes(&answer.attributes);
    let attributes = format!("{:?}", answer.attributes);
    let body = if head { None } else { Some(answer.bytes().await?) };
    // What was written behind our back has no attributes.
    let whole = body.as_deref().and_then(value_of);
    let value = by_attributes.or(whole);
    let wanted = value.map(content).unwrap_or_default();
    let right = match &body {
        None => meta.size == wanted.len() as u64 || value.is_none(),
        Some(body) => {
            let place =
                |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(wanted.len());
            wanted[place(range.start)..place(range.end)] == body[..]
                && meta.size == wanted.len() as u64
        }
    };
    if !right || value.is_none() {
        seen.wrong = Some(format!(
            "torn or foreign object: {} bytes {:?} with attributes {attributes}",
            meta.size,
            body.as_ref()
                .map(|body| String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned())
        ));
    }
    if let (Some(e_tag), Some(value)) = (meta.e_tag, value) {
        seen.version = Some((key.clone(), e_tag, value));
    }
    Ok(Outcome::Saw(Some(value.unwrap_or_default())))
}

/// Parts bring no attributes: what they are of is in the bytes.
async fn get_ranges(
    store: &dyn ObjectStore,
    key: &Path,
    ranges: &[Range<u64>],
    seen: &mut Seen,
) -> Result<Outcome> {
    let parts = store.get_ranges(key, ranges).await?;
    let value = parts.first().and_then(|first| claimed(first));
    let whole = value.map(content).unwrap_or_default();
    let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
    let wanted = ranges.iter().map(|range| &whole[place(range.start)..place(range.end)]);
    if value.is_none() || !wanted.eq(parts.iter().map(|part| &part[..])) {
        let parts: Vec<_> = parts.iter().map(|part| String::from_utf8_lossy(part)).collect();
        seen.wrong = Some(format!("torn or foreign object: {ranges:?} are {parts:?}"));
    }
    Ok(Outcome::Saw(Some(value.unwrap_or_default())))
}

async fn delete(store: &dyn ObjectStore, keys: &[Path]) -> Result<Outcome> {
    if let [key] = keys {
        store.delete(key).await?;
        return Ok(Outcome::Done);
    }
    let locations = stream::iter(keys.to_vec()).map(Ok).boxed();
    let results: Vec<Result<Path>> = store.delete_stream(locations).collect().await;
    // The answers come in the order of the keys, or name them.
    let gone: Vec<&Path> = results.iter().flatten().collect();
    let done: Vec<bool> = keys.iter().map(|key| gone.contains(&key)).collect();
    if done.iter().all(|done| *done) {
        return Ok(Outcome::Done);
    }
    match results.into_iter().find_map(Result::err) {
        Some(error) if done.iter().all(|done| !done) => Err(error),
        _ => Ok(Outcome::Deleted(done)),
    }
}

async fn list(store: &dyn ObjectStore, prefix: &Path) -> Result<Outcome> {
    let prefix = (!prefix.as_ref().is_empty()).then_some(prefix);
    let listed: Vec<_> = store.list(prefix).try_collect().await?;
    Ok(Outcome::Listed(once(listed.into_iter().map(|meta| meta.location))?))
}

async fn level(store: &dyn ObjectStore, folder: &Path) -> Result<Outcome> {
    let level = store.list_with_delimiter(Some(folder)).await?;
    let objects = once(level.objects.into_iter().map(|meta| meta.location))?;
    Ok(Outcome::Level { objects, folders: once(level.common_prefixes.into_iter())? })
}

/// What is listed, in order.
fn once(listed: impl Iterator<Item = Path>) -> Result<Vec<Path>> {
    let mut keys: Vec<_> = listed.collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    if keys.len() < all {
        let source = "DUPLICATE: a key is listed twice".into();
        return Err(Error::Generic { store: "workload", source });
    }
    Ok(keys)
}
