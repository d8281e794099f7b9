//! Many seeds, on several threads: how a test runs a few thousand in a minute and a machine millions in a night.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::application::Application;
use super::plan::Profile;
use super::run::{Report, simulate};

/// How many seeds to run.
///
/// | variable | meaning |
/// | --- | --- |
/// | `LIFEBOAT_SIM_SEED` | only this seed, see [`replay`](Self::replay) |
/// | `LIFEBOAT_SIM_SEEDS` | this many seeds |
/// | `LIFEBOAT_SIM_MINUTES` | as many seeds as fit into this time |
/// | `LIFEBOAT_SIM_FIRST` | begin with this seed; 0 by default |
/// | `LIFEBOAT_SIM_THREADS` | on this many threads; by default as many as there are processors |
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Campaign {
    /// The first seed.
    pub first: u64,
    /// How many seeds, at most.
    pub seeds: u64,
    /// For how long, at most.
    pub time: Option<Duration>,
    /// On how many threads. Each seed runs on one.
    pub threads: usize,
}

/// Failing seeds that are kept; more of them say no more.
const KEPT: usize = 10;

/// What came of a campaign.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Operations that clients did.
    pub operations: u64,
    /// Operations that failed, in accordance with what is promised.
    pub failed_operations: u64,
    /// Requests to backends.
    pub requests: u64,
    /// Crashes of processes.
    pub crashes: u64,
    /// Versions kept as losers of conflicts.
    pub conflicts: u64,
    /// Seeds that broke a promise.
    pub failed_seeds: u64,
    /// The first of them.
    pub failures: Vec<Report>,
    /// What was broken: how many seeds, and one of them.
    pub kinds: BTreeMap<String, (u64, u64)>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Campaign {
    /// This many seeds, unless the environment says otherwise.
    pub fn from_env(seeds: u64) -> Self {
        let number =
            |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let time = number("LIFEBOAT_SIM_MINUTES").map(|minutes| Duration::from_secs(minutes * 60));
        let endless = if time.is_some() { u64::MAX } else { seeds };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = number("LIFEBOAT_SIM_THREADS").and_then(|threads| threads.try_into().ok());
        Self {
            first: number("LIFEBOAT_SIM_FIRST").unwrap_or(0),
            seeds: number("LIFEBOAT_SIM_SEEDS").unwrap_or(endless),
            time,
            threads: threads.unwrap_or(processors).max(1),
        }
    }

    /// The one seed that the environment asks for.
    pub fn replay() -> Option<u64> {
        std::env::var("LIFEBOAT_SIM_SEED").ok()?.parse().ok()
    }

    /// Runs the seeds.
    pub fn run(&self, profile: &Profile, application: &dyn Application) -> Summary {
        let began = Instant::now();
        let next = AtomicU64::new(0);
        let summary = Mutex::new(Summary::default());
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let in_time = self.time.is_none_or(|time| began.elapsed() < time);
                if number >= self.seeds || !in_time {
                    return;
                }
                let seed = self.first.wrapping_add(number);
                let report = simulate(seed, profile, application);
                if let Some(violation) = report.violations.first() {
                    // At once: the others may take hours.
                    eprintln!("seed {seed}: LIFEBOAT_SIM_SEED={seed} replays it: {violation}");
                }
                summary.lock().unwrap_or_else(PoisonError::into_inner).add(report);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(work);
            }
        });
        let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
        summary.failures.sort_by_key(|report| report.plan.seed);
        summary.elapsed = began.elapsed();
        summary
    }
}

impl Summary {
    fn add(&mut self, report: Report) {
        let (operations, failed) = report.operations();
        self.seeds += 1;
        self.operations += operations as u64;
        self.failed_operations += failed as u64;
        self.requests += report.requests;
        self.crashes += report.plan.crashes.len() as u64;
        self.conflicts += report.conflicts as u64;
        let kinds: BTreeSet<_> = report.violations.iter().map(|text| kind(text)).collect();
        for kind in kinds {
            let seeds = self.kinds.entry(kind).or_insert((0, report.plan.seed));
            *seeds = (seeds.0 + 1, seeds.1.min(report.plan.seed));
        }
        if !report.violations.is_empty() {
            self.failed_seeds += 1;
            if self.failures.len() < KEPT {
                self.failures.push(report);
            }
        }
    }
}

/// A violation without what differs from case to case.
fn kind(violation: &str) -> String {
    let head = violation.split(": ").next().unwrap_or(violation);
    let blur = |word: &str| {
        let number = word.starts_with(|c: char| c.is_ascii_digit());
        let value = word.starts_with("Some(") || word == "None" || word.starts_with('[');
        let key = word.contains('/') || word.ends_with("),") && !value;
        if number || key || value { "_".to_owned() } else { word.to_owned() }
    };
    let words: Vec<_> = head.split(' ').take(14).map(blur).collect();
    words.join(" ")
}

impl fmt::Display for Summary {
    /// The figures, and for each failing seed what was broken and how to see it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.seeds as f64 / seconds;
        writeln!(
            f,
            "{} seeds in {seconds:.1} s ({rate:.0} a second): {} operations ({} failed as they may), {} requests, \
             {} crashes, {} conflicts kept; {} seeds broke a promise",
            self.seeds,
            self.operations,
            self.failed_operations,
            self.requests,
            self.crashes,
            self.conflicts,
            self.failed_seeds
        )?;
        for (kind, (seeds, seed)) in &self.kinds {
            writeln!(f, "{seeds:>6} seeds, such as {seed}: {kind}")?;
        }
        for report in &self.failures {
            writeln!(
                f,
                "seed {}: LIFEBOAT_SIM_SEED={} replays it",
                report.plan.seed, report.plan.seed
            )?;
            for violation in &report.violations {
                writeln!(f, "    {violation}")?;
            }
        }
        Ok(())
    }
}
