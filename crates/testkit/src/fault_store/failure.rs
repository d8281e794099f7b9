//! The ways in which a store can fail, and the `object_store` error that each arrives as.

use std::io;

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
    /// as a `Generic` error whose text alone tells.
    Throttled,
    /// Credentials expired, revoked, or their source unreachable: `Unauthenticated`.
    IdentityLost,
    /// 403 for this key: `PermissionDenied`.
    Denied,
    /// The store does not do this: `NotSupported`.
    NotSupported,
    /// The answer "there is no such object".
    NotFound,
    /// The answer "it exists already"; also what 409, a race in flight, arrives as.
    AlreadyExists,
    /// The answer "the condition does not hold".
    Precondition,
}

impl Failure {
    /// Every failure that speaks of the provider, not of the request.
    pub const FAULTS: [Self; 6] =
        [Self::Refused, Self::Reset, Self::Down, Self::Slow, Self::Throttled, Self::IdentityLost];

    /// The error for a request on `key`.
    pub fn error(self, key: &Path) -> Error {
        let path = key.to_string();
        let source = || "injected".into();
        match self {
            Self::Refused => broken(io::ErrorKind::ConnectionRefused),
            Self::Reset => broken(io::ErrorKind::ConnectionReset),
            Self::Down => broken(io::ErrorKind::NetworkDown),
            Self::Slow => broken(io::ErrorKind::TimedOut),
            Self::Throttled => Error::Generic { store: STORE, source: Box::new(SlowDown) },
            Self::IdentityLost => Error::Unauthenticated { path, source: source() },
            Self::Denied => Error::PermissionDenied { path, source: source() },
            Self::NotSupported => Error::NotSupported { source: source() },
            Self::NotFound => Error::NotFound { path, source: source() },
            Self::AlreadyExists => Error::AlreadyExists { path, source: source() },
            Self::Precondition => Error::Precondition { path, source: source() },
        }
    }
}

/// The name in `Generic` errors.
const STORE: &str = "FaultStore";

fn broken(kind: io::ErrorKind) -> Error {
    Error::Generic { store: STORE, source: Box::new(io::Error::from(kind)) }
}

/// What is left of a throttled answer once `object_store` has given up retrying.
#[derive(Debug, thiserror::Error)]
#[error("server returned 503 Service Unavailable: SlowDown, please reduce your request rate")]
struct SlowDown;
