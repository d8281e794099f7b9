//! Mending: comparing all backends key by key. Needed only where no marker can know of a difference: after a
//! process was killed in the middle of a write that it never acknowledged, or after a provider lost data.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, future, stream};
use lifeboat_core::is_reserved;
use object_store::path::Path;
use object_store::{ObjectStore, Result};
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout};

use super::verdict::{Settlement, settle};
use super::{Seen, Urgency};
use crate::backend::Mask;
use crate::engine::Engine;
use crate::error::CutOff;
use crate::events::Operation;
use crate::journal::store::Mark;

/// Keys compared at once.
const AT_ONCE: usize = 16;

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
    /// Backends that could not be listed, and so were not compared.
    pub unreachable: Vec<String>,
}

impl Engine {
    /// Compares every key under `prefix` at all backends. What differs is looked at again when no write can be on its
    /// way any more, and only then mended.
    pub(crate) async fn mend(self: &Arc<Self>, prefix: Option<&Path>) -> MendReport {
        let mut report = MendReport::default();
        let mut keys = BTreeSet::new();
        for backend in &self.backends {
            match self.keys_at(backend.at, prefix).await {
                Ok(more) => keys.extend(more),
                Err(error) => {
                    self.judge(backend.at, Operation::CatchUp, &error).await;
                    report.unreachable.push(backend.id.clone());
                }
            }
        }
        report.compared = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        let comparing = stream::iter(keys)
            .map(|key| async move { self.differs(&key).await.map(|since| (key, since)) })
            .buffered(AT_ONCE);
        let different: Vec<(Path, Instant)> = comparing.filter_map(future::ready).collect().await;
        report.different = u64::try_from(different.len()).unwrap_or(u64::MAX);
        if let Some(latest) = different.iter().map(|(_, since)| *since).max() {
            // What is a write on its way now is over by then.
            sleep_until(latest + self.settings.write_deadline).await;
            self.read_journals().await;
        }
        let mut mending = stream::iter(different)
            .map(|(key, since)| async move { self.mend_key(&key, since).await })
            .buffered(AT_ONCE);
        while let Some((level, bytes)) = mending.next().await {
            report.mended += u64::from(level);
            report.bytes += bytes;
        }
        report
    }

    async fn keys_at(&self, at: usize, prefix: Option<&Path>) -> Result<BTreeSet<Path>> {
        let mut keys = BTreeSet::new();
        let mut listing = self.backends[at].store.list(prefix);
        let stall = self.settings.stall_deadline;
        loop {
            let next = timeout(stall, listing.next()).await;
            let next = next.map_err(|_| CutOff(stall).into_error())?;
            let Some(object) = next else { return Ok(keys) };
            let key = object?.location;
            if !is_reserved(&key) {
                keys.insert(key);
            }
        }
    }

    /// Compares a key; if its backends differ, since when they have looked as they do.
    async fn differs(self: &Arc<Self>, key: &Path) -> Option<Instant> {
        let (seen, known) = (self.look(key).await, self.index.of(key));
        let found = settle(key, &self.states_of(&seen), &known)?;
        (!found.lagging.is_empty()).then(|| self.still.since(key, &seen, &known, self.index.len()))
    }

    /// What follows from what was seen of a key; none if nothing was.
    pub(crate) fn settle_on(&self, key: &Path, seen: &[(usize, Seen)]) -> Option<Settlement> {
        settle(key, &self.states_of(seen), &self.index.of(key))
    }

    /// Brings a key to one state that still differs as it did. Whether it is level now, and the bytes written.
    async fn mend_key(self: &Arc<Self>, key: &Path, since: Instant) -> (bool, u64) {
        let _guard = self.locks.lock(key).await;
        if self.differs(key).await.is_some_and(|now| now > since) {
            // Somebody is writing it: what was a difference was a write on its way.
            return (false, 0);
        }
        let done = self.reconcile(key, Urgency::Yielding).await;
        (self.differs(key).await.is_none(), done.bytes)
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
