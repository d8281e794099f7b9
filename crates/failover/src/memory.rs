//! Memory for bodies: a budget, and whether somebody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Bytes that bodies may hold at once.
#[derive(Debug)]
pub(crate) struct Memory {
    /// In KiB.
    all: u32,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    told: Notify,
}

/// Memory that is held for a body, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _permit: OwnedSemaphorePermit,
    of: Arc<Memory>,
}

impl Held {
    /// Waits until somebody waits for the memory that this is a part of.
    pub(crate) async fn wanted(&self) {
        self.of.wanted().await;
    }
}

/// Somebody waits, until it is dropped.
struct Waiting<'m>(&'m Memory);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Memory {
    /// So many bytes; one KiB at least.
    pub(crate) fn new(bytes: u64) -> Self {
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let all = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, most);
        Self {
            all,
            free: Arc::new(Semaphore::new(all as usize)),
            waiting: AtomicUsize::new(0),
            told: Notify::new(),
        }
    }

    /// Takes memory for a body; waits while others hold too much. A body that is larger than all there is takes all.
    pub(crate) async fn take(self: &Arc<Self>, bytes: u64) -> Option<Held> {
        let held = |permit| Held { _permit: permit, of: Arc::clone(self) };
        let wanted = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).min(self.all);
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_many_owned(wanted) {
            return Some(held(permit));
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.told.notify_waiters();
        let _waiting = Waiting(self);
        // Never closed: none is never returned.
        Arc::clone(&self.free).acquire_many_owned(wanted).await.ok().map(held)
    }

    /// Waits until somebody waits for memory.
    async fn wanted(&self) {
        let mut told = std::pin::pin!(self.told.notified());
        // Registered before the look, so that nothing is missed between the two.
        told.as_mut().enable();
        if self.waiting.load(Ordering::Acquire) == 0 {
            told.await;
        }
    }
}
