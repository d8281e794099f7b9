//! Which state of a key wins: a pure function of what the backends hold and what the markers say.

use std::time::Duration;

use lifeboat_core::{Stamp, VersionTag};
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::journal::index::{Keeping, Known};
use crate::presence::CLOCK_ERROR;

/// What one backend holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State<'a> {
    pub(crate) at: usize,
    pub(crate) seen: Option<&'a (ObjectMeta, Option<VersionTag>)>,
    /// It holds every acknowledged write but those that the known markers name it for: it is seeded, and every journal
    /// has been read.
    pub(crate) complete: bool,
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settlement {
    /// Who holds the winner; none if the key is deleted.
    pub(crate) winner: Option<usize>,
    /// When it was deleted, if it is.
    pub(crate) deleted: Option<Stamp>,
    /// Nobody told of the delete: it follows from what a backend lacks.
    pub(crate) inferred: bool,
    /// Backends that hold something else.
    pub(crate) lagging: Vec<usize>,
    /// Holders of versions that must be kept before they are overwritten.
    pub(crate) conflicts: Vec<usize>,
}

/// How far the wall clocks of two processes, or of a process and a provider, may be apart: a day, which is more than a
/// wrong time zone. Processes that live long enough go by the time since they know of a marker instead; and an object
/// without a stamp that is older than a write by more than this was there before it.
pub(crate) const CLOCK_MARGIN: Duration = Duration::from_hours(24);

/// The order of a state. A version without a stamp of its own comes before all that have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Order(Option<Stamp>);

/// Decides. None if nothing was seen.
pub(crate) fn settle(key: &Path, states: &[State<'_>], known: &[Known]) -> Option<Settlement> {
    if states.is_empty() {
        return None;
    }
    let best = states
        .iter()
        .filter(|state| state.seen.is_some())
        // At equal order the first backend's.
        .rev()
        .max_by_key(|state| order(key, state, known));
    let (deleted, inferred) = tombstone(key, states, known);
    let alive =
        best.filter(|state| deleted.is_none_or(|at| order(key, state, known) > Order(Some(at))));
    let Some(winner) = alive else {
        // Absent everywhere, or dead.
        let lagging: Vec<usize> =
            states.iter().filter(|s| s.seen.is_some()).map(|s| s.at).collect();
        let conflicts = states
            .iter()
            .filter(|state| state.seen.is_some())
            .filter(|state| {
                inferred
                    || is_later(state, deleted)
                    || outlived(state, deleted, known)
                    || is_conflict(key, state, None, deleted, known)
            })
            .map(|state| state.at)
            .collect();
        return Some(Settlement { winner: None, deleted, inferred, lagging, conflicts });
    };
    let lagging: Vec<&State<'_>> = states.iter().filter(|state| !is_same(winner, state)).collect();
    let conflicts = lagging
        .iter()
        .filter(|state| is_conflict(key, state, Some(winner), None, known))
        .map(|state| state.at)
        .collect();
    Some(Settlement {
        winner: Some(winner.at),
        deleted: None,
        inferred: false,
        lagging: lagging.iter().map(|state| state.at).collect(),
        conflicts,
    })
}

/// The stamp of the version itself, or of the write that put it there.
fn order(key: &Path, state: &State<'_>, known: &[Known]) -> Order {
    let Some((_, Some(tag))) = state.seen else { return Order(None) };
    let own = tag.belongs_to(key).then_some(tag.stamp);
    let marked = known
        .iter()
        .filter(|known| !known.marker.delete && known.marker.version_stamp() == tag.stamp)
        .map(|known| known.marker.stamp);
    Order(own.into_iter().chain(marked).max())
}

/// The newest delete that is known, or that must have happened; and whether it was only inferred.
fn tombstone(key: &Path, states: &[State<'_>], known: &[Known]) -> (Option<Stamp>, bool) {
    let told =
        known.iter().filter(|known| known.marker.delete).map(|known| known.marker.stamp).max();
    // A backend that had confirmed a write, by a marker of its own, and holds nothing now: a later delete was
    // there, by somebody who did not know of the marker.
    // Unless an earlier delete may have landed there late: that explains it, and what it took is brought back from whoever
    // else has it.
    let late = |at: usize| {
        known
            .iter()
            .any(|known| known.target == Some(at) && known.marker.delete && known.marker.ambiguous)
    };
    // Nor where the same write left a marker that names its keeper: somebody is catching that one up, and may have
    // deleted what was just written.
    let named = |at: usize, since: Stamp| {
        let about = |known: &&Known| {
            known.target == Some(at)
                && known.marker.acknowledged
                && known.keeping != Keeping::Private
        };
        known.iter().filter(about).any(|known| known.marker.stamp >= since)
    };
    // A marker that was written beside the data does not say whether the write was confirmed. But its keeper lacks
    // nothing that was, if no marker names it: what the marked backend holds is older, and is gone where it was kept.
    let lacks_nothing = |state: &State<'_>| state.complete && !named(state.at, Stamp::new(0, 0));
    let held = |write: &Known| {
        let written = Order(Some(write.marker.stamp));
        states.iter().any(|state| state.seen.is_some() && order(key, state, known) >= written)
    };
    let absent = states.iter().filter(|state| state.seen.is_none());
    let inferred = absent
        .clone()
        .flat_map(|state| {
            let certain = lacks_nothing(state);
            let kept = known.iter().filter(move |known| known.homes.has(state.at));
            let kept = kept.filter(move |known| certain || known.marker.confirmed);
            let kept = kept.filter(move |known| !named(state.at, known.marker.stamp));
            kept.filter(move |known| !late(state.at) || !held(known))
        })
        .filter(|known| known.marker.acknowledged && !known.marker.delete)
        .map(|known| known.marker.stamp.next())
        .max();
    // Nor does what a marked backend holds come after the tombstone that its keeper has, whatever it is dated: whoever
    // deleted may have been started again, and dated by a clock that it did not know to be behind. Unless it was
    // written by somebody who knew of that delete: then what emptied the keeper came after both, and told nobody.
    let deletes = known.iter().filter(|delete| delete.marker.delete && delete.marker.acknowledged);
    let deletes = deletes.filter(|delete| {
        let mut absent = absent.clone().filter(|state| !late(state.at));
        absent.any(|state| delete.homes.has(state.at) && lacks_nothing(state))
    });
    let outdated = deletes
        .filter_map(|delete| {
            let buried = states.iter().find(|state| delete.target == Some(state.at))?;
            (!knew_of(key, buried, delete.marker.stamp, known)).then_some(buried)
        })
        .filter_map(|state| order(key, state, known).0.map(Stamp::next))
        .max();
    let inferred = inferred.max(outdated);
    match (told, inferred) {
        (told, Some(inferred)) if told.is_none_or(|told| inferred > told) => (Some(inferred), true),
        (told, _) => (told, false),
    }
}

/// Whether whoever wrote what a backend holds knew of a delete: it was their own, or their marker names it.
fn knew_of(key: &Path, state: &State<'_>, delete: Stamp, known: &[Known]) -> bool {
    let Some((_, Some(tag))) = state.seen else { return false };
    let own = tag.belongs_to(key) && tag.stamp.writer() == delete.writer() && tag.stamp > delete;
    let named = |known: &Known| {
        !known.marker.delete
            && known.marker.version_stamp() == tag.stamp
            && known.marker.after.is_some_and(|after| after >= delete)
    };
    own || known.iter().any(named)
}

/// Whether an object was written after its key was deleted, by the provider's clock: an upload that had begun before, or a
/// copy that carries its source's stamp. The delete wins, but what it kills is kept.
fn is_later(state: &State<'_>, deleted: Option<Stamp>) -> bool {
    let deleted = deleted.and_then(|at| i64::try_from(at.unix_millis()).ok());
    state
        .seen
        .zip(deleted)
        .is_some_and(|((meta, _), deleted)| meta.last_modified.timestamp_millis() > deleted)
}

/// Whether an object lies where its key was deleted, by somebody else than who wrote it: it was written there after the
/// delete, whatever the dates say. The delete wins, but what it kills is kept.
fn outlived(state: &State<'_>, deleted: Option<Stamp>, known: &[Known]) -> bool {
    let (Some((meta, Some(tag))), Some(deleted)) = (state.seen, deleted) else { return false };
    if tag.stamp.writer() == deleted.writer() {
        return false;
    }
    // A marker that was written beside the delete does not say that it was carried out where it is kept; then only what
    // was written at about that time is in doubt.
    let recent = may_follow(meta, deleted);
    known.iter().any(|known| {
        let Known { marker, homes, .. } = known;
        marker.delete
            && marker.acknowledged
            && marker.stamp == deleted
            && homes.has(state.at)
            && (marker.confirmed || recent)
    })
}

/// Whether an object may have been written after a stamp was given, as far as clocks can tell.
pub(crate) fn may_follow(meta: &ObjectMeta, stamp: Stamp) -> bool {
    let margin = u64::try_from(CLOCK_ERROR.as_millis()).unwrap_or(u64::MAX);
    written(meta).saturating_add(margin) > stamp.unix_millis()
}

/// When an object was written by its provider's clock, in milliseconds since 1970.
pub(crate) fn written(meta: &ObjectMeta) -> u64 {
    u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0)
}

/// Whether two backends hold one version.
fn is_same(a: &State<'_>, b: &State<'_>) -> bool {
    match (a.seen, b.seen) {
        (None, None) => true,
        (Some((_, Some(a))), Some((_, Some(b)))) => a == b,
        // Without stamps, equal sizes and equal content hashes are the same bytes.
        (Some((a, None)), Some((b, None))) => {
            a.size == b.size && a.e_tag.is_some() && a.e_tag == b.e_tag
        }
        _ => false,
    }
}

/// Whether a loser must be kept: nobody who wrote the winner can have known it.
fn is_conflict(
    key: &Path,
    loser: &State<'_>,
    winner: Option<&State<'_>>,
    deleted: Option<Stamp>,
    known: &[Known],
) -> bool {
    let Some((meta, tag)) = loser.seen else { return false };
    let Order(winning) = match winner {
        Some(winner) => order(key, winner, known),
        None => Order(deleted),
    };
    let Some(tag) = tag else {
        // Written without us. What is older than every marked write was there before, and was replaced.
        let earliest = known.iter().map(|known| known.marker.stamp.unix_millis()).min();
        let earliest = earliest.and_then(|millis| i64::try_from(millis).ok());
        let margin = i64::try_from(CLOCK_MARGIN.as_millis()).unwrap_or(i64::MAX);
        return earliest
            .is_none_or(|at| meta.last_modified.timestamp_millis() > at.saturating_sub(margin));
    };
    // Nothing is known of either: a copy that carries its source's stamp, or an upload that is dated by its beginning, has
    // no order of its own; nor is what a provider restored from a backup the latest because it is there.
    if let (true, Some((winner, _))) = (known.is_empty(), winner.and_then(|winner| winner.seen))
        && (!tag.belongs_to(key) || meta.last_modified > winner.last_modified)
    {
        return true;
    }
    let Some(winning) = winning else { return true };
    let competing = known
        .iter()
        .map(|known| &known.marker)
        .filter(|marker| {
            !marker.delete && marker.version_stamp() == tag.stamp && marker.acknowledged
        })
        .any(|marker| marker.stamp.writer() != winning.writer());
    competing && !succeeds(winning, tag.stamp, known)
}

/// Whether whoever made the write `winning` knew of a version: the markers say, one after the other, which write each came
/// after. That its stamp is higher says nothing: another's clock may be far ahead, and both written at the same time.
fn succeeds(winning: Stamp, version: Stamp, known: &[Known]) -> bool {
    let mut reached = winning;
    loop {
        let marks = known.iter().map(|known| &known.marker);
        let mut reaching = marks.clone().filter(|marker| marker.stamp == reached);
        if reaching.clone().any(|marker| marker.follows(version)) {
            return true;
        }
        // A marker only names what came before it: this ends.
        let before = reaching.find_map(|marker| marker.after).filter(|before| *before < reached);
        let Some(before) = before else { return false };
        if marks.clone().any(|mark| mark.stamp == before && mark.version_stamp() == version) {
            return true;
        }
        reached = before;
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
