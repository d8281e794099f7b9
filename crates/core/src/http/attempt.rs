//! One attempt under way: what it is part of, and how its end is told.

use std::sync::Arc;
use std::time::Instant;

use http::uri::Authority;
use http::{HeaderMap, Method, response};
use object_store::client::{HttpError, HttpErrorKind};

use super::dialect::{VendorError, clock_skew, retry_after};
use super::document::delete_errors;
use super::exchange::{Exchange, Operation, Outcome, Traffic};
use super::trace::Trace;

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) trace: Option<Arc<Trace>>,
    pub(super) operation: Operation,
    pub(super) traffic: Traffic,
    pub(super) method: Method,
    pub(super) authority: Option<Authority>,
    pub(super) started: Instant,
}

impl Attempt {
    pub(super) fn is_upload(&self) -> bool {
        self.traffic == Traffic::Data
            && self.method == Method::PUT
            && matches!(
                self.operation,
                Operation::Put | Operation::ConditionalPut | Operation::MultipartPart
            )
    }

    /// Keys of a bulk delete beyond the first.
    pub(super) fn further_keys(&self) -> u32 {
        let keys = self.trace.as_ref().map_or(0, |trace| trace.keys());
        u32::try_from(keys).unwrap_or(u32::MAX).saturating_sub(1)
    }

    /// Keeps what a bulk delete says of single keys. An answer about keys that were not asked about
    /// is none; `object_store` panics on it.
    pub(super) fn note_key_errors(&self, body: &[u8]) -> bool {
        match &self.trace {
            Some(trace) if self.operation == Operation::Delete => {
                trace.note_key_errors(delete_errors(body))
            }
            _ => true,
        }
    }

    /// The host, without the port.
    pub(super) fn host(&self) -> String {
        self.authority.as_ref().map(|authority| authority.host().to_owned()).unwrap_or_default()
    }

    fn exchange(&self, outcome: Outcome) -> Exchange {
        Exchange {
            method: self.method.clone(),
            traffic: self.traffic,
            host: self.authority.as_ref().map(ToString::to_string).unwrap_or_default(),
            outcome,
            code: None,
            message: None,
            region: None,
            request_id: None,
            retry_after: None,
            clock_skew_seconds: None,
            server: None,
            latency: self.started.elapsed(),
        }
    }

    pub(super) fn record(&self, exchange: Exchange, maybe_applied: bool) {
        let latency = exchange.latency;
        tracing::debug!(operation = %self.operation, %exchange, ?latency, "attempt failed");
        if let Some(trace) = &self.trace {
            trace.record(exchange, maybe_applied);
        }
    }

    /// Remembers how the body of this attempt ended.
    pub(super) fn amend(&self, outcome: Outcome) {
        if let Some(trace) = &self.trace {
            trace.amend(self.exchange(outcome));
        }
    }

    /// Counts a sound answer; its details are kept for those who want them.
    pub(super) fn count(&self, head: &response::Parts) {
        let (status, latency) = (head.status.as_u16(), self.started.elapsed());
        tracing::debug!(operation = %self.operation, status, ?latency, "attempt answered");
        match &self.trace {
            Some(trace) if trace.detailed => {
                let outcome = Outcome::Answered(head.status);
                let vendor = VendorError::default();
                trace.record(described(self, outcome, &head.headers, &vendor), false);
            }
            Some(trace) => trace.count(),
            None => {}
        }
    }

    /// Turns a failure on the wire into the error that `object_store` acts on.
    pub(super) fn fail(
        &self,
        outcome: Outcome,
        kind: HttpErrorKind,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> HttpError {
        let maybe_applied = self.traffic == Traffic::Data && outcome != Outcome::NotConnected;
        self.record(self.exchange(outcome), maybe_applied);
        // object_store repeats a request whose connection broke, whatever it was. A conditional
        // put that did land would then be refused by its own first attempt.
        let kind = match (self.operation, kind) {
            (_, HttpErrorKind::Connect) => HttpErrorKind::Connect,
            (operation, _) if operation.is_conditional() => HttpErrorKind::Unknown,
            (_, kind) => kind,
        };
        HttpError::new(kind, cause)
    }
}

/// What an answer's head says about the exchange.
pub(super) fn described(
    attempt: &Attempt,
    outcome: Outcome,
    headers: &HeaderMap,
    vendor: &VendorError,
) -> Exchange {
    let VendorError { code, message, region } = vendor.clone();
    Exchange {
        code,
        message,
        region,
        request_id: request_id(headers),
        retry_after: retry_after(headers),
        clock_skew_seconds: clock_skew(headers),
        server: text(headers, http::header::SERVER.as_str()),
        ..attempt.exchange(outcome)
    }
}

/// The provider's id of the request: Amazon and its kin, Azure, Google.
fn request_id(headers: &HeaderMap) -> Option<String> {
    ["x-amz-request-id", "x-ms-request-id", "x-guploader-uploadid"]
        .into_iter()
        .find_map(|name| text(headers, name))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    /// Ids and server names are short; a longer one is somebody's joke.
    const LONGEST: usize = 200;
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.chars().take(LONGEST).collect())
}
