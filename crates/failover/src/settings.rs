//! Settings: plain data with defaults. What is a component (a clock, a spawner, an observer) goes in through the builder
//! instead.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a [`Failover`](crate::Failover) behaves. The defaults suit an application with several
/// processes on providers across the internet.
///
/// | field | default |
/// |---|---|
/// | `min_copies` | 1 |
/// | `slow_after`, `settle_after` | 2 s |
/// | `read_deadline`, `write_deadline`, `attempt_deadline` | 20 s, 30 s, 5 s |
/// | `rescue_after`, `stall_deadline` | 600 ms, 10 s |
/// | `conditional_writes`, `stale_reads`, `failback` | refuse, refuse, auto |
/// | `settling`, `journal_poll`, `quarantine` | 10 s, 5 s, 17 min |
/// | `catch_up_rate`, `catch_up_concurrency` | 200, 8 |
/// | `settle_check`, `settle_rate` | on, 50 |
/// | `intent`, `presence_beat` | off, 1 min |
/// | `hedge_budget_percent`, `read_through` | 5, off |
/// | `memory` | 256 MiB |
///
/// No duration may be longer than a day. Deadlines, `rescue_after` and `journal_poll` are above zero, and the latter, as pauses
/// between probes and beats, a millisecond at least.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// How many backends must have a write before it is acknowledged. From 1 to the number of backends.
    ///
    /// With 1 an outage of all but one backend is survived without a failed write; with 2 an
    /// acknowledged write survives the loss of a backend at once.
    pub min_copies: usize,
    /// How long a write that has enough copies waits for the others before markers stand in for them.
    ///
    /// Zero is asynchronous replication; a long time is synchronous replication with a bounded tail.
    pub slow_after: Duration,
    /// Bound on a read until its first byte, over all backends; and until the next one, where a body broke and is taken up
    /// again. One level of a listing is one request however many pages it has, and may take six times as long.
    pub read_deadline: Duration,
    /// Bound on a write over all backends; bodies add a second for each [`Settings::SLOWEST_UPLOAD`] bytes.
    pub write_deadline: Duration,
    /// Bound on one attempt at one backend until its first byte.
    pub attempt_deadline: Duration,
    /// A read that has no first byte after this long is sent to the next backend as well, whatever the
    /// hedge budget says; it is raised to four times the observed 99th percentile, never above
    /// [`attempt_deadline`](Self::attempt_deadline).
    ///
    /// 600 ms: a provider that is a continent away answers in 300 ms, and a caller should have an answer from a
    /// second provider within a second.
    pub rescue_after: Duration,
    /// Bound between two pieces of a body.
    pub stall_deadline: Duration,
    /// What a conditional write does while the first backend cannot decide it.
    pub conditional_writes: ConditionalWrites,
    /// What a read does when only backends answer that are known to be behind.
    pub stale_reads: StaleReads,
    /// Whether reads go back to a returned backend by themselves.
    pub failback: Failback,
    /// How long a returned backend must have been healthy before reads prefer it again. Doubles with
    /// every relapse, up to eight times.
    pub settling: Duration,
    /// How often markers of other processes are looked for: the staleness bound between processes.
    pub journal_poll: Duration,
    /// The longest a request can still land after its client has given up on it.
    ///
    /// Signatures of Amazon (`SigV4`) and Azure (`SharedKey`) are refused 15 minutes after their date; two
    /// minutes are added for clocks. A marker for a write whose effect is unknown stays this long.
    pub quarantine: Duration,
    /// Keys that catch-up works on in a second, at most.
    pub catch_up_rate: u32,
    /// Keys that catch-up works on at once.
    pub catch_up_concurrency: usize,
    /// Compares the copies of a key shortly after each write, so that two processes that overwrite it
    /// at the same time end with one version. May be switched off where every key has one writer.
    pub settle_check: bool,
    /// How long after the acknowledgement the copies are compared.
    pub settle_after: Duration,
    /// Settling checks in a second, at most; checks that do not fit are dropped and counted.
    pub settle_rate: u32,
    /// Writes a marker *before* the data. Costs one request before each write, and covers a process that is
    /// killed between two legs of a write it never acknowledged.
    pub intent: bool,
    /// How often a process that writes says so, by a small object at each backend that it takes away when it ends: whoever
    /// comes after a process that was killed knows since when to compare ([`Failover::mend_since`](crate::Failover::mend_since)).
    /// Costs one request for each backend and beat, another to look for those of others, and the first write waits for it, no longer
    /// than [`rescue_after`](Self::rescue_after). Zero switches it off; with [`intent`](Self::intent) it is not needed. A day at most.
    pub presence_beat: Duration,
    /// How many hedges a hundred reads may cost.
    pub hedge_budget_percent: u32,
    /// Copies what a reader found elsewhere to backends that joined without history and lack it, in the background, within
    /// [`catch_up_rate`](Self::catch_up_rate). What nobody reads is not copied: a sync is what completes a backend.
    pub read_through: bool,
    /// Bytes of bodies that writes may hold in memory at once; further writes wait. Copies and catch-up may hold as many
    /// again: they have a key's lock already, and would wait for those who wait for that.
    pub memory: u64,
    /// How a backend's health is judged.
    pub health: HealthSettings,
}

impl Settings {
    /// Bytes in a second that any upload must manage: 256 KiB, a slow mobile uplink.
    pub const SLOWEST_UPLOAD: u64 = 256 << 10;

    /// Bound on one level of a listing: two minutes by default, some two thousand pages of a thousand entries each.
    pub(crate) fn level_deadline(&self) -> Duration {
        self.read_deadline * 6
    }
}

/// Names of presences have milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);
/// A day: what waits longer waits for ever.
const LONGEST: Duration = Duration::from_hours(24);

impl Settings {
    /// The first setting that is out of its bounds, and what to do about it.
    pub(crate) fn out_of_bounds(&self) -> Option<(&'static str, &'static str)> {
        let HealthSettings { window, probe_initial, probe_max, probe_deadline, .. } = self.health;
        // Deadlines of nothing would refuse everything, and pauses of nothing would never rest.
        let positive = [
            ("read_deadline", self.read_deadline),
            ("write_deadline", self.write_deadline),
            ("attempt_deadline", self.attempt_deadline),
            ("rescue_after", self.rescue_after),
            ("stall_deadline", self.stall_deadline),
            ("journal_poll", self.journal_poll),
            ("health.window", window),
            ("health.probe_initial", probe_initial),
            ("health.probe_max", probe_max),
            ("health.probe_deadline", probe_deadline),
        ];
        let any = [
            ("slow_after", self.slow_after),
            ("settling", self.settling),
            ("quarantine", self.quarantine),
            ("settle_after", self.settle_after),
            ("presence_beat", self.presence_beat),
            ("health.slow_for", self.health.slow_for),
            ("health.throttle_pause", self.health.throttle_pause),
        ];
        let none = positive.iter().find(|(_, duration)| duration.is_zero());
        if let Some((name, _)) = none {
            return Some((name, "give a duration above zero"));
        }
        let mut all = positive.iter().chain(&any);
        if let Some((name, _)) = all.find(|(_, duration)| *duration > LONGEST) {
            return Some((name, "give a day at most"));
        }
        // What is shorter does nothing but repeat itself.
        let pauses = [
            ("journal_poll", self.journal_poll),
            ("presence_beat", self.presence_beat),
            ("health.probe_initial", probe_initial),
            ("health.probe_max", probe_max),
        ];
        let short = |duration: Duration| !duration.is_zero() && duration < SHORTEST;
        if let Some((name, _)) = pauses.iter().find(|(_, duration)| short(*duration)) {
            return Some((name, "give a millisecond at least"));
        }
        // None in a row would be true of everybody.
        let counts = [
            ("health.consecutive_faults", self.health.consecutive_faults),
            ("health.slow_in_row", self.health.slow_in_row),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Some((name, "give one at least"));
        }
        if !(0.0..=1.0).contains(&self.health.fault_ratio) {
            return Some(("health.fault_ratio", "give a share from 0 to 1"));
        }
        None
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_copies: 1,
            slow_after: Duration::from_secs(2),
            read_deadline: Duration::from_secs(20),
            write_deadline: Duration::from_secs(30),
            attempt_deadline: Duration::from_secs(5),
            rescue_after: Duration::from_millis(600),
            stall_deadline: Duration::from_secs(10),
            conditional_writes: ConditionalWrites::Refuse,
            stale_reads: StaleReads::Refuse,
            failback: Failback::Auto,
            settling: Duration::from_secs(10),
            journal_poll: Duration::from_secs(5),
            quarantine: Duration::from_mins(17),
            catch_up_rate: 200,
            catch_up_concurrency: 8,
            settle_check: true,
            settle_after: Duration::from_secs(2),
            settle_rate: 50,
            intent: false,
            presence_beat: Duration::from_mins(1),
            hedge_budget_percent: 5,
            read_through: false,
            memory: 256 << 20,
            health: HealthSettings::default(),
        }
    }
}

/// What a conditional write does while the first backend is not the one that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionalWrites {
    /// It fails and says so, because another process may still reach the first backend.
    #[default]
    Refuse,
    /// The first healthy backend decides. Safe with one writing process only.
    Active,
}

/// What a read does when every backend that answers is known to lack the latest version. Copies and renames never take an older
/// one: it would be the latest under its new name, and a rename would delete the one that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StaleReads {
    /// It fails and says so.
    #[default]
    Refuse,
    /// The older version is served; the observer is told.
    Serve,
}

/// Whether reads prefer a returned backend by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Failback {
    /// After the settling time.
    #[default]
    Auto,
    /// When [`Failover::fail_back`](crate::Failover::fail_back) is called, by each process for itself: an application gives
    /// its operators a way to call it.
    Manual,
}

/// When a backend is suspected, ejected and asked again.
///
/// By default 3 faults in a row eject, or half of at least 10 requests within 10 s, or 4 slow ones in a row for 200 ms; probes come
/// after 1 s, then up to every 15 s, and take 3 s at most; one that throttles is avoided for 2 s.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct HealthSettings {
    /// Faults in a row, with no success between, that eject.
    pub consecutive_faults: u32,
    /// Share of faults among the requests of a window that ejects, from 0 to 1.
    pub fault_ratio: f64,
    /// Requests that a window must have before its ratio means anything.
    pub window_minimum: u32,
    /// Length of a window.
    pub window: Duration,
    /// Requests that had to be saved from slowness by another backend, with none answered in time between them,
    /// that eject.
    pub slow_in_row: u32,
    /// How long such a row must last: a pause of our own scheduler is over sooner.
    pub slow_for: Duration,
    /// First pause before an ejected backend is probed.
    pub probe_initial: Duration,
    /// Longest pause between probes.
    pub probe_max: Duration,
    /// Bound on a probe.
    pub probe_deadline: Duration,
    /// How long a backend that throttles is avoided by reads, where it does not say itself; also the
    /// most that is believed if it does.
    pub throttle_pause: Duration,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            consecutive_faults: 3,
            fault_ratio: 0.5,
            window_minimum: 10,
            window: Duration::from_secs(10),
            slow_in_row: 4,
            slow_for: Duration::from_millis(200),
            probe_initial: Duration::from_secs(1),
            probe_max: Duration::from_secs(15),
            probe_deadline: Duration::from_secs(3),
            throttle_pause: Duration::from_secs(2),
        }
    }
}
