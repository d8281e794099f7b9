//! Catch-up: bringing the backends to one state of a key. State-based: what is there decides, the markers
//! only say where to look.

pub(crate) mod conflicts;
pub(crate) mod copying;
pub(crate) mod mend;
pub(crate) mod patience;
mod read_through;
pub(crate) mod runner;
mod spoilt;
pub(crate) mod stillness;
mod vanished;
pub(crate) mod verdict;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use lifeboat_core::repeated::watched;
use lifeboat_core::{Class, Effect, Stamp, VersionTag};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, PutMode, Result, UpdateVersion};
use tokio::time::{Instant, timeout};

use self::copying::ONE_PUT;
use self::vanished::Created;
use self::verdict::{CLOCK_MARGIN, Settlement, State, settle};
use crate::backend::{Backend, Mask};
use crate::engine::{Engine, UnderWay};
use crate::error::{describe, is_missing, within};
use crate::events::{Event, Operation};
use crate::journal::index::{Keeping, Known, Origin};
use crate::journal::store::{Draft, Mark};
use crate::write::conditional::head;

/// Rounds in which somebody else may change a key under our hands before it is left for later.
const ROUNDS: usize = 4;

/// Whether whoever else wants a key goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A request waits for the outcome at this backend. The others wait for their turn.
    Now(usize),
    /// Background work lets writers of the key pass.
    Yielding,
}

/// Why a key is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// Markers say that a backend lacks something. If they are gone, somebody else has settled the key: what is different
    /// then is a write on its way, and no business of ours.
    Marked,
    /// The backends were compared, and differ.
    Compared,
}

/// What came of one key.
#[derive(Debug, Default)]
pub(crate) struct Reconciled {
    /// Backends that were seen in the final state.
    level: Mask,
    /// In the final state there is an object.
    exists: bool,
    /// The final state has been there for longer than a write takes.
    still: bool,
    /// Markers of other processes whose write was seen to have landed, so that it is over.
    landed: BTreeSet<Path>,
    /// Backends whose copy was read and is not what was sent.
    spoilt: Mask,
    /// What was brought where nothing was, until the next look has seen its sources again.
    created: Vec<Created>,
    pub(crate) bytes: u64,
    pub(crate) removed: u64,
    pub(crate) left: u64,
}

impl Reconciled {
    /// Whether a backend has the latest state.
    pub(crate) fn is_level(&self, at: usize) -> bool {
        self.level.has(at)
    }

    /// Whether there is an object at a backend; none if that does not have the latest state.
    pub(crate) fn exists_at(&self, at: usize) -> Option<bool> {
        self.is_level(at).then_some(self.exists)
    }
}

/// An observed object.
pub(crate) type Seen = Option<(ObjectMeta, Option<VersionTag>)>;

impl Engine {
    /// Reconciles a key in the background: to the end even if nobody waits for it any more, because what it has sent
    /// may land all the same.
    pub(crate) async fn reconcile_to_the_end(
        self: &Arc<Self>,
        key: Path,
        basis: Basis,
    ) -> Reconciled {
        let engine = Arc::clone(self);
        let under_way = UnderWay::new(self);
        let work = async move {
            let _guard = engine.locks.lock(&key).await;
            let done = engine.reconcile(&key, Urgency::Yielding, basis).await;
            drop(under_way);
            Ok(done)
        };
        // It fails only when the runtime has stopped.
        self.detached(work).await.unwrap_or_default()
    }

    /// Brings all reachable backends to one state of `key`, and removes the markers that are no longer needed. The
    /// key's lock is held.
    pub(crate) async fn reconcile(
        self: &Arc<Self>,
        key: &Path,
        urgency: Urgency,
        basis: Basis,
    ) -> Reconciled {
        let mut done = Reconciled::default();
        let began = Instant::now();
        self.keep_unkept(key).await;
        for _ in 0..ROUNDS {
            if self.is_late(key, urgency, began) {
                break;
            }
            let returns = self.index.returns();
            let known = self.index.of(key);
            if known.is_empty() && basis == Basis::Marked && done.created.is_empty() {
                break;
            }
            let late = || self.is_late(key, urgency, began);
            match self.round(key, &known, urgency, &mut done, &late).await {
                Ok(true) => {
                    if !done.level.is_empty() {
                        self.patience.taken(key);
                    }
                    self.index.leveled(key, &known, (done.level, self.in_use()), returns);
                    self.clear(&known, &mut done, &late).await;
                    if !done.spoilt.is_empty() {
                        continue;
                    }
                    if self.index.dirt(key).is_none() {
                        self.still.forget(key);
                    }
                    self.bury_later(key, std::mem::take(&mut done.created));
                    return done;
                }
                Ok(false) => done.level = Mask::NONE,
                Err(error) => {
                    let why = describe(&error);
                    tracing::debug!(%key, %why, "catch-up will try again");
                    if self.is_refusal(&error) {
                        self.patience.refused(key, &why);
                    }
                    self.observers.tell(|| Event::CatchUpFailed { key: key.clone(), why });
                    break;
                }
            }
        }
        if !done.created.is_empty()
            && let Some(seen) = self.look_in_time(key, urgency).await
        {
            self.suspect_deletes(key, &seen, &mut done);
        }
        // Not all could be asked: somebody has to look once more.
        self.bury_later(key, std::mem::take(&mut done.created));
        done.left = u64::try_from(self.index.of(key).len()).unwrap_or(u64::MAX);
        done
    }

    /// Whether a key is let go of: writers of it wait for a slow backend no longer than for one that is asked.
    fn is_late(&self, key: &Path, urgency: Urgency, began: Instant) -> bool {
        let took = began.elapsed();
        match urgency {
            Urgency::Now(_) => took >= self.settings.attempt_deadline,
            Urgency::Yielding => took >= self.marker_patience() && self.locks.is_wanted(key),
        }
    }

    /// One look, and what follows from it. True if the backends were found equal, so that nothing was done. When it is
    /// `late`, what is left is left for the next time: a slow backend takes its time for each request.
    async fn round(
        self: &Arc<Self>,
        key: &Path,
        known: &[Known],
        urgency: Urgency,
        done: &mut Reconciled,
        late: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let Some(seen) = self.look_in_time(key, urgency).await else {
            return Ok(done.created.is_empty());
        };
        if self.suspect_deletes(key, &seen, done) {
            return Ok(true);
        }
        let states = self.states_of(&seen);
        // While nobody answers who has the newest write, what the others have decides nothing.
        let newest = newest_acknowledged(known);
        let has_newest = |home: usize| {
            newest.is_none_or(|newest| newest.homes.is_empty() || newest.homes.has(home))
        };
        if !states.iter().any(|state| has_newest(state.at)) {
            return Ok(true);
        }
        // Its home may have lost it to an older request that landed late, while another backend still holds it.
        let holds = |state: &State<'_>| holds_marked(key, state, newest);
        if states.len() < self.backends.len() && !states.iter().any(holds) {
            return Ok(true);
        }
        let Some(mut settlement) = settle(key, &states, known) else {
            return Ok(true);
        };
        settlement.prefer_clear(&seen, known);
        if !self.leave_out_equals(key, &mut settlement, &seen, late).await? {
            return Ok(false);
        }
        settlement.renew(std::mem::take(&mut done.spoilt), &seen);
        // A backend without a marker holds every acknowledged write. Where it disagrees all the same, a write is
        // just on its way through; only when nothing can be on its way any more is that a difference to settle. Nor is
        // a delete inferred before: what looks like one may be explained by a marker that is just being written.
        let marked = |at: usize| known.iter().any(|known| known.target == Some(at));
        let passing = !known.is_empty() && settlement.lagging.iter().any(|at| !marked(*at));
        let inferred = settlement.inferred && !settlement.lagging.is_empty();
        let since = self.still.since(key, &seen, known, self.index.len());
        if passing || inferred {
            let all = states.len() == self.backends.len();
            if !self.stands_still(since) || (inferred && !all) {
                return Ok(true);
            }
        }
        // A look takes its time: what said that there is something to do may have gone meanwhile.
        if known.iter().any(|known| !self.index.has(key, &known.path)) {
            return Ok(false);
        }
        let mut later = Mask::NONE;
        if let Urgency::Now(at) = urgency {
            later = settlement.lagging.iter().copied().filter(|target| *target != at).collect();
            settlement.lagging.retain(|target| *target == at);
            settlement.conflicts.retain(|loser| *loser == at);
        }
        // Due is a key as soon as one of its markers is; a backend without conditions has to wait for its own.
        let brought =
            settlement.winner.and_then(|winner| seen_at(&seen, winner).map(|(meta, _)| meta.size));
        if let Some(size) = brought {
            let early = |at: &usize| self.is_early(*at, size, known);
            let early: Mask = settlement.lagging.iter().copied().filter(early).collect();
            later |= early;
            settlement.lagging.retain(|target| !early.has(*target));
        }
        for loser in &settlement.conflicts {
            if !self.keep_conflict(key, *loser, &seen, late).await? || late() {
                return Ok(false);
            }
        }
        if settlement.lagging.is_empty() {
            let all: Mask = states.iter().map(|state| state.at).collect();
            done.level = all.without(later);
            done.exists = settlement.winner.is_some();
            done.still = self.stands_still(since);
            let landed = known.iter().filter(|known| has_landed(key, known, &states, done.still));
            done.landed = landed.map(|known| known.path.clone()).collect();
            return Ok(true);
        }
        if settlement.winner.is_none() && !self.announce_delete(key, &settlement, known).await {
            return Ok(true);
        }
        let mut refused = Ok(false);
        for target in &settlement.lagging {
            if late() {
                return Ok(false);
            }
            let before = seen_at(&seen, *target);
            let (applied, open) =
                watched(self.apply(key, &settlement, *target, before, &seen, done).boxed()).await;
            let unknown =
                |error| self.backends[*target].store.classify(error).effect == Effect::Unknown;
            let open = open || applied.as_ref().is_err_and(unknown);
            if open {
                self.doubt(key, *target, &settlement, &seen, known);
            }
            if let (None, Some(source)) = (before, settlement.winner) {
                done.created.extend(Created::of(key, (source, *target), &seen, known, open));
            }
            if let Err(error) = applied {
                if !self.is_refusal(&error) {
                    return Err(error);
                }
                // The others are not to suffer for it.
                refused = Err(error);
            }
        }
        refused
    }

    /// Whether every process has heard that the lagging backends are about to lose a key. A delete knows no condition, and
    /// what somebody writes just before it lands is gone there: whoever knows that the backend is dirty leaves a marker
    /// of that write, and brings it back. One that no marker names is given one first.
    async fn announce_delete(&self, key: &Path, settlement: &Settlement, known: &[Known]) -> bool {
        let about = |target: usize| known.iter().filter(move |known| known.target == Some(target));
        let heard = settlement
            .lagging
            .iter()
            .all(|target| about(*target).any(|known| self.has_been_heard(known)));
        let unnamed: Vec<usize> = settlement
            .lagging
            .iter()
            .copied()
            .filter(|target| about(*target).next().is_none())
            .collect();
        let stamp = settlement.deleted.unwrap_or_else(|| self.stamp(key));
        let mark = Mark::inferred_delete(key, stamp);
        let until = Instant::now() + self.settings.attempt_deadline;
        for target in unnamed {
            self.leave_marker(&mark, target, until).await;
        }
        heard
    }

    /// How long it takes every live process to hear of a marker.
    fn joined(&self) -> Duration {
        self.settings.journal_poll + self.settings.journal_poll / 2 + JOIN_MARGIN
    }

    /// Whether every live process knows of a marker by now, so that its writes leave markers too.
    fn has_been_heard(&self, known: &Known) -> bool {
        self.is_older_than(known, self.joined())
    }

    /// Whether a marker was written so long ago: by our own clock of the time since we know of it, or by the wall clocks with
    /// what they may be apart. What nobody acknowledged may be about an older version, that catch-up brought: its stamp does
    /// not say when that was.
    fn is_older_than(&self, known: &Known, age: Duration) -> bool {
        let dated = known.marker.acknowledged;
        known.added.elapsed() >= age
            || (dated && self.clock.age(known.marker.stamp) >= age + CLOCK_MARGIN)
    }

    /// Whether somebody may be doing already, without a condition, what markers of a key ask for, and what takes so long: who
    /// heard of this one when it was written thinks by now that everybody has.
    pub(crate) fn may_be_under_way(&self, known: &Known, takes: Duration) -> bool {
        known.outlived.is_none_or(|since| since.elapsed() < takes)
            && known.keeping == Keeping::Homes
            && known.added.elapsed().max(self.clock.age(known.marker.stamp)) >= self.joined()
    }

    /// Whether an object of that size cannot be brought to a backend yet: no condition guards it, and not everybody has heard
    /// that it is lacking there.
    fn is_early(&self, at: usize, size: u64, known: &[Known]) -> bool {
        let guarded = self.backends[at].enforces_conditions() && size <= ONE_PUT;
        let mut about = known.iter().filter(|known| known.target == Some(at)).peekable();
        !guarded && about.peek().is_some() && !about.any(|known| self.has_been_heard(known))
    }

    /// Homes that were all away told nobody: a process that began meanwhile has written without a marker, until it had the
    /// time to hear of this one. What it left then is in the journals that were read since; no condition shows a delete.
    fn homes_were_heard(&self, known: &Known) -> bool {
        let homes = known.homes.iter().filter(|home| self.backends[*home].is_in_use());
        // One that has not been away comes first.
        let Some(Some(since)) = homes.map(|home| self.backends[home].health().returned_at()).min()
        else {
            return true;
        };
        let read = |at: usize| self.backends[at].journal_read_since(since + self.joined());
        self.in_use().iter().all(read)
    }

    /// What was seen, as [`settle`] takes it.
    pub(crate) fn states_of<'a>(&self, seen: &'a [(usize, Seen)]) -> Vec<State<'a>> {
        let known = self.journals_known.load(Ordering::Acquire);
        let complete = |at: usize| known && self.backends[at].seeded.load(Ordering::Acquire);
        seen.iter()
            .map(|(at, seen)| State { at: *at, seen: seen.as_ref(), complete: complete(*at) })
            .collect()
    }

    /// Whether a backend will not take a key as it is: trying again soon would end in the same way.
    pub(super) fn is_refusal(&self, error: &object_store::Error) -> bool {
        use object_store::Error as E;
        // These say that somebody else was there first.
        let raced =
            matches!(error, E::NotFound { .. } | E::AlreadyExists { .. } | E::Precondition { .. });
        let refused = |backend: &Arc<Backend>| {
            matches!(backend.store.classify(error).class, Class::Answer | Class::Denied)
        };
        !raced && self.backends.iter().all(refused)
    }

    /// Objects without stamps are equal if their bytes are: each provider has ETags of its own, and whoever copies
    /// them again and again never ends. False if it is `late` before all are compared.
    async fn leave_out_equals(
        self: &Arc<Self>,
        key: &Path,
        settlement: &mut Settlement,
        seen: &[(usize, Seen)],
        late: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let unstamped = |at: usize| seen_at(seen, at).filter(|(_, tag)| tag.is_none());
        let Some(winner) = settlement.winner else { return Ok(true) };
        let Some((best, _)) = unstamped(winner) else { return Ok(true) };
        for target in settlement.lagging.clone() {
            let Some((there, _)) = unstamped(target) else { continue };
            if there.size != best.size {
                continue;
            }
            match self.same_bytes(key, (winner, best), (target, there), late).await? {
                None => return Ok(false),
                Some(false) => {}
                Some(true) => {
                    settlement.lagging.retain(|at| *at != target);
                    settlement.conflicts.retain(|at| *at != target);
                }
            }
        }
        Ok(true)
    }

    /// A write of catch-up itself may still land: a marker says so until it cannot any more, because the markers
    /// that made us write may be removed by others before that.
    fn doubt(
        self: &Arc<Self>,
        key: &Path,
        target: usize,
        settlement: &Settlement,
        seen: &[(usize, Seen)],
        known: &[Known],
    ) {
        let winner = settlement.winner;
        let size = winner.and_then(|at| seen_at(seen, at)).map(|(meta, _)| meta.size);
        let (tag, order) = winner.map_or((None, None), |winner| order_of(key, winner, seen, known));
        // Never a newer one than that of what is under way: it would win over what is written meanwhile.
        let stamp = settlement.deleted.or(order).unwrap_or_else(|| self.stamp(key));
        let mark = Mark {
            key,
            delete: winner.is_none(),
            stamp,
            version: tag.map(|tag| tag.stamp).filter(|version| *version != stamp),
            // What its writer knew is not known here.
            after: None,
            ambiguous: true,
            acknowledged: false,
            confirmed: false,
            size: winner.and(size),
        };
        // Known at once; writers of the key do not wait until it is durable.
        let draft = self.draft(&mark, target);
        self.enter(&draft, Origin::Ended);
        let engine = Arc::clone(self);
        let until = Instant::now() + self.settings.attempt_deadline;
        self.spawn(async move { engine.keep(draft, Origin::Ended, until).await });
    }

    /// The state of a key at every backend that answers; none if somebody waits for the key and a backend is silent.
    async fn look_in_time(&self, key: &Path, urgency: Urgency) -> Option<Vec<(usize, Seen)>> {
        let look = self.look(key);
        if urgency == Urgency::Yielding && self.locks.is_wanted(key) {
            return timeout(self.marker_patience(), look).await.ok();
        }
        Some(look.await)
    }

    /// The state of a key at every backend that answers.
    pub(crate) async fn look(&self, key: &Path) -> Vec<(usize, Seen)> {
        let bound = self.settings.attempt_deadline;
        let looks =
            self.backends.iter().filter(|backend| backend.is_in_use()).map(|backend| async move {
                match within(bound, head(&*backend.store, key)).await {
                    Ok(seen) => {
                        backend.answered();
                        if let Some((_, Some(tag))) = &seen
                            && tag.belongs_to(key)
                        {
                            self.follow(key, tag.stamp);
                        }
                        Some((backend.at, seen))
                    }
                    Err(error) => {
                        self.judge(backend.at, Operation::CatchUp, &error).await;
                        None
                    }
                }
            });
        futures::future::join_all(looks).await.into_iter().flatten().collect()
    }

    /// What nobody could keep so far is kept as soon as somebody can.
    async fn keep_unkept(&self, key: &Path) {
        let until = Instant::now() + self.settings.attempt_deadline;
        let unkept = self.index.unkept(key).into_iter().filter(|known| !self.is_over(known));
        for known in unkept {
            if let Some(draft) = Draft::of(&known) {
                self.keep(draft, known.origin, until).await;
            }
        }
    }

    /// Writes the winner to one backend that lacks it.
    async fn apply(
        self: &Arc<Self>,
        key: &Path,
        settlement: &Settlement,
        target: usize,
        before: Option<&(ObjectMeta, Option<VersionTag>)>,
        seen: &[(usize, Seen)],
        done: &mut Reconciled,
    ) -> Result<()> {
        let backend = &self.backends[target];
        let bytes = match settlement.winner {
            None => {
                // The last look before a request that knows no condition.
                if !self.is_unchanged(target, key, before).await? {
                    return Ok(());
                }
                // No longer than an attempt: writers of the key wait.
                match within(self.settings.attempt_deadline, backend.store.delete(key)).await {
                    Err(error) if !is_missing(&*backend.store, &error) => {
                        return Err(self.blame(target, error).await);
                    }
                    _ => 0,
                }
            }
            Some(source) => {
                let Some((meta, _)) = seen_at(seen, source) else { return Ok(()) };
                let mode = match before {
                    None => PutMode::Create,
                    Some((there, _)) => PutMode::Update(UpdateVersion {
                        e_tag: there.e_tag.clone(),
                        version: there.version.clone(),
                    }),
                };
                match self.bring(key, source, meta, target, mode, before).await? {
                    Some(bytes) => bytes,
                    None => return Ok(()),
                }
            }
        };
        done.bytes += bytes;
        let numbers = self.observers.numbers(target);
        numbers.catch_up_keys.increment(1);
        numbers.catch_up_bytes.increment(bytes);
        let event = || Event::CaughtUp { backend: backend.id.clone(), key: key.clone(), bytes };
        self.observers.tell(event);
        Ok(())
    }

    /// Whether a backend still holds what was observed there.
    pub(crate) async fn is_unchanged(
        &self,
        at: usize,
        key: &Path,
        before: Option<&(ObjectMeta, Option<VersionTag>)>,
    ) -> Result<bool> {
        let head = head(&*self.backends[at].store, key);
        let now = match within(self.settings.attempt_deadline, head).await {
            Ok(now) => now,
            Err(error) => return Err(self.blame(at, error).await),
        };
        let same = |(a, tag_a): &(ObjectMeta, _), (b, tag_b): &(ObjectMeta, _)| {
            a.e_tag == b.e_tag && a.size == b.size && tag_a == tag_b
        };
        Ok(match (&now, before) {
            (None, None) => true,
            (Some(now), Some(before)) => same(now, before),
            _ => false,
        })
    }

    /// Takes a failure as evidence, and hands it on.
    pub(crate) async fn blame(&self, at: usize, error: object_store::Error) -> object_store::Error {
        self.judge(at, Operation::CatchUp, &error).await;
        error
    }

    /// Removes the markers that were seen before the backends were found equal, where nothing can land any more.
    async fn clear(
        self: &Arc<Self>,
        known: &[Known],
        done: &mut Reconciled,
        late: &(dyn Fn() -> bool + Sync),
    ) {
        // From the oldest on, and none before all that are older have gone. The newest marker of a key says what the
        // key is: without it, an older one that still waits for a late request would pass for the latest state.
        let mut oldest_first: Vec<&Known> = known.iter().collect();
        oldest_first.sort_by_key(|known| known.marker.stamp);
        let mut oldest_left = self.oldest_other(known);
        let named: Mask = known.iter().filter_map(|known| known.target).collect();
        let unseen = self.all().without(done.level).without(named);
        for known in oldest_first {
            // One that speaks of a backend that is not ours is for those who have that backend, and says nothing here.
            let Some(target) = known.target else {
                done.left += 1;
                continue;
            };
            let level = done.is_level(target);
            let needed = oldest_left.is_some_and(|oldest| oldest < known.marker.stamp);
            // What stands in for a write speaks only where the write itself was seen.
            let homeless = known.homes.is_empty();
            let seen = if homeless {
                done.level.len() > 1 || self.backends.len() == 1
            } else {
                known.homes.iter().any(|home| done.is_level(home))
            };
            // What nobody acknowledged may be what the others have now: who was not seen may lack it, and has no marker.
            let told = known.marker.acknowledged || unseen.is_empty();
            let landed = done.landed.contains(&known.path) && self.is_guarded(known);
            let over =
                landed || (self.is_over(known) && (done.still || !self.needs_stillness(known)));
            if level && needed && known.keeping == Keeping::Private {
                // Others have it by now, and the older marker that needs this one may be theirs to read.
                let homes = done.level.without(Mask::only(target));
                self.keep_at(known, homes).await;
            }
            if level
                && seen
                && told
                && !needed
                && over
                && !late()
                && self.is_sound(known, done).await
                && self.remove_marker(known).await
            {
                done.removed += 1;
            } else {
                done.left += 1;
                let stamp = known.marker.stamp;
                oldest_left = Some(oldest_left.map_or(stamp, |oldest| oldest.min(stamp)));
            }
        }
    }

    /// The oldest marker of a key that came into the index since `known` was taken from it.
    fn oldest_other(&self, known: &[Known]) -> Option<Stamp> {
        let paths: BTreeSet<&Path> = known.iter().map(|known| &known.path).collect();
        let oldest = |all: &[Known]| {
            let others = all.iter().filter(|other| !paths.contains(&other.path));
            let others = others.filter(|other| other.target.is_some());
            others.map(|other| other.marker.stamp).min()
        };
        self.index.view(&known.first()?.marker.key, oldest)?
    }

    /// Whether another process, which read a marker, may still have something on its way that no condition stops: an
    /// unconditional put of what an own marker speaks of, or a create where the key is deleted by now. It leaves a marker of
    /// its own if that does not end in time; this one stays for as long as that takes to be heard of.
    pub(crate) fn needs_stillness(&self, known: &Known) -> bool {
        let put = !known.marker.delete;
        (known.origin == Origin::Ended && !self.is_guarded(known))
            || (put && self.still.is_absent(&known.marker.key))
    }

    /// Whether what catch-up sends to the marked target bears a condition that the target enforces. Uploads in parts bear
    /// none, nor does what an earlier version marked without saying how large it is count as small.
    fn is_guarded(&self, known: &Known) -> bool {
        !known.marker.delete
            && known.marker.size.is_some_and(|size| size <= ONE_PUT)
            && known.target.is_some_and(|target| self.backends[target].enforces_conditions())
    }

    /// Whether no request of the marked write can still land.
    pub(crate) fn is_over(&self, known: &Known) -> bool {
        let quarantined = !self.is_older_than(known, self.settings.quarantine);
        match known.origin {
            Origin::Running => false,
            Origin::Ended => !known.marker.ambiguous || known.landed || !quarantined,
            // Of another process: a marker that was written after the data belongs to a write that is over.
            // But a catch-up of that process may have had a request on its way, which only a condition stops.
            Origin::Foreign => {
                let told = known.marker.confirmed && !known.marker.ambiguous;
                (told && self.is_guarded(known)) || !quarantined
            }
        }
    }

    /// Whether a key has looked the same for long enough, as far as it was looked at.
    pub(crate) fn is_still(&self, key: &Path) -> bool {
        self.still.known_since(key).is_none_or(|since| self.stands_still(since))
    }

    /// Whether nothing is on its way any more through what has looked the same since then: longer than a write takes,
    /// and every journal that can be has been read again after that.
    fn stands_still(&self, since: Instant) -> bool {
        let over = since + self.settings.write_deadline;
        let heard = |backend: &Arc<Backend>| backend.journal_read_since(over);
        self.backends.iter().filter(|backend| backend.is_in_use()).all(heard)
    }

    /// Whether a key may be worked on now: a backend without conditions waits until every process knows of the
    /// marker, so that its writes leave markers too.
    pub(crate) fn is_due(&self, known: &[Known]) -> bool {
        let running = known.iter().any(|known| known.origin == Origin::Running);
        let waiting = known.iter().any(|known| {
            known.target.is_some_and(|target| self.backends[target].is_in_use())
                && (self.is_guarded(known) || self.has_been_heard(known))
                && self.homes_were_heard(known)
        });
        // What is sent before it is known whether a condition holds would bear none.
        let asking = known.iter().filter_map(|known| known.target).any(|target| {
            let backend = &self.backends[target];
            backend.is_in_use() && backend.awaits_confirmation()
        });
        waiting && !running && !asking
    }
}

/// What a backend was seen to hold; none if nothing, or if it did not answer.
fn seen_at(seen: &[(usize, Seen)], at: usize) -> Option<&(ObjectMeta, Option<VersionTag>)> {
    seen.iter().find(|(seen, _)| *seen == at).and_then(|(_, seen)| seen.as_ref())
}

/// The stamp of the version that a backend was seen to hold, and that of the write that put it there.
fn order_of(
    key: &Path,
    at: usize,
    seen: &[(usize, Seen)],
    known: &[Known],
) -> (Option<VersionTag>, Option<Stamp>) {
    let Some(tag) = seen_at(seen, at).and_then(|(_, tag)| *tag) else { return (None, None) };
    let put = known.iter().filter(|known| !known.marker.delete);
    let marked = put.filter(|known| known.marker.version_stamp() == tag.stamp);
    let own = tag.belongs_to(key).then_some(tag.stamp);
    (Some(tag), own.into_iter().chain(marked.map(|known| known.marker.stamp)).max())
}

/// The marker of the newest write that was acknowledged.
pub(crate) fn newest_acknowledged(known: &[Known]) -> Option<&Known> {
    let acknowledged =
        known.iter().filter(|known| known.marker.acknowledged && known.target.is_some());
    // Of those of one write, one that says who has it.
    acknowledged.max_by_key(|known| (known.marker.stamp, !known.homes.is_empty()))
}

/// Whether a backend holds the state that the newest acknowledged marker speaks of, or a later one.
pub(crate) fn holds_marked(key: &Path, state: &State<'_>, newest: Option<&Known>) -> bool {
    let Some(Known { marker, .. }) = newest else { return true };
    match state.seen {
        None => marker.delete,
        Some((_, None)) => false,
        Some((_, Some(tag))) => {
            (tag.belongs_to(key) && tag.stamp >= marker.stamp)
                || (!marker.delete && tag.stamp == marker.version_stamp())
        }
    }
}

/// Whether a marker that another process wrote beside its data speaks of a write that has landed. Its target was never
/// sent anything, and its keeper holds that version: nothing of it is on its way any more. A later version says so only
/// when it has been `still` there for longer than a write takes: the marked one may be about to land on top of it. A
/// delete that has landed looks like one that has not.
fn has_landed(key: &Path, known: &Known, states: &[State<'_>], still: bool) -> bool {
    let Known { marker, homes, origin, .. } = known;
    let candidate = *origin == Origin::Foreign && !marker.ambiguous && !marker.delete;
    candidate
        && states.iter().filter(|state| homes.has(state.at)).any(|state| {
            let tag = state.seen.and_then(|(_, tag)| *tag);
            tag.is_some_and(|tag| {
                (still && tag.belongs_to(key) && tag.stamp >= marker.stamp)
                    || tag.stamp == marker.version_stamp()
            })
        })
}

/// Added to the polling interval, so that every live process has had its answer: the longest a listing may take.
const JOIN_MARGIN: Duration = Duration::from_secs(2);
