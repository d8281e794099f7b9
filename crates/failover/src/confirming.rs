//! Confirmation of capabilities: finds out, once for each backend, whether conditions on puts are enforced where nobody
//! has declared it. Until that is known catch-up leaves the backend alone: it could only write without a condition, and
//! who comes later could not tell what of that may still land. The store keeps what was found and says it as its
//! capabilities; here is only when it is asked. What it is asked, and what the answers mean, is the core's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifeboat_core::{Class, Support};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::backend::Backend;
use crate::engine::Engine;
use crate::error::describe;
use crate::flag::Flag;

/// Bound on one confirmation: some sixteen small requests one after the other, with four seconds for each.
pub(crate) const BOUND: Duration = Duration::from_mins(1);
/// How long a backend has answered before it is asked in the background: a process that is over by then needs no
/// answer, and would leave the small objects behind with which it asks.
const GRACE: Duration = Duration::from_secs(1);
/// Pauses after a confirmation that failed: as long as it takes at a backend that is slow, and then ever longer.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// So many failures in a row and catch-up goes on without an answer: after half a minute in which the backend did serve.
const MOST_FAILURES: u32 = 5;

/// How far the confirmation of one backend is.
#[derive(Debug, Default)]
pub(crate) struct Confirming {
    /// The backend has given its first answer.
    pub(crate) answered: Flag,
    /// There is nothing to ask any more: it was told, or it never will be.
    over: AtomicBool,
    /// It has failed too often to be waited for.
    hopeless: AtomicBool,
    /// Held while it is being asked.
    turn: Mutex<Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    failures: u32,
    pause: Duration,
    not_before: Option<Instant>,
}

impl Confirming {
    /// The backend is back: what failed before may succeed now.
    pub(crate) fn try_again(&self) {
        // Held only while the backend is being asked: then it is asked now.
        if let Ok(mut turn) = self.turn.try_lock() {
            *turn = Turn::default();
            self.hopeless.store(false, Ordering::Release);
        }
    }
}

impl Backend {
    /// Whether nobody knows if its conditions hold, and it can still be asked.
    fn is_unconfirmed(&self) -> bool {
        let can = self.store.capabilities();
        let unknown =
            can.create_if_absent == Support::Unknown || can.compare_and_swap == Support::Unknown;
        unknown && !self.confirming.over.load(Ordering::Acquire)
    }

    /// Whether it will soon be known if its conditions hold.
    pub(crate) fn awaits_confirmation(&self) -> bool {
        self.is_unconfirmed() && !self.confirming.hopeless.load(Ordering::Acquire)
    }
}

impl Engine {
    /// Confirms in the background what a backend can do, unless that is declared.
    pub(crate) async fn run_confirming(self: Arc<Self>, backend: Arc<Backend>) {
        let work = async {
            backend.confirming.answered.wait().await;
            sleep(GRACE).await;
            while !self.confirm(&backend).await {
                let pause = backend.confirming.turn.lock().await.pause;
                // Not in step with other processes.
                sleep(pause.max(FIRST_PAUSE).mul_f64(0.8 + self.randomness.fraction() * 0.2)).await;
            }
        };
        tokio::select! {
            biased;
            () = self.until_closed() => {}
            () = work => {}
        }
    }

    /// Confirms what the backends can do that are in use.
    pub(crate) async fn confirm_all(&self) {
        let in_use = self.backends.iter().filter(|backend| backend.is_in_use());
        futures::future::join_all(in_use.map(|backend| self.confirm(backend))).await;
    }

    /// Asks a backend what it can do, unless that is known or it has just failed to say. Whether there is nothing left to
    /// ask. Its failures are no evidence about its health: nobody waits for these requests.
    pub(crate) async fn confirm(&self, backend: &Backend) -> bool {
        if !backend.is_unconfirmed() {
            return true;
        }
        let mut turn = backend.confirming.turn.lock().await;
        // Somebody else may have asked meanwhile.
        if !backend.is_unconfirmed() {
            return true;
        }
        if !backend.is_in_use() || turn.not_before.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        let why = match timeout(BOUND, backend.store.confirm_capabilities()).await {
            Ok(Ok(_)) => {
                backend.confirming.over.store(true, Ordering::Release);
                let enforced = backend.enforces_conditions();
                tracing::info!(backend = %backend.id, enforced, "conditions on puts were tried");
                self.work.notify_one();
                return true;
            }
            Ok(Err(error)) => {
                // It will not say, today or tomorrow.
                let never = backend.store.classify(&error).class == Class::Answer;
                backend.confirming.over.store(never, Ordering::Release);
                describe(&error)
            }
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::info!(backend = %backend.id, %why, "conditions on puts could not be tried");
        turn.failures += 1;
        if turn.failures >= MOST_FAILURES {
            backend.confirming.hopeless.store(true, Ordering::Release);
        }
        turn.pause = (turn.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        turn.not_before = Some(Instant::now() + turn.pause);
        !backend.is_unconfirmed()
    }
}
