//! A place where requests wait until a test lets them go: how a test puts concurrent steps in an order of its choice
//! without sleeping.

use std::sync::Arc;

use tokio::sync::watch;

/// A gate, closed at first. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: watch::Sender<bool>,
    waiting: watch::Sender<u64>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// Makes a closed gate.
    pub fn new() -> Self {
        Self(Arc::new(Inner { open: watch::Sender::new(false), waiting: watch::Sender::new(0) }))
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until some request has come to the gate.
    pub async fn reached(&self) {
        self.reached_by(1).await;
    }

    /// Waits until this many requests have come to the gate.
    pub async fn reached_by(&self, requests: u64) {
        let mut waiting = self.0.waiting.subscribe();
        // The sender lives in `self`, so the wait ends only with the condition.
        let _ = waiting.wait_for(|count| *count >= requests).await;
    }

    /// How many requests have come to the gate so far.
    pub fn count(&self) -> u64 {
        *self.0.waiting.borrow()
    }

    /// Comes to the gate and waits until it is open.
    pub(super) async fn pass(&self) {
        self.0.waiting.send_modify(|count| *count += 1);
        let mut open = self.0.open.subscribe();
        let _ = open.wait_for(|open| *open).await;
    }
}
