//! A snapshot of everything an operator asks for. `lifeboat status` shows it, as far as a new process can know it.

use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::catch_up::patience::RefusedKey;
use crate::engine::Engine;
use crate::health::HealthState;
use crate::presence::UncleanEnd;

/// What is known now. Taking it sends nothing; it goes through the index of markers once.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// In order of preference.
    pub backends: Vec<BackendStatus>,
    /// All markers.
    pub journal: JournalStatus,
    /// Versions that this process kept as conflicts.
    pub conflicts: u64,
    /// Keys whose stamps lie so far ahead of our clock that they are not followed: somebody's clock is wrong.
    pub keys_dated_ahead: u64,
    /// Settling checks that were dropped because there were too many.
    pub settle_checks_dropped: u64,
    /// Keys that a backend refuses, so that catch-up cannot bring them to it; the first few.
    pub refused: Vec<RefusedKey>,
    /// Writers that ended without saying so, as far as this process has looked.
    pub unclean_ends: Vec<UncleanEnd>,
    /// Settling checks that wait.
    pub settling_checks_pending: bool,
}

/// One backend.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BackendStatus {
    /// Its id, as in journal names and metrics.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its health.
    pub health: HealthState,
    /// It has returned, and reads do not prefer it yet.
    pub settling: bool,
    /// It is known to hold everything.
    pub seeded: bool,
    /// Its journal has been read. If not, it may know of writes that others lack.
    pub journal_read: bool,
    /// Keys of which it may lack the latest version.
    pub dirty_keys: u64,
    /// Bytes of those, as far as their markers say.
    pub dirty_bytes: u64,
    /// The class of its last fault: `throttled`, `down`, `identity-lost` or `slow`. What could not be built has lost its
    /// identity.
    pub last_fault: Option<String>,
}

/// The journal.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct JournalStatus {
    /// Markers known.
    pub markers: u64,
    /// Keys they speak of.
    pub keys: u64,
    /// Age of the oldest, in milliseconds.
    pub oldest_ms: Option<u64>,
    /// Markers that stay until nothing can land late any more.
    pub quarantined: u64,
    /// Keys that this process has yet to find in one state at all their backends. What the others are marked for is there;
    /// their markers only wait until nothing can change it any more.
    pub unlevel: u64,
}

impl Engine {
    pub(crate) fn status(&self) -> Status {
        let totals = self.index.totals(self.backends.len());
        let backends = self.backends.iter().map(|backend| {
            let health = backend.health();
            BackendStatus {
                id: backend.id.clone(),
                name: backend.store.identity().name(),
                health: health.state(),
                settling: health.is_settling(),
                seeded: backend.seeded.load(Ordering::Acquire),
                journal_read: backend.journal_read.load(Ordering::Acquire),
                dirty_keys: totals.dirty_keys[backend.at],
                dirty_bytes: totals.dirty_bytes[backend.at],
                last_fault: health.last_fault().map(|fault| fault.as_str().to_owned()),
            }
        });
        let oldest_ms = totals
            .oldest
            .map(|oldest| u64::try_from(self.clock.age(oldest).as_millis()).unwrap_or(u64::MAX));
        Status {
            backends: backends.collect(),
            journal: JournalStatus {
                markers: totals.markers,
                keys: totals.keys,
                oldest_ms,
                quarantined: totals.quarantined,
                unlevel: totals.unlevel,
            },
            conflicts: self.conflicts.load(Ordering::Acquire),
            keys_dated_ahead: self.keys_dated_ahead(),
            refused: self.patience.told(),
            unclean_ends: self.unclean_ends(),
            settle_checks_dropped: self.settle.dropped(),
            settling_checks_pending: !self.settle.is_empty(),
        }
    }
}
