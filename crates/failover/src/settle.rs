//! The settling check: shortly after a write was acknowledged, its copies are compared. Two processes that
//! overwrite a key at the same moment reach two backends in two orders, and no marker would know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifeboat_core::Stamp;
use object_store::path::Path;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::engine::Engine;
use crate::events::Event;
use crate::journal::store::Mark;
use crate::write::Write;

/// Keys that may wait for their check: a few megabytes of names.
const MOST_WAITING: usize = 20_000;

/// A write that waits for its check.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    due: Instant,
    stamp: Stamp,
    version: Option<Stamp>,
    delete: bool,
}

/// Checks by key, and the keys in the order in which their checks are due.
#[derive(Debug, Default)]
struct Checks {
    by_key: BTreeMap<Path, Waiting>,
    by_time: BTreeSet<(Instant, Path)>,
}

impl Checks {
    /// Adds the check of a key, in place of an earlier one. False if there is no room.
    fn put(&mut self, key: &Path, check: Waiting) -> bool {
        if self.by_key.len() >= MOST_WAITING && !self.by_key.contains_key(key) {
            return false;
        }
        self.by_time.insert((check.due, key.clone()));
        let before = self.by_key.insert(key.clone(), check);
        if let Some(before) = before.filter(|before| before.due != check.due) {
            self.by_time.remove(&(before.due, key.clone()));
        }
        true
    }

    /// Puts a check that was taken back, unless the key was written again since.
    fn put_off(&mut self, key: &Path, check: Waiting) {
        if !self.by_key.contains_key(key) {
            self.put(key, check);
        }
    }

    fn soonest(&self) -> Option<(Path, Waiting)> {
        let (_, key) = self.by_time.first()?;
        self.by_key.get(key).map(|check| (key.clone(), *check))
    }

    /// Takes a check, unless the key was written again since.
    fn take(&mut self, key: &Path, stamp: Stamp) -> bool {
        let Some(due) = self.by_key.get(key).filter(|check| check.stamp == stamp).map(|c| c.due)
        else {
            return false;
        };
        self.by_key.remove(key);
        self.by_time.remove(&(due, key.clone()))
    }
}

/// The latest write of each key that waits for its check.
#[derive(Debug, Default)]
pub(crate) struct SettleQueue {
    waiting: Mutex<Checks>,
    added: Notify,
    dropped: AtomicU64,
}

impl SettleQueue {
    /// Queues the check of an acknowledged write.
    pub(crate) fn push(&self, engine: &Engine, write: &Write) {
        let due = Instant::now() + engine.settings.settle_after;
        let check =
            Waiting { due, stamp: write.stamp, version: write.version, delete: write.delete };
        if self.checks().put(&write.key, check) {
            self.added.notify_one();
            return;
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

    pub(crate) fn is_empty(&self) -> bool {
        self.checks().by_key.is_empty()
    }

    fn checks(&self) -> MutexGuard<'_, Checks> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Runs the checks as they become due.
    pub(crate) async fn run_settling(self: Arc<Self>) {
        let pause = Duration::from_secs(1) / self.settings.settle_rate.max(1);
        loop {
            let Some((key, check)) = self.settle.checks().soonest() else {
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
                // It may be due before one that was put off.
                () = self.settle.added.notified() => continue,
            }
            if self.settle.checks().take(&key, check.stamp) && self.check(&key, &check).await {
                sleep(pause).await;
            }
        }
    }

    /// Compares the copies of a key. Where markers are known it is put off: they may be another process' intents, of which
    /// nothing is left to do when they go. False if nobody was asked.
    async fn check(self: &Arc<Self>, key: &Path, check: &Waiting) -> bool {
        // Looked at first without the lock: catch-up lets go of a key that is wanted.
        if self.is_put_off(key, check) {
            return false;
        }
        // A write that is under way will have a check of its own. What takes long does not hold up other keys' checks.
        let Ok(_guard) = timeout(self.settings.attempt_deadline, self.locks.lock(key)).await else {
            self.put_off(key, check);
            return false;
        };
        if self.is_put_off(key, check) {
            return false;
        }
        let mark = Mark {
            key,
            delete: check.delete,
            stamp: check.stamp,
            version: check.version,
            after: None,
            ambiguous: false,
            acknowledged: true,
            // Its keepers are those that answer now, whatever they hold.
            confirmed: false,
            size: None,
        };
        let seen = self.look(key).await;
        let first = seen.first().map(|(_, seen)| seen);
        let same = |seen: &crate::catch_up::Seen| match (first, seen) {
            (Some(Some((_, Some(a)))), Some((_, Some(b)))) => a == b,
            (Some(None), None) => true,
            (Some(Some((a, None))), Some((b, None))) => a.size == b.size,
            _ => false,
        };
        let differ = !seen.iter().all(|(_, seen)| same(seen));
        if differ {
            tracing::info!(%key, "copies differ after concurrent writes");
        }
        // One that does not answer now is compared when it does: a marker says so.
        if differ || seen.len() < self.backends.len() {
            self.record_difference(&mark, &seen).await;
        }
        true
    }

    fn is_put_off(&self, key: &Path, check: &Waiting) -> bool {
        let dirty = self.index.dirt(key).is_some();
        if dirty {
            self.put_off(key, check);
        }
        dirty
    }

    fn put_off(&self, key: &Path, check: &Waiting) {
        let due = Instant::now() + self.settings.journal_poll.max(self.settings.settle_after);
        self.settle.checks().put_off(key, Waiting { due, ..*check });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_come_as_they_are_due_and_each_key_once_with_its_latest_write() {
        let start = Instant::now();
        let check = |seconds: u64| Waiting {
            due: start + Duration::from_secs(seconds),
            stamp: Stamp::new(seconds, 1),
            version: None,
            delete: false,
        };
        let mut checks = Checks::default();
        for (key, seconds) in [("c", 1), ("a", 2), ("b", 2), ("c", 3)] {
            assert!(checks.put(&Path::from(key), check(seconds)));
        }
        assert!(!checks.take(&Path::from("c"), Stamp::new(1, 1)), "it was written again");
        for (key, seconds) in [("a", 2), ("b", 2), ("c", 3)] {
            let (next, waiting) = checks.soonest().unwrap();
            assert_eq!((next.as_ref(), waiting.stamp), (key, Stamp::new(seconds, 1)));
            assert!(checks.take(&next, waiting.stamp));
        }
        assert!(checks.soonest().is_none() && checks.by_time.is_empty());
    }

    #[test]
    fn a_full_queue_takes_known_keys_only() {
        let mut checks = Checks::default();
        let due = Instant::now();
        let check = Waiting { due, stamp: Stamp::new(1, 1), version: None, delete: false };
        for number in 0..MOST_WAITING {
            assert!(checks.put(&Path::from(number.to_string()), check));
        }
        assert!(!checks.put(&Path::from("new"), check));
        assert!(checks.put(&Path::from("7"), check));
        assert_eq!(checks.by_time.len(), MOST_WAITING);
    }
}
