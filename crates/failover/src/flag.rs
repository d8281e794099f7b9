//! A flag that is raised once, and can be waited for. Those who wait go on in the order in which they came, which a
//! `tokio::sync::watch` does not promise (it draws lots), and which a simulation needs to repeat itself.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A flag, lowered at first.
#[derive(Debug, Default)]
pub(crate) struct Flag {
    raised: AtomicBool,
    told: Notify,
}

impl Flag {
    /// Raises it for good.
    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Whether it is raised.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Waits until it is raised.
    pub(crate) async fn wait(&self) {
        let mut told = std::pin::pin!(self.told.notified());
        // Registered before the look, so that nothing is missed between the two.
        told.as_mut().enable();
        if !self.is_raised() {
            told.await;
        }
    }
}
