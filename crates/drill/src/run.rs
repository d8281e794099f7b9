//! One drill: the load, the outage in the middle of it, the catch-up, the audit.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use object_store::{Error as StoreError, ObjectStore};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::breaker::Breaker;
use crate::frame::{Camera, Watcher};
use crate::measure::{Recorder, Sample, milliseconds};
use crate::oracle::Oracle;
use crate::report::Outcome;
use crate::scenario::{Disturbance, Scenario, Step};
use crate::subject::Subject;
use crate::workload::{self, Kind};

/// How many objects there are when the load begins.
const PRELOADED: usize = 100;

/// How many of them are written at once.
const PRELOADS_AT_ONCE: usize = 16;

/// How often is looked whether everything has caught up: fine against the seconds that it takes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a drill is to do.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Plan {
    /// What breaks.
    pub scenario: Scenario,
    /// How long the load lasts.
    pub length: Duration,
    /// Requests that are due in a second, whether earlier ones have ended or not.
    pub rate: u32,
    /// Requests that are on their way at once; what is due beyond that waits, and its waiting counts.
    pub at_once: usize,
    /// Which requests: the same seed, the same requests.
    pub seed: u64,
    /// How long requests may still take after the last one was due. What is not over then has failed.
    pub drain_within: Duration,
    /// How long catching up may take after the last request.
    pub settle_within: Duration,
    /// For how long everything must have been settled without a break: what compares copies some time
    /// after a write may still find something.
    pub steady: Duration,
    /// Keeps the outage up, after the load, until a read that was due during it was served, for this
    /// long at most. Shows how late somebody without deadlines of their own sees an outage.
    pub hold: Option<Duration>,
}

impl Plan {
    /// A drill of twenty seconds at a hundred requests per second: what two cores do easily with both
    /// endpoints in the same process.
    pub fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            length: Duration::from_secs(20),
            rate: 100,
            // A hundred per second, each bounded by some seconds, fit with room to spare.
            at_once: 512,
            seed: 1,
            drain_within: Duration::from_mins(1),
            settle_within: Duration::from_mins(2),
            // The engine compares copies two seconds after a write.
            steady: Duration::from_secs(3),
            hold: None,
        }
    }
}

/// A drill that could not be carried out. What a drill finds out is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrillError {
    /// The store cannot be built over these backends.
    #[error("the failover cannot be built over these backends")]
    Build(#[source] lifeboat_core::Error),
    /// The store does not work while everything is healthy.
    #[error("the store does not work before anything is broken; check the backends first")]
    Unhealthy(#[source] StoreError),
    /// The primary could not be broken or healed.
    #[error("the primary cannot be brought to `{disturbance}`: {problem}")]
    Breaker {
        /// What was to hold.
        disturbance: Disturbance,
        /// Why it does not.
        problem: String,
    },
    /// A side could not be read at the end.
    #[error("what a side holds at the end cannot be read")]
    Audit(#[source] StoreError),
}

/// Carries out a drill. `sides` are the backends themselves, as they are reached past everything that
/// breaks; they are read at the end.
///
/// # Errors
/// The drill cannot be carried out. What it finds is in the outcome.
///
/// # Cancel safety
/// What was written stays, and the primary stays as it is.
pub async fn drill(
    plan: &Plan,
    subject: &dyn Subject,
    breaker: &dyn Breaker,
    sides: &[&dyn ObjectStore],
    watcher: &dyn Watcher,
) -> Result<Outcome, DrillError> {
    let load = Load::prepare(plan, subject.store()).await.map_err(DrillError::Unhealthy)?;
    let camera = Camera::new(subject, &load.recorder, watcher);
    let began = Instant::now();
    let outage = Outage { plan, subject, breaker, camera: &camera, load: &load, began };
    let both = async { tokio::join!(load.run(began), outage.run()) };
    let ((), times) = camera.film(both).await;
    let times = times?;
    let settled = camera.film(steady(plan, subject)).await;
    let audit = load.oracle.audit(sides).await.map_err(DrillError::Audit)?;
    let findings = load.oracle.findings();
    let measured = load.recorder.sum_up((times.broken - began, times.healed - began));
    let frames = camera.frames();
    let journal_peak = frames.iter().map(|frame| frame.journal).max().unwrap_or_default();
    Ok(Outcome {
        scenario: plan.scenario,
        measured,
        journal_peak,
        level_ms: times.level.map(milliseconds),
        catch_up_ms: times.caught_up.filter(|_| settled).map(milliseconds),
        converged: audit.converged() && settled,
        findings,
        audit,
        seconds: began.elapsed().as_secs_f64(),
        frames,
        naive: None,
    })
}

/// Waits until something holds for the first time.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        sleep(LOOK_EVERY).await;
    }
}

/// Waits until everything has been settled for a while; whether that came in time.
async fn steady(plan: &Plan, subject: &dyn Subject) -> bool {
    let steady = async {
        loop {
            until(|| subject.is_settled()).await;
            let since = Instant::now();
            while subject.is_settled() {
                if since.elapsed() >= plan.steady {
                    return;
                }
                sleep(LOOK_EVERY).await;
            }
        }
    };
    timeout(plan.settle_within, steady).await.is_ok()
}

/// When the primary was broken first, and healed last.
struct Times {
    broken: Instant,
    healed: Instant,
    /// How long after the healing every side had everything for the first time.
    level: Option<Duration>,
    /// How long after the healing everything was settled for the first time.
    caught_up: Option<Duration>,
}

/// The outage, next to the load.
struct Outage<'a> {
    plan: &'a Plan,
    subject: &'a dyn Subject,
    breaker: &'a dyn Breaker,
    camera: &'a Camera<'a>,
    load: &'a Load,
    began: Instant,
}

impl Outage<'_> {
    async fn run(&self) -> Result<Times, DrillError> {
        let steps = self.plan.scenario.steps();
        let mut broken = None;
        for Step { at, disturbance } in steps {
            sleep_until(self.began + self.plan.length.mul_f64(at)).await;
            if disturbance == Disturbance::None
                && let (Some(most), Some(broken)) = (self.plan.hold, broken)
            {
                self.hold(broken, most).await;
            }
            self.camera.disturbed(disturbance);
            self.apply(disturbance).await?;
            broken.get_or_insert_with(Instant::now);
        }
        let healed = Instant::now();
        let ends = healed + self.plan.settle_within;
        let level = timeout_at(ends, until(|| self.subject.is_level())).await;
        let level = level.ok().map(|()| healed.elapsed());
        let settled = timeout_at(ends, until(|| self.subject.is_settled())).await;
        let caught_up = settled.ok().map(|()| healed.elapsed());
        Ok(Times { broken: broken.unwrap_or(healed), healed, level, caught_up })
    }

    async fn apply(&self, disturbance: Disturbance) -> Result<(), DrillError> {
        let applied = self.breaker.apply(disturbance).await;
        applied.map_err(|problem| DrillError::Breaker { disturbance, problem })
    }

    /// Waits until a read that was due after `broken` was served.
    async fn hold(&self, broken: Instant, most: Duration) {
        let broken = broken - self.began;
        let read = until(|| self.load.recorder.was_read_since(broken));
        // Past the bound there was none, and the outcome says so.
        let _ = timeout(most, read).await;
    }
}

/// The requests.
struct Load {
    store: Arc<dyn ObjectStore>,
    oracle: Arc<Oracle>,
    recorder: Arc<Recorder>,
    plan: Plan,
}

impl Load {
    /// Writes the objects that are there from the beginning.
    async fn prepare(plan: &Plan, store: Arc<dyn ObjectStore>) -> Result<Self, StoreError> {
        let (oracle, recorder) = (Arc::new(Oracle::default()), Arc::new(Recorder::default()));
        let writes = (0..PRELOADED).map(|number| {
            let mut random = StdRng::seed_from_u64(plan.seed ^ !(number as u64));
            let (store, oracle) = (&store, &oracle);
            async move { workload::preload(store, oracle, &mut random).await }
        });
        let writes = stream::iter(writes).buffer_unordered(PRELOADS_AT_ONCE);
        writes.try_collect::<()>().await?;
        Ok(Self { store, oracle, recorder, plan: *plan })
    }

    /// Sends each request when it is due, and waits for the last.
    async fn run(&self, began: Instant) {
        let permits = Arc::new(Semaphore::new(self.plan.at_once));
        let mut running = JoinSet::new();
        let mut number = 0;
        loop {
            let due = due(number, self.plan.rate);
            if due >= self.plan.length {
                break;
            }
            sleep_until(began + due).await;
            running.spawn(self.request(number, began, due, Arc::clone(&permits)));
            while running.try_join_next().is_some() {}
            number += 1;
        }
        let all = async { while running.join_next().await.is_some() {} };
        if timeout(self.plan.drain_within, all).await.is_err() {
            running.shutdown().await;
        }
        self.recorder.close(began.elapsed());
    }

    fn request(
        &self,
        number: u64,
        began: Instant,
        due: Duration,
        permits: Arc<Semaphore>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (store, oracle) = (Arc::clone(&self.store), Arc::clone(&self.oracle));
        let recorder = Arc::clone(&self.recorder);
        // Neighbouring numbers must not give neighbouring requests.
        let mut random = StdRng::seed_from_u64(self.plan.seed.rotate_left(32) ^ number);
        let kind = Kind::draw(&mut random);
        recorder.expect(number, due, kind);
        async move {
            // It is never closed.
            let _permit = permits.acquire_owned().await;
            let result = workload::perform(&store, &oracle, kind, &mut random).await;
            let latency = began.elapsed().saturating_sub(due);
            if let Err(error) = &result {
                recorder.tell(|| format!("{kind:?} after {:.3} s: {error}", latency.as_secs_f64()));
            }
            recorder.add(number, Sample { due, latency, kind, ok: result.is_ok() });
        }
    }
}

/// When a request is due: evenly spread.
fn due(number: u64, rate: u32) -> Duration {
    let nanoseconds = u128::from(number) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_evenly_and_without_drift() {
        assert_eq!(due(0, 3), Duration::ZERO);
        assert_eq!(due(3, 3), Duration::from_secs(1));
        assert_eq!(due(300, 3), Duration::from_secs(100));
        assert_eq!(due(1, 3), Duration::from_nanos(333_333_333));
    }
}
