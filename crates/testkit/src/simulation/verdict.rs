//! What is checked in the end: that the backends agree, that nothing acknowledged is lost, and that nothing deleted
//! or overwritten is back.

use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path;

use super::backend::{Conditions, Stored};
use super::check::{lost_to_an_earlier_life, written_keys};
use super::content::{EARLIER, FOREIGN, value_of};
use super::history::{Action, Outcome, Record, Value};
use super::model::may_have_happened;
use super::run::TRAVEL;
use super::world::{State, World, is_shared};

/// The objects of a backend that belong to the application's users.
fn users(world: &World, backend: usize) -> BTreeMap<Path, (Stored, Vec<(String, String)>)> {
    let hidden = format!("metadata:{}", world.profile.private_metadata);
    let mut objects = BTreeMap::new();
    for (key, stored) in world.backends[backend].objects() {
        if key.as_ref().starts_with(&world.profile.private) {
            continue;
        }
        let visible = stored.attributes.iter().filter(|(name, _)| !name.starts_with(&hidden));
        let visible = visible.map(|(name, value)| (name.clone(), value.clone())).collect();
        objects.insert(key, (stored, visible));
    }
    objects
}

/// Keys that are not the same on all backends.
pub(super) fn differences(world: &World) -> Vec<(Path, String)> {
    let all: Vec<_> = (0..world.backends.len()).map(|backend| users(world, backend)).collect();
    let keys: BTreeSet<_> = all.iter().flat_map(BTreeMap::keys).cloned().collect();
    let describe = |found: Option<&(Stored, Vec<(String, String)>)>| match found {
        None => "nothing".to_owned(),
        Some((stored, attributes)) => format!("{:?} {attributes:?}", value_of(&stored.bytes)),
    };
    let mut different = Vec::new();
    for key in keys {
        let texts: Vec<_> = all.iter().map(|objects| describe(objects.get(&key))).collect();
        if texts.iter().any(|text| *text != texts[0]) {
            different.push((key, texts.join(" | ")));
        }
    }
    different
}

/// Markers that are left.
pub(super) fn markers(world: &World) -> Vec<String> {
    let journal = &world.profile.journal;
    let left = |backend: &super::SimBackend| {
        let name = backend.name().to_owned();
        backend.keys(journal).into_iter().map(move |key| format!("{name}: {key}"))
    };
    world.backends.iter().flat_map(left).collect()
}

/// Complains about all that is wrong with what is there in the end.
pub(super) fn judge(world: &World) {
    let found: BTreeMap<Path, Option<Value>> = users(world, 0)
        .into_iter()
        .map(|(key, (stored, _))| (key, value_of(&stored.bytes)))
        .collect();
    let kept = conflicts(world);
    let wrong = [
        judge_own(world, &found),
        judge_shared(world, &found, &kept),
        judge_losers(world, &found, &kept),
        judge_reads(world),
        judge_foreign(world, &found, &kept),
    ];
    for wrong in wrong.into_iter().flatten() {
        world.complain(wrong);
    }
}

/// The values that are kept as losers of conflicts, on any backend.
pub(super) fn conflicts(world: &World) -> BTreeSet<Value> {
    let prefix = &world.profile.conflicts;
    let objects = world.backends.iter().flat_map(super::SimBackend::objects);
    let kept = objects.filter(|(key, _)| key.as_ref().starts_with(prefix));
    kept.filter_map(|(_, stored)| value_of(&stored.bytes)).collect()
}

fn judge_own(world: &World, found: &BTreeMap<Path, Option<Value>>) -> Vec<String> {
    let state = world.state();
    let mut wrong = Vec::new();
    for ((process, number), client) in &state.clients {
        let restarted = world.plan.crashes.iter().any(|crash| crash.process == *process);
        for (key, known) in client.model.keys() {
            let value = found.get(key).copied().flatten();
            let lies = found.get(key).is_some_and(Option::is_none);
            let (expected, since) = known.expected();
            let allowed = world.is_disturbed(&state, key)
                || (known.ever(value) && world.overrun(key, &expected, since, *process))
                // Of two lives of a process the first may have dated its writes by another's clock, that is ahead.
                || (restarted && lost_to_an_earlier_life(world, &expected))
                || (known.ever(value)
                    && expected.contains(&None)
                    && deleted_unawares(world, &state, (*process, *number), key))
                || known.allows(value, |value, since| world.landed(key, value, since));
            if lies || !allowed {
                let possible = client.model.values(key);
                wrong.push(format!("in the end {key} holds {value:?}, possible is {possible:?}"));
            }
        }
    }
    wrong
}

/// A write of a key that several clients write.
#[derive(Clone, Copy)]
struct Write<'a> {
    record: &'a Record,
    value: Option<Value>,
    acknowledged: bool,
    /// When it was over for good.
    ended: u64,
}

/// Every write of a key, in the order in which they began.
fn writes<'a>(world: &World, records: &'a [Record], key: &Path) -> Vec<Write<'a>> {
    let mut writes = Vec::new();
    for record in records {
        let keys = written_keys(&record.action);
        let Some(place) = keys.iter().position(|written| *written == key) else { continue };
        if !may_have_happened(&record.outcome) {
            continue;
        }
        let acknowledged = match &record.outcome {
            Outcome::Deleted(done) => done.get(place) == Some(&true),
            outcome => *outcome == Outcome::Done,
        };
        let values: Vec<_> = match &record.action {
            Action::Delete(_) => vec![None],
            _ => record.values.iter().copied().map(Some).collect(),
        };
        for value in values {
            let ended = if acknowledged {
                record.completed.unwrap_or(u64::MAX)
            } else {
                last_landing(world, key, value).max(record.completed.unwrap_or(record.invoked))
            };
            writes.push(Write { record, value, acknowledged, ended });
        }
    }
    writes
}

/// Whether a later life of a process deleted a key while it could not ask everybody what its earlier life had left: that may be
/// dated later, by the clock of another process that is ahead, and no delete can be kept as a loser.
fn deleted_unawares(world: &World, state: &State, client: (usize, usize), key: &Path) -> bool {
    state.last_delete(client, key).is_some_and(|record| {
        let until = record.completed.unwrap_or(record.invoked);
        record.incarnation > 0
            && world.plan.lag(record.process) > 0
            && !world.could_read_all(record.process, state.born[record.process], until)
    })
}

/// When a value last came to some backend.
fn last_landing(world: &World, key: &Path, value: Option<Value>) -> u64 {
    let last = |backend: &super::SimBackend| {
        backend.with_log(|log| {
            let is = |change: &&super::Applied| {
                change.key == *key && change.now.as_deref().and_then(value_of) == value
            };
            log.iter().rev().find(is).map(|change| change.at)
        })
    };
    world.backends.iter().filter_map(last).max().unwrap_or_default()
}

/// Whether a write was over before another began, by any clock that it may have been dated with.
fn precedes(world: &World, one: &Write<'_>, other: &Write<'_>) -> bool {
    let same = one.record.process == other.record.process
        && one.record.incarnation == other.record.incarnation;
    let lag = if same { 0 } else { world.plan.lag(other.record.process) };
    one.ended.saturating_add(lag) < other.record.invoked
}

fn judge_shared(
    world: &World,
    found: &BTreeMap<Path, Option<Value>>,
    kept: &BTreeSet<Value>,
) -> Vec<String> {
    let state = world.state();
    let mut wrong = Vec::new();
    for key in shared_keys(&state.history.records) {
        if world.is_disturbed(&state, &key) {
            continue;
        }
        let value = found.get(&key).copied().flatten();
        let writes = writes(world, &state.history.records, &key);
        let candidates: Vec<_> = writes.iter().filter(|write| write.value == value).collect();
        let first = candidates.is_empty() && value == world.before.get(&key).copied();
        if candidates.is_empty() && !first && value.is_none() {
            wrong.push(format!("in the end {key} is gone, which nobody deleted"));
            continue;
        }
        if candidates.is_empty() && !first {
            wrong.push(format!("in the end {key} holds {value:?}, which nobody wrote"));
            continue;
        }
        let lost = |other: &&Write<'_>| {
            let is_kept = other.value.is_some_and(|value| kept.contains(&value));
            let superseded = candidates.iter().all(|write| precedes(world, write, other));
            other.acknowledged
                && other.value != value
                && superseded
                && (first || !candidates.is_empty())
                && !is_kept
                && !world.overrun(&key, &[other.value], other.record.invoked, other.record.process)
                && !replaced(world, &writes, &candidates, other)
        };
        if let Some(lost) = writes.iter().find(lost) {
            wrong.push(format!(
                "in the end {key} holds {value:?}, and this is lost: {}",
                lost.record
            ));
        }
    }
    wrong
}

/// Of writes in no order any may win, but the application is to keep the loser: complains where it has replaced an
/// acknowledged write knowingly, by a request that was sent when the write was there, and not kept it.
fn judge_losers(
    world: &World,
    found: &BTreeMap<Path, Option<Value>>,
    kept: &BTreeSet<Value>,
) -> Vec<String> {
    let state = world.state();
    let keys =
        if world.profile.losers { shared_keys(&state.history.records) } else { BTreeSet::new() };
    let mut wrong = Vec::new();
    for key in keys.iter().filter(|key| !world.is_disturbed(&state, key)) {
        let holds = found.get(key).copied().flatten();
        let writes = writes(world, &state.history.records, key);
        let lost = |one: &&Write<'_>| {
            let life = |write: &Write<'_>| (write.record.process, write.record.incarnation);
            // One process has its writes of a key in order, and knows what it overwrites.
            let followed = writes.iter().any(|other| {
                let next = life(other) == life(one) && other.record.id != one.record.id;
                other.record.invoked >= one.ended || (next && other.ended >= one.ended)
            });
            one.acknowledged
                && one.record.values.len() == 1
                && one.value != holds
                && one.value.is_some_and(|value| !kept.contains(&value))
                && !followed
                && !raced(world, key, &writes, one)
        };
        wrong.extend(writes.iter().find(lost).map(|lost| {
            format!("in the end {key} holds {holds:?}, and this is not kept: {}", lost.record)
        }));
    }
    wrong
}

/// Whether some backend replaced a write by a request that was under way when the write came, or that belonged to an
/// operation of a client: nobody could know.
fn raced(world: &World, key: &Path, writes: &[Write<'_>], lost: &Write<'_>) -> bool {
    let value = |change: &super::Applied| change.now.as_deref().and_then(value_of);
    world.backends.iter().enumerate().any(|(at, backend)| {
        backend.with_log(|log| {
            let changes: Vec<_> = log.iter().filter(|change| change.key == *key).collect();
            changes.windows(2).any(|pair| {
                let (there, next) = (pair[0], pair[1]);
                let replaced = value(there) == lost.value && value(next) != lost.value;
                let unconditional = next.now.is_none();
                let under_way = next.sent <= there.at + blind(world, at, unconditional);
                let operation = writes.iter().any(|write| {
                    write.value == value(next)
                        && (write.record.invoked..=write.ended).contains(&next.sent)
                });
                replaced && (under_way || operation)
            })
        })
    })
}

/// For how long after its last look a request may be under way that a backend does not stop any more.
fn blind(world: &World, backend: usize, unconditional: bool) -> u64 {
    if world.plan.backends[backend].conditions == Conditions::Enforced && !unconditional {
        return 0;
    }
    u64::try_from((TRAVEL.end * world.plan.slowest(backend)).as_millis()).unwrap_or(u64::MAX)
}

/// Whether another process may have replaced a write, with something that is itself in no order with what is there.
fn replaced(world: &World, writes: &[Write<'_>], there: &[&Write<'_>], lost: &Write<'_>) -> bool {
    writes.iter().any(|write| {
        let other = (write.record.process, write.record.incarnation)
            != (lost.record.process, lost.record.incarnation);
        other
            && !precedes(world, write, lost)
            && there.iter().any(|there| !precedes(world, there, write))
    })
}

/// Whether another process wrote in no order with a write: that may have replaced it, with anything that is older.
fn contested(world: &World, writes: &[Write<'_>], read: &Record, newer: &Write<'_>) -> bool {
    writes.iter().any(|write| {
        write.record.process != newer.record.process
            && read.completed.is_none_or(|completed| write.record.invoked <= completed)
            && !precedes(world, write, newer)
    })
}

fn shared_keys(records: &[Record]) -> BTreeSet<Path> {
    let keys = records.iter().flat_map(|record| written_keys(&record.action));
    keys.filter(|key| is_shared(key)).cloned().collect()
}

/// Whether a process saw something older than what it had itself written before, of the keys that it shares.
fn judge_reads(world: &World) -> Vec<String> {
    let state = world.state();
    let records = &state.history.records;
    let mut wrong = Vec::new();
    for key in shared_keys(records) {
        if world.is_disturbed(&state, &key) {
            continue;
        }
        let writes = writes(world, records, &key);
        for read in records {
            let mine = super::check::read_key(&read.action) == Some(&key);
            let (Outcome::Saw(value), true) = (&read.outcome, mine) else { continue };
            if let Some(missed) = missed(world, &writes, read, *value) {
                wrong.push(format!("{read} is older than {}", missed.record));
            }
        }
    }
    wrong
}

/// What a read should have seen and has not.
fn missed<'a>(
    world: &World,
    writes: &'a [Write<'a>],
    read: &Record,
    value: Option<Value>,
) -> Option<&'a Write<'a>> {
    let read_key = super::check::read_key(&read.action)?;
    let mine = |write: &Write<'_>| {
        write.record.process == read.process && write.record.incarnation == read.incarnation
    };
    let possible: Vec<_> = (writes.iter())
        .filter(|write| write.value == value)
        .filter(|write| read.completed.is_none_or(|completed| write.record.invoked <= completed))
        .collect();
    // What others wrote comes when it comes.
    if world.may_be_stale(read) || possible.iter().any(|write| !mine(write)) {
        return None;
    }
    let seen = |write: &Write<'_>| write.acknowledged && mine(write) && write.ended < read.invoked;
    let overrun = |write: &Write<'_>| {
        world.overrun(read_key, &[write.value], write.record.invoked, read.process)
    };
    writes.iter().find(|newer| {
        // Where a later write was the victim, nobody can tell what it had replaced from what replaced it.
        let victim =
            |later: &Write<'_>| seen(later) && precedes(world, newer, later) && overrun(later);
        seen(newer)
            && newer.value != value
            && possible.iter().all(|write| precedes(world, write, newer))
            && !overrun(newer)
            && !writes.iter().any(victim)
            && !contested(world, writes, read, newer)
    })
}

/// Whether what someone wrote behind our back was overwritten by anything but a write that came after it.
fn judge_foreign(
    world: &World,
    found: &BTreeMap<Path, Option<Value>>,
    kept: &BTreeSet<Value>,
) -> Vec<String> {
    let state = world.state();
    let mut wrong = Vec::new();
    for (backend, at, key, value) in &state.foreign {
        if found.get(key).copied().flatten() == Some(*value) || kept.contains(value) {
            continue;
        }
        let next = world.backends[*backend].with_log(|log| {
            let foreign = log.iter().position(|change| {
                change.key == *key && change.now.as_deref().and_then(value_of) == Some(*value)
            });
            let rest = foreign.map(|place| &log[place + 1..]).unwrap_or_default();
            rest.iter().find(|change| change.key == *key).cloned()
        });
        let Some(next) = next else { continue };
        let successor = next.now.as_deref().and_then(value_of);
        let writes = writes(world, &state.history.records, key);
        // A write that was still open is a write that came after it.
        let after = |write: &Write<'_>| {
            write.value == successor && (!write.acknowledged || write.ended >= *at)
        };
        // One stranger may overwrite another.
        let stranger = successor.is_some_and(|value| (FOREIGN..EARLIER).contains(&value));
        // Without conditions nothing stops a request whose last look was answered just before; a delete bears none anywhere.
        let under_way = next.sent <= at + blind(world, *backend, next.now.is_none());
        if !stranger && !under_way && !writes.iter().any(after) {
            wrong.push(format!(
                "someone else's {value} of {key} on backend {backend} was overwritten with \
                 {successor:?} at {} and not kept",
                next.at
            ));
        }
    }
    wrong
}
