//! What an observer is told, as typed events.

use std::fmt::Debug;
use std::time::Duration;

use lifeboat_core::{Fault, Stamp};
use object_store::path::Path;

use crate::health::HealthState;
use crate::presence::UncleanEnd;

/// Is told what happens. Called from within requests: it must return at once and not block.
pub trait Observer: Send + Sync + Debug {
    /// Something happened.
    fn event(&self, event: &Event);
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// A read of an object or a part of it.
    Get,
    /// A read of an object's properties.
    Head,
    /// A listing.
    List,
    /// A write of a whole object.
    Put,
    /// A write on a condition.
    ConditionalPut,
    /// Begin, parts and completion of a large write.
    Multipart,
    /// A removal.
    Delete,
    /// A copy or a rename.
    Copy,
    /// Reading or writing markers and control objects.
    Journal,
    /// Asking an ejected backend whether it serves.
    Probe,
    /// Bringing a backend up to date.
    CatchUp,
}

impl Operation {
    /// Lower-case name. Metrics count conditional puts as `put`, and have no `journal`, `probe` and `catch_up`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
            Self::Put => "put",
            Self::ConditionalPut => "conditional_put",
            Self::Multipart => "multipart",
            Self::Delete => "delete",
            Self::Copy => "copy",
            Self::Journal => "journal",
            Self::Probe => "probe",
            Self::CatchUp => "catch_up",
        }
    }
}

/// What happened. Backends are named by the id of their identity.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A backend's health changed.
    Health {
        /// Which backend.
        backend: String,
        /// What it was.
        from: HealthState,
        /// What it is.
        to: HealthState,
        /// In words.
        why: String,
    },
    /// A request failed in a way that speaks about the backend.
    Fault {
        /// Which backend.
        backend: String,
        /// What was asked.
        operation: Operation,
        /// The class of failure.
        class: Fault,
    },
    /// A request was not done by the backend that it was meant for: a read went on at another one after a fault; a write was
    /// acknowledged, and the first backend in order has not confirmed it.
    FailedOver {
        /// What was asked.
        operation: Operation,
        /// Who failed, or has not confirmed it.
        from: String,
        /// Who is asked next; of those that confirmed a write, the first in order.
        to: String,
    },
    /// A read was sent to a second backend because the first was late.
    HedgeFired {
        /// What was asked.
        operation: Operation,
        /// Who is late.
        slow: String,
        /// Who is asked as well.
        to: String,
    },
    /// The second backend answered first.
    HedgeWon {
        /// What was asked.
        operation: Operation,
        /// Who was late.
        slow: String,
        /// Who answered.
        winner: String,
    },
    /// A body went on at another backend.
    BodyContinued {
        /// The object.
        key: Path,
        /// Who broke off.
        from: String,
        /// Who went on.
        to: String,
        /// Bytes delivered before.
        offset: u64,
    },
    /// A request to a backend ended: of a read, each attempt that was waited for; of a write, the leg of each backend.
    Served {
        /// What was asked.
        operation: Operation,
        /// Who answered, or did not.
        backend: String,
        /// From the call to the answer.
        latency: Duration,
        /// Whether it succeeded.
        ok: bool,
    },
    /// A marker is durable.
    MarkerWritten {
        /// Who may lack something.
        target: String,
        /// Who keeps the marker.
        home: String,
        /// The object.
        key: Path,
    },
    /// A marker is gone.
    MarkerRemoved {
        /// Whom it spoke of.
        target: String,
        /// The object.
        key: Path,
    },
    /// A backend has the latest version of a key again.
    CaughtUp {
        /// Which backend.
        backend: String,
        /// The object.
        key: Path,
        /// Bytes written; 0 for a delete.
        bytes: u64,
    },
    /// A pass over what the journals name has looked at so many keys so far. It is told every few hundred keys, and at the end
    /// of a pass that looked at any.
    CatchUpProgress {
        /// Keys looked at in this pass.
        keys: u64,
        /// Bytes written in this pass.
        bytes: u64,
        /// Markers that are known now: what is left to do, or has to wait.
        left: u64,
    },
    /// A key could not be brought up to date and will be tried again.
    CatchUpFailed {
        /// The object.
        key: Path,
        /// In words.
        why: String,
    },
    /// Two versions competed; the loser was kept.
    Conflict {
        /// The object.
        key: Path,
        /// Where the loser is.
        kept_at: Path,
    },
    /// An older version was served, as configured.
    StaleRead {
        /// The object.
        key: Path,
        /// Who served it.
        backend: String,
    },
    /// A stamp lies too far ahead of our clock to be followed.
    ClockAhead {
        /// The object.
        key: Path,
        /// Its stamp.
        stamp: Stamp,
    },
    /// Settling checks were dropped because there were too many.
    SettleChecksDropped {
        /// How many since the start.
        dropped: u64,
    },
    /// A writer was killed, or cut off: [`Failover::mend_since`](crate::Failover::mend_since) compares what it may have left.
    UncleanEnd(UncleanEnd),
    /// The journal at a backend was read for the first time.
    JournalRead {
        /// Whose journal.
        backend: String,
        /// Markers in it.
        markers: u64,
    },
}
