//! Listings: from a backend that is clean under the prefix, if there is one; else with what is dirty overlaid from
//! whoever has it. A listing that breaks goes on at another backend after the last key returned.

use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use lifeboat_core::{Effect, RESERVED_PREFIX, is_reserved};
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectMeta, ObjectStore, Result};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, Span};

use crate::backend::{Backend, Mask};
use crate::engine::Engine;
use crate::error::{CutOff, FailoverError, Reason};
use crate::etag::label;
use crate::events::{Event, Operation};
use crate::health::Evidence;
use crate::latency::ReadKind;
use crate::observe::{BACKEND, Outcome, span};
use crate::read::KeyLock;

/// Overlaid keys looked up at once.
pub(crate) const AT_ONCE: usize = 16;

/// A listing under way.
struct Listing {
    engine: Arc<Engine>,
    prefix: Option<Path>,
    offset: Option<Path>,
    source: Option<Source>,
    /// The last key returned, while everything returned so far is at or before it.
    last: Option<Path>,
    /// Every key returned, where the order is not known or several backends are joined.
    returned: Option<BTreeSet<Path>>,
    asked: Mask,
    /// Those of them that were asked twice since something came.
    twice: Mask,
    /// Incomplete backends whose listings are still to be joined.
    more: Mask,
    failures: Vec<(usize, Error)>,
    /// The backend was given up sooner than any deadline, because another one can be asked.
    late: bool,
    /// A key has been returned since a backend failed.
    progress: bool,
    /// Those that were given up so. They are asked again, and waited for, if nobody else can list.
    hurried: Mask,
    /// Those of them that nobody has stood in for so far.
    outrun: Mask,
}

/// The backend that is being listed.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each says one thing about the listing at this moment, and they combine freely"
)]
struct Source {
    at: usize,
    ordered: bool,
    stream: BoxStream<'static, Result<ObjectMeta>>,
    /// Dirty keys: what this backend says about them is not believed.
    hidden: BTreeSet<Path>,
    /// What is there of the dirty keys, in order.
    overlay: VecDeque<ObjectMeta>,
    /// An entry that waits behind overlaid ones.
    ahead: Option<ObjectMeta>,
    /// The last entry was one of our own: the rest of them are skipped where a page ends.
    private: bool,
    /// Nothing has come yet.
    fresh: bool,
    began: Instant,
    /// How long its first page took.
    first_page: Duration,
    /// It is waited for: nobody else can list what it lists.
    patient: bool,
}

impl Engine {
    /// Lists everything under `prefix` after `offset`.
    pub(crate) fn list_all(
        self: &Arc<Self>,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let listing = Listing {
            engine: Arc::clone(self),
            prefix: prefix.cloned(),
            offset: offset.cloned(),
            source: None,
            last: None,
            returned: None,
            asked: Mask::NONE,
            twice: Mask::NONE,
            more: Mask::NONE,
            failures: Vec::new(),
            late: false,
            progress: false,
            hurried: Mask::NONE,
            outrun: Mask::NONE,
        };
        // Boxed, so that not the whole of it is moved for each entry.
        let span = span(Operation::List, prefix);
        let step = move |listing: Box<Listing>| listing.step().instrument(span.clone());
        stream::try_unfold(Box::new(listing), step).boxed()
    }

    fn dirty_at(&self, at: usize, prefix: Option<&Path>) -> Vec<Path> {
        self.index.keys_under(prefix, &|dirt| dirt.has(at))
    }

    fn has_more_dirty(&self, most: usize, at: usize, prefix: Option<&Path>) -> bool {
        self.index.has_more_under(most, prefix, &|dirt| dirt.has(at))
    }
}

/// Whether a backend can be believed about what it does not list.
pub(crate) fn is_complete(backend: &Backend) -> bool {
    backend.seeded.load(Ordering::Acquire)
}

pub(crate) fn relabel(backend: &Backend, object: &mut ObjectMeta) {
    object.e_tag = label(&backend.id, backend.is_first(), object.e_tag.take());
    object.version = label(&backend.id, backend.is_first(), object.version.take());
}

/// After all names that we keep for ourselves, and before what follows.
fn last_private() -> Path {
    Path::from_iter([RESERVED_PREFIX, "zz"])
}

impl Source {
    /// How long to wait for the next entry: short for the first page while another backend could be asked.
    fn bound(&self, engine: &Engine) -> Duration {
        let settings = &engine.settings;
        if !self.fresh {
            return settings.stall_deadline;
        }
        let latencies = &engine.backends[self.at].latencies;
        match latencies.percentiles(ReadKind::List) {
            _ if self.patient => settings.attempt_deadline,
            Some((_, p99)) => settings.rescue_after.max(p99 * 4).min(settings.attempt_deadline),
            None => settings.rescue_after.min(settings.attempt_deadline),
        }
    }

    /// The next entry, if it is there at once.
    async fn ready(&mut self) -> Option<Option<Result<ObjectMeta>>> {
        poll_fn(|context| match self.stream.poll_next_unpin(context) {
            Poll::Ready(entry) => Poll::Ready(Some(entry)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}

impl Listing {
    async fn step(mut self: Box<Self>) -> Result<Option<(ObjectMeta, Box<Self>)>> {
        self.engine.awake().await;
        loop {
            if self.source.is_none() && !self.open().await? {
                return Ok(None);
            }
            match self.next().await {
                Ok(Some(object)) => {
                    if self.wanted(&object.location) {
                        self.note(&object.location);
                        return Ok(Some((object, self)));
                    }
                }
                Ok(None) => {
                    self.served();
                    self.source = None;
                    if self.more.is_empty() {
                        return Ok(None);
                    }
                }
                Err(error) => self.failed(error).await?,
            }
        }
    }

    /// Chooses a backend and begins there. False if there is nothing more to list.
    async fn open(&mut self) -> Result<bool> {
        let engine = Arc::clone(&self.engine);
        let joining = !self.more.is_empty();
        let at = if joining { self.more.iter().next() } else { self.choose() };
        let Some(at) = at else { return Err(self.give_up()) };
        self.more.clear(at);
        let again = self.asked.has(at);
        if again {
            self.twice.set(at);
        }
        self.asked.set(at);
        self.hurried.clear(at);
        let backend = &engine.backends[at];
        if !joining && !is_complete(backend) {
            // What one lacks another may have: all are joined, and one that is missing makes it incomplete.
            self.join(at)?;
            // A joined listing is not in order, and would need the one that failed.
            if engine.backends.iter().any(|backend| is_complete(backend)) {
                return Err(self.give_up());
            }
        }
        let ordered = backend.lists_in_order();
        // From here on keys may come in any order: what was returned so far is at or before the last key, what follows
        // is remembered one by one.
        if self.returned.is_none() && (!ordered || !self.more.is_empty()) {
            self.offset = self.offset.take().max(self.last.take());
            self.returned = Some(BTreeSet::new());
        }
        let prefix = self.prefix.as_ref();
        let after = match (&self.offset, &self.last) {
            (Some(offset), Some(last)) => Some(offset.max(last)),
            (offset, last) => offset.as_ref().or(last.as_ref()),
        };
        let hidden: BTreeSet<Path> = engine.dirty_at(at, prefix).into_iter().collect();
        let overlay = overlay(&engine, &hidden, after).await?;
        // "Start after" skips whole folders at services that list folder by folder: filtered here instead.
        let stream = match after {
            Some(after) if ordered => backend.store.list_with_offset(prefix, after),
            _ => backend.store.list(prefix),
        };
        // Overlaid entries may follow its end, and some streams must not be asked again.
        let stream = stream.fuse().boxed();
        self.source = Some(Source {
            at,
            ordered,
            stream,
            hidden,
            overlay,
            ahead: None,
            private: false,
            fresh: true,
            began: Instant::now(),
            first_page: Duration::ZERO,
            patient: again || !is_complete(backend) || !self.has_stand_in(),
        });
        Ok(true)
    }

    /// Whether another backend lists as much as a complete one, and soon: no more is to be looked up than is looked up at once.
    fn has_stand_in(&self) -> bool {
        let engine = &self.engine;
        let fits = |at: usize| {
            is_complete(&engine.backends[at])
                && !engine.has_more_dirty(AT_ONCE, at, self.prefix.as_ref())
        };
        engine.in_use().without(self.asked).iter().any(fits)
    }

    /// All other backends are to be listed as well.
    fn join(&mut self, first: usize) -> Result<()> {
        let engine = &self.engine;
        for backend in engine.backends.iter().filter(|backend| backend.at != first) {
            if !backend.is_reachable() {
                let error =
                    FailoverError::new(Reason::MissNotBelieved, self.prefix.as_ref(), Effect::None)
                        .answered(&backend.id, backend.state().as_str())
                        .answered(&engine.backends[first].id, "not known to be complete");
                return Err(error.into());
            }
            self.more.set(backend.at);
        }
        Ok(())
    }

    /// The complete backend with the fewest dirty keys; the first of equals. One that is only slow comes before those that
    /// cannot know everything.
    fn choose(&self) -> Option<usize> {
        let engine = &self.engine;
        let reachable = engine.reachable();
        let fresh = reachable.without(self.asked);
        let hurried: Mask = reachable.iter().filter(|at| self.hurried.has(*at)).collect();
        let complete = |mask: Mask| -> Mask {
            mask.iter().filter(|at| is_complete(&engine.backends[*at])).collect()
        };
        // Where nobody else knows everything, those that do are asked again: who was given up early, then who failed once.
        let again = [hurried, reachable.without(self.twice)].map(complete);
        let again = again.into_iter().find(|mask| !mask.is_empty());
        let among = match again {
            _ if fresh.is_empty() => hurried,
            Some(again) if complete(fresh).is_empty() => again,
            _ => fresh,
        };
        engine
            .backends
            .iter()
            .filter(|backend| among.has(backend.at))
            .min_by_key(|backend| {
                let dirty = engine.has_more_dirty(0, backend.at, self.prefix.as_ref());
                let suspect = backend.state() != crate::health::HealthState::Serving;
                (!is_complete(backend), !backend.is_in_use(), dirty, suspect, backend.at)
            })
            .map(|backend| backend.at)
    }

    /// The next entry of the current backend, overlaid ones in their places.
    async fn next(&mut self) -> Result<Option<ObjectMeta>> {
        let Some(source) = &mut self.source else { return Ok(None) };
        let backend = &self.engine.backends[source.at];
        while source.ahead.is_none() {
            // Anew each time: the first page has another bound, and there may be nothing in it that is shown.
            let bound = source.bound(&self.engine);
            // What is there already, the rest of a page, needs no timer.
            let entry = match source.ready().await {
                Some(entry) => entry,
                None if source.private && source.ordered => {
                    // A journal can be many pages long.
                    let prefix = self.prefix.as_ref();
                    source.stream =
                        backend.store.list_with_offset(prefix, &last_private()).fuse().boxed();
                    source.private = false;
                    continue;
                }
                None => timeout(bound, source.stream.next()).await.unwrap_or_else(|_| {
                    self.late = source.fresh && bound < self.engine.settings.attempt_deadline;
                    if self.late {
                        backend.latencies.record(ReadKind::List, bound);
                    }
                    Some(Err(CutOff(bound).into_error()))
                }),
            };
            if source.fresh && !matches!(entry, Some(Err(_))) {
                source.fresh = false;
                source.first_page = source.began.elapsed();
                backend.answered();
                backend.latencies.record(ReadKind::List, source.first_page);
                for slow in std::mem::take(&mut self.outrun).without(Mask::only(source.at)).iter() {
                    self.engine.backends[slow].observe(Evidence::Outrun, "its listings are late");
                }
            }
            match entry {
                Some(Err(error)) => return Err(error),
                Some(Ok(mut object)) => {
                    source.private = is_reserved(&object.location);
                    if source.private || source.hidden.contains(&object.location) {
                        continue;
                    }
                    // Deleted, and listed by a backend that no marker names: an older request may have brought it back.
                    if self.engine.index.is_deleted(&object.location)
                        && look(Arc::clone(&self.engine), object.location.clone()).await?.is_none()
                    {
                        continue;
                    }
                    relabel(backend, &mut object);
                    source.ahead = Some(object);
                }
                None => return Ok(source.overlay.pop_front()),
            }
        }
        let overlaid = match (source.overlay.front(), &source.ahead) {
            (Some(over), Some(ahead)) => source.ordered && over.location < ahead.location,
            _ => false,
        };
        Ok(if overlaid { source.overlay.pop_front() } else { source.ahead.take() })
    }

    fn wanted(&self, key: &Path) -> bool {
        let after = |bound: Option<&Path>| bound.is_none_or(|bound| key > bound);
        after(self.offset.as_ref())
            && match &self.returned {
                Some(returned) => !returned.contains(key),
                // While the current backend goes on in order this is always true.
                None => after(self.last.as_ref()),
            }
    }

    fn note(&mut self, key: &Path) {
        self.progress = true;
        match &mut self.returned {
            Some(returned) => {
                returned.insert(key.clone());
            }
            None => self.last = Some(key.clone()),
        }
    }

    fn served(&self) {
        if let Some(source) = &self.source {
            let id = &self.engine.backends[source.at].id;
            let (observers, took) = (&self.engine.observers, source.first_page);
            observers.answered(source.at, id, Operation::List, took, Outcome::Ok);
            Span::current().record(BACKEND, &**id);
        }
    }

    /// A backend failed on the way: goes on at another one, or fails.
    async fn failed(&mut self, error: Error) -> Result<()> {
        let Some(source) = self.source.take() else { return Err(error) };
        if std::mem::take(&mut self.late) {
            self.hurried.set(source.at);
            self.outrun.set(source.at);
        } else {
            let (engine, took) = (&self.engine, source.began.elapsed());
            let outcome = Outcome::of(&engine.judge(source.at, Operation::List, &error).await);
            let id = &engine.backends[source.at].id;
            engine.observers.answered(source.at, id, Operation::List, took, outcome);
            if outcome != Outcome::Failed {
                return Err(error);
            }
        }
        // A joined listing lacks what only this backend has.
        let joined = !self.more.is_empty()
            || (self.returned.is_some() && !is_complete(&self.engine.backends[source.at]));
        // Something has come since others failed: they may serve again.
        if std::mem::take(&mut self.progress) && self.more.is_empty() {
            self.asked = Mask::only(source.at);
            self.twice = Mask::NONE;
        }
        // It may have been asked before, and given up early.
        self.failures.retain(|(at, _)| *at != source.at);
        self.failures.push((source.at, error));
        if joined {
            return Err(self.give_up());
        }
        if let Some(next) = self.choose() {
            let backends = &self.engine.backends;
            self.engine.observers.tell(|| Event::FailedOver {
                operation: Operation::List,
                from: backends[source.at].id.clone(),
                to: backends[next].id.clone(),
            });
        }
        Ok(())
    }

    fn give_up(&mut self) -> Error {
        let mut error = FailoverError::new(Reason::Unavailable, self.prefix.as_ref(), Effect::None);
        for (at, cause) in &self.failures {
            error = error.failed(&self.engine.backends[*at].id, cause);
        }
        error.away(&self.engine.backends).into()
    }
}

/// What there is of dirty keys, from whoever has their latest version.
async fn overlay(
    engine: &Arc<Engine>,
    hidden: &BTreeSet<Path>,
    after: Option<&Path>,
) -> Result<VecDeque<ObjectMeta>> {
    let wanted = |key: &Path| after.is_none_or(|after| key > after);
    let keys: Vec<Path> = hidden.iter().filter(|key| wanted(key)).cloned().collect();
    // Made one by one: a look is large, and there may be very many.
    let looks = stream::iter(keys).map(|key| look(Arc::clone(engine), key)).buffered(AT_ONCE);
    looks.try_filter_map(|found| async { Ok(found) }).try_collect().await
}

/// Looks one key up, wherever its latest version is.
pub(crate) async fn look(engine: Arc<Engine>, key: Path) -> Result<Option<ObjectMeta>> {
    let head = GetOptions { head: true, ..GetOptions::default() };
    match engine.get_raw(&key, head, KeyLock::NotOurs).await {
        Ok(served) => {
            let mut meta = served.result.meta;
            relabel(&engine.backends[served.at], &mut meta);
            Ok(Some(meta))
        }
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
