//! Markers in the buckets: writing, listing and removing them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use lifeboat_core::repeated::watched;
use lifeboat_core::{Effect, Stamp};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload, Result};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Marker;
use super::index::{Keeping, Known, Origin};
use super::marker::{self, Parsed};
use crate::backend::Mask;
use crate::engine::Engine;
use crate::error::{CutOff, is_missing, within};
use crate::events::{Event, Operation};
use crate::observe::as_gauge;

/// Keys that lie in the bodies of their markers, and have been read: a journal is listed again and again.
#[derive(Debug, Default)]
pub(crate) struct LongKeys(Mutex<BTreeMap<Path, Path>>);

impl LongKeys {
    fn markers(&self) -> MutexGuard<'_, BTreeMap<Path, Path>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, marker: &Path) -> Option<Path> {
        self.markers().get(marker).cloned()
    }

    fn learn(&self, marker: &Path, key: &Path) {
        self.markers().insert(marker.clone(), key.clone());
    }

    fn retain(&self, wanted: impl Fn(&Path, &Path) -> bool) {
        self.markers().retain(|marker, key| wanted(marker, key));
    }
}

/// Own markers of which a request may still land at a home although nothing needs them: an attempt without an answer, or one
/// that was given up.
#[derive(Debug, Default)]
pub(crate) struct LateMarkers(Mutex<BTreeMap<(Path, usize), Instant>>);

impl LateMarkers {
    fn markers(&self) -> MutexGuard<'_, BTreeMap<(Path, usize), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an earlier request may land as well.
    fn sent(&self, marker: &Path, home: usize) -> bool {
        self.markers().insert((marker.clone(), home), Instant::now()).is_some()
    }

    /// No request of it can land any more, or it is not for us to say that nothing needs it.
    fn forget(&self, marker: &Path, home: usize) {
        self.markers().remove(&(marker.clone(), home));
    }

    fn may_land(&self, marker: &Path, home: usize) -> bool {
        self.markers().contains_key(&(marker.clone(), home))
    }

    fn forget_older_than(&self, age: Duration) {
        self.markers().retain(|_, sent| sent.elapsed() < age);
    }
}

/// Attempts to write a marker at one home, at least.
const ATTEMPTS: u32 = 3;
/// For how long it is tried at least. Connections that a server has closed come in numbers, and three of them are found out
/// within a millisecond; a home that is silent is left after its attempts.
const MARKER_TRIES: Duration = Duration::from_millis(500);
/// Pause before a marker is tried again, the first one; each is twice as long as the one before.
const MARKER_PAUSE: Duration = Duration::from_millis(10);
/// Markers read at once, for those whose key lies in the body.
const BODIES: usize = 16;
/// Markers removed at once that landed when nothing needed them any more.
const REMOVALS: usize = 16;

/// A marker to be written.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) marker: Arc<Marker>,
    pub(crate) path: Path,
    pub(crate) target: usize,
    pub(crate) homes: Mask,
    /// Where it may be although nobody said so: it was sent there, and is not known to have failed.
    pub(crate) doubtful: Mask,
    /// Who keeps it while it has no homes.
    pub(crate) meanwhile: Keeping,
}

/// What came of writing a marker at one home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
    /// An attempt may still land.
    Perhaps,
}

impl Draft {
    /// A known marker, to be kept by more homes. None if it speaks of a backend that is not ours.
    pub(crate) fn of(known: &Known) -> Option<Self> {
        let Known { marker, path, homes, keeping: meanwhile, .. } = known.clone();
        let doubtful = Mask::NONE;
        known.target.map(|target| Self { marker, path, target, homes, doubtful, meanwhile })
    }

    /// Notes what came of writing it at a home.
    pub(crate) fn note(&mut self, home: usize, kept: Kept) {
        if kept == Kept::Yes {
            self.homes.set(home);
        }
        if kept != Kept::Perhaps {
            self.doubtful.clear(home);
        }
    }

    /// As the index knows it.
    pub(crate) fn known(&self, origin: Origin) -> Known {
        Known {
            marker: Arc::clone(&self.marker),
            path: self.path.clone(),
            target: Some(self.target),
            homes: self.homes,
            origin,
            landed: false,
            leveled: false,
            outlived: None,
            keeping: if self.homes.is_empty() { self.meanwhile } else { Keeping::Homes },
            added: Instant::now(),
        }
    }
}

/// What a marker is drafted from, besides its target.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "the flags of a marker")]
pub(crate) struct Mark<'a> {
    pub(crate) key: &'a Path,
    pub(crate) delete: bool,
    pub(crate) stamp: Stamp,
    pub(crate) version: Option<Stamp>,
    pub(crate) after: Option<Stamp>,
    pub(crate) ambiguous: bool,
    pub(crate) acknowledged: bool,
    pub(crate) confirmed: bool,
    /// None for a delete, and where it is not known.
    pub(crate) size: Option<u64>,
}

impl<'a> Mark<'a> {
    /// Of a delete that nobody acknowledged: it follows from what the backends have.
    pub(crate) fn inferred_delete(key: &'a Path, stamp: Stamp) -> Self {
        Self {
            key,
            delete: true,
            stamp,
            version: None,
            // What its writer knew is not known here.
            after: None,
            ambiguous: true,
            acknowledged: false,
            confirmed: false,
            size: None,
        }
    }
}

impl Engine {
    pub(crate) fn draft(&self, mark: &Mark<'_>, target: usize) -> Draft {
        let marker = Arc::new(Marker {
            target: self.backends[target].id.clone(),
            key: mark.key.clone(),
            delete: mark.delete,
            stamp: mark.stamp,
            version: mark.version,
            after: mark.after,
            ambiguous: mark.ambiguous,
            acknowledged: mark.acknowledged,
            confirmed: mark.confirmed,
            size: mark.size,
            nonce: self.randomness.number(),
        });
        let (path, homes, doubtful) = (marker.path(), Mask::NONE, Mask::NONE);
        Draft { path, marker, target, homes, doubtful, meanwhile: Keeping::Memory }
    }

    /// Makes a marker durable at one home, trying again after faults for a moment, and not beyond `until`: what depends on
    /// it is an acknowledgement.
    pub(crate) async fn write_marker(&self, draft: &Draft, home: usize, until: Instant) -> Kept {
        // Until it is known how that ended, even if nobody waits for it any more.
        let sent_before = self.late_markers.sent(&draft.path, home);
        let (kept, may_land) = self.send_marker(draft, home, until).await;
        if !may_land && !sent_before {
            self.late_markers.forget(&draft.path, home);
        }
        kept
    }

    /// Whether a marker is durable at a home, and whether a request to write it may still land.
    async fn send_marker(&self, draft: &Draft, home: usize, until: Instant) -> (Kept, bool) {
        let backend = &self.backends[home];
        let mut may_land = false;
        let (began, mut pause) = (Instant::now(), MARKER_PAUSE);
        for attempt in 1_u32.. {
            let body = PutPayload::from(draft.marker.body());
            let put = watched(backend.store.put(&draft.path, body));
            let bound = until.min(Instant::now() + self.settings.attempt_deadline);
            let result = timeout_at(bound, put).await.map(|(result, open)| {
                may_land |= open;
                result
            });
            match result {
                Ok(Ok(_)) => {
                    backend.answered();
                    self.observers.tell(|| Event::MarkerWritten {
                        target: draft.marker.target.clone(),
                        home: backend.id.clone(),
                        key: draft.marker.key.clone(),
                    });
                    return (Kept::Yes, may_land);
                }
                Ok(Err(error)) => {
                    let verdict = self.judge(home, Operation::Journal, &error).await;
                    may_land |= verdict.effect == Effect::Unknown;
                    if !verdict.is_fault() {
                        tracing::warn!(home = %backend.id, %error, "marker refused");
                        break;
                    }
                }
                Err(_) => {
                    may_land = true;
                    let late = CutOff(self.settings.attempt_deadline).into_error();
                    self.judge(home, Operation::Journal, &late).await;
                }
            }
            let tried = attempt >= ATTEMPTS && began.elapsed() >= MARKER_TRIES;
            if tried || Instant::now() + pause >= until {
                break;
            }
            sleep(pause).await;
            pause *= 2;
        }
        (if may_land { Kept::Perhaps } else { Kept::No }, may_land)
    }

    /// Writes a marker wherever one can be kept. Where nobody can keep it, this process remembers, and mends.
    pub(crate) async fn leave_marker(&self, mark: &Mark<'_>, target: usize, until: Instant) {
        self.keep(self.draft(mark, target), Origin::Ended, until).await;
    }

    /// Makes a marker durable wherever one can be kept, and enters it.
    pub(crate) async fn keep(&self, draft: Draft, origin: Origin, until: Instant) {
        let homes = self.in_use().without(Mask::only(draft.target));
        self.keep_among(homes, draft, origin, until).await;
    }

    /// Makes a known marker durable at these homes, which hold its write.
    pub(crate) async fn keep_at(&self, known: &Known, homes: Mask) {
        let until = Instant::now() + self.settings.attempt_deadline;
        if let Some(draft) = Draft::of(known) {
            self.keep_among(homes, draft, known.origin, until).await;
        }
    }

    async fn keep_among(&self, homes: Mask, mut draft: Draft, origin: Origin, until: Instant) {
        let writes = homes.iter().map(|home| self.write_marker(&draft, home, until));
        let kept = futures::future::join_all(writes).await;
        let kept = homes.iter().zip(kept).filter(|(_, kept)| *kept == Kept::Yes);
        draft.homes = kept.map(|(home, _)| home).collect();
        self.enter(&draft, origin);
    }

    /// Enters a marker that this process wrote.
    pub(crate) fn enter(&self, draft: &Draft, origin: Origin) {
        self.index.add(draft.known(origin));
        self.count_markers();
    }

    fn count_markers(&self) {
        let markers = u64::try_from(self.index.len()).unwrap_or(u64::MAX);
        self.observers.markers.set(as_gauge(markers));
    }

    /// Removes a marker from all its homes and from the index. A home that cannot be reached keeps it, and is not asked
    /// before it is back: then the marker is read again, and compared once more.
    pub(crate) async fn remove_marker(&self, known: &Known) -> bool {
        let (here, away): (Vec<usize>, Vec<usize>) =
            known.homes.iter().partition(|home| self.backends[*home].is_in_use());
        let removals = here.iter().map(|home| async move {
            let home = *home;
            let backend = &self.backends[home];
            let delete = backend.store.delete(&known.path);
            match timeout(self.settings.attempt_deadline, delete).await {
                Ok(Err(error)) if !is_missing(&*backend.store, &error) => {
                    self.judge(home, Operation::Journal, &error).await;
                    false
                }
                Ok(_) => {
                    backend.answered();
                    true
                }
                Err(_) => false,
            }
        });
        let removed = futures::future::join_all(removals).await;
        let gone = away.is_empty() && removed.iter().all(|gone| *gone);
        if !gone {
            let left = here.iter().zip(&removed).filter(|(_, gone)| **gone);
            left.for_each(|(home, _)| self.index.left(&known.marker.key, &known.path, *home));
        }
        if gone {
            self.depart(known);
            self.index.remove(&known.marker.key, &known.path);
            self.count_markers();
            self.observers.tell(|| Event::MarkerRemoved {
                target: known.marker.target.clone(),
                key: known.marker.key.clone(),
            });
        }
        gone
    }

    /// Remembers for a while that a key had a marker that made somebody bring it to the target.
    fn depart(&self, known: &Known) {
        if let (false, Some(target)) = (known.marker.delete, known.target) {
            self.departed.note(&known.marker.key, target);
        }
    }

    /// Reads the journal at one backend into the index. Streams: memory is what the index takes.
    pub(crate) async fn read_journal(&self, home: usize) -> Result<u64> {
        let backend = &self.backends[home];
        let began = Instant::now();
        let folder = marker::folder();
        let mut names = std::collections::BTreeSet::new();
        let (mut unread, mut leftovers) = (Vec::new(), Vec::new());
        let mut listing = backend.store.list(Some(&folder));
        while let Some(object) = within(self.settings.stall_deadline, listing.try_next()).await? {
            let path = object.location;
            match Marker::parse(&path) {
                Parsed::Whole(marker) => leftovers.extend(self.found(marker, path.clone(), home)),
                Parsed::KeyInBody(marker) => match self.long_keys.known(&path) {
                    Some(key) => {
                        leftovers.extend(self.found(Marker { key, ..marker }, path.clone(), home));
                    }
                    None => unread.push((marker, path.clone())),
                },
                Parsed::Foreign => continue,
            }
            names.insert(path);
        }
        self.read_bodies(home, unread).await?;
        let gone = self.index.reconcile_home(home, began, &|path| names.contains(path));
        for known in &gone {
            self.depart(known);
            self.late_markers.forget(&known.path, home);
        }
        self.late_markers.forget_older_than(self.settings.quarantine * 2);
        let removals =
            leftovers.into_iter().map(|known| async move { self.remove_marker(&known).await });
        stream::iter(removals).buffer_unordered(REMOVALS).collect::<Vec<_>>().await;
        self.long_keys.retain(|marker, key| self.index.has(key, marker));
        self.count_markers();
        let markers = u64::try_from(names.len()).unwrap_or(u64::MAX);
        let all = self.backends.iter().filter(|other| other.at != home);
        if all
            .into_iter()
            .all(|other| other.journal_read.load(std::sync::atomic::Ordering::Acquire))
        {
            self.journals_known.store(true, std::sync::atomic::Ordering::Release);
        }
        if backend.journal_was_read(began) {
            self.observers.tell(|| Event::JournalRead { backend: backend.id.clone(), markers });
        }
        Ok(markers)
    }

    async fn read_bodies(&self, home: usize, unread: Vec<(Marker, Path)>) -> Result<()> {
        let store = &self.backends[home].store;
        stream::iter(unread.into_iter().map(Ok))
            .try_for_each_concurrent(BODIES, |(marker, path)| async move {
                let read = async { store.get(&path).await?.bytes().await };
                let body = match timeout(self.settings.attempt_deadline, read).await {
                    Ok(Ok(body)) => body,
                    // Removed by somebody since it was listed.
                    Ok(Err(error)) if is_missing(&**store, &error) => return Ok(()),
                    Ok(Err(error)) => return Err(error),
                    Err(_) => return Err(CutOff(self.settings.attempt_deadline).into_error()),
                };
                let key = std::str::from_utf8(&body).ok().and_then(|key| Path::parse(key).ok());
                if let Some(key) = key {
                    self.long_keys.learn(&path, &key);
                    if let Some(leftover) = self.found(Marker { key, ..marker }, path, home) {
                        self.remove_marker(&leftover).await;
                    }
                } else {
                    tracing::warn!(%path, "marker without a key");
                }
                Ok(())
            })
            .await
    }

    /// Enters a marker that lies at a home. One that nothing needs is handed back, to be removed.
    fn found(&self, marker: Marker, path: Path, home: usize) -> Option<Known> {
        let own = marker.stamp.writer() == self.clock.writer();
        // The lock before the index: a writer enters its markers before it lets go of the key.
        let writing = self.locks.is_held(&marker.key);
        let unknown = own && !self.index.has(&marker.key, &path);
        // Of a write of ours that is under way: it says that it was acknowledged, and that is not known yet.
        if unknown && writing {
            return None;
        }
        self.follow(&marker.key, marker.stamp);
        // It landed when it had been removed, or given up. What nobody acknowledged may be what others say of our writes.
        let leftover = unknown && marker.acknowledged && self.late_markers.may_land(&path, home);
        let target = self.backends.iter().position(|backend| backend.id == marker.target);
        let known = Known {
            marker: Arc::new(marker),
            path,
            target,
            homes: Mask::only(home),
            origin: Origin::Foreign,
            landed: false,
            leveled: false,
            outlived: None,
            keeping: Keeping::Homes,
            added: Instant::now(),
        };
        if leftover {
            return Some(known);
        }
        self.index.add(known);
        None
    }
}
