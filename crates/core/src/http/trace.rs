//! The thread between an operation and its attempts.
//!
//! `object_store` calls the HTTP client in the task of its caller, so a task-local names the
//! operation that an attempt belongs to. Streams and part futures are polled later and elsewhere;
//! whoever polls them enters the trace again for each poll.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use object_store::path::Path;

use super::checksum::Checksum;
use super::dialect::VendorError;
use super::exchange::{Exchange, Operation};
use crate::repeated;

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
    /// The keys of a bulk delete.
    keys: HashSet<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    attempts: u32,
    last: Option<Exchange>,
    maybe_applied: bool,
    key_errors: HashMap<String, VendorError>,
    checksum: Option<Checksum>,
}

impl Trace {
    pub(super) fn new(operation: Operation) -> Self {
        Self {
            operation,
            detailed: false,
            whole_object: false,
            keys: HashSet::new(),
            state: Mutex::default(),
        }
    }

    /// For a read of the whole object.
    pub(super) fn with_whole_object(self, whole_object: bool) -> Self {
        Self { whole_object, ..self }
    }

    /// For a delete of these keys.
    pub(super) fn with_keys(self, keys: &[Path]) -> Self {
        Self { keys: keys.iter().map(ToString::to_string).collect(), ..self }
    }

    /// How many keys a bulk delete is for.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Keeps what a bulk delete's answer says of single keys; `false` if it speaks of a key that
    /// nobody asked about.
    pub(super) fn note_key_errors(&self, errors: Vec<(String, VendorError)>) -> bool {
        let known = errors.iter().all(|(key, _)| self.keys.contains(key));
        self.lock().key_errors.extend(errors);
        known
    }

    /// What a bulk delete's answer said of this key.
    pub(super) fn key_error(&self, key: &Path) -> Option<VendorError> {
        self.lock().key_errors.get(key.as_ref()).cloned()
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
        let mut state = self.lock();
        state.attempts += 1;
        // What failed before it says nothing about what comes after it.
        state.last = None;
    }

    /// Counts an attempt and remembers it, and whether it may have had its effect.
    pub(super) fn record(&self, exchange: Exchange, maybe_applied: bool) {
        let mut state = self.lock();
        state.attempts += 1;
        state.last = Some(exchange);
        state.maybe_applied |= maybe_applied;
        drop(state);
        if maybe_applied && self.operation.changes_an_object() {
            repeated::note();
        }
    }

    /// Remembers how the body of an attempt, counted before, ended.
    pub(super) fn amend(&self, exchange: Exchange) {
        let mut state = self.lock();
        state.last = Some(exchange);
        state.maybe_applied = true;
    }

    /// Whether any attempt so far may have had its effect; the last one alone does not tell.
    pub(super) fn maybe_applied(&self) -> bool {
        self.lock().maybe_applied
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
