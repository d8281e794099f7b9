//! What a drill came to, as data. The page for people is in `html`, its pictures in `plot`.

mod html;
mod plot;

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::frame::Frame;
use crate::measure::{Measured, milliseconds, percentile};
use crate::oracle::{Audit, Findings};
use crate::scenario::Scenario;

/// What one scenario came to.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// What broke.
    pub scenario: Scenario,
    /// Latencies and counts.
    #[serde(flatten)]
    pub measured: Measured,
    /// What became of the data.
    #[serde(flatten)]
    pub findings: Findings,
    /// Most markers that were in the journal at once.
    pub journal_peak: u64,
    /// From the end of the outage until every side had everything for the first time, under load; nothing if it was not so.
    pub level_ms: Option<f64>,
    /// From the end of the outage until everything was settled for the first time, under load: every side has everything,
    /// and nothing can land late any more. Nothing if it was not, or did not stay so.
    pub catch_up_ms: Option<f64>,
    /// Whether all sides hold the same, and what was acknowledged.
    pub converged: bool,
    /// How the sides were compared.
    pub audit: Audit,
    /// How long all of it took.
    pub seconds: f64,
    /// The course of it.
    #[serde(skip)]
    pub frames: Vec<Frame>,
    /// What a naive fallback came to under the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub naive: Option<Box<Outcome>>,
}

impl Outcome {
    /// Puts what a naive fallback came to beside it.
    pub fn with_naive(mut self, naive: Self) -> Self {
        self.naive = Some(Box::new(naive));
        self
    }

    /// Whether the outage was a non-event: nothing failed, nothing was lost or wrong, all sides equal.
    pub fn passed(&self) -> bool {
        self.measured.failed_requests == 0 && self.findings.is_clean() && self.converged
    }
}

/// As one line, and one for each of the first things that went wrong.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (measured, findings) = (&self.measured, &self.findings);
        write!(
            f,
            "{}: {} requests, {} failed, p99 {} ms, slowest {} ms, first read {:?} ms; {} writes, {} \
             lost, {} back, {} stale, {} corrupt; journal {}, level in {:?} ms, caught up in {:?} ms, {} of {} keys differ",
            self.scenario,
            measured.requests,
            measured.failed_requests,
            measured.p99_ms,
            measured.slowest_ms,
            measured.first_read_after_outage_ms,
            findings.acked_writes,
            findings.lost_writes,
            findings.resurrected_deletes,
            findings.stale_reads,
            findings.corrupt_reads,
            self.journal_peak,
            self.level_ms,
            self.catch_up_ms,
            self.audit.different,
            self.audit.keys,
        )?;
        let examples = measured.failures.iter().chain(&findings.examples);
        examples.into_iter().try_for_each(|example| write!(f, "\n  {example}"))
    }
}

/// The worst that outages did: what a run ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// None: they were non-events.
    None,
    /// Requests failed, or nothing was shown at all. The data are as they should be.
    Requests,
    /// Something was lost, stale, corrupt or back from the dead, or the sides differ.
    Data,
}

/// What a whole run came to. Serialises to one document: the totals, and every scenario.
#[derive(Debug, Clone, Default)]
pub struct Report {
    outcomes: Vec<Outcome>,
}

/// The fields that programs rely on, in the totals and for each scenario.
pub const STABLE_FIELDS: [&str; 13] = [
    "requests",
    "failed_requests",
    "slowest_ms",
    "p50_ms",
    "p99_ms",
    "first_success_after_outage_ms",
    "acked_writes",
    "lost_writes",
    "resurrected_deletes",
    "stale_reads",
    "journal_peak",
    "catch_up_ms",
    "converged",
];

/// All scenarios together: sums of counts, the worst of times, percentiles over all requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Requests that were due.
    pub requests: u64,
    /// Requests that were not served.
    pub failed_requests: u64,
    /// The longest that one took.
    pub slowest_ms: f64,
    /// Half took less.
    pub p50_ms: f64,
    /// One of a hundred took longer.
    pub p99_ms: f64,
    /// The latest first success after an outage began; nothing if there was none after some.
    pub first_success_after_outage_ms: Option<f64>,
    /// Writes that were acknowledged.
    pub acked_writes: u64,
    /// Acknowledged writes that were lost.
    pub lost_writes: u64,
    /// Deleted keys that came back.
    pub resurrected_deletes: u64,
    /// Answers older than what had been acknowledged.
    pub stale_reads: u64,
    /// Answers that nobody ever wrote.
    pub corrupt_reads: u64,
    /// Most markers at once.
    pub journal_peak: u64,
    /// The longest time until every side had everything; nothing if it was not so each time.
    pub level_ms: Option<f64>,
    /// The longest catch-up; nothing if one did not end.
    pub catch_up_ms: Option<f64>,
    /// Whether all sides were equal each time.
    pub converged: bool,
}

impl Report {
    /// Adds what a scenario came to.
    pub fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// Every scenario, in order.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Whether every scenario was a non-event, and there was one.
    pub fn passed(&self) -> bool {
        !self.outcomes.is_empty() && self.outcomes.iter().all(Outcome::passed)
    }

    /// The worst that an outage did. Data that are wrong weigh more than requests that failed; what a naive
    /// fallback came to beside it does not count.
    pub fn harm(&self) -> Harm {
        let harmed = |outcome: &Outcome| !outcome.findings.is_clean() || !outcome.converged;
        match self.passed() {
            true => Harm::None,
            false if self.outcomes.iter().any(harmed) => Harm::Data,
            false => Harm::Requests,
        }
    }

    /// All scenarios together.
    pub fn totals(&self) -> Totals {
        let all = || self.outcomes.iter();
        let sum = |of: fn(&Outcome) -> u64| all().map(of).sum();
        let latest = |of: fn(&Outcome) -> Option<f64>| {
            all().map(of).try_fold(0.0, |worst, time| Some(f64::max(worst, time?)))
        };
        let mut latencies: Vec<Duration> =
            all().flat_map(|outcome| outcome.measured.latencies.iter().copied()).collect();
        latencies.sort_unstable();
        Totals {
            requests: sum(|outcome| outcome.measured.requests),
            failed_requests: sum(|outcome| outcome.measured.failed_requests),
            slowest_ms: milliseconds(latencies.last().copied().unwrap_or_default()),
            p50_ms: milliseconds(percentile(&latencies, 0.5)),
            p99_ms: milliseconds(percentile(&latencies, 0.99)),
            first_success_after_outage_ms: latest(|outcome| {
                outcome.measured.first_success_after_outage_ms
            }),
            acked_writes: sum(|outcome| outcome.findings.acked_writes),
            lost_writes: sum(|outcome| outcome.findings.lost_writes),
            resurrected_deletes: sum(|outcome| outcome.findings.resurrected_deletes),
            stale_reads: sum(|outcome| outcome.findings.stale_reads),
            corrupt_reads: sum(|outcome| outcome.findings.corrupt_reads),
            journal_peak: all().map(|outcome| outcome.journal_peak).max().unwrap_or_default(),
            level_ms: latest(|outcome| outcome.level_ms),
            catch_up_ms: latest(|outcome| outcome.catch_up_ms),
            converged: all().all(|outcome| outcome.converged),
        }
    }

    /// As a page of its own: no scripts, nothing from elsewhere.
    pub fn to_html(&self) -> String {
        html::page(self)
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Document<'a> {
            passed: bool,
            #[serde(flatten)]
            totals: Totals,
            scenarios: &'a [Outcome],
        }
        let (passed, totals) = (self.passed(), self.totals());
        Document { passed, totals, scenarios: &self.outcomes }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
