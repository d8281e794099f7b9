//! How long a backend takes to answer, by kind of request: a histogram without locks that forgets, and the
//! percentiles that decide when a read is late.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Kinds of reads whose times are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadKind {
    Head,
    /// A range of up to [`SMALL`] bytes.
    SmallRange,
    /// Everything else that returns a body.
    Get,
    List,
    /// All pages of one level of a listing.
    Level,
}

/// Number of kinds.
const KINDS: usize = 5;
/// A range up to this size is a small one: its time is dominated by the round trip.
pub(crate) const SMALL: u64 = 256 << 10;

/// Four buckets for each doubling, from 16 us on: 112 of them reach a little over an hour.
const BUCKETS: usize = 112;
const PER_DOUBLING: u32 = 4;
const FIRST_BIT: u32 = 4;
/// After so many answers the older half is forgotten.
const MEMORY: u32 = 1024;
/// Percentiles are computed anew after so many answers.
const REFRESH: u32 = 16;
/// Fewer answers than this say nothing about a 95th percentile.
const ENOUGH: u32 = 20;

/// The latencies of one backend.
#[derive(Debug)]
pub(crate) struct Latencies([Histogram; KINDS]);

#[derive(Debug)]
struct Histogram {
    counts: [AtomicU32; BUCKETS],
    total: AtomicU32,
    p95: AtomicU64,
    p99: AtomicU64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Histogram {
            counts: std::array::from_fn(|_| AtomicU32::new(0)),
            total: AtomicU32::new(0),
            p95: AtomicU64::new(0),
            p99: AtomicU64::new(0),
        }))
    }

    fn of(&self, kind: ReadKind) -> &Histogram {
        match kind {
            ReadKind::Head => &self.0[0],
            ReadKind::SmallRange => &self.0[1],
            ReadKind::Get => &self.0[2],
            ReadKind::List => &self.0[3],
            ReadKind::Level => &self.0[4],
        }
    }

    pub(crate) fn record(&self, kind: ReadKind, took: Duration) {
        let histogram = self.of(kind);
        histogram.counts[bucket(took)].fetch_add(1, Ordering::Relaxed);
        let total = histogram.total.fetch_add(1, Ordering::Relaxed) + 1;
        if total.is_multiple_of(REFRESH) {
            histogram.refresh();
        }
        if total >= MEMORY {
            histogram.forget();
        }
    }

    /// 95 and 99 of a hundred answers come within these times; none while too little is known.
    pub(crate) fn percentiles(&self, kind: ReadKind) -> Option<(Duration, Duration)> {
        let histogram = self.of(kind);
        match histogram.p95.load(Ordering::Relaxed) {
            0 => None,
            p95 => Some((
                Duration::from_micros(p95),
                Duration::from_micros(histogram.p99.load(Ordering::Relaxed)),
            )),
        }
    }
}

impl Histogram {
    fn refresh(&self) {
        let counts: [u32; BUCKETS] =
            std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed));
        let total: u32 = counts.iter().sum();
        if total < ENOUGH {
            return;
        }
        let within = |percent: u32| {
            let wanted = u64::from(total) * u64::from(percent);
            let mut sum = 0;
            let found = counts.iter().position(|count| {
                sum += u64::from(*count) * 100;
                sum >= wanted
            });
            upper_bound(found.unwrap_or(BUCKETS - 1))
        };
        self.p95.store(within(95), Ordering::Relaxed);
        self.p99.store(within(99), Ordering::Relaxed);
    }

    /// Halves every count. Racing recorders may lose an answer, which changes no percentile.
    fn forget(&self) {
        let mut total = 0;
        for count in &self.counts {
            let half = count.load(Ordering::Relaxed) / 2;
            count.store(half, Ordering::Relaxed);
            total += half;
        }
        self.total.store(total, Ordering::Relaxed);
    }
}

fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1 << FIRST_BIT);
    let doubling = micros.ilog2();
    let quarter = (micros >> (doubling - 2)) & 3;
    let index = u64::from((doubling - FIRST_BIT) * PER_DOUBLING) + quarter;
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// Microseconds above every latency in the bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = u32::try_from(bucket).unwrap_or(u32::MAX);
    let (doubling, quarter) = (FIRST_BIT + bucket / PER_DOUBLING, bucket % PER_DOUBLING);
    (1 << doubling) + ((u64::from(quarter) + 1) << (doubling - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_within_a_quarter_above_the_truth() {
        let latencies = Latencies::new();
        assert_eq!(latencies.percentiles(ReadKind::Get), None);
        for n in 1..=112_u64 {
            latencies.record(ReadKind::Get, Duration::from_millis(n));
        }
        let (p95, p99) = latencies.percentiles(ReadKind::Get).unwrap();
        assert!((106..=140).contains(&p95.as_millis()), "{p95:?}");
        assert!((110..=140).contains(&p99.as_millis()), "{p99:?}");
        assert_eq!(latencies.percentiles(ReadKind::Head), None);
    }

    #[test]
    fn old_answers_are_forgotten() {
        let latencies = Latencies::new();
        (0..2_000).for_each(|_| latencies.record(ReadKind::Get, Duration::from_secs(1)));
        (0..20_000).for_each(|_| latencies.record(ReadKind::Get, Duration::from_millis(1)));
        let (p95, _) = latencies.percentiles(ReadKind::Get).unwrap();
        assert!(p95 < Duration::from_millis(2), "{p95:?}");
    }

    #[test]
    fn every_duration_has_a_bucket_below_its_bound() {
        for micros in [0, 1, 15, 16, 17, 1_000, 999_999, 3_000_000_000] {
            let at = bucket(Duration::from_micros(micros));
            assert!(upper_bound(at) > micros, "{micros}");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }
}
