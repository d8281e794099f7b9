//! A place where requests wait until a test lets them go: how a test puts concurrent steps in an order of its choice
//! without sleeping.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// A gate, closed at first. Clones are the same gate.
///
/// Those who wait go on in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: AtomicBool,
    opened: Notify,
    waiting: AtomicU64,
    arrived: Notify,
}

impl Gate {
    /// Makes a closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        self.0.open.store(true, Ordering::Release);
        self.0.opened.notify_waiters();
    }

    /// Waits until some request has come to the gate.
    pub async fn reached(&self) {
        self.reached_by(1).await;
    }

    /// Waits until this many requests have come to the gate.
    pub async fn reached_by(&self, requests: u64) {
        until(&self.0.arrived, || self.count() >= requests).await;
    }

    /// How many requests have come to the gate so far.
    pub fn count(&self) -> u64 {
        self.0.waiting.load(Ordering::Acquire)
    }

    /// Comes to the gate and waits until it is open.
    pub(super) async fn pass(&self) {
        self.0.waiting.fetch_add(1, Ordering::AcqRel);
        self.0.arrived.notify_waiters();
        until(&self.0.opened, || self.0.open.load(Ordering::Acquire)).await;
    }
}

/// Waits until something holds; whoever changes it notifies.
async fn until(changed: &Notify, holds: impl Fn() -> bool) {
    loop {
        let mut changed = std::pin::pin!(changed.notified());
        // Registered before the look, so that nothing is missed between the two.
        changed.as_mut().enable();
        if holds() {
            return;
        }
        changed.await;
    }
}
