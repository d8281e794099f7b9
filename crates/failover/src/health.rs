//! A backend's health: a pure function of (state, event, now). No lock, no timer and no clock in here;
//! the shell around it is in `backend.rs`.

use std::time::Duration;

use lifeboat_core::Fault;
use serde::Serialize;
use tokio::time::Instant;

use crate::settings::{Failback, HealthSettings};

/// What a backend is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// Asked first, in its order.
    Serving,
    /// Asked after those that serve: it throttles, or its latest requests failed, or it has just returned.
    Suspect,
    /// Not asked; a probe is due.
    Ejected,
    /// Not asked; a probe is under way.
    Probing,
}

impl HealthState {
    /// Lower-case name, as in a serialised status. Metrics have numbers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Suspect => "suspect",
            Self::Ejected => "ejected",
            Self::Probing => "probing",
        }
    }
}

impl std::fmt::Display for HealthState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened at a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Evidence {
    /// It answered, be it "not found".
    Answered,
    /// It failed.
    Failed(Fault, Option<Duration>),
    /// Another backend had to stand in, because this one gave no sign in time.
    Outrun,
    /// It answered a read before a hedge was due.
    InTime,
    /// The pause before a probe is over and somebody asks.
    ProbeBegun,
    /// The probe was answered.
    ProbeAnswered,
    /// The probe failed.
    ProbeFailed,
    /// The operator wants it back at once.
    FailBack,
    /// Nothing but time passed.
    Tick,
}

/// How many times the settling time doubles, at most: to eight times.
const MOST_DOUBLINGS: u32 = 3;

/// A backend's health and what it was inferred from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Health {
    state: HealthState,
    /// Faults since the last answer.
    consecutive: u32,
    window_began: Instant,
    /// Answers of the backend when the window began.
    answers_before: u64,
    faults: u32,
    /// Requests in a row that others had to save, and since when. Of one that is ejected it says that this is all there
    /// is against it.
    slow: u32,
    slow_since: Instant,
    /// Reads avoid it until then; none if the operator decides.
    avoided_until: Avoided,
    /// Pause before the next probe, and when that is.
    probe_pause: Duration,
    probe_at: Instant,
    /// Ejections that came soon after a return.
    relapses: u32,
    returned_at: Option<Instant>,
    last_fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Avoided {
    No,
    Until(Instant),
    /// Until the operator says otherwise.
    Held,
}

/// What the rules need to know besides the evidence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) health: HealthSettings,
    pub(crate) settling: Duration,
    pub(crate) failback: Failback,
}

impl Health {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            state: HealthState::Serving,
            consecutive: 0,
            window_began: now,
            answers_before: 0,
            faults: 0,
            slow: 0,
            slow_since: now,
            avoided_until: Avoided::No,
            probe_pause: Duration::ZERO,
            probe_at: now,
            relapses: 0,
            returned_at: None,
            last_fault: None,
        }
    }

    pub(crate) fn state(&self) -> HealthState {
        self.state
    }

    /// When it came back from its last absence.
    pub(crate) fn returned_at(&self) -> Option<Instant> {
        self.returned_at
    }

    /// Whether it has returned, but reads do not prefer it yet.
    pub(crate) fn is_settling(&self) -> bool {
        self.state == HealthState::Suspect && self.returned_at.is_some()
    }

    /// Whether it serves, although reads do not prefer it: it has returned, and nothing has failed since.
    pub(crate) fn is_sound(&self) -> bool {
        self.is_settling() && self.consecutive == 0
    }

    /// Whether there is nothing that the next answer would change.
    pub(crate) fn is_quiet(&self) -> bool {
        self.state == HealthState::Serving && self.consecutive == 0 && self.slow == 0
    }

    /// Whether so many requests in a row had to be saved that only time is wanting for an ejection; or, once it is ejected,
    /// whether that is why: it answers, if it is given the time.
    pub(crate) fn is_outrun(&self, rules: &Rules) -> bool {
        self.slow >= rules.health.slow_in_row
    }

    pub(crate) fn last_fault(&self) -> Option<Fault> {
        self.last_fault
    }

    /// When the next probe is due, if it is ejected.
    pub(crate) fn probe_at(&self) -> Option<Instant> {
        (self.state == HealthState::Ejected).then_some(self.probe_at)
    }

    /// When time alone will change something.
    pub(crate) fn next_change(&self) -> Option<Instant> {
        match (self.state, self.avoided_until) {
            (HealthState::Ejected, _) => Some(self.probe_at),
            (HealthState::Suspect, Avoided::Until(until)) => Some(until),
            _ => None,
        }
    }

    /// The health after `evidence` at `now`, when the backend has given so many `answers` since the start. `jitter`
    /// is a number from 0 to 1.
    pub(crate) fn after(
        mut self,
        evidence: Evidence,
        now: Instant,
        rules: &Rules,
        (answers, jitter): (u64, f64),
    ) -> Self {
        self.roll_window(now, rules, answers);
        match evidence {
            Evidence::Answered => self.answered(),
            Evidence::Failed(Fault::Throttled, pause) => self.throttled(pause, now, rules),
            Evidence::Failed(fault, _) => self.failed(fault, now, rules, (answers, jitter)),
            Evidence::Outrun => self.outrun(now, rules, jitter),
            // While it is ejected, that it was outrun is what is known of it.
            Evidence::InTime if self.is_in_use() => self.slow = 0,
            Evidence::ProbeBegun if self.state == HealthState::Ejected => {
                self.state = HealthState::Probing;
            }
            Evidence::ProbeAnswered => self.returned(now, rules, answers),
            Evidence::ProbeFailed => self.probe_failed(now, rules, jitter),
            Evidence::FailBack if self.is_in_use() => {
                self.state = HealthState::Serving;
                self.avoided_until = Avoided::No;
            }
            Evidence::InTime | Evidence::ProbeBegun | Evidence::FailBack | Evidence::Tick => {}
        }
        self.settle(now);
        self
    }

    fn is_in_use(&self) -> bool {
        matches!(self.state, HealthState::Serving | HealthState::Suspect)
    }

    fn roll_window(&mut self, now: Instant, rules: &Rules, answers: u64) {
        if now.duration_since(self.window_began) >= rules.health.window {
            self.window_began = now;
            (self.answers_before, self.faults) = (answers, 0);
        }
    }

    fn answered(&mut self) {
        self.consecutive = 0;
        // A suspect that answers serves again, unless it is held back for a time or by the operator.
        if self.state == HealthState::Suspect && self.avoided_until == Avoided::No {
            self.state = HealthState::Serving;
        }
    }

    fn throttled(&mut self, pause: Option<Duration>, now: Instant, rules: &Rules) {
        self.last_fault = Some(Fault::Throttled);
        if !self.is_in_use() {
            return;
        }
        let most = rules.health.throttle_pause;
        let until = now + pause.map_or(most, |asked| asked.min(most));
        self.state = HealthState::Suspect;
        self.avoided_until = match self.avoided_until {
            Avoided::Held => Avoided::Held,
            Avoided::Until(known) => Avoided::Until(known.max(until)),
            Avoided::No => Avoided::Until(until),
        };
    }

    fn failed(&mut self, fault: Fault, now: Instant, rules: &Rules, (answers, jitter): (u64, f64)) {
        self.last_fault = Some(fault);
        self.faults = self.faults.saturating_add(1);
        self.consecutive = self.consecutive.saturating_add(1);
        if !self.is_in_use() {
            return;
        }
        self.state = HealthState::Suspect;
        let answered = answers.saturating_sub(self.answers_before);
        let requests = u32::try_from(answered).unwrap_or(u32::MAX).saturating_add(self.faults);
        let ratio = f64::from(self.faults) / f64::from(requests);
        let windowed = requests >= rules.health.window_minimum && ratio >= rules.health.fault_ratio;
        if self.consecutive >= rules.health.consecutive_faults || windowed {
            self.slow = 0;
            self.eject(now, rules, jitter);
        }
    }

    fn outrun(&mut self, now: Instant, rules: &Rules, jitter: f64) {
        // What was saved from one that is ejected says nothing of its speed.
        if !self.is_in_use() {
            return;
        }
        // An old row is no row.
        if self.slow == 0 || now.duration_since(self.slow_since) > rules.health.window {
            (self.slow, self.slow_since) = (0, now);
        }
        self.slow = self.slow.saturating_add(1);
        let lasts = now.duration_since(self.slow_since) >= rules.health.slow_for;
        if self.slow >= rules.health.slow_in_row && lasts {
            self.last_fault = Some(Fault::Slow);
            self.eject(now, rules, jitter);
        }
    }

    fn eject(&mut self, now: Instant, rules: &Rules, jitter: f64) {
        let settled = rules.settling * (1 << MOST_DOUBLINGS);
        let relapsed = self.returned_at.is_some_and(|at| now.duration_since(at) < settled);
        self.relapses = if relapsed { (self.relapses + 1).min(MOST_DOUBLINGS) } else { 0 };
        self.state = HealthState::Ejected;
        self.returned_at = None;
        self.probe_pause = rules.health.probe_initial;
        self.probe_at = now + jittered(self.probe_pause, jitter);
    }

    fn probe_failed(&mut self, now: Instant, rules: &Rules, jitter: f64) {
        self.state = HealthState::Ejected;
        self.slow = 0;
        // The first probe of all fails without an ejection before it.
        let pause = (self.probe_pause * 2).max(rules.health.probe_initial);
        self.probe_pause = pause.min(rules.health.probe_max);
        self.probe_at = now + jittered(self.probe_pause, jitter);
    }

    fn returned(&mut self, now: Instant, rules: &Rules, answers: u64) {
        if self.is_in_use() {
            return;
        }
        self.state = HealthState::Suspect;
        self.returned_at = Some(now);
        (self.window_began, self.answers_before) = (now, answers);
        (self.consecutive, self.faults, self.slow) = (0, 0, 0);
        self.avoided_until = match rules.failback {
            Failback::Auto => Avoided::Until(now + rules.settling * (1 << self.relapses)),
            Failback::Manual => Avoided::Held,
        };
    }

    fn settle(&mut self, now: Instant) {
        let over = matches!(self.avoided_until, Avoided::Until(until) if until <= now);
        if over {
            self.avoided_until = Avoided::No;
            if self.state == HealthState::Suspect && self.consecutive == 0 {
                self.state = HealthState::Serving;
            }
        }
    }
}

/// Half of `pause` to all of it, so that many processes do not probe in step.
fn jittered(pause: Duration, jitter: f64) -> Duration {
    pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
