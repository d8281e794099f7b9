//! What wins, where the simulation found the wrong winner: each test fails without the remedy that it is about.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::*;
use crate::backend::Mask;
use crate::journal::Marker;
use crate::journal::index::Origin;

fn key() -> Path {
    Path::from("k")
}

fn stamp(time: u64) -> Stamp {
    Stamp::new(time << 16, 1)
}

/// An object of that version.
fn object(time: u64) -> (ObjectMeta, Option<VersionTag>) {
    let meta = ObjectMeta {
        location: key(),
        last_modified: SystemTime::UNIX_EPOCH.into(),
        size: 1,
        e_tag: None,
        version: None,
    };
    (meta, Some(VersionTag::new(stamp(time), &key(), None)))
}

/// A durable marker about `target`, kept by the other one of two backends, changed by `change`.
fn marker(target: usize, time: u64, change: impl FnOnce(&mut Marker)) -> Known {
    let mut marker = Marker {
        target: format!("b{target}"),
        key: key(),
        delete: false,
        stamp: stamp(time),
        version: None,
        after: None,
        ambiguous: false,
        acknowledged: true,
        confirmed: false,
        size: None,
        nonce: time,
    };
    change(&mut marker);
    Known {
        path: marker.path(),
        marker: Arc::new(marker),
        target: Some(target),
        homes: Mask::only(1 - target),
        origin: Origin::Ended,
        landed: false,
        leveled: false,
        outlived: None,
        keeping: Keeping::Homes,
        added: Instant::now(),
    }
}

fn verdict(first: Option<u64>, second: Option<u64>, known: &[Known]) -> Settlement {
    judged(&[first, second].map(|version| version.map(object)), known)
}

fn judged(seen: &[Option<(ObjectMeta, Option<VersionTag>)>], known: &[Known]) -> Settlement {
    let states: Vec<State<'_>> = seen
        .iter()
        .enumerate()
        .map(|(at, seen)| State { at, seen: seen.as_ref(), complete: true })
        .collect();
    settle(&key(), &states, known).unwrap()
}

/// Simulation seed 4755: the early marker of a delete that failed could not be removed, the key was written again, and the
/// delete landed late on one of the two copies.
#[test]
fn delete_that_landed_late_does_not_bury_what_was_written_in_its_knowledge() {
    let delete = marker(1, 5, |marker| marker.delete = true);
    let may_land = marker(0, 5, |marker| {
        (marker.delete, marker.ambiguous, marker.acknowledged) = (true, true, false);
    });
    let newer = marker(1, 9, |marker| marker.after = Some(stamp(5)));
    let found = verdict(None, Some(9), &[delete, may_land, newer]);
    assert_eq!((found.winner, found.lagging), (Some(1), vec![0]));
}

/// Simulation seed 409139: a process was killed while it deleted what one backend alone had, where an earlier delete may
/// still have landed late. Whichever it was, what the other one has is older.
#[test]
fn what_is_gone_and_nobody_else_has_does_not_give_way_to_an_older_version() {
    let may_land = marker(1, 5, |marker| (marker.delete, marker.ambiguous) = (true, true));
    let newer = marker(0, 9, |marker| {
        (marker.after, marker.confirmed) = (Some(stamp(7)), true);
    });
    let found = verdict(Some(7), None, &[may_land, newer]);
    assert_eq!((found.winner, found.inferred), (None, true));
    assert_eq!((found.lagging, found.conflicts), (vec![0], vec![0]));
}

/// The same where nobody is left who knows that the delete may still land.
#[test]
fn delete_does_not_bury_what_its_own_writer_wrote_later() {
    let delete = marker(1, 5, |marker| marker.delete = true);
    assert_eq!(verdict(None, Some(9), &[delete]).winner, Some(1));
}

/// Whoever was started again may date a delete before the write that it deletes.
#[test]
fn tombstone_of_another_process_buries_what_its_keeper_lacks_whatever_the_date() {
    let delete = marker(1, 5, |marker| {
        (marker.delete, marker.stamp) = (true, Stamp::new(5 << 16, 2));
    });
    let found = verdict(None, Some(9), &[delete]);
    assert_eq!((found.winner, found.inferred, found.lagging), (None, true, vec![1]));
}

/// A provider was restored from a backup. An upload is dated by its beginning: what was put meanwhile, and is back now, would
/// win over it.
#[test]
fn without_markers_a_newer_looking_loser_is_kept() {
    let restored = object(9);
    let (mut uploaded, tag) = object(5);
    uploaded.last_modified += Duration::from_hours(1);
    let found = judged(&[Some(restored), Some((uploaded, tag))], &[]);
    assert_eq!((found.winner, found.conflicts), (Some(0), vec![1]));
    // An older version that somebody was killed while replacing is no competitor.
    let found = judged(&[Some(object(9)), Some(object(5))], &[]);
    assert_eq!((found.winner, found.lagging, found.conflicts), (Some(0), vec![1], vec![]));
}

/// A process whose clock is ahead deleted the key at the first backend, and another wrote it afterwards.
#[test]
fn what_lies_where_the_key_was_deleted_is_kept() {
    let (wrote, tag) = object(5);
    let object = (wrote, tag.map(|tag| VersionTag { stamp: Stamp::new(5 << 16, 2), ..tag }));
    let delete = |confirmed| {
        let mut known = marker(1, 50_000, |marker| {
            (marker.delete, marker.confirmed) = (true, confirmed);
        });
        known.homes = Mask::only(0);
        known
    };
    let both = [Some(object.clone()), Some(object)];
    for confirmed in [true, false] {
        let found = judged(&both, &[delete(confirmed)]);
        assert_eq!((found.winner, found.conflicts), (None, vec![0]), "confirmed: {confirmed}");
    }
}

/// Of two processes that did not hear of each other one has a clock far ahead. Seeds 2031 and 13682, among others.
#[test]
fn loser_is_kept_unless_the_markers_lead_from_the_winner_to_it() {
    // By another writer, seconds ago, or what feels like it to that one.
    let (elsewhere, other) = (Stamp::new(5 << 16, 2), Stamp::new(3 << 16, 2));
    let mut loser = object(0);
    loser.1 = Some(VersionTag::new(elsewhere, &key(), None));
    let seen = [Some(object(9)), Some(loser)];
    let lost = marker(0, 5, |marker| marker.stamp = elsewhere);
    let conflicts = |after, between: Option<Stamp>| {
        let mut known = vec![lost.clone(), marker(1, 9, |marker| marker.after = Some(after))];
        known.extend(between.map(|after| marker(1, 8, |marker| marker.after = Some(after))));
        let found = judged(&seen, &known);
        assert_eq!((found.winner, found.lagging), (Some(0), vec![1]));
        found.conflicts
    };
    assert_eq!(conflicts(stamp(8), None), [1], "its clock is ahead, that is all");
    assert_eq!(conflicts(stamp(8), Some(other)), [1], "it knew of an earlier one only");
    assert_eq!(conflicts(elsewhere, None), [0; 0], "it came after it");
    assert_eq!(conflicts(stamp(8), Some(elsewhere)), [0; 0], "it came after one that did");
    let later = Stamp::new(6 << 16, 2);
    assert_eq!(conflicts(later, None), [0; 0], "it knew of a later one of the same writer");
}
