//! Mending: comparing all backends key by key. Needed only where no marker can know of a difference: after a
//! process was killed in the middle of a write that it never acknowledged, or after a provider lost data.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, stream};
use lifeboat_core::is_reserved;
use object_store::path::Path;
use object_store::{ObjectStore, Result};
use serde::Serialize;
use tokio::time::timeout;

use crate::engine::Engine;
use crate::error::CutOff;
use crate::events::Operation;
use crate::journal::index::Origin;
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
    /// Compares every key under `prefix` at all backends.
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
        let mut mending =
            stream::iter(keys).map(|key| async move { self.compare(&key).await }).buffered(AT_ONCE);
        while let Some((different, level, bytes)) = mending.next().await {
            report.different += u64::from(different);
            report.mended += u64::from(different && level);
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

    async fn compare(self: &Arc<Self>, key: &Path) -> (bool, bool, u64) {
        let _guard = self.locks.lock(key).await;
        let different = !self.is_level(key).await;
        if !different {
            return (false, true, 0);
        }
        let done = self.reconcile(key).await;
        (true, self.is_level(key).await, done.bytes)
    }

    /// Whether all backends that answer hold one version of a key.
    pub(crate) async fn is_level(&self, key: &Path) -> bool {
        let seen = self.look(key).await;
        let states: Vec<_> = seen
            .iter()
            .map(|(at, seen)| super::verdict::State { at: *at, seen: seen.as_ref() })
            .collect();
        let known = self.index.of(key);
        super::verdict::settle(key, &states, &known).is_none_or(|found| found.lagging.is_empty())
    }

    /// Records a difference that a comparison found, so that catch-up settles it.
    pub(crate) async fn record_difference(self: &Arc<Self>, mark: &Mark<'_>) {
        let seen = self.look(mark.key).await;
        let states: Vec<_> = seen
            .iter()
            .map(|(at, seen)| super::verdict::State { at: *at, seen: seen.as_ref() })
            .collect();
        let Some(settlement) = super::verdict::settle(mark.key, &states, &self.index.of(mark.key))
        else {
            return;
        };
        let until = tokio::time::Instant::now() + self.settings.write_deadline;
        for target in settlement.lagging {
            let mut draft = self.draft(mark, target);
            for home in self.in_use().iter().filter(|home| *home != target) {
                if self.write_marker(&draft, home, until).await {
                    draft.homes.set(home);
                }
            }
            self.enter(&draft, Origin::Ended);
        }
        self.work.notify_one();
    }
}
