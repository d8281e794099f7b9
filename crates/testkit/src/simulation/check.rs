//! What is checked while the simulation runs: the outcome of each operation against what its client knows, and
//! against the weather.

use std::collections::BTreeSet;

use object_store::path::Path;

use super::content::{EARLIER, value_of};
use super::history::{Action, Outcome, Record, Refusal, Value};
use super::run::TRAVEL;
use super::world::{World, is_shared, own_folder};

/// The keys that an action writes.
pub(super) fn written_keys(action: &Action) -> Vec<&Path> {
    match action {
        Action::Put(key)
        | Action::Create(key)
        | Action::Update(key)
        | Action::Multipart(key)
        | Action::Copy(_, key) => vec![key],
        Action::Rename(from, to) => vec![from, to],
        Action::Delete(keys) => keys.iter().collect(),
        _ => Vec::new(),
    }
}

/// The key that an action reads.
pub(super) fn read_key(action: &Action) -> Option<&Path> {
    match action {
        Action::Get(key)
        | Action::GetRange(key, _)
        | Action::GetRanges(key, _)
        | Action::Head(key) => Some(key),
        _ => None,
    }
}

/// Checks an operation that has just ended.
pub(super) fn online(world: &World, record: &Record) {
    let wrong = [
        check_duration(world, record),
        check_refusal(record),
        check_availability(world, record),
        check_own_keys(world, record),
        check_earlier(world, record),
        check_listing(world, record),
    ];
    for wrong in wrong.into_iter().flatten() {
        world.complain(format!("{wrong}: {record}"));
    }
}

fn check_duration(world: &World, record: &Record) -> Option<String> {
    let took = record.completed?.saturating_sub(record.invoked);
    let profile = &world.profile;
    // How many requests one after the other an operation stands for.
    let (bound, steps) = match &record.action {
        Action::Get(_) | Action::GetRange(..) | Action::GetRanges(..) => {
            (profile.read_bound + profile.silence, 1)
        }
        Action::Head(_) => (profile.read_bound, 1),
        Action::List(_) => (profile.read_bound, 2),
        Action::Level(_) => (profile.level_bound, 1),
        Action::Put(_) | Action::Create(_) | Action::Update(_) => (profile.write_bound, 1),
        Action::Delete(keys) => (profile.write_bound, u32::try_from(keys.len()).unwrap_or(1)),
        Action::Multipart(_) | Action::AbortedMultipart(_) => (profile.write_bound, 3),
        Action::Copy(..) => (profile.read_bound + profile.write_bound, 1),
        Action::Rename(..) => (profile.read_bound + profile.write_bound * 2, 1),
    };
    // A listing where keys come folder by folder passes over every page of what is kept beside the application's objects.
    let pages = world.backends.iter().zip(&world.plan.backends);
    let paging = pages.map(|(backend, plan)| TRAVEL.end * plan.slower * backend.most_pages()).max();
    let listed = matches!(record.action, Action::List(_) | Action::Level(_));
    let paging = paging.filter(|_| listed).unwrap_or_default();
    let bound = u64::try_from((bound * steps + paging).as_millis()).unwrap_or(u64::MAX);
    (took > bound).then(|| format!("took {took} ms, more than {bound}"))
}

/// Whether it was refused in a way that does not belong to it.
fn check_refusal(record: &Record) -> Option<String> {
    let Outcome::Failed(refusal, text) = &record.outcome else { return None };
    if text.contains("DUPLICATE") {
        return Some("a key is listed twice".to_owned());
    }
    let belongs = match refusal {
        Refusal::Other => true,
        Refusal::NotFound => {
            matches!(record.action, Action::Copy(..) | Action::Rename(..) | Action::Update(_))
        }
        Refusal::AlreadyExists => matches!(record.action, Action::Create(_)),
        Refusal::Precondition => matches!(record.action, Action::Update(_)),
        Refusal::NotSupported => record.action.is_conditional(),
    };
    (!belongs).then(|| "an answer that does not belong to this request".to_owned())
}

/// Whether it failed although a backend could have served it.
fn check_availability(world: &World, record: &Record) -> Option<String> {
    let Outcome::Failed(Refusal::Other, _) = &record.outcome else { return None };
    let (plan, process) = (&world.plan, Some(record.process));
    let until = record.completed?;
    let backends = 0..plan.backends.len();
    if record.action.is_conditional() {
        // One that is slow all the time may be taken for one that is unwell; and what others write at the same time, be it
        // that they catch up, may be on its way for as long as a decision can wait.
        let alone = written_keys(&record.action)
            .iter()
            .all(|key| !is_shared(key) && !world.others_wrote(key, record));
        // A delete may pass by the backend that decides where nobody waits for the write before it, and must not be brought
        // there before everyone has heard of it.
        let client = (record.process, record.client);
        let passed_by = matches!(&record.action, Action::Create(key)
            if plan.variant.asynchronous && world.state().last_delete(client, key).is_some());
        let fine = plan.episodes.is_empty()
            && alone
            && !passed_by
            && plan.backends.iter().all(|one| one.slower == 1);
        return fine.then(|| "failed in fine weather".to_owned());
    }
    let reads = !matches!(
        record.action,
        Action::Put(_) | Action::Delete(_) | Action::Multipart(_) | Action::AbortedMultipart(_)
    );
    let grace = u64::try_from(world.profile.grace.as_millis()).unwrap_or_default();
    let from = record.invoked.saturating_sub(grace);
    // One that is slow all the time may be taken for one that is unwell.
    let fine = |backend: usize| {
        plan.was_fine(process, backend, from, until) && plan.backends[backend].slower == 1
    };
    if reads && !reads_own_keys(record) {
        let fine = plan.episodes.is_empty() && plan.backends.iter().all(|one| one.slower == 1);
        return fine.then(|| "failed in fine weather".to_owned());
    }
    if reads && !plan.episodes.is_empty() && reads_unstamped(world, record) {
        return None;
    }
    if reads && let Some(backend) = could_serve(world, record, fine) {
        return Some(format!("a read failed although backend {backend} was fine and has it"));
    }
    if reads {
        // A backend that was fine for everyone from the beginning has everything, and the first life of a process
        // knows that it has.
        let always = |at: usize| {
            let fine = plan.was_fine(None, at, 0, until) && plan.backends[at].slower == 1;
            fine && plan.joins != Some(at)
        };
        let first = record.incarnation == 0 && plan.loss.is_none();
        // Where nobody waits for it, it has everything only in the next moment.
        let waits = !plan.variant.asynchronous;
        // Where two copies are wanted, a write that only one backend takes fails, and leaves a difference that nobody who
        // reads can decide.
        let one = plan.variant.copies == 1;
        // What reads and writes needs as many as a write.
        let writes = !record.action.is_read();
        let needed = if writes { plan.variant.copies } else { 1 };
        let served = backends.clone().filter(|at| always(*at)).count();
        let fair = plan.episodes.is_empty()
            && (needed == 1 || plan.backends.iter().all(|one| one.slower == 1));
        let could = (first && waits && one && served >= needed) || fair;
        return could.then(|| "a read failed although one backend was always fine".to_owned());
    }
    // An upload that another process' catch-up or a late request overwrites where nobody else has it, or that its provider
    // loses, cannot be completed again.
    let overwritten = |key: &&Path| {
        world.others_wrote(key, record)
            || world.landed_late(key, record)
            || world.is_disturbed(&world.state(), key)
    };
    let upload = matches!(record.action, Action::Multipart(_));
    if upload && written_keys(&record.action).iter().any(overwritten) {
        return None;
    }
    let served: Vec<usize> = backends.filter(|backend| fine(*backend)).collect();
    (served.len() >= plan.variant.copies)
        .then(|| format!("a write failed although the backends {served:?} were fine"))
}

/// Whether it reads a body that was there before a backend joined: it bears no stamp, and where it breaks off nobody can
/// prove to have the same version.
fn reads_unstamped(world: &World, record: &Record) -> bool {
    let Some(key) = read_key(&record.action) else { return false };
    let state = world.state();
    let client = state.clients.get(&(record.process, record.client));
    let known = client.and_then(|client| client.model.key(key));
    let earlier = |value: &Option<Value>| value.is_some_and(|value| value >= EARLIER);
    !matches!(record.action, Action::Head(_))
        && known.is_some_and(|known| known.expected().0.iter().any(earlier))
}

/// A backend that has been fine and holds the newest version of a key with one writer. Who has not had the time to read
/// every journal does not know that it is the newest.
fn could_serve(world: &World, record: &Record, fine: impl Fn(usize) -> bool) -> Option<usize> {
    let key = read_key(&record.action)?;
    let state = world.state();
    let born = state.born[record.process];
    let knows =
        record.incarnation == 0 || world.could_read_all(record.process, born, record.completed?);
    if !knows || world.is_disturbed(&state, key) {
        return None;
    }
    let client = state.clients.get(&(record.process, record.client))?;
    // What a backend lacks it may lack because it has just joined, or because a delete that failed landed there: nobody
    // has to believe it.
    let model = client.model.key(key)?;
    let newest = model.certain()?;
    newest?;
    let (_, since) = model.expected();
    let has = |at: usize| {
        world.backends[at].with_log(|log| {
            let last = log.iter().rev().find(|change| change.key == *key);
            let held = last.and_then(|change| change.now.as_deref()).and_then(value_of);
            // A late request may have brought the same value in an older version.
            let overtaken = last.is_some_and(|last| {
                log.iter()
                    .any(|other| other.key == *key && other.sent > last.sent && other.at < last.at)
            });
            let before = last.is_none_or(|change| change.at <= record.invoked);
            // What was there before is another version, even if its bytes are the same.
            let older = last.is_some_and(|change| change.sent < since);
            held == newest && before && !overtaken && !older
        })
    };
    (0..world.backends.len()).find(|at| fine(*at) && has(*at))
}

/// Whether it reads nothing but keys that its client has to itself: of the others somebody else may have the only
/// copy.
fn reads_own_keys(record: &Record) -> bool {
    let folder = own_folder(record.process, record.client);
    if let Some(key) = read_key(&record.action) {
        return key.prefix_matches(&folder);
    }
    match &record.action {
        Action::List(prefix) | Action::Level(prefix) => prefix.prefix_matches(&folder),
        Action::Copy(from, to) | Action::Rename(from, to) => {
            from.prefix_matches(&folder) && to.prefix_matches(&folder)
        }
        _ => false,
    }
}

/// Whether what was seen of a key with one writer is possible.
fn check_own_keys(world: &World, record: &Record) -> Option<String> {
    let state = world.state();
    let client = state.clients.get(&(record.process, record.client))?;
    let now = record.completed.unwrap_or(record.invoked);
    if !world.could_read_all(record.process, state.born[record.process], now) {
        return None;
    }
    let allows = |key: &Path, value: Option<Value>| -> bool {
        let Some(known) = client.model.key(key) else { return true };
        let (expected, since) = known.expected();
        world.is_disturbed(&state, key)
            || known.allows(value, |value, since| world.landed(key, value, since))
            || (known.ever(value) && world.overrun(key, &expected, since, record.process))
            || (record.incarnation > 0 && lost_to_an_earlier_life(world, &expected))
            || (value.is_some() && world.is_from_a_dead_life(&state, key, value))
    };
    let older = world.may_be_stale(record);
    let shows = |key: &Path, value: Option<Value>| {
        allows(key, value)
            || (older && client.model.key(key).is_some_and(|known| known.ever(value)))
    };
    let exists = |key: &Path| {
        client.model.key(key).is_none() || client.model.values(key).into_iter().next().is_some()
    };
    if let (Some(key), Outcome::Saw(value)) = (read_key(&record.action), &record.outcome) {
        let values = client.model.values(key);
        let absent = if allows(key, None) { " or nothing" } else { "" };
        let text = || format!("saw {value:?} where only {values:?}{absent} can be");
        return (!shows(key, *value)).then(text);
    }
    match (&record.action, &record.outcome) {
        (Action::Create(key), Outcome::Done) if !allows(key, None) => {
            Some("created what exists".to_owned())
        }
        (Action::Create(key), Outcome::Failed(Refusal::AlreadyExists, _))
            if !exists(key) && !world.is_disturbed(&state, key) && !haunted(world, client, key) =>
        {
            Some("refused to create what does not exist".to_owned())
        }
        (Action::Copy(from, _) | Action::Rename(from, _), Outcome::Done)
            if !exists(from)
                && !world.is_disturbed(&state, from)
                && !haunted(world, client, from) =>
        {
            Some("copied what does not exist".to_owned())
        }
        (
            Action::Copy(from, _) | Action::Rename(from, _),
            Outcome::Failed(Refusal::NotFound, _),
        ) if !allows(from, None) => Some("found nothing to copy".to_owned()),
        _ => None,
    }
}

/// Whether something that was there before a backend joined was denied, although nobody has tried to delete it: that
/// needs no knowledge of what any process did, so it holds from the first moment of each life.
fn check_earlier(world: &World, record: &Record) -> Option<String> {
    let state = world.state();
    let kept = |key: &Path| {
        let deletes = |record: &Record| {
            let gone = matches!(record.action, Action::Delete(_) | Action::Rename(..));
            gone && written_keys(&record.action).contains(&key)
        };
        world.before.contains_key(key)
            && !world.is_disturbed(&state, key)
            && !state.history.records.iter().any(deletes)
    };
    let text = match (&record.action, &record.outcome) {
        (Action::Create(key), Outcome::Done) if kept(key) => "created what was there before",
        (Action::Copy(key, _), Outcome::Failed(Refusal::NotFound, _)) if kept(key) => {
            "did not find what was there before"
        }
        (action, Outcome::Saw(None)) if read_key(action).is_some_and(kept) => {
            "did not see what was there before"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// Whether a write lost to one of an earlier life of its process, which was dated by a clock that is ahead: it is kept.
pub(super) fn lost_to_an_earlier_life(world: &World, expected: &[Option<Value>]) -> bool {
    let kept = super::verdict::conflicts(world);
    expected.iter().flatten().any(|value| kept.contains(value))
}

/// Whether something may be there that is not among the values that a client counts on.
fn haunted(world: &World, client: &super::world::Client, key: &Path) -> bool {
    let Some(known) = client.model.key(key) else { return true };
    known.certain().is_none() && known.allows_more(|value, since| world.landed(key, value, since))
}

/// Whether a listing has what a client knows to be there, and nothing else.
fn check_listing(world: &World, record: &Record) -> Option<String> {
    let (objects, folders) = match &record.outcome {
        Outcome::Listed(keys) => (keys, None),
        Outcome::Level { objects, folders } => (objects, Some(folders)),
        _ => return None,
    };
    let listed = || objects.iter().chain(folders.into_iter().flatten());
    if listed().any(|key| key.as_ref().starts_with(&world.profile.private)) {
        return Some("a listing shows what is private".to_owned());
    }
    let state = world.state();
    let now = record.completed.unwrap_or(record.invoked);
    if !world.could_read_all(record.process, state.born[record.process], now) {
        return None;
    }
    let client = state.clients.get(&(record.process, record.client))?;
    let folder = own_folder(record.process, record.client);
    if let Some(stranger) = (objects.iter())
        .filter(|key| key.prefix_matches(&folder))
        .find(|key| client.model.key(key).is_none())
    {
        return Some(format!("a listing shows {stranger}, which was never written"));
    }
    if world.may_be_stale(record) {
        return None;
    }
    let returned = |key: &Path| {
        let mut values = client.model.all_values(key).into_iter();
        values.any(|value| world.is_from_a_dead_life(&state, key, Some(value)))
    };
    // Folders in which something may be.
    let mut possible = BTreeSet::new();
    for (key, known) in client.model.keys() {
        let (expected, since) = known.expected();
        let certain = known.certain().filter(|_| {
            !world.is_disturbed(&state, key)
                && !world.overrun(key, &expected, since, record.process)
        });
        let below = folders.zip(subfolder(&folder, key));
        let there = match &below {
            Some((folders, below)) => folders.contains(below),
            None => objects.contains(key),
        };
        match certain {
            Some(Some(_)) if !there => return Some(format!("{key} is missing in a listing")),
            Some(None) if there && below.is_none() && !returned(key) => {
                return Some(format!("{key} is deleted, and listed"));
            }
            Some(None) => {}
            _ => possible.extend(below.map(|(_, below)| below)),
        }
    }
    let empty = folders?.iter().find(|folder| !possible.contains(*folder))?;
    Some(format!("the folder {empty} is listed, and nothing is in it"))
}

/// The folder within `folder` in which a key is, if it is not in `folder` itself.
fn subfolder(folder: &Path, key: &Path) -> Option<Path> {
    let depth = folder.parts_count() + 1;
    (key.parts_count() > depth).then(|| key.parts().take(depth).collect())
}
