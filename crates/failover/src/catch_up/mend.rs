//! Mending: comparing all backends key by key. Needed only where no marker can know of a difference: after a
//! process was killed in the middle of a write that it never acknowledged, or after a provider lost data.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use futures::{StreamExt, TryStreamExt, future, stream};
use lifeboat_core::is_reserved;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, Result};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::stillness::{Look, look};
use super::verdict::{Settlement, settle};
use super::{Basis, Seen, Urgency};
use crate::backend::Mask;
use crate::engine::Engine;
use crate::error::within;
use crate::events::Operation;
use crate::journal::store::Mark;

/// Keys compared at once.
const AT_ONCE: usize = 16;

/// What one backend lists of one key.
#[derive(Debug)]
struct Line {
    key: Path,
    size: u64,
    written: DateTime,
}

/// What all backends list of one key.
#[derive(Debug)]
struct Entry {
    copies: usize,
    size: u64,
    sizes_differ: bool,
    newest: DateTime,
}

/// When something was written, as listings say it.
type DateTime = chrono::DateTime<chrono::Utc>;

/// What all backends list.
#[derive(Debug, Default)]
struct Listed {
    keys: BTreeMap<Path, Entry>,
    backends: usize,
}

impl Listed {
    /// Adds what one backend lists, from its beginning to its end.
    fn add(&mut self, listed: Vec<Line>) {
        self.backends += 1;
        for Line { key, size, written } in listed {
            let entry = self.keys.entry(key).or_insert(Entry {
                copies: 0,
                size,
                sizes_differ: false,
                newest: written,
            });
            entry.copies += 1;
            entry.sizes_differ |= entry.size != size;
            entry.newest = entry.newest.max(written);
        }
    }

    /// Those that may differ, if nothing that was written before `since` does otherwise than by what listings show.
    fn doubtful(self, since: DateTime) -> Vec<Path> {
        let Self { keys, backends } = self;
        let doubtful = keys.into_iter().filter(|(_, entry)| {
            entry.copies < backends || entry.sizes_differ || entry.newest >= since
        });
        doubtful.map(|(key, _)| key).collect()
    }
}

/// What mending found.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct MendReport {
    /// Keys compared.
    pub compared: u64,
    /// Keys whose copies differed.
    pub different: u64,
    /// Of those, the ones that are equal now.
    pub mended: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Backends that could not be listed, or did not answer about some key: what they have was not compared, or not all of it.
    pub unreachable: Vec<String>,
}

/// What a comparison of a key came to.
#[derive(PartialEq, Eq)]
struct Compared {
    /// How it looked, if those that answered do not have the same.
    differs: Option<Look>,
    /// Backends that did not answer: a comparison that was not made is not one that found nothing.
    silent: Mask,
}

/// What came of mending a key.
enum Mended {
    /// All have the same.
    Level,
    /// Somebody has written it meanwhile.
    Written,
    /// It still differs.
    Left,
    /// Those that answered have the same; these did not.
    Silent(Mask),
}

impl Engine {
    /// Compares every key under `prefix` at all backends. What differs is looked at again when no write can be on its
    /// way any more, and only then mended.
    pub(crate) async fn mend(
        self: &Arc<Self>,
        prefix: Option<&Path>,
        since: SystemTime,
    ) -> MendReport {
        let mut report = MendReport::default();
        let ends = self.ends_since(since);
        let mut found = Listed::default();
        let mut unlisted = Mask::NONE;
        for backend in &self.backends {
            match self.list_at(backend.at, prefix).await {
                Ok(listed) => found.add(listed),
                Err(error) => {
                    self.judge(backend.at, Operation::CatchUp, &error).await;
                    report.unreachable.push(backend.id.clone());
                    unlisted.set(backend.at);
                }
            }
        }
        let keys = found.doubtful(since.into());
        report.compared = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        let comparing = stream::iter(keys)
            .map(|key| async move { (self.compare(&key).await, key) })
            .buffered(AT_ONCE);
        let mut silent = Mask::NONE;
        let mut different = Vec::new();
        let mut comparing = pin!(comparing);
        while let Some((compared, key)) = comparing.next().await {
            silent |= compared.silent;
            if compared.differs.is_some() {
                different.push((key, compared));
            }
        }
        report.different = u64::try_from(different.len()).unwrap_or(u64::MAX);
        if !different.is_empty() {
            // What is a write on its way now is over by then.
            sleep(self.settings.write_deadline).await;
            self.read_journals().await;
        }
        let mut left = false;
        let mut mending = stream::iter(different)
            .map(|(key, before)| async move { self.mend_key(&key, &before, unlisted).await })
            .buffered(AT_ONCE);
        while let Some((mended, bytes)) = mending.next().await {
            report.bytes += bytes;
            match mended {
                Mended::Level => report.mended += 1,
                Mended::Written => {}
                Mended::Left => left = true,
                Mended::Silent(at) => silent |= at,
            }
        }
        let silent = silent.without(unlisted);
        report.unreachable.extend(silent.iter().map(|at| self.backends[at].id.clone()));
        // Sources that have to be looked at once more, because they did not answer when their copies had landed.
        let until = Instant::now() + self.settings.write_deadline;
        let over = self.await_legs(until, || self.burials.load(Ordering::Acquire) == 0).await;
        let whole = over && !left && report.unreachable.is_empty();
        // What somebody is writing now is not what they left behind.
        if prefix.is_none() && whole {
            self.forget_writers(ends).await;
        }
        report
    }

    async fn list_at(&self, at: usize, prefix: Option<&Path>) -> Result<Vec<Line>> {
        let mut listing = self.backends[at].store.list(prefix);
        let mut lines = Vec::new();
        while let Some(object) = within(self.settings.stall_deadline, listing.try_next()).await? {
            let ObjectMeta { location: key, size, last_modified: written, .. } = object;
            if !is_reserved(&key) {
                lines.push(Line { key, size, written });
            }
        }
        Ok(lines)
    }

    /// Compares a key at the backends that answer.
    async fn compare(&self, key: &Path) -> Compared {
        let (seen, known) = (self.look(key).await, self.index.of(key));
        let answered: Mask = seen.iter().map(|(at, _)| *at).collect();
        let found = settle(key, &self.states_of(&seen), &known);
        let differs = found.is_some_and(|found| !found.lagging.is_empty());
        if differs && !known.is_empty() {
            // Where markers do not explain it, catch-up wants it to have stood still since then.
            self.still.since(key, &seen, &known, self.index.len());
        }
        let silent = self.all().without(answered);
        Compared { differs: differs.then(|| look(&seen, &known)), silent }
    }

    /// What follows from what was seen of a key; none if nothing was.
    pub(crate) fn settle_on(&self, key: &Path, seen: &[(usize, Seen)]) -> Option<Settlement> {
        settle(key, &self.states_of(seen), &self.index.of(key))
    }

    /// Brings a key to one state that still differs as it did. What came of it, and the bytes written.
    async fn mend_key(
        self: &Arc<Self>,
        key: &Path,
        before: &Compared,
        unlisted: Mask,
    ) -> (Mended, u64) {
        let _guard = self.locks.lock(key).await;
        let now = self.compare(key).await;
        if now.differs.is_some() && now != *before {
            // Somebody is writing it: what was a difference was a write on its way. Or others answer now than did then.
            let written = now.silent == before.silent;
            return (if written { Mended::Written } else { Mended::Left }, 0);
        }
        let done = self.reconcile(key, Urgency::Yielding, Basis::Compared).await;
        // That those are away is known, and told.
        if self.all().without(done.level).without(unlisted).is_empty() {
            return (Mended::Level, done.bytes);
        }
        let after = self.compare(key).await;
        let silent = after.silent.without(unlisted);
        let mended = match after.differs {
            Some(_) => Mended::Left,
            None if silent.is_empty() => Mended::Level,
            None => Mended::Silent(silent),
        };
        (mended, done.bytes)
    }

    /// Records for catch-up what a comparison found: the backends that differ, and those that did not answer it.
    pub(crate) async fn record_difference(
        self: &Arc<Self>,
        mark: &Mark<'_>,
        seen: &[(usize, Seen)],
    ) {
        let answered: Mask = seen.iter().map(|(at, _)| *at).collect();
        let mut targets = self.all().without(answered);
        if let Some(found) = self.settle_on(mark.key, seen) {
            found.lagging.into_iter().for_each(|at| targets.set(at));
        }
        // Writers of the key wait meanwhile.
        let until = Instant::now() + self.settings.attempt_deadline;
        let markers = targets.iter().map(|target| self.leave_marker(mark, target, until));
        future::join_all(markers).await;
        self.work.notify_one();
    }
}
