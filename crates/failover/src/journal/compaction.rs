//! Compaction: a key that is written again and again while a backend is down gets a marker for each write, and of those
//! between the first and the newest nobody learns anything. They are removed in the background.
//!
//! What a marker says lives on in the one that covers it: that the target is behind; where the tombstone is (a delete
//! goes only for a newer delete); that a home which lacks the object must have been deleted from (a confirmed marker
//! goes only for a confirmed one, or for a delete); who knew of whom (`after`). The first one stays, because what was
//! written without us is dated against it. Only this process' own markers go: a writer must find its own writes
//! in its journal, whoever else writes the key.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, stream};
use object_store::path::Path;

use super::index::{Keeping, Known, Origin};
use crate::backend::Mask;
use crate::engine::Engine;

/// Markers of one key up to which nothing is done: most keys are written a few times in an outage.
const CROWD: usize = 8;
/// Markers of a key that are removed at once.
const AT_ONCE: usize = 8;
/// Keys that are compacted at once; others wait for their next write.
const KEYS_AT_ONCE: usize = 16;

/// The keys that are being compacted.
#[derive(Debug, Default)]
pub(crate) struct Compaction(Mutex<BTreeSet<Path>>);

impl Compaction {
    fn begin(&self, key: &Path) -> bool {
        let mut keys = self.keys();
        keys.len() < KEYS_AT_ONCE && keys.insert(key.clone())
    }

    fn keys(&self) -> MutexGuard<'_, BTreeSet<Path>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key being compacted; the next one may begin when it is dropped.
struct Turn(Arc<Engine>, Path);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.compaction.keys().remove(&self.1);
    }
}

impl Engine {
    /// Removes markers of a key that say nothing any more, in the background. Called when a newer one is in the index.
    pub(crate) fn compact(self: &Arc<Self>, key: &Path) {
        let crowded = self.index.view(key, |known| known.len() > CROWD) == Some(true);
        if !crowded || !self.compaction.begin(key) {
            return;
        }
        let turn = Turn(Arc::clone(self), key.clone());
        self.spawn(async move {
            let Turn(engine, key) = &turn;
            while engine.compact_once(key).await {}
        });
    }

    /// Removes what can go now. Whether anything went.
    async fn compact_once(&self, key: &Path) -> bool {
        let ordered: Mask =
            self.backends.iter().filter(|b| b.lists_in_order()).map(|b| b.at).collect();
        let covered = |known: &[Known]| -> Vec<Known> {
            if known.len() <= CROWD { Vec::new() } else { covered(known, ordered) }
        };
        let removals = self.index.view(key, covered).unwrap_or_default();
        let mut gone = false;
        let removals =
            removals.into_iter().map(|known| async move { self.remove_marker(&known).await });
        let mut removals = stream::iter(removals).buffered(AT_ONCE);
        while let Some(removed) = removals.next().await {
            gone |= removed;
        }
        gone
    }
}

/// The markers of one key that a newer one covers, oldest first. A home must list in order: whoever lists it while one
/// goes and the other comes has to find one of the two.
fn covered(known: &[Known], ordered: Mask) -> Vec<Known> {
    let own = |known: &&Known| known.origin != Origin::Foreign;
    let mut gone = Vec::new();
    let targets: BTreeSet<usize> = known.iter().filter(own).filter_map(|k| k.target).collect();
    for target in targets {
        let mut mine: Vec<&Known> =
            known.iter().filter(own).filter(|known| known.target == Some(target)).collect();
        mine.sort_by_key(|known| known.marker.stamp);
        let newest = |wanted: &dyn Fn(&Known) -> bool| {
            mine.iter().rev().find(|known| wanted(known)).copied()
        };
        let covers = [
            newest(&|known| is_kept(known)),
            newest(&|known| is_kept(known) && known.marker.delete),
            newest(&is_remembered),
            newest(&|known| is_remembered(known) && known.marker.delete),
            newest(&is_memory),
            newest(&|known| is_memory(known) && known.marker.delete),
        ];
        let is_covered = |known: &&&Known| {
            let ordered = known.homes.without(ordered).is_empty();
            ordered && covers.iter().flatten().any(|cover| says_as_much(cover, known))
        };
        gone.extend(mine.iter().skip(1).filter(is_covered).map(|known| Known::clone(known)));
    }
    gone
}

/// A durable marker of an acknowledged write.
fn is_kept(known: &Known) -> bool {
    known.marker.acknowledged && known.keeping == Keeping::Homes && !known.homes.is_empty()
}

/// What a late request would replace at a lone holder.
fn is_remembered(known: &Known) -> bool {
    known.marker.acknowledged && known.keeping == Keeping::Private
}

/// A write that failed, of which only this process' memory knows; it may land until its quarantine is over.
fn is_memory(known: &Known) -> bool {
    let marker = &known.marker;
    known.keeping == Keeping::Memory
        && known.homes.is_empty()
        && known.origin == Origin::Ended
        && !known.landed
        && marker.ambiguous
        && !marker.acknowledged
}

/// Whether everything that `known` says follows from `cover`, a marker of the same key and target.
fn says_as_much(cover: &Known, known: &Known) -> bool {
    let (new, old) = (&cover.marker, &known.marker);
    let plain = known.origin == Origin::Ended && old.stamp < new.stamp && old.version.is_none();
    let tombstone = new.delete || !old.delete;
    if !plain || !tombstone {
        return false;
    }
    if is_memory(known) {
        // The newer one is in quarantine for longer.
        return is_memory(cover);
    }
    (is_kept(cover) || is_remembered(cover))
        // What has landed cannot land any more.
        && (!old.ambiguous || known.landed)
        && old.acknowledged
        && known.homes.without(cover.homes).is_empty()
        && new.follows(old.stamp)
        && (new.confirmed || new.delete || !old.confirmed)
}

#[cfg(test)]
mod tests {
    use lifeboat_core::Stamp;
    use tokio::time::Instant;

    use super::*;
    use crate::journal::Marker;

    const ALL: usize = 4;

    /// A marker as an outage of backend 0 leaves it, changed by `change`.
    fn known(time: u64, change: impl FnOnce(&mut Known, &mut Marker)) -> Known {
        let mut marker = Marker {
            target: "b0".into(),
            key: Path::from("k"),
            delete: false,
            stamp: Stamp::new(time << 16, 1),
            version: None,
            after: Some(Stamp::new((time - 1) << 16, 1)),
            ambiguous: false,
            acknowledged: true,
            confirmed: false,
            size: None,
            nonce: time,
        };
        let mut known = Known {
            path: Path::default(),
            target: Some(0),
            homes: Mask::only(1),
            origin: Origin::Ended,
            landed: false,
            leveled: false,
            outlived: None,
            keeping: Keeping::Homes,
            added: Instant::now(),
            marker: Arc::new(marker.clone()),
        };
        change(&mut known, &mut marker);
        known.path = marker.path();
        known.marker = Arc::new(marker);
        known
    }

    fn plain(time: u64) -> Known {
        known(time, |_, _| {})
    }

    fn times(markers: &[Known]) -> Vec<u64> {
        let all: Mask = (0..ALL).collect();
        covered(markers, all).iter().map(|known| known.marker.stamp.unix_millis()).collect()
    }

    #[test]
    fn all_between_the_first_and_the_newest_go() {
        assert_eq!(times(&[plain(1), plain(3), plain(2), plain(4)]), [2, 3]);
        assert_eq!(times(&[plain(1), plain(2)]), [0; 0]);
    }

    #[test]
    fn a_delete_goes_only_for_a_newer_delete() {
        let delete = |time| known(time, |_, marker| marker.delete = true);
        assert_eq!(times(&[plain(1), delete(2), plain(3), plain(4)]), [3]);
        assert_eq!(times(&[plain(1), delete(2), plain(3), delete(4), plain(5)]), [2, 3]);
    }

    #[test]
    fn what_the_newest_does_not_say_stays() {
        type Change = fn(&mut Known, &mut Marker);
        let telling: [Change; 7] = [
            |_, marker| marker.ambiguous = true,
            |_, marker| marker.acknowledged = false,
            |_, marker| marker.confirmed = true,
            |_, marker| marker.version = Some(Stamp::new(7, 7)),
            |known, _| known.homes.set(2),
            |known, _| known.origin = Origin::Foreign,
            |known, _| known.origin = Origin::Running,
        ];
        for (at, change) in telling.into_iter().enumerate() {
            assert_eq!(times(&[plain(1), known(2, change), plain(3)]), [0; 0], "case {at}");
        }
        // Another target, an unsure cover, one whose writer did not know, one that nobody keeps.
        let covers: [Change; 5] = [
            |known, _| known.target = Some(2),
            |_, marker| marker.acknowledged = false,
            |_, marker| marker.after = None,
            |known, _| (known.homes, known.keeping) = (Mask::NONE, Keeping::Memory),
            |known, _| known.origin = Origin::Foreign,
        ];
        for (at, change) in covers.into_iter().enumerate() {
            assert_eq!(times(&[plain(1), plain(2), known(3, change)]), [0; 0], "case {at}");
        }
    }

    #[test]
    fn a_confirmed_marker_goes_for_a_confirmed_one_and_for_a_delete() {
        let sure = |time| known(time, |_, marker| marker.confirmed = true);
        assert_eq!(times(&[plain(1), sure(2), sure(3)]), [2]);
        assert_eq!(times(&[plain(1), sure(2), known(3, |_, marker| marker.delete = true)]), [2]);
    }

    #[test]
    fn a_home_that_lists_in_no_order_keeps_all() {
        let markers = [plain(1), plain(2), plain(3)];
        assert!(covered(&markers, Mask::only(2)).is_empty());
    }

    #[test]
    fn writes_of_a_lone_holder_in_doubt_do_not_pile_up_in_memory() {
        let lone = |time, delete| {
            known(time, |known, marker| {
                (known.homes, known.keeping) = (Mask::NONE, Keeping::Private);
                marker.delete = delete;
            })
        };
        assert_eq!(times(&[lone(1, false), lone(2, false), lone(3, false)]), [2]);
        assert_eq!(times(&[lone(1, false), lone(2, true), lone(3, false)]), [0; 0]);
        // What is durable tells others, what is remembered does not.
        assert_eq!(times(&[plain(1), plain(2), lone(3, false)]), [0; 0]);
    }

    #[test]
    fn failed_writes_that_only_memory_knows_of_do_not_pile_up() {
        let failed = |time, delete| {
            known(time, |known, marker| {
                (known.homes, known.keeping) = (Mask::NONE, Keeping::Memory);
                (marker.ambiguous, marker.acknowledged, marker.delete) = (true, false, delete);
            })
        };
        let all = [failed(1, false), failed(2, false), failed(3, true), failed(4, false)];
        assert_eq!(times(&all), [2], "the delete may still land");
        // An acknowledged write may be over sooner than what may still land.
        assert_eq!(times(&[failed(1, false), failed(2, false), plain(3)]), [0; 0]);
    }
}
