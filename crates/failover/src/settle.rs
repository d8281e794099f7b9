//! The settling check: shortly after a write was acknowledged, its copies are compared. Two processes that
//! overwrite a key at the same moment reach two backends in two orders, and no marker would know.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifeboat_core::Stamp;
use object_store::path::Path;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::engine::Engine;
use crate::events::Event;
use crate::journal::store::Mark;
use crate::write::Write;

/// Keys that may wait for their check: a few megabytes of names.
const MOST_WAITING: usize = 20_000;

/// A write that waits for its check.
#[derive(Debug, Clone)]
struct Waiting {
    due: Instant,
    stamp: Stamp,
    version: Option<Stamp>,
    delete: bool,
}

/// The latest write of each key that waits for its check.
#[derive(Debug, Default)]
pub(crate) struct SettleQueue {
    waiting: Mutex<BTreeMap<Path, Waiting>>,
    added: Notify,
    dropped: AtomicU64,
}

impl SettleQueue {
    /// Queues the check of an acknowledged write.
    pub(crate) fn push(&self, engine: &Engine, write: &Write) {
        let due = Instant::now() + engine.settings.settle_after;
        let check =
            Waiting { due, stamp: write.stamp, version: write.version, delete: write.delete };
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() < MOST_WAITING || waiting.contains_key(&write.key) {
                waiting.insert(write.key.clone(), check);
                self.added.notify_one();
                return;
            }
        }
        let dropped = self.dropped.fetch_add(1, Ordering::AcqRel) + 1;
        if dropped.is_power_of_two() {
            engine.observers.tell(|| Event::SettleChecksDropped { dropped });
        }
    }

    /// Checks that did not fit.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Acquire)
    }

    fn next(&self) -> Option<(Path, Waiting)> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let soonest = waiting.iter().min_by_key(|(_, check)| check.due);
        soonest.map(|(key, check)| (key.clone(), check.clone()))
    }

    /// Takes a check, unless the key was written again since.
    fn take(&self, key: &Path, stamp: Stamp) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let same = waiting.get(key).is_some_and(|check| check.stamp == stamp);
        if same {
            waiting.remove(key);
        }
        same
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Engine {
    /// Runs the checks as they become due.
    pub(crate) async fn run_settling(self: Arc<Self>) {
        let pause = Duration::from_secs(1) / self.settings.settle_rate.max(1);
        loop {
            let Some((key, check)) = self.settle.next() else {
                tokio::select! {
                    biased;
                    () = self.until_closed() => return,
                    () = self.settle.added.notified() => continue,
                }
            };
            tokio::select! {
                biased;
                () = self.until_closed() => return,
                () = sleep_until(check.due) => {}
            }
            if self.settle.take(&key, check.stamp) {
                self.check(&key, &check).await;
                sleep(pause).await;
            }
        }
    }

    async fn check(self: &Arc<Self>, key: &Path, check: &Waiting) {
        // A write that is under way will have a check of its own.
        let _guard = self.locks.lock(key).await;
        if self.index.dirt(key).is_some() {
            return;
        }
        let mark = Mark {
            key,
            delete: check.delete,
            stamp: check.stamp,
            version: check.version,
            ambiguous: false,
            acknowledged: true,
            confirmed: true,
        };
        let seen = self.look(key).await;
        let first = seen.first().map(|(_, seen)| seen);
        let same = |seen: &crate::catch_up::Seen| match (first, seen) {
            (Some(Some((_, Some(a)))), Some((_, Some(b)))) => a == b,
            (Some(None), None) => true,
            (Some(Some((a, None))), Some((b, None))) => a.size == b.size,
            _ => false,
        };
        if !seen.iter().all(|(_, seen)| same(seen)) {
            tracing::info!(%key, "copies differ after concurrent writes");
            self.record_difference(&mark).await;
        }
    }
}
