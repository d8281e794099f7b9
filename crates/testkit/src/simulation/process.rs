//! Simulated processes: their tasks, which a crash ends at whatever await point they are, and their clocks.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::fault_store::{Operation, Watch};

/// Below this many tasks nobody looks for finished ones.
const FEW_TASKS: usize = 64;

/// The wall clock of a process: the simulation's time, as far off as it is told to be.
#[derive(Clone, Debug)]
pub struct SimClock {
    began: Instant,
    ahead: Arc<AtomicI64>,
}

impl SimClock {
    /// A clock that is so many milliseconds ahead, in a world that began then.
    pub fn new(began: Instant, ahead: i64) -> Self {
        Self { began, ahead: Arc::new(AtomicI64::new(ahead)) }
    }

    /// Milliseconds since 1970.
    pub fn unix_millis(&self) -> u64 {
        let elapsed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let ahead = self.ahead.load(Ordering::Relaxed);
        u64::try_from(super::EPOCH_MILLIS.saturating_add(elapsed).saturating_add(ahead))
            .unwrap_or_default()
    }

    /// Moves the clock.
    pub fn set_ahead(&self, millis: i64) {
        self.ahead.store(millis, Ordering::Relaxed);
    }
}

/// Runs the tasks of one life of a process. Clones are the same life.
#[derive(Clone, Debug)]
pub struct SimSpawner(Arc<Life>);

#[derive(Debug)]
struct Life {
    began: Instant,
    alive: AtomicBool,
    tasks: Mutex<Vec<AbortHandle>>,
    panics: AtomicU64,
    /// Crashes when this many more requests and answers have been seen; 0 is never.
    countdown: AtomicU64,
    /// Milliseconds after `began`.
    died: AtomicU64,
    zombies: AtomicU64,
}

impl SimSpawner {
    /// A new life, in a world that began then.
    pub fn new(began: Instant) -> Self {
        Self(Arc::new(Life {
            began,
            alive: AtomicBool::new(true),
            tasks: Mutex::default(),
            panics: AtomicU64::new(0),
            countdown: AtomicU64::new(0),
            died: AtomicU64::new(0),
            zombies: AtomicU64::new(0),
        }))
    }

    /// Starts a task; in a dead process nothing starts.
    pub fn spawn(&self, task: BoxFuture<'static, ()>) {
        if !self.is_alive() {
            return;
        }
        let life = Arc::clone(&self.0);
        let handle = tokio::spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                life.panics.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut tasks = self.tasks();
        if tasks.len() > FEW_TASKS && tasks.len().is_power_of_two() {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(handle.abort_handle());
    }

    /// Whether it has not crashed.
    pub fn is_alive(&self) -> bool {
        self.0.alive.load(Ordering::Relaxed)
    }

    /// Ends every task where it is.
    pub fn crash(&self) {
        if self.0.alive.swap(false, Ordering::Relaxed) {
            self.0.died.store(self.now(), Ordering::Relaxed);
            for task in self.tasks().drain(..) {
                task.abort();
            }
        }
    }

    /// Crashes when this many more requests or answers have passed.
    pub(super) fn crash_after(&self, messages: u64) {
        self.0.countdown.store(messages, Ordering::Relaxed);
    }

    /// How many tasks have panicked.
    pub(super) fn panics(&self) -> u64 {
        self.0.panics.load(Ordering::Relaxed)
    }

    /// How many requests were made after the end: by tasks that were not spawned here.
    pub(super) fn zombies(&self) -> u64 {
        self.0.zombies.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a message; crashes when it is the last. Whether the process lives.
    fn count(&self) -> bool {
        if !self.is_alive() {
            // What was polled together with the fatal step is no zombie; that happens at the same instant.
            if self.now() > self.0.died.load(Ordering::Relaxed) {
                self.0.zombies.fetch_add(1, Ordering::Relaxed);
            }
            return false;
        }
        let before = self.0.countdown.load(Ordering::Relaxed);
        if before > 0 {
            self.0.countdown.store(before - 1, Ordering::Relaxed);
            if before == 1 {
                self.crash();
            }
        }
        true
    }
}

impl Watch for SimSpawner {
    /// The fatal request is still sent.
    fn request(&self, _: Operation, _: &Path) -> bool {
        self.count()
    }

    /// The fatal answer is no longer seen.
    fn answer(&self, _: Operation, _: &Path) -> bool {
        self.count() && self.is_alive()
    }
}
