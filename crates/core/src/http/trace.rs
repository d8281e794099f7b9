//! The thread between an operation and its attempts.
//!
//! `object_store` calls the HTTP client in the task of its caller, so a task-local names the
//! operation that an attempt belongs to. Streams and part futures are polled later and elsewhere;
//! whoever polls them enters the trace again for each poll.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::checksum::Checksum;
use super::exchange::{Exchange, Operation};

tokio::task_local! {
    static CURRENT: Arc<Trace>;
}

/// What is known of one running operation.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) operation: Operation,
    /// Keep the details of successful attempts too (date, server): wanted by probes only.
    pub(super) detailed: bool,
    /// The caller asked for the whole object, so a checksum of the object is one of the body.
    pub(super) whole_object: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    attempts: u32,
    last: Option<Exchange>,
    checksum: Option<Checksum>,
}

impl Trace {
    pub(super) fn new(operation: Operation) -> Self {
        Self { operation, detailed: false, whole_object: false, state: Mutex::default() }
    }

    /// For a read of the whole object.
    pub(super) fn with_whole_object(self, whole_object: bool) -> Self {
        Self { whole_object, ..self }
    }

    /// Keeps the details of successful attempts.
    pub(super) fn with_details(self) -> Self {
        Self { detailed: true, ..self }
    }

    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    pub(super) async fn scope<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        CURRENT.scope(Arc::clone(self), future).await
    }

    pub(super) fn enter<R>(self: &Arc<Self>, poll: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(Arc::clone(self), poll)
    }

    /// Counts an attempt that gave nothing to remember.
    pub(super) fn count(&self) {
        self.lock().attempts += 1;
    }

    /// Counts an attempt and remembers it.
    pub(super) fn record(&self, exchange: Exchange) {
        let mut state = self.lock();
        state.attempts += 1;
        state.last = Some(exchange);
    }

    /// Remembers how the body of an attempt, counted before, ended.
    pub(super) fn amend(&self, exchange: Exchange) {
        self.lock().last = Some(exchange);
    }

    /// The checksum the provider gave with the first answer.
    pub(super) fn expect(&self, checksum: Checksum) {
        self.lock().checksum.get_or_insert(checksum);
    }

    pub(super) fn checksum(&self) -> Option<Checksum> {
        self.lock().checksum.clone()
    }

    pub(super) fn last(&self) -> (u32, Option<Exchange>) {
        let state = self.lock();
        (state.attempts, state.last.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
