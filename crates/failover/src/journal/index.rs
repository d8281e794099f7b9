//! The index of all known markers, by key. Reads look here only when there is any marker at all: one
//! atomic load tells.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use lifeboat_core::Stamp;
use object_store::path::Path;
use tokio::time::Instant;

use super::Marker;
use crate::backend::Mask;

/// A marker and what this process knows about it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) marker: Arc<Marker>,
    pub(crate) path: Path,
    /// Index of the backend that it speaks of; none if that backend is not one of ours.
    pub(crate) target: Option<usize>,
    /// Backends that keep it.
    pub(crate) homes: Mask,
    /// This process wrote it and knows whether the write is over.
    pub(crate) origin: Origin,
    /// The target has answered the request that made it ambiguous: nothing can land late any more.
    pub(crate) landed: bool,
    /// Catch-up has found the target to be level; only time has to pass.
    pub(crate) leveled: bool,
    /// Since when the target is known to have had a later version: whoever looked since then had nothing to bring there.
    pub(crate) outlived: Option<Instant>,
    pub(crate) keeping: Keeping,
    /// When it came into the index.
    pub(crate) added: Instant,
}

/// Who keeps a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// Its homes.
    Homes,
    /// This process alone, until some backend can take it.
    Memory,
    /// This process alone, and no backend is to take it: it says what a late request to the lone holder of a write
    /// would replace there.
    Private,
}

/// Who wrote a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This process, and a request of that write may still be under way on our side.
    Running,
    /// This process; all of the write's requests have ended on our side.
    Ended,
    /// Another process, or this one in an earlier life.
    Foreign,
}

/// What the index says about a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dirt {
    /// Backends that may lack an acknowledged write.
    pub(crate) behind: Mask,
    /// Backends whose state is unsure because of a write that was not acknowledged.
    pub(crate) unsure: Mask,
    /// Backends to which an older write of this process is still under way.
    pub(crate) busy: Mask,
    /// A marker of the newest acknowledged write.
    pub(crate) newest: Option<Arc<Marker>>,
}

/// All known markers.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: RwLock<BTreeMap<Path, Vec<Known>>>,
    /// Number of markers; what reads load.
    count: AtomicUsize,
    /// How often a backend has come back.
    returns: AtomicU64,
}

/// Numbers for `status`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    pub(crate) markers: u64,
    pub(crate) keys: u64,
    pub(crate) quarantined: u64,
    pub(crate) unlevel: u64,
    pub(crate) oldest: Option<Stamp>,
    pub(crate) dirty_keys: Vec<u64>,
    pub(crate) dirty_bytes: Vec<u64>,
}

impl Index {
    /// Whether there is no marker at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Path, Vec<Known>>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<Path, Vec<Known>>> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a marker, or a further home of a known one. Whether it was new.
    pub(crate) fn add(&self, known: Known) -> bool {
        let mut keys = self.write();
        let entry = keys.entry(known.marker.key.clone()).or_default();
        if let Some(same) = entry.iter_mut().find(|same| same.path == known.path) {
            // Nobody else could hear of it before; and a listing that began before may have missed it.
            if same.homes.is_empty() && !known.homes.is_empty() {
                same.added = known.added;
            }
            same.homes |= known.homes;
            if known.keeping == Keeping::Homes {
                same.keeping = Keeping::Homes;
            }
            return false;
        }
        entry.push(known);
        self.count.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// All markers of a key.
    pub(crate) fn of(&self, key: &Path) -> Vec<Known> {
        if self.is_empty() {
            return Vec::new();
        }
        self.read().get(key).cloned().unwrap_or_default()
    }

    /// Whether there is this marker of a key.
    pub(crate) fn has(&self, key: &Path, path: &Path) -> bool {
        self.view(key, |known| known.iter().any(|known| known.path == *path)) == Some(true)
    }

    /// Looks at the markers of a key; none if it has none.
    pub(crate) fn view<T>(&self, key: &Path, look: impl FnOnce(&[Known]) -> T) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        self.read().get(key).map(|known| look(known))
    }

    /// The markers of a key that nobody keeps so far, and somebody should.
    pub(crate) fn unkept(&self, key: &Path) -> Vec<Known> {
        let unkept = |known: &&Known| known.keeping == Keeping::Memory;
        let all = |known: &[Known]| known.iter().filter(unkept).cloned().collect();
        self.view(key, all).unwrap_or_default()
    }

    /// What reads and writes of a key must know.
    pub(crate) fn dirt(&self, key: &Path) -> Option<Dirt> {
        if self.is_empty() {
            return None;
        }
        self.read().get(key).map(|known| Dirt::of(known))
    }

    /// Whether the newest acknowledged write of a key that is known by a marker deleted it.
    pub(crate) fn is_deleted(&self, key: &Path) -> bool {
        let newest = self.dirt(key).and_then(|dirt| dirt.newest);
        newest.is_some_and(|newest| newest.delete)
    }

    /// The request that this marker stands for has ended on our side; `landed` if the target answered it.
    pub(crate) fn ended(&self, key: &Path, path: &Path, landed: bool) {
        if let Some(entry) = self.write().get_mut(key) {
            for known in entry.iter_mut().filter(|known| known.path == *path) {
                known.origin = Origin::Ended;
                known.landed = landed;
            }
        }
    }

    /// Backends have a write of that stamp now, later than what older markers speak of. What it deletes is missing there for
    /// whoever has not heard of it.
    pub(crate) fn outlive(&self, key: &Path, has: Mask, stamp: Stamp, delete: bool) {
        if self.is_empty() {
            return;
        }
        if let Some(entry) = self.write().get_mut(key) {
            let older = |known: &&mut Known| {
                known.target.is_some_and(|target| has.has(target)) && known.marker.stamp < stamp
            };
            for known in entry.iter_mut().filter(older) {
                let since = known.outlived.unwrap_or_else(Instant::now);
                known.outlived = (!delete).then_some(since);
            }
        }
    }

    /// How often a backend has come back so far; for [`Self::leveled`].
    pub(crate) fn returns(&self) -> u64 {
        self.returns.load(Ordering::Acquire)
    }

    /// Catch-up, which began when there had been so many `returns` and those markers were known, found these backends level,
    /// of those that are `in_use`. One that has come back since then was not looked at, nor what a later marker speaks of. A
    /// write that nobody acknowledged has no markers about all who lack it: who did not answer the look is looked at again.
    pub(crate) fn leveled(
        &self,
        key: &Path,
        looked: &[Known],
        (level, in_use): (Mask, Mask),
        returns: u64,
    ) {
        let mut keys = self.write();
        if self.returns() != returns {
            return;
        }
        let all = in_use.without(level).is_empty();
        if let Some(entry) = keys.get_mut(key) {
            for known in entry.iter_mut() {
                if looked.iter().any(|looked| looked.path == known.path) {
                    let told = known.marker.acknowledged || all;
                    known.leveled = told && known.target.is_none_or(|target| level.has(target));
                }
            }
        }
    }

    /// A backend is back: what was level among the others may not be level with it.
    pub(crate) fn unlevel(&self) {
        let mut keys = self.write();
        self.returns.fetch_add(1, Ordering::AcqRel);
        for entry in keys.values_mut() {
            for known in entry.iter_mut() {
                known.leveled = false;
            }
        }
    }

    /// A home does not keep a marker any more.
    pub(crate) fn left(&self, key: &Path, path: &Path, home: usize) {
        if let Some(entry) = self.write().get_mut(key) {
            for known in entry.iter_mut().filter(|known| known.path == *path) {
                known.homes.clear(home);
            }
        }
    }

    /// Forgets a marker.
    pub(crate) fn remove(&self, key: &Path, path: &Path) {
        let mut keys = self.write();
        let Some(entry) = keys.get_mut(key) else { return };
        let before = entry.len();
        entry.retain(|known| known.path != *path);
        self.count.fetch_sub(before - entry.len(), Ordering::AcqRel);
        if entry.is_empty() {
            keys.remove(key);
        }
    }

    /// After `home` was listed from `began` on: forgets its hold on markers that were not there. Those that nobody keeps
    /// any more leave the index.
    pub(crate) fn reconcile_home(
        &self,
        home: usize,
        began: Instant,
        seen: &dyn Fn(&Path) -> bool,
    ) -> Vec<Known> {
        let mut gone = Vec::new();
        let mut keys = self.write();
        keys.retain(|_, entry| {
            let left = |known: &mut Known| {
                let listed = seen(&known.path);
                if known.homes.has(home) && known.added < began && !listed {
                    known.homes.clear(home);
                }
                // One that has just been written by us may not be kept by anybody yet.
                known.homes.is_empty()
                    && known.keeping == Keeping::Homes
                    && known.added < began
                    && known.origin != Origin::Running
            };
            gone.extend(entry.extract_if(.., left));
            !entry.is_empty()
        });
        self.count.fetch_sub(gone.len(), Ordering::AcqRel);
        gone
    }

    /// Up to `most` keys after `from`, in order.
    pub(crate) fn keys_after(&self, from: Option<&Path>, most: usize) -> Vec<Path> {
        let lower = from.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = self.read();
        keys.range::<Path, _>((lower, Bound::Unbounded))
            .take(most)
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Keys under `prefix` for which `wanted` holds, in order.
    pub(crate) fn keys_under(
        &self,
        prefix: Option<&Path>,
        wanted: &dyn Fn(&Dirt) -> bool,
    ) -> Vec<Path> {
        if self.is_empty() {
            return Vec::new();
        }
        let keys = self.read();
        under(&keys, prefix)
            .filter(|(_, known)| wanted(&Dirt::of(known)))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Whether there are more than so many keys under `prefix` for which `wanted` holds.
    pub(crate) fn has_more_under(
        &self,
        most: usize,
        prefix: Option<&Path>,
        wanted: &dyn Fn(&Dirt) -> bool,
    ) -> bool {
        if self.is_empty() {
            return false;
        }
        let keys = self.read();
        under(&keys, prefix).filter(|(_, known)| wanted(&Dirt::of(known))).nth(most).is_some()
    }

    /// Dirty keys under `prefix`, in order, each with the backends that may not have its latest state.
    pub(crate) fn dirty_under(&self, prefix: Option<&Path>) -> Vec<(Path, Mask)> {
        if self.is_empty() {
            return Vec::new();
        }
        let keys = self.read();
        let dirty = under(&keys, prefix).map(|(key, known)| {
            let dirt = Dirt::of(known);
            let mut doubted = dirt.behind;
            doubted |= dirt.unsure;
            (key.clone(), doubted)
        });
        dirty.filter(|(_, doubted)| !doubted.is_empty()).collect()
    }

    /// Numbers for `status`; goes through all markers.
    pub(crate) fn totals(&self, backends: usize) -> Totals {
        let none = || vec![0; backends];
        let mut totals = Totals { dirty_keys: none(), dirty_bytes: none(), ..Totals::default() };
        let keys = self.read();
        for entry in keys.values() {
            totals.keys += 1;
            let unlevel = |known: &Known| known.target.is_some() && !known.leveled;
            totals.unlevel += u64::from(entry.iter().any(unlevel));
            let dirt = Dirt::of(entry);
            let newest = entry.iter().max_by_key(|known| known.marker.stamp);
            let size = newest.and_then(|newest| newest.marker.size).unwrap_or(0);
            for at in (0..backends).filter(|at| dirt.has(*at)) {
                totals.dirty_keys[at] += 1;
                totals.dirty_bytes[at] = totals.dirty_bytes[at].saturating_add(size);
            }
            for known in entry {
                totals.markers += 1;
                totals.quarantined += u64::from(known.marker.ambiguous);
                let stamp = known.marker.stamp;
                totals.oldest = Some(totals.oldest.map_or(stamp, |oldest| oldest.min(stamp)));
            }
        }
        totals
    }

    /// All markers, by key.
    pub(crate) fn markers(&self) -> Vec<Marker> {
        let all = self.read();
        all.values().flatten().map(|known| Marker::clone(&known.marker)).collect()
    }

    /// Number of markers.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

/// The entries of keys under `prefix`, in order.
fn under<'k>(
    keys: &'k BTreeMap<Path, Vec<Known>>,
    prefix: Option<&'k Path>,
) -> impl Iterator<Item = (&'k Path, &'k Vec<Known>)> {
    let lower = prefix.map_or(Bound::Unbounded, Bound::Included);
    keys.range::<Path, _>((lower, Bound::Unbounded))
        .take_while(move |(key, _)| prefix.is_none_or(|p| key.as_ref().starts_with(p.as_ref())))
        .filter(move |(key, _)| prefix.is_none_or(|p| key.prefix_matches(p) && *key != p))
}

impl Dirt {
    /// Whether a backend may hold something else than the latest version.
    pub(crate) fn has(&self, at: usize) -> bool {
        self.behind.has(at) || self.unsure.has(at)
    }

    fn of(known: &[Known]) -> Self {
        let mut dirt = Self::default();
        for Known { marker, target, origin, .. } in known {
            // One that speaks of a backend that is not ours stays for ever, and says nothing about ours.
            let Some(target) = *target else { continue };
            let order = |marker: &Marker| (marker.stamp, marker.version_stamp(), marker.delete);
            let newer = dirt.newest.as_ref().is_none_or(|newest| order(marker) > order(newest));
            if marker.acknowledged && newer {
                dirt.newest = Some(Arc::clone(marker));
            }
            let mask = if marker.acknowledged { &mut dirt.behind } else { &mut dirt.unsure };
            mask.set(target);
            if *origin == Origin::Running {
                dirt.busy.set(target);
            }
        }
        dirt
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A listing that began before a marker was made durable there has not seen it.
    #[tokio::test(start_paused = true)]
    async fn marker_that_becomes_durable_during_a_listing_stays_known() {
        let (index, key) = (Index::default(), Path::from("k"));
        let marker = Marker {
            target: "b0".into(),
            key: key.clone(),
            delete: false,
            stamp: Stamp::new(1, 1),
            version: None,
            after: None,
            ambiguous: true,
            acknowledged: true,
            confirmed: false,
            size: None,
            nonce: 1,
        };
        let known = |homes, keeping| Known {
            path: marker.path(),
            marker: Arc::new(marker.clone()),
            target: Some(0),
            homes,
            origin: Origin::Ended,
            landed: false,
            leveled: false,
            outlived: None,
            keeping,
            added: Instant::now(),
        };
        index.add(known(Mask::NONE, Keeping::Memory));
        tokio::time::advance(Duration::from_secs(1)).await;
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        index.add(known(Mask::only(1), Keeping::Homes));
        assert!(index.reconcile_home(1, began, &|_| false).is_empty());
        assert!(index.has(&key, &marker.path()));
        // The next one has.
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(index.reconcile_home(1, Instant::now(), &|_| false).len(), 1);
        assert!(index.is_empty());
    }
}
