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
/// A millisecond: below it a deadline refuses everything, and a pause is none.
const SHORTEST: Duration = Duration::from_millis(1);
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
            // What is shorter does nothing but repeat itself; beside it no deadline has a use.
            if duration < SHORTEST {
                return Err(reader.wrong(key, &format!("`{key}` is to be a millisecond at least")));
            }
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
    if let Some(copies) = reader.count("min_copies", 1..=MOST_COPIES)? {
        settings.min_copies = copies;
    }
    let counts = [
        ("catch_up_rate", FASTEST, &mut settings.catch_up_rate),
        ("settle_rate", FASTEST, &mut settings.settle_rate),
        ("consecutive_faults", MOST_FAULTS, &mut settings.health.consecutive_faults),
    ];
    for (key, most, field) in counts {
        if let Some(count) = reader.count(key, 1..=most)? {
            *field = u32::try_from(count).unwrap_or(u32::MAX);
        }
    }
    if let Some(keys) = reader.count("catch_up_concurrency", 1..=MOST_AT_ONCE)? {
        settings.catch_up_concurrency = keys;
    }
    if let Some(percent) = reader.count("hedge_budget_percent", 0..=100)? {
        settings.hedge_budget_percent = u32::try_from(percent).unwrap_or(100);
    }
    if let Some(mib) = reader.count("memory_mib", 1..=MOST_MEMORY_MIB)? {
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

#[cfg(test)]
mod tests {
    use super::super::settings::parse;
    use super::*;

    type Set = fn(&mut Settings);

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn read(lines: &str) -> Settings {
        let text = format!("[[backend]]\nurl = \"memory://x\"\n[failover]\n{lines}");
        parse("lifeboat.toml", &text).unwrap().failover
    }

    #[test]
    fn each_key_sets_its_own_setting_and_no_other() {
        let keys: [(&str, &str, Set); 27] = [
            ("min_copies", "3", |settings| settings.min_copies = 3),
            ("slow_after", "\"101s\"", |settings| settings.slow_after = seconds(101)),
            ("read_deadline", "\"102s\"", |settings| settings.read_deadline = seconds(102)),
            ("write_deadline", "\"103s\"", |settings| settings.write_deadline = seconds(103)),
            ("attempt_deadline", "\"104s\"", |settings| settings.attempt_deadline = seconds(104)),
            ("conditional_writes", "\"active\"", |settings| {
                settings.conditional_writes = ConditionalWrites::Active;
            }),
            ("stale_reads", "\"serve\"", |settings| settings.stale_reads = StaleReads::Serve),
            ("failback", "\"manual\"", |settings| settings.failback = Failback::Manual),
            ("settling", "\"105s\"", |settings| settings.settling = seconds(105)),
            ("journal_poll", "\"106s\"", |settings| settings.journal_poll = seconds(106)),
            ("quarantine", "\"107s\"", |settings| settings.quarantine = seconds(107)),
            ("catch_up_rate", "108", |settings| settings.catch_up_rate = 108),
            ("settle_check", "false", |settings| settings.settle_check = false),
            ("intent", "true", |settings| settings.intent = true),
            ("presence_beat", "\"109s\"", |settings| settings.presence_beat = seconds(109)),
            ("rescue_after", "\"110s\"", |settings| settings.rescue_after = seconds(110)),
            ("stall_deadline", "\"111s\"", |settings| settings.stall_deadline = seconds(111)),
            ("settle_after", "\"112s\"", |settings| settings.settle_after = seconds(112)),
            ("settle_rate", "113", |settings| settings.settle_rate = 113),
            ("catch_up_concurrency", "114", |settings| settings.catch_up_concurrency = 114),
            ("read_through", "true", |settings| settings.read_through = true),
            ("consecutive_faults", "115", |settings| settings.health.consecutive_faults = 115),
            ("probe_initial", "\"116s\"", |settings| settings.health.probe_initial = seconds(116)),
            ("probe_max", "\"117s\"", |settings| settings.health.probe_max = seconds(117)),
            ("probe_deadline", "\"118s\"", |settings| {
                settings.health.probe_deadline = seconds(118);
            }),
            ("hedge_budget_percent", "19", |settings| settings.hedge_budget_percent = 19),
            ("memory_mib", "120", |settings| settings.memory = 120 << 20),
        ];
        assert_eq!(keys.map(|(key, ..)| key), KEYS, "every key of the table, once");
        let (mut together, mut all) = (String::new(), Settings::default());
        for (key, value, set) in keys {
            let line = format!("{key} = {value}\n");
            let mut expected = Settings::default();
            set(&mut expected);
            assert_ne!(
                expected,
                Settings::default(),
                "{key} is so by default, which shows nothing"
            );
            assert_eq!(read(&line), expected, "{key}");
            together += &line;
            set(&mut all);
        }
        assert_eq!(read(&together), all);
    }
}
