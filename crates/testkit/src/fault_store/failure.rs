//! The ways in which a store can fail, and the `object_store` error that each arrives as.

use std::io;
use std::time::Duration;

use object_store::{Error, path::Path};

/// A failure, by what it says about the store.
///
/// The errors are built as `object_store`'s own clients build them, so that whoever classifies by variant or by
/// [`io::ErrorKind`] sees what a real store would show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Failure {
    /// Nobody listens: `ConnectionRefused`. The request certainly had no effect.
    Refused,
    /// The connection broke: `ConnectionReset`. Nobody knows whether the request had its effect.
    Reset,
    /// The provider cannot serve (an internal error, no route to it): `NetworkDown`.
    Down,
    /// No answer in time: `TimedOut`.
    Slow,
    /// The provider asks for less. `object_store` gives its clients no typed trace of a 429 or 503, so this arrives
    /// as a `Generic` error: whoever tells such answers apart by other means finds a [`SlowDown`] in it.
    Throttled,
    /// The same, and the provider says how long to wait (`Retry-After`).
    ThrottledFor(Duration),
    /// Credentials expired, revoked, or their source unreachable: `Unauthenticated`.
    IdentityLost,
    /// 403 for this key: `PermissionDenied`.
    Denied,
    /// The store does not do this: `NotSupported`.
    NotSupported,
    /// The answer "there is no such object".
    NotFound,
    /// The bucket is gone. `object_store` tells that by the same variant, `NotFound`; whoever tells the two apart by other
    /// means finds a [`BucketMissing`] in it.
    BucketMissing,
    /// The answer "it exists already"; also what 409, a race in flight, arrives as.
    AlreadyExists,
    /// The answer "the condition does not hold".
    Precondition,
}

impl Failure {
    /// Every failure that speaks of the provider, not of the request.
    pub const FAULTS: [Self; 6] =
        [Self::Refused, Self::Reset, Self::Down, Self::Slow, Self::Throttled, Self::IdentityLost];

    /// The error for a request on `key` that has no effect.
    pub fn error(self, key: &Path) -> Error {
        let path = key.to_string();
        let source = || "injected".into();
        match self {
            Self::Refused => broken(io::ErrorKind::ConnectionRefused),
            Self::Reset => broken(io::ErrorKind::ConnectionReset),
            Self::Down => broken(io::ErrorKind::NetworkDown),
            Self::Slow => broken(io::ErrorKind::TimedOut),
            Self::Throttled => slow_down(None, false),
            Self::ThrottledFor(pause) => slow_down(Some(pause), false),
            Self::IdentityLost => Error::Unauthenticated { path, source: source() },
            Self::Denied => Error::PermissionDenied { path, source: source() },
            Self::NotSupported => Error::NotSupported { source: source() },
            Self::NotFound => Error::NotFound { path, source: source() },
            Self::BucketMissing => Error::NotFound { path, source: Box::new(BucketMissing) },
            Self::AlreadyExists => Error::AlreadyExists { path, source: source() },
            Self::Precondition => Error::Precondition { path, source: source() },
        }
    }

    /// The error for a request on `key` that has its effect all the same, now or later.
    pub(super) fn error_in_spite(self, key: &Path) -> Error {
        match self {
            Self::Throttled => slow_down(None, true),
            Self::ThrottledFor(pause) => slow_down(Some(pause), true),
            other => other.error(key),
        }
    }
}

/// The name in `Generic` errors.
const STORE: &str = "FaultStore";

fn broken(kind: io::ErrorKind) -> Error {
    Error::Generic { store: STORE, source: Box::new(io::Error::from(kind)) }
}

fn slow_down(retry_after: Option<Duration>, may_land: bool) -> Error {
    Error::Generic { store: STORE, source: Box::new(SlowDown { retry_after, may_land }) }
}

/// That it is the bucket that is missing, as the source of the error: the typed trace that a client leaves which looks at
/// the wire.
///
/// ```
/// use lifeboat_testkit::fault_store::{BucketMissing, Failure};
///
/// assert!(BucketMissing::is_in(&Failure::BucketMissing.error(&"key".into())));
/// assert!(!BucketMissing::is_in(&Failure::NotFound.error(&"key".into())));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bucket does not exist")]
#[non_exhaustive]
pub struct BucketMissing;

impl BucketMissing {
    /// Whether an error has it among its causes.
    pub fn is_in(error: &Error) -> bool {
        find::<Self>(error).is_some()
    }
}

/// A throttled answer, as the source of the error: the typed trace that a client leaves which looks at the wire.
///
/// ```
/// use lifeboat_testkit::fault_store::{Failure, SlowDown};
///
/// let error = Failure::Throttled.error(&"key".into());
/// assert_eq!(SlowDown::find(&error).map(|slow_down| slow_down.retry_after), Some(None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("server returned 503 Service Unavailable: SlowDown, please reduce your request rate")]
#[non_exhaustive]
pub struct SlowDown {
    /// What the provider said about waiting.
    pub retry_after: Option<Duration>,
    /// The request may have its effect all the same ([`Strike::FailAfter`](super::Strike::FailAfter),
    /// [`Strike::FailLate`](super::Strike::FailLate)): a client that repeats requests by itself had sent it before, and
    /// only the last repetition was throttled.
    pub may_land: bool,
}

impl SlowDown {
    /// Finds it in an error.
    pub fn find(error: &Error) -> Option<&Self> {
        find(error)
    }
}

/// A cause of that type.
fn find<E: std::error::Error + 'static>(error: &Error) -> Option<&E> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
