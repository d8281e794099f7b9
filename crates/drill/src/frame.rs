//! What can be watched while a drill runs: one frame now and then, for a chart on the spot and for
//! the report afterwards.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::measure::{Recorder, milliseconds};
use crate::scenario::Disturbance;
use crate::subject::{Glance, Subject};

/// Smooth enough to look at, and some dozens of requests at the default rate.
const FRAME: Duration = Duration::from_millis(500);

/// A moment of a drill.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Frame {
    /// Since the beginning of the load.
    pub seconds: f64,
    /// What holds for the primary.
    pub primary: String,
    /// Whether the primary is broken.
    pub broken: bool,
    /// Requests that ended, per second.
    pub requests_per_second: f64,
    /// Those of them that were not served, per second.
    pub failed_per_second: f64,
    /// Latency that one of a hundred exceeded.
    pub p99_ms: f64,
    /// The backends, in order.
    pub backends: Vec<BackendFrame>,
    /// Markers in the journal.
    pub journal: u64,
}

/// A backend at a moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BackendFrame {
    /// Its name.
    pub name: String,
    /// Its health, in a word.
    pub health: String,
    /// Requests that it served, per second.
    pub served_per_second: f64,
}

impl BackendFrame {
    /// A backend at a moment.
    pub fn new(name: impl Into<String>, health: impl Into<String>, served_per_second: f64) -> Self {
        Self { name: name.into(), health: health.into(), served_per_second }
    }
}

/// Watches drills.
pub trait Watcher: Send + Sync {
    /// Shows a frame.
    fn frame(&self, frame: &Frame);
}

/// Nobody watches.
impl Watcher for () {
    fn frame(&self, _: &Frame) {}
}

/// Takes the frames.
pub(crate) struct Camera<'a> {
    subject: &'a dyn Subject,
    recorder: &'a Recorder,
    watcher: &'a dyn Watcher,
    began: Instant,
    reel: Mutex<Reel>,
}

struct Reel {
    frames: Vec<Frame>,
    disturbance: Disturbance,
    taken: Instant,
    last: Glance,
}

impl<'a> Camera<'a> {
    pub(crate) fn new(
        subject: &'a dyn Subject,
        recorder: &'a Recorder,
        watcher: &'a dyn Watcher,
    ) -> Self {
        let began = Instant::now();
        let last = subject.glance();
        let (frames, disturbance) = (Vec::new(), Disturbance::None);
        let reel = Mutex::new(Reel { frames, disturbance, taken: began, last });
        Self { subject, recorder, watcher, began, reel }
    }

    fn reel(&self) -> MutexGuard<'_, Reel> {
        self.reel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds for the primary from now on.
    pub(crate) fn disturbed(&self, disturbance: Disturbance) {
        self.reel().disturbance = disturbance;
    }

    /// Takes frames while something goes on.
    pub(crate) async fn film<T>(&self, scene: impl Future<Output = T>) -> T {
        let mut ticks = interval_at(Instant::now() + FRAME, FRAME);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(scene);
        loop {
            tokio::select! {
                done = &mut scene => return done,
                _ = ticks.tick() => self.take(),
            }
        }
    }

    fn take(&self) {
        let glance = self.subject.glance();
        let mut reel = self.reel();
        let lately = self.recorder.since_last();
        let now = Instant::now();
        let span = (now - reel.taken).as_secs_f64().max(f64::EPSILON);
        let backends = glance.backends.iter().enumerate().map(|(number, backend)| {
            let before = reel.last.backends.get(number).map_or(0, |before| before.served);
            BackendFrame {
                name: backend.name.clone(),
                health: backend.health.clone(),
                served_per_second: rate(backend.served.saturating_sub(before), span),
            }
        });
        let frame = Frame {
            seconds: (now - self.began).as_secs_f64(),
            primary: reel.disturbance.to_string(),
            broken: reel.disturbance != Disturbance::None,
            requests_per_second: rate(lately.requests, span),
            failed_per_second: rate(lately.failed, span),
            p99_ms: milliseconds(lately.p99),
            backends: backends.collect(),
            journal: glance.journal,
        };
        (reel.taken, reel.last) = (now, glance);
        reel.frames.push(frame.clone());
        drop(reel);
        self.watcher.frame(&frame);
    }

    /// All that was taken.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.reel().frames.clone()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a fraction of a second")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}
