//! Writes on a condition: decided by one backend on its own condition, then brought to the others in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use lifeboat_core::{BlobStore, Class, Effect, Support, VersionTag, unsupported_condition};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, PutMode, PutResult, Result, UpdateVersion};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::condition::precondition;
use super::leg::NotHere;
use super::put::Body;
use super::spoilt::is_spoilt;
use super::{Done, Write};
use crate::backend::{Backend, Mask};
use crate::catch_up::copying::ONE_PUT;
use crate::catch_up::verdict::{State, may_follow};
use crate::catch_up::{Basis, Urgency, holds_marked, newest_acknowledged};
use crate::engine::Engine;
use crate::error::{CutOff, FailoverError, Reason, describe, is_missing, within};
use crate::events::Operation;
use crate::journal::index::Known;
use crate::journal::store::Mark;
use crate::observe::Outcome;
use crate::settings::ConditionalWrites;

/// Pause before a backend that decides is looked at again; it doubles.
const SOONEST_LOOK: Duration = Duration::from_millis(50);
/// Attempts to have a condition decided, and to bring a decided write to a replica.
const ATTEMPTS: usize = 4;

impl Engine {
    /// Puts on a condition; the key's lock is held.
    pub(crate) async fn put_on_condition(
        self: &Arc<Self>,
        mut write: Write,
        mut body: Body,
        mode: PutMode,
    ) -> Result<Done> {
        let _writing = self.begin_writing().await;
        write.operation = Operation::ConditionalPut;
        let mut passed = Mask::NONE;
        // Less than a plain write has: that could go on elsewhere, and those who wait for the key want to.
        let most = (self.settings.attempt_deadline + Self::body_time(write.size)) * 2;
        let ends = self.bound_of(&write).min(Instant::now() + most);
        let (mut turns, mut pause) = (0, SOONEST_LOOK);
        let (at, result, replaces) = loop {
            let (at, exists) = self.decider(&write.key, &mode, passed, ends).await?;
            let exists = match (exists, &mode) {
                // What a backend lacks that joined without history says nothing, even if nobody who answers has it.
                (None | Some(false), PutMode::Create) => {
                    Some(self.exists_elsewhere(at, &write.key).await?)
                }
                (exists, _) => exists,
            };
            // A delete may still land there, and what is created after it would not have been refused.
            if exists == Some(true) && matches!(mode, PutMode::Create) {
                let source = "it was there when the condition was decided".into();
                return Err(Error::AlreadyExists { path: write.key.to_string(), source });
            }
            let mode = self.own_condition(at, &write.key, mode.clone(), ends).await?;
            let attempt = async {
                let replaces = match mode {
                    PutMode::Update(_) => self.look_at_present(at, &write.key, ends).await?,
                    _ => None,
                };
                self.date_anew(&mut write, &mut body);
                let (result, may_land) = self.decide(at, &write, &body, &mode, ends).await?;
                Ok::<_, Error>((result, may_land, replaces))
            };
            match attempt.await {
                Ok((result, may_land, replaces)) => {
                    // An earlier attempt of ours may still land, over whatever comes after this.
                    if may_land {
                        write.may_land.set(at);
                    }
                    break (at, result, replaces);
                }
                Err(error) if self.may_pass_on(at, passed, &error) => passed.set(at),
                Err(error) => {
                    let condition =
                        matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. });
                    // An older version may have landed there late, after it was brought up to date.
                    let late = condition
                        && Instant::now() < ends
                        && self.is_dirty_at(at, &write.key)
                        && self.current(at, &write.key).await.is_none();
                    if matches!(error, Error::AlreadyExists { .. })
                        && !late
                        && self.holds_buried(at, &write.key).await
                    {
                        // No marker says so: catch-up makes sure first that nobody is writing it.
                        let why = "it has yet to hear that what is there has been deleted";
                        return Err(self.undecidable_at(at, &write.key, why));
                    }
                    if !late || turns == ATTEMPTS {
                        return Err(error);
                    }
                    turns += 1;
                    sleep(pause).await;
                    pause *= 2;
                }
            }
        };
        write.without = passed;
        write.decided = vec![(at, result)];
        let (key, tag) = (write.key.clone(), tag_of(&body));
        let store = Arc::clone(&self.backends[at].store);
        let decider = Decider { store, patience: self.marker_patience(), replaces };
        write.send = Arc::new(move |_, store| {
            bring(store, decider.clone(), key.clone(), body.clone(), tag).boxed()
        });
        self.fan_out(write).await
    }

    /// Whether a backend may hold something else than the latest version.
    pub(super) fn is_dirty_at(&self, at: usize, key: &Path) -> bool {
        self.index.dirt(key).is_some_and(|dirt| dirt.has(at))
    }

    /// Whether the next backend may decide: the one asked is dead, has certainly done nothing, and only we write.
    fn may_pass_on(&self, at: usize, passed: Mask, error: &Error) -> bool {
        let undecided = FailoverError::find(error).is_some_and(|error| {
            error.reason() == Reason::Undecidable && error.effect() == Effect::None
        });
        let others = self.all().without(passed).without(Mask::only(at));
        undecided
            && !others.is_empty()
            && self.settings.conditional_writes == ConditionalWrites::Active
    }

    /// The backend that decides: it is brought up to date first if it may lag, and then it is known whether the object
    /// exists there.
    async fn decider(
        self: &Arc<Self>,
        key: &Path,
        mode: &PutMode,
        passed: Mask,
        ends: Instant,
    ) -> Result<(usize, Option<bool>)> {
        let in_use = self.in_use().without(passed);
        let at = match self.settings.conditional_writes {
            ConditionalWrites::Refuse => 0,
            ConditionalWrites::Active => in_use.iter().next().unwrap_or(0),
        };
        let backend = &self.backends[at];
        let undecidable = |why: &str| Err(self.undecidable_at(at, key, why));
        if !backend.is_in_use() {
            return undecidable(backend.state().as_str());
        }
        if passed.has(at) {
            return undecidable("it could not decide it, and no other backend is in use");
        }
        // Bringing it up to date would change nothing about that.
        check_support(backend, mode)?;
        // A journal that has not been read may say that this backend lags.
        for other in self.unread_journals().without(passed).without(Mask::only(at)).iter() {
            let bound = self.settings.attempt_deadline;
            let read = timeout(bound, self.read_journal(other)).await;
            if !matches!(read, Ok(Ok(_))) {
                return undecidable("another backend's journal has not been read yet");
            }
        }
        if !self.await_legs_of(key, Mask::only(at), ends).await {
            return undecidable("an earlier write of the key is still under way to it");
        }
        if !self.is_dirty_at(at, key) {
            return Ok((at, None));
        }
        match self.bring_level(at, key, mode, ends).await? {
            Some(exists) => Ok((at, Some(exists))),
            None => undecidable("it lacks the latest version and could not be brought up to date"),
        }
    }

    /// Nothing has been sent, because a backend cannot decide.
    fn undecidable_at(&self, at: usize, key: &Path, why: &str) -> Error {
        FailoverError::new(Reason::Undecidable, Some(key), Effect::None)
            .answered(&self.backends[at].id, why)
            .into()
    }

    /// Whether there is an object at a dirty backend that holds what the newest marker speaks of, or a later version: then
    /// it decides, even while others have yet to follow. None if it does not.
    async fn current(&self, at: usize, key: &Path) -> Option<bool> {
        let known = self.index.of(key);
        let newest = newest_acknowledged(&known);
        let head = head(&*self.backends[at].store, key);
        let seen = within(self.settings.attempt_deadline, head).await.ok()?;
        let state = State { at, seen: seen.as_ref(), complete: false };
        // No marker says that it should be absent.
        let unexplained = newest.is_none() && seen.is_none();
        (holds_marked(key, &state, newest) && !unexplained).then_some(seen.is_some())
    }

    /// Whether what the newest marker of a key speaks of does not go in one put.
    fn is_large(&self, key: &Path) -> bool {
        let newest =
            |known: &[Known]| newest_acknowledged(known).and_then(|known| known.marker.size);
        self.index.view(key, newest).flatten().is_some_and(|size| size > ONE_PUT)
    }

    /// Whether the object exists where a backend that joined without history cannot know: it would create what the others
    /// hold, and what they hold would be overwritten by that.
    async fn exists_elsewhere(&self, at: usize, key: &Path) -> Result<bool> {
        if self.backends[at].seeded.load(Ordering::Acquire) {
            return Ok(false);
        }
        let seen = self.look(key).await;
        let found = self.settle_on(key, &seen);
        if found.is_some_and(|found| found.winner.is_some()) {
            return Ok(true);
        }
        let answered: Mask = seen.iter().map(|(at, _)| *at).collect();
        let Some(silent) = self.all().without(answered).iter().next() else { return Ok(false) };
        let error = FailoverError::new(Reason::Undecidable, Some(key), Effect::None)
            .answered(&self.backends[at].id, "not known to be complete")
            .answered(&self.backends[silent].id, "may have it, and does not answer");
        Err(error.into())
    }

    /// Brings a backend up to date before it decides, and says whether the object exists there. Writes of others that are
    /// on their way are waited for. None if it could not be done.
    ///
    /// # Errors
    /// What an update names has been deleted: whatever still lies there must not pass for it.
    async fn bring_level(
        self: &Arc<Self>,
        at: usize,
        key: &Path,
        mode: &PutMode,
        ends: Instant,
    ) -> Result<Option<bool>> {
        let until = ends.min(Instant::now() + self.settings.attempt_deadline);
        let mut pause = SOONEST_LOOK;
        loop {
            if let Some(exists) = self.current(at, key).await {
                return Ok(Some(exists));
            }
            // A look at a silent backend takes its time, and those who wait for the key want to go on elsewhere.
            if Instant::now() >= until {
                return Ok(None);
            }
            // What goes part by part takes longer than anybody waits here.
            if self.is_large(key) {
                self.work.notify_one();
                return Ok(None);
            }
            if let Some(exists) =
                self.reconcile(key, Urgency::Now(at), Basis::Marked).await.exists_at(at)
            {
                return Ok(Some(exists));
            }
            if matches!(mode, PutMode::Update(_))
                && self.index.is_deleted(key)
                && self.latest_of_all(key).await == Some(Mask::NONE)
            {
                return Err(precondition(key, "the object has been deleted"));
            }
            if Instant::now() + pause >= until || !self.backends[at].is_in_use() {
                return Ok(None);
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    /// Looks at the version that an update replaces: the new one's stamp must be above its, whoever wrote it. Its size, if it
    /// has no stamp.
    ///
    /// # Errors
    /// It cannot be looked at; or it has been deleted, and must not pass for what the update names.
    async fn look_at_present(&self, at: usize, key: &Path, ends: Instant) -> Result<Option<u64>> {
        let backend = &self.backends[at];
        let mut asked = 0;
        let seen = loop {
            let error =
                match within(self.settings.attempt_deadline, head(&*backend.store, key)).await {
                    Ok(seen) => break seen,
                    Err(error) => error,
                };
            let verdict = self.judge(at, Operation::ConditionalPut, &error).await;
            asked += 1;
            let again = verdict.is_fault() && backend.is_in_use() && Instant::now() < ends;
            if !again || asked == ATTEMPTS {
                return Err(self.undecidable_at(at, key, &describe(&error)));
            }
        };
        let Some((meta, tag)) = seen else { return Ok(None) };
        let Some(tag) = tag else { return Ok(Some(meta.size)) };
        if tag.belongs_to(key) {
            self.follow(key, tag.stamp);
        }
        if self.is_buried(key, tag) {
            return Err(precondition(key, "the object has been deleted"));
        }
        Ok(None)
    }

    /// Whether a backend holds what has been deleted since, as far as it can be asked.
    async fn holds_buried(&self, at: usize, key: &Path) -> bool {
        if !self.index.is_deleted(key) {
            return false;
        }
        let seen = within(self.settings.attempt_deadline, head(&*self.backends[at].store, key));
        matches!(seen.await, Ok(Some((_, Some(tag)))) if self.is_buried(key, tag))
    }

    /// Whether a version comes before the newest write of its key that is known, and that is a delete.
    fn is_buried(&self, key: &Path, tag: VersionTag) -> bool {
        let newest = self.index.dirt(key).and_then(|dirt| dirt.newest);
        newest.is_some_and(|newest| newest.buries(key, tag))
    }

    /// Dates a write once more: above all that has been heard of its key since, from a journal or from the backend that decides.
    fn date_anew(&self, write: &mut Write, body: &mut Body) {
        (write.stamp, write.after) = self.stamp_after_known(&write.key);
        let checksum = tag_of(body).and_then(|tag| tag.checksum);
        VersionTag::new(write.stamp, &write.key, checksum).write(&mut body.options.attributes);
    }

    /// Has the condition decided. An answer that was lost is found again by the stamp. Also says whether an attempt
    /// may still land that is not the one that did.
    async fn decide(
        self: &Arc<Self>,
        at: usize,
        write: &Write,
        body: &Body,
        mode: &PutMode,
        until: Instant,
    ) -> Result<(PutResult, bool)> {
        let backend = &self.backends[at];
        let mut open = 0;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let put = body.clone().put(Arc::clone(&backend.store), write.key.clone(), mode.clone());
            let began = Instant::now();
            let bound =
                until.min(began + self.settings.attempt_deadline + Self::body_time(write.size));
            let answer = timeout_at(bound, put).await;
            let took = began.elapsed();
            let error = match answer {
                Ok(Ok(result)) => {
                    backend.answered();
                    self.observers.answered(at, &backend.id, write.operation, took, Outcome::Ok);
                    return Ok((result, open > 0));
                }
                Ok(Err(error)) => error,
                Err(_) => CutOff(took).into_error(),
            };
            let verdict = self.judge(at, write.operation, &error).await;
            let outcome = Outcome::of(&verdict);
            self.observers.answered(at, &backend.id, write.operation, took, outcome);
            open += u32::from(verdict.effect == Effect::Unknown);
            let may_land = open > 0;
            let condition =
                matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. });
            if matches!(verdict.class, Class::Answer | Class::Denied) && !condition {
                self.leave_doubt(at, write, may_land).await;
                return Err(error);
            }
            // Our stamp on other bytes: no version of anybody's.
            if is_spoilt(&error) {
                last = Some(error);
                break;
            }
            // Whose version is it that is there?
            let look = head(&*backend.store, &write.key);
            // Whoever overwrites is told soon that somebody else has, unless a store of somebody else's met its own first
            // attempt.
            let overtaken = condition && !may_land && !matches!(mode, PutMode::Create);
            let soon = Instant::now() + self.marker_patience();
            let looked = timeout_at(if overtaken { until.min(soon) } else { until }, look).await;
            match looked {
                Ok(Ok(Some((meta, tag)))) if tag.is_some() && tag == tag_of(body) => {
                    return Ok((result_of(meta), open > 1));
                }
                _ if overtaken => return Err(error),
                // Somebody's. If none of our attempts may have landed before it, that is the answer.
                Ok(Ok(Some(_))) if condition && !may_land => return Err(error),
                Ok(Ok(Some((_, tag)))) if condition => {
                    let older = tag
                        .is_some_and(|tag| tag.belongs_to(&write.key) && tag.stamp < write.stamp);
                    if older && matches!(mode, PutMode::Create) {
                        // An attempt of ours creates it if that is deleted before it lands: no refusal.
                        last = Some(error);
                        break;
                    }
                    if older {
                        self.leave_doubt(at, write, may_land).await;
                        return Err(error);
                    }
                }
                // A conflict in flight, or an attempt that did not land so far: try again.
                _ => {}
            }
            last = Some(error);
            if Instant::now() >= until || !backend.is_in_use() {
                break;
            }
        }
        Err(self.undecided(at, write, open > 0, last).await)
    }

    /// An attempt may still land although the caller is told of a failure: a marker says so until it cannot any more.
    async fn leave_doubt(self: &Arc<Self>, at: usize, write: &Write, may_land: bool) {
        if !may_land {
            return;
        }
        let mark = Mark { ambiguous: true, acknowledged: false, confirmed: false, ..write.mark() };
        // Known here at once; those who wait for the key do not wait for a home that is slow.
        let until = Instant::now() + self.marker_patience();
        self.leave_marker(&mark, at, until).await;
    }

    async fn undecided(
        self: &Arc<Self>,
        at: usize,
        write: &Write,
        may_land: bool,
        last: Option<Error>,
    ) -> Error {
        let effect = if may_land { Effect::Unknown } else { Effect::None };
        self.leave_doubt(at, write, may_land).await;
        let mut error = FailoverError::new(Reason::Undecidable, Some(&write.key), effect);
        if let Some(last) = last {
            error = error.failed(&self.backends[at].id, &last);
        }
        error.into()
    }
}

/// Whether a backend may enforce a condition, as far as is known.
///
/// # Errors
/// `NotSupported` where it is known not to.
fn check_support(backend: &Backend, mode: &PutMode) -> Result<()> {
    let can = backend.store.capabilities();
    let support = match mode {
        PutMode::Overwrite => return Ok(()),
        PutMode::Create => can.create_if_absent,
        PutMode::Update(_) => can.compare_and_swap,
    };
    if support != Support::No {
        return Ok(());
    }
    let why = "it is the one that decides; let a backend that enforces conditions be the first";
    Err(unsupported_condition(&backend.id, mode, why))
}

fn tag_of(body: &Body) -> Option<VersionTag> {
    VersionTag::of(&body.options.attributes)
}

pub(super) fn result_of(meta: ObjectMeta) -> PutResult {
    PutResult {
        e_tag: meta.e_tag,
        version: meta.version,
        extensions: object_store::Extensions::default(),
    }
}

/// What is at a store; none if there is nothing.
pub(crate) async fn head(
    store: &dyn BlobStore,
    key: &Path,
) -> Result<Option<(ObjectMeta, Option<VersionTag>)>> {
    let options = object_store::GetOptions { head: true, ..Default::default() };
    match store.get_opts(key, options).await {
        Ok(found) => Ok(Some((found.meta, VersionTag::of(&found.attributes)))),
        Err(error) if is_missing(store, &error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The backend that decided on a write, and how long it is waited for when it is asked again.
#[derive(Clone)]
struct Decider {
    store: Arc<dyn BlobStore>,
    patience: Duration,
    /// Size of what it held before, if that had no stamp: a replica's copy of it has none either.
    replaces: Option<u64>,
}

impl Decider {
    /// Whether it holds what only comes before a version. Not if it does not say.
    async fn lacks(&self, key: &Path, version: VersionTag) -> bool {
        match timeout(self.patience, head(&*self.store, key)).await {
            Ok(Ok(Some((_, Some(now))))) => now.belongs_to(key) && now.stamp < version.stamp,
            _ => false,
        }
    }
}

/// Brings a decided version to a replica, in order: never over a newer one.
async fn bring(
    store: Arc<dyn BlobStore>,
    decider: Decider,
    key: Path,
    body: Body,
    tag: Option<VersionTag>,
) -> Result<PutResult> {
    let can = store.capabilities();
    let conditions = can.create_if_absent == Support::Yes && can.compare_and_swap == Support::Yes;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let mode = match head(&*store, &key).await? {
            Some((meta, Some(there)))
                if there.belongs_to(&key) && tag.is_some_and(|tag| there.stamp >= tag.stamp) =>
            {
                if Some(there) != tag && decider.lacks(&key, there).await {
                    // By a clock that is ahead. A marker says that this one is not here, so that neither is lost.
                    return Err(NotHere::Place.into_error());
                }
                return Ok(result_of(meta));
            }
            // Somebody else's, written at the same time: catch-up keeps it before it brings this one here.
            Some((meta, None))
                if decider.replaces != Some(meta.size)
                    && tag.is_some_and(|tag| may_follow(&meta, tag.stamp)) =>
            {
                return Err(NotHere::Place.into_error());
            }
            _ if !conditions => PutMode::Overwrite,
            Some((meta, _)) => {
                PutMode::Update(UpdateVersion { e_tag: meta.e_tag, version: meta.version })
            }
            None => PutMode::Create,
        };
        match body.clone().put(Arc::clone(&store), key.clone(), mode).await {
            Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. })) => {
                last = Some(error);
            }
            other => return other,
        }
    }
    // Others write the key all the time: a marker says that this backend may lack this version.
    let source = last.map_or_else(|| "contended".into(), |error| error.to_string());
    let source = std::io::Error::new(std::io::ErrorKind::ConnectionAborted, source);
    Err(Error::Generic { store: "Failover", source: Box::new(source) })
}
