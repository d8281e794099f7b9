//! The seams: wall clock, randomness and spawning come in from outside, so that a simulation can drive
//! them. Monotonic time is tokio's, which a test can pause. Nothing else in this crate may ask the
//! environment; this crate's `clippy.toml` bans what would.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// A wall clock. It may be wrong and may jump; stamps bear both.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since 1970, UTC.
    fn unix_millis(&self) -> u64;
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the seam: here the computer's clock comes in")]
    fn unix_millis(&self) -> u64 {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Runs tasks that outlive the call that began them: the legs of a write, probes, catch-up.
pub trait Spawner: Send + Sync + Debug {
    /// Starts `task`; nobody waits for it.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// Spawns on the tokio runtime of the caller.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSpawner;

impl Spawner for TokioSpawner {
    #[expect(clippy::disallowed_methods, reason = "the seam: here tokio's runtime comes in")]
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

/// Seeded randomness, for jitter and names.
#[derive(Debug)]
pub(crate) struct Randomness(Mutex<SmallRng>);

impl Randomness {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Mutex::new(SmallRng::seed_from_u64(seed)))
    }

    /// With a seed that nobody has chosen.
    #[expect(clippy::disallowed_methods, reason = "the seam: here chance comes in")]
    pub(crate) fn ambient() -> Self {
        Self::seeded(rand::random())
    }

    /// Any number.
    pub(crate) fn number(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// A number from 0 to 1.
    pub(crate) fn fraction(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}
