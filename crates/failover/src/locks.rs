//! One write of a key at a time within a process: two that overlap would reach two backends in two orders.

use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::join_all;
use object_store::path::Path;
use tokio::sync::OwnedMutexGuard;

/// Locks by key, made when needed and gone when unused. Sharded, so that keys rarely meet.
#[derive(Debug)]
pub(crate) struct KeyLocks {
    shards: [Mutex<Shard>; SHARDS],
    /// Held while somebody takes a place in several queues at once.
    queueing: Mutex<()>,
    // Chooses the shard only: the order of anything does not depend on it.
    hasher: RandomState,
}

type Shard = HashMap<Path, Arc<tokio::sync::Mutex<()>>>;

const SHARDS: usize = 32;

/// A held lock. Whoever waits for the same key goes on, first come, when it is dropped.
#[derive(Debug)]
pub(crate) struct KeyGuard {
    locks: Arc<KeyLocks>,
    key: Path,
    held: Option<OwnedMutexGuard<()>>,
}

impl KeyLocks {
    pub(crate) fn new() -> Arc<Self> {
        let shards = std::array::from_fn(|_| Mutex::new(Shard::new()));
        Arc::new(Self { shards, queueing: Mutex::new(()), hasher: RandomState::new() })
    }

    fn shard(&self, key: &Path) -> MutexGuard<'_, Shard> {
        let buckets = u64::try_from(SHARDS).unwrap_or(1);
        let at = usize::try_from(self.hasher.hash_one(key) % buckets).unwrap_or(0);
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the key, in order of arrival.
    pub(crate) async fn lock(self: &Arc<Self>, key: &Path) -> KeyGuard {
        let lock = Arc::clone(self.shard(key).entry(key.clone()).or_default());
        // Made before waiting: a dropped waiter cleans up too.
        let mut guard = KeyGuard { locks: Arc::clone(self), key: key.clone(), held: None };
        guard.held = Some(lock.lock_owned().await);
        guard
    }

    /// Whether a key is held, or waited for.
    pub(crate) fn is_held(&self, key: &Path) -> bool {
        self.shard(key).contains_key(key)
    }

    /// Whether somebody waits for a key that is held.
    pub(crate) fn is_wanted(&self, key: &Path) -> bool {
        // The map has one reference, the holder one, and everyone who waits one.
        self.shard(key).get(key).is_some_and(|lock| Arc::strong_count(lock) > 2)
    }

    /// Waits for several keys, for all of them from the same moment on: whoever comes later to any of them goes later.
    /// Two that want the same keys stand in one order in all queues, and so never wait for each other.
    pub(crate) async fn lock_all(self: &Arc<Self>, keys: &[Path]) -> Vec<KeyGuard> {
        let mut sorted: Vec<&Path> = keys.iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut all = join_all(sorted.into_iter().map(|key| self.lock(key)));
        let mut queued = false;
        poll_fn(|context| {
            let turn =
                (!queued).then(|| self.queueing.lock().unwrap_or_else(PoisonError::into_inner));
            queued = true;
            let polled = all.poll_unpin(context);
            drop(turn);
            polled
        })
        .await
    }
}

impl Drop for KeyGuard {
    fn drop(&mut self) {
        self.held = None;
        let mut shard = self.locks.shard(&self.key);
        // The map's own reference is the last one: nobody holds it and nobody waits.
        if shard.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            shard.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn locks_are_gone_when_nobody_needs_them() {
        let locks = KeyLocks::new();
        let key = Path::from("a");
        let first = locks.lock(&key).await;
        let waiting = locks.lock(&key);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(first);
        drop(waiting.await);
        assert!(locks.shard(&key).is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_for_two_keys_stands_in_both_queues_at_once() {
        let locks = KeyLocks::new();
        let [a, b] = [Path::from("a"), Path::from("b")];
        let held = locks.lock(&a).await;
        let keys = [b.clone(), a.clone()];
        let both = locks.lock_all(&keys);
        tokio::pin!(both);
        assert!(futures::poll!(&mut both).is_pending());
        let later = locks.lock(&b);
        tokio::pin!(later);
        assert!(futures::poll!(&mut later).is_pending());
        drop(held);
        assert_eq!(both.await.len(), 2);
        drop(later.await);
    }

    #[tokio::test]
    async fn the_same_key_twice_in_a_batch_does_not_wait_for_itself() {
        let locks = KeyLocks::new();
        let keys = [Path::from("b"), Path::from("a"), Path::from("b")];
        assert_eq!(locks.lock_all(&keys).await.len(), 2);
    }
}
