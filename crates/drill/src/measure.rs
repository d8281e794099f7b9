//! What is measured of the requests: latencies from the moment at which each was due, so that a
//! request that had to wait for others counts its waiting.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::workload::Kind;

/// How many failures are kept in words.
const MOST_EXAMPLES: usize = 20;

/// One request that ended. Times are counted from the beginning of the load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// When it was due.
    pub(crate) due: Duration,
    /// How long after that it ended.
    pub(crate) latency: Duration,
    pub(crate) kind: Kind,
    pub(crate) ok: bool,
}

/// Collects samples while the load runs.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    samples: Vec<Sample>,
    /// Requests that are due and have not ended.
    open: BTreeMap<u64, (Duration, Kind)>,
    /// How many of them earlier calls of [`Recorder::since_last`] have seen.
    seen: usize,
    examples: Vec<String>,
}

/// What happened in a short while.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lately {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) p99: Duration,
}

impl Recorder {
    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request is due.
    pub(crate) fn expect(&self, number: u64, due: Duration, kind: Kind) {
        self.recorded().open.insert(number, (due, kind));
    }

    /// Notes how a request ended.
    pub(crate) fn add(&self, number: u64, sample: Sample) {
        let mut recorded = self.recorded();
        recorded.open.remove(&number);
        recorded.samples.push(sample);
    }

    /// What has not ended has failed.
    pub(crate) fn close(&self, now: Duration) {
        let mut recorded = self.recorded();
        for (_, (due, kind)) in std::mem::take(&mut recorded.open) {
            let latency = now.saturating_sub(due);
            recorded.samples.push(Sample { due, latency, kind, ok: false });
            if recorded.examples.len() < MOST_EXAMPLES {
                let waited = latency.as_secs_f64();
                recorded.examples.push(format!("{kind:?}: not over after {waited:.3} s"));
            }
        }
    }

    /// Whether a read was served that was due then or later.
    pub(crate) fn was_read_since(&self, due: Duration) -> bool {
        let served = |sample: &Sample| sample.ok && sample.kind.is_read() && sample.due >= due;
        self.recorded().samples.iter().any(served)
    }

    /// Keeps why a request failed, in words.
    pub(crate) fn tell(&self, text: impl FnOnce() -> String) {
        let mut recorded = self.recorded();
        if recorded.examples.len() < MOST_EXAMPLES {
            let text = text();
            recorded.examples.push(text);
        }
    }

    /// What has ended since the last call.
    pub(crate) fn since_last(&self) -> Lately {
        let mut recorded = self.recorded();
        let new = &recorded.samples[recorded.seen..];
        let mut latencies: Vec<Duration> = new.iter().map(|sample| sample.latency).collect();
        latencies.sort_unstable();
        let lately = Lately {
            requests: new.len() as u64,
            failed: new.iter().filter(|sample| !sample.ok).count() as u64,
            p99: percentile(&latencies, 0.99),
        };
        recorded.seen = recorded.samples.len();
        lately
    }

    /// Everything, summed up. `broken` is when the primary was broken, first and last moment.
    pub(crate) fn sum_up(&self, broken: (Duration, Duration)) -> Measured {
        let recorded = self.recorded();
        let samples = &recorded.samples;
        let all = sorted(samples.iter());
        let within = |sample: &&Sample| sample.due >= broken.0 && sample.due < broken.1;
        let reads = |sample: &&Sample| sample.kind.is_read();
        let reads_before = sorted(samples.iter().filter(|s| s.due < broken.0).filter(reads));
        let reads_during = sorted(samples.iter().filter(within).filter(reads));
        let after = || samples.iter().filter(|sample| sample.due >= broken.0);
        let first = after()
            .filter(|sample| sample.ok)
            .map(|s| (s.due + s.latency).saturating_sub(broken.0))
            .min();
        let first_read = after().filter(reads).min_by_key(|sample| sample.due);
        let mut kinds = BTreeMap::new();
        for sample in samples {
            *kinds.entry(sample.kind).or_default() += 1;
        }
        Measured {
            requests: samples.len() as u64,
            failed_requests: samples.iter().filter(|sample| !sample.ok).count() as u64,
            slowest_ms: milliseconds(all.last().copied().unwrap_or_default()),
            p50_ms: milliseconds(percentile(&all, 0.5)),
            p99_ms: milliseconds(percentile(&all, 0.99)),
            reads_before_p99_ms: milliseconds(percentile(&reads_before, 0.99)),
            reads_during_p99_ms: milliseconds(percentile(&reads_during, 0.99)),
            first_success_after_outage_ms: first.map(milliseconds),
            first_read_after_outage_ms: first_read
                .filter(|sample| sample.ok)
                .map(|sample| milliseconds(sample.latency)),
            kinds,
            failures: recorded.examples.clone(),
            latencies: all,
        }
    }
}

/// Latencies and counts of a whole drill.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Measured {
    /// Requests that were due.
    pub requests: u64,
    /// Requests that were not served.
    pub failed_requests: u64,
    /// The longest that one took, multipart uploads included.
    pub slowest_ms: f64,
    /// Half took less.
    pub p50_ms: f64,
    /// One of a hundred took longer.
    pub p99_ms: f64,
    /// The same of reads before the outage.
    pub reads_before_p99_ms: f64,
    /// The same of reads that were due during the outage.
    pub reads_during_p99_ms: f64,
    /// From the beginning of the outage until the first request that was due after it was served.
    pub first_success_after_outage_ms: Option<f64>,
    /// How long the very first read after the beginning of the outage took; nothing if it failed.
    pub first_read_after_outage_ms: Option<f64>,
    /// Requests by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// Why the first of those that failed did so.
    pub failures: Vec<String>,
    /// All latencies in order, for percentiles over several drills.
    #[serde(skip)]
    pub(crate) latencies: Vec<Duration>,
}

/// In milliseconds, with three decimals.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn sorted<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<Duration> {
    let mut latencies: Vec<Duration> = samples.map(|sample| sample.latency).collect();
    latencies.sort_unstable();
    latencies
}

/// The smallest value that this share of all does not exceed (nearest rank).
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among some thousands"
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn sample(due: u64, latency: u64, ok: bool) -> Sample {
        Sample { due: ms(due), latency: ms(latency), kind: Kind::Get, ok }
    }

    #[test]
    fn percentiles_are_ranks() {
        let sorted: Vec<Duration> = (1..=200).map(ms).collect();
        assert_eq!(percentile(&sorted, 0.5), ms(100));
        assert_eq!(percentile(&sorted, 0.99), ms(198));
        assert_eq!(percentile(&[], 0.99), Duration::ZERO);
        assert_eq!(percentile(&sorted[..1], 0.01), ms(1));
    }

    #[test]
    fn first_success_counts_from_the_break_and_skips_failures() {
        let recorder = Recorder::default();
        let samples = [
            sample(0, 5, true),
            sample(90, 100, true),
            sample(110, 10, false),
            sample(120, 400, true),
            sample(200, 50, true),
        ];
        for (number, sample) in (0..).zip(samples) {
            recorder.add(number, sample);
        }
        let measured = recorder.sum_up((ms(100), ms(300)));
        assert_eq!(measured.first_success_after_outage_ms, Some(150.0));
        assert_eq!(measured.first_read_after_outage_ms, None, "it failed");
        assert_eq!((measured.requests, measured.failed_requests), (5, 1));
        assert!((measured.slowest_ms - 400.0).abs() < 1e-9);
        assert_eq!(recorder.since_last().requests, 5);
        assert_eq!(recorder.since_last().requests, 0);
    }

    #[test]
    fn request_that_never_ended_has_failed() {
        let recorder = Recorder::default();
        recorder.expect(0, ms(10), Kind::Get);
        recorder.expect(1, ms(20), Kind::Put);
        recorder.add(1, Sample { kind: Kind::Put, ..sample(20, 5, true) });
        recorder.close(ms(1_010));
        let measured = recorder.sum_up((ms(0), ms(100)));
        assert_eq!((measured.requests, measured.failed_requests), (2, 1));
        assert!((measured.slowest_ms - 1_000.0).abs() < 1e-9);
        assert_eq!(measured.failures, ["Get: not over after 1.000 s"]);
        assert!(!recorder.was_read_since(ms(0)), "a put is no read");
        recorder.add(2, sample(20, 5, true));
        assert!(recorder.was_read_since(ms(20)) && !recorder.was_read_since(ms(21)));
    }
}
