//! The memory that all objects in flight share.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::options::MIB;

/// Hands out memory in whole MiB, first come, first served.
#[derive(Debug)]
pub(crate) struct Budget {
    permits: Semaphore,
    total: u32,
}

/// Memory that is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        // A semaphore holds at least 2^29 permits on every platform: 512 TiB in MiB.
        let total = u32::try_from(bytes / MIB).unwrap_or(u32::MAX).clamp(1, 1 << 29);
        Self { permits: Semaphore::new(total as usize), total }
    }

    /// Waits until `bytes` are free, or everything is where `bytes` is more than there will be.
    ///
    /// Whoever holds memory must be able to give it back without asking for more.
    pub(crate) async fn reserve(&self, bytes: u64) -> Reserved<'_> {
        let wanted = u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX).clamp(1, self.total);
        // The semaphore is never closed, which is its only error.
        Reserved { _permit: self.permits.acquire_many(wanted).await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn more_than_everything_waits_for_everything_and_no_longer() {
        let budget = Budget::new(4 * MIB);
        let one = budget.reserve(1).now_or_never().expect("free");
        assert!(budget.reserve(100 * MIB).now_or_never().is_none(), "one MiB is taken");
        drop(one);
        let all = budget.reserve(100 * MIB).now_or_never().expect("free");
        assert!(budget.reserve(0).now_or_never().is_none(), "an empty object counts as one MiB");
        drop(all);
        assert!(budget.reserve(4 * MIB).now_or_never().is_some());
    }
}
