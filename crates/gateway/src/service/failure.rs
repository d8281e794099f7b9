//! Failures of backends, as S3 clients understand them: fixed codes and words. The details, which
//! may name endpoints, are an event for whoever runs the gateway.

use http::{HeaderMap, HeaderValue, StatusCode};
use lifeboat_core::http::WireFailure;
use lifeboat_core::{BlobStore, Class, Fault, Verdict};
use object_store::Error;
use s3s::{S3Error, S3ErrorCode, s3_error};

use crate::guard::Refusal;
use crate::memory::Full;

/// Translates what `store` failed with.
pub(super) fn backend(store: &dyn BlobStore, error: &Error) -> S3Error {
    let answer = match error {
        Error::NotFound { .. } => s3_error!(NoSuchKey, "there is no object of this key"),
        Error::AlreadyExists { .. } | Error::Precondition { .. } => {
            if is_conflict(error) {
                s3_error!(ConditionalRequestConflict, "another write is under way; try again")
            } else {
                precondition()
            }
        }
        Error::NotModified { .. } => S3ErrorCode::NotModified.into(),
        Error::NotSupported { .. } | Error::NotImplemented { .. } => {
            s3_error!(NotImplemented, "the backend of this bucket cannot do this")
        }
        Error::InvalidPath { .. } => {
            s3_error!(InvalidArgument, "the backend of this bucket cannot carry this key")
        }
        other => by_verdict(store.classify(other)),
    };
    if answer.status_code().is_some_and(|status| status.is_server_error()) {
        tracing::warn!(backend = %store, error = %Chain(error), "a backend failed");
    } else {
        tracing::debug!(backend = %store, error = %Chain(error), "a backend refused");
    }
    answer
}

fn by_verdict(verdict: Verdict) -> S3Error {
    let mut answer = match verdict.class {
        Class::Answer => s3_error!(InvalidRequest, "the backend refused this request"),
        Class::Denied => s3_error!(AccessDenied, "the backend does not allow this to the gateway"),
        Class::Fault(Fault::Throttled) => {
            s3_error!(SlowDown, "the backend asks for less; try later")
        }
        Class::Fault(_) if verdict.certain => {
            s3_error!(ServiceUnavailable, "the backend does not serve at the moment; try again")
        }
        _ => s3_error!(InternalError, "the backend failed; try again"),
    };
    if let Some(wait) = verdict.retry_after {
        let seconds = HeaderValue::from(wait.as_secs().max(1));
        answer.set_headers(HeaderMap::from_iter([(http::header::RETRY_AFTER, seconds)]));
    }
    answer
}

/// S3 answers 409 to a conditional write that met another one, 412 to one that came too late.
fn is_conflict(error: &Error) -> bool {
    let exchange = WireFailure::find(error).and_then(WireFailure::exchange);
    exchange.and_then(lifeboat_core::http::Exchange::status) == Some(StatusCode::CONFLICT)
}

pub(super) fn precondition() -> S3Error {
    s3_error!(PreconditionFailed, "a condition of the request does not hold")
}

/// Translates a lack of memory.
pub(super) fn memory(full: Full) -> S3Error {
    match full {
        Full::TooLarge => s3_error!(
            EntityTooLarge,
            "the body is larger than the gateway holds in memory; send it in parts, or in smaller ones"
        ),
        Full::Busy => s3_error!(SlowDown, "the gateway's memory is in use; try again"),
    }
}

/// Translates a refusal of our own.
pub(super) fn refusal(refusal: Refusal) -> S3Error {
    // Codes that the library does not know become custom ones; parsing never fails.
    let code = S3ErrorCode::from_bytes(refusal.code.as_bytes());
    let mut error =
        S3Error::with_message(code.unwrap_or(S3ErrorCode::InvalidRequest), refusal.message);
    error.set_status_code(refusal.status);
    error
}

/// An error with its causes, each once.
struct Chain<'a>(&'a Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut last = self.0.to_string();
        for cause in lifeboat_core::causes(self.0).skip(1) {
            let text = cause.to_string();
            // Many wrappers repeat what they wrap.
            if !last.contains(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
        }
        Ok(())
    }
}
