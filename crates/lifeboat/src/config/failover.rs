//! The `[failover]` table: how the configured backends work together as one store.

use std::time::Duration;

use lifeboat_core::Error;
use lifeboat_failover::{ConditionalWrites, Failback, Settings, StaleReads};
use toml::de::DeTable;

use super::read::{Reader, Source};

/// The keys of the table.
const KEYS: &[&str] = &[
    "min_copies",
    "slow_after",
    "read_deadline",
    "write_deadline",
    "attempt_deadline",
    "conditional_writes",
    "stale_reads",
    "failback",
    "settling",
    "journal_poll",
    "quarantine",
    "catch_up_rate",
    "settle_check",
    "intent",
    "presence_beat",
    "rescue_after",
    "stall_deadline",
    "settle_after",
    "settle_rate",
    "catch_up_concurrency",
    "read_through",
    "consecutive_faults",
    "probe_initial",
    "probe_max",
    "probe_deadline",
    "hedge_budget_percent",
    "memory_mib",
];
/// A day: beyond it a bound is none.
const LONGEST: Duration = Duration::from_hours(24);
/// Backends that one failover may have.
const MOST_COPIES: usize = 32;
/// Keys in a second: beyond it the rate is none.
const FASTEST: usize = 1_000_000;
/// Faults in a row: beyond it nobody is ever ejected.
const MOST_FAULTS: usize = 1_000;
/// Keys at once: beyond it catch-up is a load test.
const MOST_AT_ONCE: usize = 1_024;
/// A tebibyte.
const MOST_MEMORY_MIB: usize = 1 << 20;

/// Reads the table over the defaults.
pub(super) fn settings(source: Source<'_>, table: &DeTable<'_>) -> Result<Settings, Error> {
    let reader = Reader::new(source, table, KEYS)?;
    let mut settings = Settings::default();
    let durations = [
        ("read_deadline", &mut settings.read_deadline),
        ("write_deadline", &mut settings.write_deadline),
        ("attempt_deadline", &mut settings.attempt_deadline),
        ("journal_poll", &mut settings.journal_poll),
        ("quarantine", &mut settings.quarantine),
        ("rescue_after", &mut settings.rescue_after),
        ("stall_deadline", &mut settings.stall_deadline),
        ("probe_initial", &mut settings.health.probe_initial),
        ("probe_max", &mut settings.health.probe_max),
        ("probe_deadline", &mut settings.health.probe_deadline),
    ];
    for (key, field) in durations {
        if let Some(duration) = reader.duration(key, LONGEST)? {
            *field = duration;
        }
    }
    // Zero means something here: replication that nobody waits for, no presence.
    let pauses = [
        ("slow_after", &mut settings.slow_after),
        ("settling", &mut settings.settling),
        ("settle_after", &mut settings.settle_after),
        ("presence_beat", &mut settings.presence_beat),
    ];
    for (key, field) in pauses {
        if let Some(duration) = reader.pause(key, LONGEST)? {
            *field = duration;
        }
    }
    if let Some(copies) = reader.count("min_copies", MOST_COPIES)? {
        settings.min_copies = copies;
    }
    let counts = [
        ("catch_up_rate", FASTEST, &mut settings.catch_up_rate),
        ("settle_rate", FASTEST, &mut settings.settle_rate),
        ("consecutive_faults", MOST_FAULTS, &mut settings.health.consecutive_faults),
    ];
    for (key, most, field) in counts {
        if let Some(count) = reader.count(key, most)? {
            *field = u32::try_from(count).unwrap_or(u32::MAX);
        }
    }
    if let Some(keys) = reader.count("catch_up_concurrency", MOST_AT_ONCE)? {
        settings.catch_up_concurrency = keys;
    }
    if let Some(percent) = reader.count("hedge_budget_percent", 100)? {
        settings.hedge_budget_percent = u32::try_from(percent).unwrap_or(100);
    }
    if let Some(mib) = reader.count("memory_mib", MOST_MEMORY_MIB)? {
        settings.memory = u64::try_from(mib).unwrap_or(u64::MAX) << 20;
    }
    settings.settle_check = reader.boolean("settle_check")?.unwrap_or(settings.settle_check);
    settings.read_through = reader.boolean("read_through")?.unwrap_or(settings.read_through);
    settings.intent = reader.boolean("intent")?.unwrap_or(settings.intent);
    let conditional =
        [("refuse", ConditionalWrites::Refuse), ("active", ConditionalWrites::Active)];
    choose(&reader, "conditional_writes", &conditional, &mut settings.conditional_writes)?;
    let stale = [("refuse", StaleReads::Refuse), ("serve", StaleReads::Serve)];
    choose(&reader, "stale_reads", &stale, &mut settings.stale_reads)?;
    let failback = [("auto", Failback::Auto), ("manual", Failback::Manual)];
    choose(&reader, "failback", &failback, &mut settings.failback)?;
    Ok(settings)
}

fn choose<T: Copy>(
    reader: &Reader<'_, '_>,
    key: &str,
    choices: &[(&str, T)],
    field: &mut T,
) -> Result<(), Error> {
    let Some(text) = reader.string(key)? else { return Ok(()) };
    if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
        *field = *choice;
        return Ok(());
    }
    let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    Err(reader.wrong(key, &format!("`{key}` is to be {}", names.join(" or "))))
}
