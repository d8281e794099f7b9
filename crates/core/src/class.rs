//! Whose fault a failure is: the classes, and the default table for errors of unknown stores.
//!
//! The question is not "did it fail" but "does this failure speak about the provider". A 404 is an
//! answer; a reset connection is a fault. Only faults send a request to another backend, and only
//! faults count against a backend's health.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};

use crate::http::WireFailure;

/// A failure that speaks about the provider or the path to it, never about the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The provider asks for less: 429, 503 `SlowDown`. Pressure, not death.
    Throttled,
    /// The provider cannot be reached or cannot serve: refused, reset, DNS, TLS, 5xx, nonsense.
    Down,
    /// The provider cannot or will not authenticate us: expired or revoked credentials, an
    /// unreachable credential source, a skewed clock.
    IdentityLost,
    /// No first byte, or no progress, within the deadline.
    Slow,
}

impl Fault {
    /// Its name in statuses: lower-case, with hyphens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Down => "down",
            Self::IdentityLost => "identity-lost",
            Self::Slow => "slow",
        }
    }
}

/// The class of a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The provider's answer to this request (404, 412, 304, 409 on create, 400, 416), or a request
    /// that was refused on our side for what it says. The caller's result; never failed over.
    Answer,
    /// 403 without a code that speaks of the credentials. Whether it is this key or this identity
    /// is decided by evidence from other keys, never by guess.
    Denied,
    /// A fault of the provider or the path to it.
    Fault(Fault),
    /// The caller stopped waiting; says nothing about the provider.
    Cancelled,
}

/// Whether a failed write may have happened all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The request certainly had no effect.
    None,
    /// The request may have had its effect, now or later.
    Unknown,
}

/// What a failed request says about the backend that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The class of the failure.
    pub class: Class,
    /// Whether a write may have happened.
    pub effect: Effect,
    /// How long the provider asked us to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// Whether the class comes from a status, a code or a typed cause. `false` means that the error
    /// told nothing and the class is the cautious assumption: use it to route the request, not to
    /// eject a backend on its own.
    pub certain: bool,
}

impl Verdict {
    /// A verdict backed by evidence.
    pub fn new(class: Class, effect: Effect) -> Self {
        Self { class, effect, retry_after: None, certain: true }
    }

    /// A provider's answer; the write did not happen.
    pub fn answer() -> Self {
        Self::new(Class::Answer, Effect::None)
    }

    /// A fault, with what is known of the effect.
    pub fn fault(fault: Fault, effect: Effect) -> Self {
        Self::new(Class::Fault(fault), effect)
    }

    /// Adds what the provider said about waiting.
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// The fault, if it is one.
    pub fn as_fault(&self) -> Option<Fault> {
        match self.class {
            Class::Fault(fault) => Some(fault),
            _ => None,
        }
    }

    /// Whether the request should be tried on another backend.
    pub fn is_fault(&self) -> bool {
        self.as_fault().is_some()
    }
}

/// Classifies an error of a store that nothing else is known about.
///
/// Typed variants speak for themselves. For the rest the chain of causes is searched: a
/// [`WireFailure`] of one of our HTTP backends decides; otherwise the kinds of
/// [`HttpError`], [`io::Error`] and elapsed timers. The text of an error is never looked at.
///
/// `object_store::Error` hides the HTTP status: 429, 5xx and 416 all arrive as `Generic` with no
/// typed cause, and the verdict then is `Down` with [`Verdict::certain`] unset. Backends built by
/// the Lifeboat crates attach a [`WireFailure`] to every error, so they do not end there.
pub fn classify_default(error: &object_store::Error) -> Verdict {
    use object_store::Error as E;

    if let Some(failure) = WireFailure::find(error) {
        return failure.verdict();
    }
    match error {
        E::NotFound { .. }
        | E::AlreadyExists { .. }
        | E::Precondition { .. }
        | E::NotModified { .. }
        | E::InvalidPath { .. }
        | E::NotSupported { .. }
        | E::NotImplemented { .. }
        | E::UnknownConfigurationKey { .. } => Verdict::answer(),
        E::PermissionDenied { .. } => Verdict::new(Class::Denied, Effect::None),
        E::Unauthenticated { .. } => Verdict::fault(Fault::IdentityLost, Effect::None),
        E::JoinError { .. } => Verdict::new(Class::Cancelled, Effect::Unknown),
        other => from_causes(other)
            .unwrap_or(Verdict { certain: false, ..Verdict::fault(Fault::Down, Effect::Unknown) }),
    }
}

/// The first cause in the chain that has a kind we know.
fn from_causes(error: &(dyn StdError + 'static)) -> Option<Verdict> {
    causes(error).find_map(|cause| {
        if let Some(http) = cause.downcast_ref::<HttpError>() {
            return from_http(http);
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return from_io(io.kind());
        }
        if cause.is::<::http::header::InvalidHeaderValue>() {
            return Some(Verdict::answer());
        }
        cause
            .is::<tokio::time::error::Elapsed>()
            .then(|| Verdict::fault(Fault::Slow, Effect::Unknown))
    })
}

/// The error and all its causes, outermost first, at most 32 levels.
///
/// Unlike a walk by `source()` alone it does not miss what an [`io::Error`] wraps.
pub fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    // A chain that refers back to itself must not hang us; real ones are below ten levels.
    const DEEPEST: usize = 32;
    std::iter::successors(Some(error), |error| below(*error)).take(DEEPEST)
}

/// The next level: `io::Error::source` skips the error it wraps, `get_ref` does not.
fn below<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn from_http(error: &HttpError) -> Option<Verdict> {
    Some(match error.kind() {
        HttpErrorKind::Connect => Verdict::fault(Fault::Down, Effect::None),
        HttpErrorKind::Timeout => Verdict::fault(Fault::Slow, Effect::Unknown),
        HttpErrorKind::Interrupted | HttpErrorKind::Decode => {
            Verdict::fault(Fault::Down, Effect::Unknown)
        }
        // `Request` is also how a header that cannot be sent arrives, and `Unknown` says nothing:
        // the cause below decides.
        _ => return None,
    })
}

fn from_io(kind: io::ErrorKind) -> Option<Verdict> {
    use io::ErrorKind as K;
    Some(match kind {
        K::ConnectionRefused | K::AddrNotAvailable => Verdict::fault(Fault::Down, Effect::None),
        K::ConnectionReset
        | K::ConnectionAborted
        | K::NotConnected
        | K::BrokenPipe
        | K::UnexpectedEof
        | K::HostUnreachable
        | K::NetworkUnreachable
        | K::NetworkDown
        | K::StorageFull
        | K::QuotaExceeded
        | K::ReadOnlyFilesystem
        | K::StaleNetworkFileHandle => Verdict::fault(Fault::Down, Effect::Unknown),
        K::TimedOut => Verdict::fault(Fault::Slow, Effect::Unknown),
        K::PermissionDenied => Verdict::new(Class::Denied, Effect::None),
        K::NotFound | K::AlreadyExists | K::InvalidInput | K::InvalidFilename => Verdict::answer(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: impl StdError + Send + Sync + 'static) -> object_store::Error {
        object_store::Error::Generic { store: "test", source: Box::new(source) }
    }

    #[test]
    fn connection_refused_is_down_and_had_no_effect() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = generic(HttpError::new(HttpErrorKind::Connect, refused));
        assert_eq!(classify_default(&error), Verdict::fault(Fault::Down, Effect::None));
    }

    #[test]
    fn timeout_is_slow_and_may_have_happened() {
        let elapsed = io::Error::from(io::ErrorKind::TimedOut);
        let error = generic(HttpError::new(HttpErrorKind::Timeout, elapsed));
        assert_eq!(classify_default(&error), Verdict::fault(Fault::Slow, Effect::Unknown));
    }

    #[test]
    fn io_error_is_found_below_other_io_errors() {
        let inner = io::Error::from(io::ErrorKind::ConnectionReset);
        let error = generic(io::Error::other(inner));
        assert_eq!(classify_default(&error), Verdict::fault(Fault::Down, Effect::Unknown));
    }

    #[test]
    fn generic_without_typed_cause_is_a_guess() {
        #[derive(Debug, thiserror::Error)]
        #[error("Server returned non-2xx status code: 416 Range Not Satisfiable")]
        struct OnlyText;
        let verdict = classify_default(&generic(OnlyText));
        assert!(verdict.is_fault() && !verdict.certain, "text must not be parsed: {verdict:?}");
    }

    #[test]
    fn missing_is_an_answer_and_unauthenticated_is_a_fault() {
        let source = || "x".to_owned().into();
        let missing = object_store::Error::NotFound { path: "k".into(), source: source() };
        assert_eq!(classify_default(&missing).class, Class::Answer);
        let refused = object_store::Error::Unauthenticated { path: "k".into(), source: source() };
        assert_eq!(classify_default(&refused).as_fault(), Some(Fault::IdentityLost));
        let denied = object_store::Error::PermissionDenied { path: "k".into(), source: source() };
        assert_eq!(classify_default(&denied).class, Class::Denied);
    }
}
