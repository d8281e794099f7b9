//! What is attached to every error of an HTTP backend: the wire, not the text.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use object_store::Error;

use super::{Exchange, Operation};
use crate::Verdict;
use crate::class::causes;

/// The source of every `object_store::Error` that a [`WireStore`](super::WireStore) returns after a
/// request: what was asked of whom, what came back, and whose fault that is.
///
/// ```
/// # fn show(error: &object_store::Error) {
/// use lifeboat_core::http::WireFailure;
/// if let Some(failure) = WireFailure::find(error) {
///     let status = failure.exchange().and_then(|exchange| exchange.status());
///     println!("{:?} after {} attempts, status {status:?}", failure.verdict(), failure.attempts());
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct WireFailure {
    pub(super) backend: Arc<str>,
    pub(super) operation: Operation,
    pub(super) key: Option<String>,
    pub(super) attempts: u32,
    pub(super) exchange: Option<Exchange>,
    pub(super) verdict: Verdict,
    pub(super) remedy: Option<String>,
    pub(super) cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl WireFailure {
    /// Finds the failure in the chain of causes of `error`.
    pub fn find(error: &Error) -> Option<&Self> {
        causes(error).find_map(|cause| cause.downcast_ref())
    }

    /// Whose fault it is.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The operation that failed.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Attempts on the wire; none if the request never left.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The last attempt.
    pub fn exchange(&self) -> Option<&Exchange> {
        self.exchange.as_ref()
    }

    /// What to do about it, where that is known.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

impl fmt::Display for WireFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.backend, self.operation)?;
        if let Some(key) = &self.key {
            write!(f, " of `{key}`")?;
        }
        match (&self.exchange, &self.cause) {
            (Some(exchange), _) => write!(f, ": {exchange}")?,
            (None, Some(cause)) => write!(f, ": {cause}")?,
            (None, None) => {}
        }
        if self.attempts > 1 {
            write!(f, ", after {} attempts", self.attempts)?;
        }
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl StdError for WireFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// Marks the failure of a credential source that does its own networking.
///
/// A credential provider that is not called through the store's HTTP client wraps its errors in
/// this, so that they are classified as a lost identity.
#[derive(Debug, thiserror::Error)]
#[error("no credentials from {origin}")]
pub struct CredentialFailure {
    /// The source that was asked, such as `profile work` or `SSO`.
    pub origin: String,
    /// Why it gave none. Never holds a secret.
    #[source]
    pub cause: Box<dyn StdError + Send + Sync>,
}
