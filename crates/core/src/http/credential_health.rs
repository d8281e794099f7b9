//! Keeps requests from queueing up behind a credential source that hangs.
//!
//! `object_store` asks for a token under a lock: with a source that hangs, every waiting request
//! asks again once the one before it has given up, and the hundredth waits a hundred times as long.
//! After a few failures in a row a source is therefore left alone for a moment, and whoever asks
//! meanwhile is told so at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use object_store::client::{HttpError, HttpErrorKind};

use super::attempt::Attempt;
use super::exchange::Outcome;

/// Failures in a row that are no blip any more: one request with its retries.
const FAILURES: u32 = 3;
/// How long a source is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// What is known of the credential sources of one store, by host.
#[derive(Debug, Default)]
pub(super) struct CredentialHealth(Mutex<HashMap<String, (u32, Instant)>>);

/// The source failed a moment ago.
#[derive(Debug, thiserror::Error)]
#[error("the credential source {0} failed {FAILURES} times in a row just now")]
struct LeftAlone(String);

impl CredentialHealth {
    /// Fails at once if the source is being left alone.
    pub(super) fn check(&self, attempt: &Attempt) -> Result<(), HttpError> {
        let host = attempt.host();
        let failed = {
            let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            sources
                .get(&host)
                .is_some_and(|(failures, last)| *failures >= FAILURES && last.elapsed() < PAUSE)
        };
        if failed {
            // `Unknown` is not repeated.
            let kind = HttpErrorKind::Unknown;
            return Err(attempt.fail(Outcome::NotConnected, kind, LeftAlone(host)));
        }
        Ok(())
    }

    /// Remembers how an attempt ended.
    pub(super) fn note(&self, attempt: &Attempt, answered: bool) {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let host = attempt.host();
        if answered {
            sources.remove(&host);
        } else {
            let (failures, _) = sources.get(&host).copied().unwrap_or((0, Instant::now()));
            sources.insert(host, (failures.saturating_add(1), Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::http::{Operation, Traffic};

    fn attempt() -> Attempt {
        Attempt {
            trace: None,
            operation: Operation::Get,
            traffic: Traffic::Credential,
            method: Method::GET,
            authority: Some("sts.example.org".parse().unwrap()),
            started: Instant::now(),
        }
    }

    #[test]
    fn source_that_keeps_failing_is_left_alone_until_it_answers() {
        let health = CredentialHealth::default();
        for _ in 0..FAILURES {
            health.check(&attempt()).expect("a blip is no outage");
            health.note(&attempt(), false);
        }
        let error = health.check(&attempt()).expect_err("asked again at once");
        assert_eq!(error.kind(), HttpErrorKind::Unknown, "which nobody repeats");
        health.note(&attempt(), true);
        health.check(&attempt()).expect("it answers again");
    }
}
