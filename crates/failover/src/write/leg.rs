//! One leg of a write: the operation at one backend, with its bound, its short retry, and its judgement.

use std::sync::Arc;
use std::time::Duration;

use lifeboat_core::repeated::watched;
use lifeboat_core::{BlobStore, Class, Effect, Fault, causes};
use object_store::{Error, PutResult, Result};
use tokio::time::{Instant, sleep, timeout_at};

use crate::engine::{Engine, Task};
use crate::error::CutOff;
use crate::events::Operation;
use crate::flag::Flag;
use crate::observe::Outcome as Answer;

/// Sends the operation to the backend at a place in the order; called once for each attempt.
pub(crate) type Send =
    Arc<dyn Fn(usize, Arc<dyn BlobStore>) -> Task<Result<PutResult>> + std::marker::Send + Sync>;

/// How a leg ended.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) at: usize,
    pub(crate) outcome: Outcome,
    /// An attempt whose effect is unknown may still land, whatever the outcome was.
    pub(crate) may_land: bool,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Confirmed(PutResult),
    /// The caller's error.
    Refused(Error),
    Failed(Error),
}

/// Why an operation has not had the effect that was meant at a backend, which is nobody's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotHere {
    #[error("the source is not at this backend")]
    Source,
    /// It has taken effect, with another version.
    #[error("this backend has another version of the source, and copied that")]
    Version,
    /// It has taken effect, and nobody knows with which version.
    #[error("this backend has copied the source, and could not be asked for its version")]
    Unseen,
    #[error(
        "a version that looks later lies at this backend, and not where the condition was decided"
    )]
    Place,
}

impl NotHere {
    pub(crate) fn into_error(self) -> Error {
        Error::Generic { store: "Failover", source: Box::new(self) }
    }
}

/// Pause before a throttled write is tried again, where the backend names none.
const THROTTLE_PAUSE: Duration = Duration::from_millis(200);
/// Attempts of one leg.
const ATTEMPTS: u32 = 3;

/// Runs a leg to its end, at `until` at the latest.
///
/// `enough` is raised when the write has its copies elsewhere: a throttled leg is then not worth waiting for.
pub(crate) async fn run(
    engine: Arc<Engine>,
    at: usize,
    operation: Operation,
    until: Instant,
    (send, enough): (Send, Arc<Flag>),
) -> Leg {
    let mut may_land = false;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let backend = &engine.backends[at];
        let began = Instant::now();
        let request = watched(send(at, Arc::clone(&backend.store)));
        let result = timeout_at(until, request).await.map(|(result, open)| {
            may_land |= open;
            result
        });
        let took = began.elapsed();
        engine.retries.earn();
        let error = match result {
            Ok(Ok(done)) => {
                backend.answered();
                engine.observers.answered(at, &backend.id, operation, took, Answer::Ok);
                return Leg { at, outcome: Outcome::Confirmed(done), may_land };
            }
            Ok(Err(error)) => error,
            Err(_) => CutOff(took).into_error(),
        };
        let not_here = causes(&error).find_map(|cause| cause.downcast_ref::<NotHere>());
        if let Some(why) = not_here {
            may_land |= matches!(why, NotHere::Version | NotHere::Unseen);
            return Leg { at, outcome: Outcome::Failed(error), may_land };
        }
        let verdict = engine.judge(at, operation, &error).await;
        may_land |= verdict.effect == Effect::Unknown;
        let throttled = verdict.class == Class::Fault(Fault::Throttled);
        let pause = verdict.retry_after.unwrap_or(THROTTLE_PAUSE * attempt);
        let in_time = Instant::now() + pause < until && pause <= engine.settings.slow_after;
        // A client has given the parts of an upload away when it has asked once.
        let again = operation != Operation::Multipart && attempt < ATTEMPTS;
        if throttled && in_time && again && engine.retries.spend() {
            tokio::select! {
                biased;
                () = enough.wait() => {}
                () = sleep(pause) => continue,
            }
        }
        let (told, outcome) = match verdict.class {
            Class::Answer | Class::Denied => (Answer::Refused, Outcome::Refused(error)),
            _ => (Answer::Failed, Outcome::Failed(error)),
        };
        engine.observers.answered(at, &backend.id, operation, took, told);
        return Leg { at, outcome, may_land };
    }
}
