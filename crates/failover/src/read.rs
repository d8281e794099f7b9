//! Reads: the preferred backend, hedged when it is late, followed by the next on a fault. A miss is believed only
//! from a backend that can know.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use lifeboat_core::{Class, Effect, Fault, VersionTag};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetResult, Result};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::Span;

use crate::backend::{Backend, Mask};
use crate::engine::Engine;
use crate::error::{CutOff, FailoverError, Reason, within};
use crate::etag;
use crate::events::{Event, Operation};
use crate::health::{Evidence, HealthState};
use crate::journal::index::{Dirt, Known};
use crate::latency::{ReadKind, SMALL};
use crate::observe::{BACKEND, Outcome};
use crate::settings::{Settings, StaleReads};
use crate::write::conditional::head;

/// A result, and who gave it.
#[derive(Debug)]
pub(crate) struct Served<T> {
    pub(crate) at: usize,
    pub(crate) result: T,
    /// Those that had been asked before, and have nothing.
    pub(crate) missed: Mask,
}

/// What a backend's state of a key is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Clean,
    /// A write that was not acknowledged may change it at any time.
    Unsure,
    /// It may lack an acknowledged write; its answer counts if it carries the proof that it does not.
    Behind,
    /// It is avoided because others answer long before it, and for nothing else: asked when they have nothing.
    Slow,
    /// It does not serve, as far as we know; asked when nobody else is left.
    Ejected,
}

/// Before anything is known of a backend's times, a read is hedged after this long: a round trip around the world.
const FIRST_HEDGE: Duration = Duration::from_millis(300);
/// Below this a hedge only competes with scheduling noise.
const SOONEST_HEDGE: Duration = Duration::from_millis(5);
/// A rescue waits for so many times the 99th percentile.
const RESCUE_FACTOR: u32 = 4;

/// Whether the reader holds the lock of its key, because it writes: it cannot wait for that, and takes no older version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyLock {
    Ours,
    NotOurs,
}

/// Whom a read may ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    /// Nobody else: they gave the `ETag` that the read depends on, or they are complete.
    pub(crate) among: Mask,
    /// These after the others: what they say takes more work.
    pub(crate) last: Mask,
    /// It is known that nobody has a later version than those that are asked.
    pub(crate) trusted: bool,
    /// An older version does not do, whatever readers may be served: what is made of it would be the latest one.
    pub(crate) latest: bool,
    /// When it ends, if not in the time of a whole read: others came before it.
    pub(crate) until: Option<Instant>,
}

impl Choice {
    /// Any of these.
    pub(crate) fn among(among: Mask) -> Self {
        Self { among, last: Mask::NONE, trusted: false, latest: false, until: None }
    }
}

/// A read under way.
struct Race<'e> {
    engine: &'e Engine,
    operation: Operation,
    kind: ReadKind,
    key: Option<&'e Path>,
    dirt: Option<Dirt>,
    choice: Choice,
    asked: Mask,
    missed: Mask,
    stale: bool,
    /// Bound on one attempt.
    attempt: Duration,
    ends: Instant,
    failures: Vec<(usize, Error)>,
}

type Attempt<'f, T> = BoxFuture<'f, (Lap, Result<T>)>;

/// The attempts beside the first one. Nothing is allocated until there is one.
struct Others<'f, T>(Option<FuturesUnordered<Attempt<'f, T>>>);

impl<'f, T> Others<'f, T> {
    fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(FuturesUnordered::is_empty)
    }

    fn push(&mut self, attempt: Attempt<'f, T>) {
        self.0.get_or_insert_default().push(attempt);
    }

    async fn next(&mut self) -> Option<(Lap, Result<T>)> {
        self.0.as_mut()?.next().await
    }
}

/// One attempt of a race.
#[derive(Debug, Clone, Copy)]
struct Lap {
    at: usize,
    standing: Standing,
    began: Instant,
    /// It was sent because this one was late.
    against: Option<usize>,
}

/// Can prove which version it is.
pub(crate) trait Versioned {
    fn tag(&self) -> Option<VersionTag>;
}

impl Versioned for GetResult {
    fn tag(&self) -> Option<VersionTag> {
        VersionTag::of(&self.attributes)
    }
}

impl Versioned for object_store::ListResult {
    fn tag(&self) -> Option<VersionTag> {
        None
    }
}

impl Engine {
    /// Reads an object with everything that is stored with it.
    pub(crate) async fn get_raw(
        &self,
        key: &Path,
        options: GetOptions,
        lock: KeyLock,
    ) -> Result<Served<GetResult>> {
        let began = Instant::now();
        let (operation, kind) = kind_of(&options);
        let only = self.owner_of(key, &options)?;
        let call = |backend: &Backend| {
            // Both borrow from outside of the attempt: nothing is copied unless an `ETag` must lose its label.
            let own = own_options(backend, &options);
            let store = Arc::clone(&backend.store);
            // By reference: for an `Arc` the trait has an implementation of its own, which boxes the future once more.
            async move { (*store).get_opts(key, own).await }
        };
        // Until every journal has been read, all that answer are asked which version they have.
        let Settings { read_deadline, attempt_deadline, .. } = self.settings;
        // What comes after another request has what is left, and one attempt's time at least.
        let until = || (began + read_deadline).max(Instant::now() + attempt_deadline);
        let latest =
            |holders| Choice { trusted: true, until: Some(until()), ..Choice::among(holders) };
        let own = |holders: Mask| match only {
            Some(only) if holders.has(only) => Mask::only(only),
            Some(_) => Mask::NONE,
            None => holders,
        };
        if !self.unread_journals().is_empty()
            && let Some(holders) = self.latest_of_all(key).boxed().await.map(own)
            && !holders.is_empty()
        {
            // Boxed, as below: what is hardly ever needed does not make every read's future larger.
            return self.read(operation, kind, Some(key), latest(holders), &call).boxed().await;
        }
        let mut choice = Choice::among(only.map_or_else(|| self.all(), Mask::only));
        // A version that is asked for by name is the right one, however old it is.
        choice.trusted = options.version.is_some();
        choice.latest = lock == KeyLock::Ours;
        let error = match self.read(operation, kind, Some(key), choice, &call).await {
            Err(error) if is_stale(&error) => error,
            result => return result,
        };
        let again = async {
            // A write of the key that is under way here may explain what nobody else can place.
            let writing = lock == KeyLock::NotOurs && self.locks.is_held(key);
            match self.latest_of_all(key).await {
                Some(holders) if holders.is_empty() => Some(Err(Error::NotFound {
                    path: key.to_string(),
                    source: "it is deleted, and a backend has yet to hear of it".into(),
                })),
                Some(holders) if !own(holders).is_empty() => {
                    Some(self.read(operation, kind, Some(key), latest(own(holders)), &call).await)
                }
                _ if writing => {
                    // As long as a read may take, if that is not over: there is nobody else to wait for.
                    drop(timeout_at(until(), self.locks.lock(key)).await);
                    let choice = Choice { until: Some(until()), ..choice };
                    Some(self.read(operation, kind, Some(key), choice, &call).await)
                }
                _ => None,
            }
        };
        // Boxed: what is hardly ever needed does not make every read's future larger.
        let again = timeout_at(began + read_deadline + attempt_deadline, again.boxed()).await;
        again.ok().flatten().unwrap_or(Err(error))
    }

    /// Where every backend answers and none has what a marker speaks of, the marked write happened nowhere (a process was
    /// killed between the marker and the data): the backends that hold the latest of what there is, and none
    /// if that is nothing. Not known while any backend is silent.
    pub(crate) async fn latest_of_all(&self, key: &Path) -> Option<Mask> {
        let seen = self.look(key).await;
        if seen.len() < self.backends.len() {
            return None;
        }
        let found = self.settle_on(key, &seen)?;
        if found.winner.is_none() {
            return Some(Mask::NONE);
        }
        Some(self.all().without(found.lagging.into_iter().collect()))
    }

    /// The backend whose `ETag` or version a read depends on.
    fn owner_of(&self, key: &Path, options: &GetOptions) -> Result<Option<usize>> {
        let depends =
            options.if_match.as_deref().filter(|tag| *tag != "*").or(options.version.as_deref());
        let Some(tag) = depends else { return Ok(None) };
        let owner = match etag::parse(tag).0 {
            None => Some(0),
            Some(id) => self.backends.iter().position(|backend| backend.id == id),
        };
        let Some(owner) = owner else {
            return Err(Error::Precondition {
                path: key.to_string(),
                source: "the ETag was given by a backend that is not one of these".into(),
            });
        };
        let backend = &self.backends[owner];
        if backend.is_in_use() {
            return Ok(Some(owner));
        }
        if self.never_had_newest(owner, key) {
            return Err(Error::Precondition {
                path: key.to_string(),
                source: format!("{} was down when the latest version was written", backend.id)
                    .into(),
            });
        }
        // Nobody else can know whether it still holds.
        let text = format!("gave the ETag that the read depends on, and is {}", backend.state());
        let error = FailoverError::new(Reason::Unavailable, Some(key), Effect::None);
        Err(error.answered(&backend.id, text).into())
    }

    /// Whether the newest acknowledged write of a key was never sent to a backend, so that no `ETag` of that backend can
    /// name it.
    fn never_had_newest(&self, at: usize, key: &Path) -> bool {
        let newest = |known: &[Known]| {
            let acknowledged = known.iter().filter(|known| known.marker.acknowledged);
            let newest = acknowledged.clone().map(|known| known.marker.stamp).max();
            // Written beside the data: its target was down, and left out.
            acknowledged.filter(|known| Some(known.marker.stamp) == newest).any(|known| {
                let Known { marker, target, leveled, .. } = known;
                *target == Some(at) && !marker.confirmed && !marker.ambiguous && !leveled
            })
        };
        self.index.view(key, newest) == Some(true)
    }

    /// Runs a read over the backends.
    pub(crate) async fn read<T, F, A>(
        &self,
        operation: Operation,
        kind: ReadKind,
        key: Option<&Path>,
        choice: Choice,
        call: F,
    ) -> Result<Served<T>>
    where
        T: Versioned + Send,
        F: Fn(&Backend) -> A + Send + Sync,
        A: Future<Output = Result<T>> + Send,
    {
        let began = Instant::now();
        self.hedges.earn();
        // A level may be very many pages, and all of them are one request here; whoever is silent is found out by hedges.
        let (attempt, whole) = match kind {
            ReadKind::Level => (self.settings.level_deadline(), self.settings.level_deadline()),
            _ => (self.settings.attempt_deadline, self.settings.read_deadline),
        };
        let mut race = Race {
            engine: self,
            operation,
            kind,
            key,
            dirt: key.and_then(|key| self.index.dirt(key)),
            choice,
            asked: Mask::NONE,
            missed: Mask::NONE,
            stale: false,
            attempt,
            ends: choice.until.unwrap_or(began + whole),
            failures: Vec::new(),
        };
        let Some((at, standing)) = race.pick() else { return Err(race.give_up()) };
        race.asked.set(at);
        let lap = Lap { at, standing, began, against: None };
        let backend = &self.backends[at];
        let mut first = pin!(call(backend));
        // The first attempt is polled before a timer is set: a read that is ready costs none.
        let late = async {
            let ends = race.first_ends(lap);
            let hedge = began + self.late(at, kind).0;
            sleep_until(if race.can_help(lap) { ends.min(hedge) } else { ends }).await;
        };
        let answer = tokio::select! {
            biased;
            result = &mut first => Some(result),
            () = late => None,
        };
        let result = match answer {
            Some(Ok(result)) if race.dirt.is_none() => {
                race.answered(lap);
                Ok(Served { at, result, missed: Mask::NONE })
            }
            // Boxed: what is hardly ever needed does not make every read's future larger.
            answer => race.run(lap, first, answer, &call).boxed().await,
        };
        if let Ok(served) = &result
            && tracing::dispatcher::has_been_set()
        {
            Span::current().record(BACKEND, &*self.backends[served.at].id);
        }
        result
    }

    /// When a read of this kind is late at a backend: for a hedge, and beyond any budget.
    fn late(&self, at: usize, kind: ReadKind) -> (Duration, Duration) {
        let rescue = self.settings.rescue_after;
        match self.backends[at].latencies.percentiles(kind) {
            Some((p95, p99)) => {
                let rescue = rescue.max(p99 * RESCUE_FACTOR).min(self.settings.attempt_deadline);
                (p95.max(SOONEST_HEDGE).min(rescue), rescue)
            }
            None => (FIRST_HEDGE.min(rescue), rescue),
        }
    }
}

impl Race<'_> {
    /// The best backend that has not been asked.
    fn pick(&self) -> Option<(usize, Standing)> {
        let backends = self.engine.backends.iter();
        let worth = |backend: &&Arc<Backend>| {
            let dirt = self.dirt.as_ref();
            let suspect = backend.state() == HealthState::Suspect;
            let standing = match () {
                () if !backend.is_in_use() && backend.is_outrun() => Standing::Slow,
                () if !backend.is_in_use() => Standing::Ejected,
                () if self.choice.last.has(backend.at) => Standing::Unsure,
                () if dirt.is_some_and(|dirt| dirt.behind.has(backend.at)) => Standing::Behind,
                () if dirt.is_some_and(|dirt| dirt.unsure.has(backend.at)) => Standing::Unsure,
                () => Standing::Clean,
            };
            (standing, suspect, backend.at)
        };
        backends
            .filter(|backend| !self.asked.has(backend.at))
            .filter(|backend| self.choice.among.has(backend.at))
            .map(|backend| worth(&backend))
            .min()
            // Somebody answered that there is nothing: a dead backend is not waited for to confirm it, unless it is known
            // to have what the others lack.
            .filter(|(standing, _, at)| {
                let holds = self.dirt.as_ref().is_some_and(|dirt| !dirt.behind.has(*at));
                *standing != Standing::Ejected || self.missed.is_empty() || holds
            })
            .map(|(standing, _, at)| (at, standing))
    }

    /// When the first attempt is given up.
    fn first_ends(&self, lap: Lap) -> Instant {
        self.ends.min(lap.began + self.attempt)
    }

    /// Whether the next backend would know as much as the one that was asked last.
    fn can_help(&self, latest: Lap) -> bool {
        self.pick().is_some_and(|(_, standing)| {
            // What a listing lacks is looked up: slower, but as good.
            let mended = self.key.is_none() && standing < Standing::Slow;
            standing <= latest.standing || mended
        })
    }

    /// Goes on where the first attempt is late, or its answer is not what ends a read.
    async fn run<T, F, A>(
        &mut self,
        lap: Lap,
        mut first: Pin<&mut A>,
        mut answer: Option<Result<T>>,
        call: &F,
    ) -> Result<Served<T>>
    where
        T: Versioned + Send,
        F: Fn(&Backend) -> A + Send + Sync,
        A: Future<Output = Result<T>> + Send,
    {
        let mut first_lap = Some(lap);
        let mut others = Others(None);
        let mut latest = lap;
        let mut hedged = false;
        let mut late = false;
        let mut older = None;
        loop {
            let (hedge, rescue) = self.engine.late(latest.at, self.kind);
            let late_at = latest.began + if hedged { rescue } else { hedge };
            let can_help = self.can_help(latest);
            let first_ends = self.first_ends(lap);
            let wakes = match (first_lap.is_some(), can_help) {
                (true, true) => first_ends.min(late_at),
                (false, true) => late_at,
                _ => first_ends,
            };
            let (lap, result) = tokio::select! {
                biased;
                result = async {
                    match answer.take() {
                        Some(result) => result,
                        None => first.as_mut().await,
                    }
                }, if first_lap.is_some() => {
                    let lap = first_lap.take().unwrap_or(lap);
                    (lap, result)
                }
                Some(attempt) = others.next(), if !others.is_empty() => attempt,
                () = sleep_until(wakes), if first_lap.is_some() || can_help => {
                    if Instant::now() >= first_ends && let Some(lap) = first_lap.take() {
                        let cut_off = CutOff(lap.began.elapsed()).into_error();
                        (lap, Err(cut_off))
                    } else {
                        // The first deadline is the percentile, and costs from the budget; the second is not asked.
                        // Nor where a row of others was outrun: until it is ejected that is failover, not a hedge.
                        late = true;
                        let backend = &self.engine.backends[latest.at];
                        let outrun = backend.is_outrun() || !backend.is_in_use();
                        let allowed = hedged || outrun || self.engine.hedges.spend();
                        if allowed && let Some(lap) = self.next_lap(Some(latest.at)) {
                            self.hedge_fired(latest.at, lap.at);
                            others.push(self.attempt(lap, call));
                            latest = lap;
                            hedged = false;
                        } else {
                            hedged = true;
                        }
                        continue;
                    }
                }
                // Listening takes a lock: only those listen who are late already and may not ask another one.
                () = self.engine.backends[latest.at].ejected.notified(), if can_help && late => {
                    if let Some(lap) = self.next_lap(Some(latest.at)) {
                        self.failed_over(latest.at, lap.at);
                        others.push(self.attempt(lap, call));
                        latest = lap;
                    }
                    continue;
                }
            };
            let judged = match result {
                Ok(result) => self.weigh(lap, result, &mut older),
                Err(error) => self.judge(lap, error).boxed().await,
            };
            match judged {
                Some(done) => return done,
                None if first_lap.is_some() || !others.is_empty() => {}
                None => match self.following(lap.at) {
                    Some(next) => {
                        others.push(self.attempt(next, call));
                        latest = next;
                        hedged = false;
                    }
                    // Nobody has the latest version: an older one has to do, where that is wanted.
                    None => match older.take() {
                        Some(served) => {
                            self.served_stale(served.at);
                            return Ok(served);
                        }
                        None => return Err(self.give_up()),
                    },
                },
            }
        }
    }

    /// Who is asked when everybody who was has answered in vain: the next one; or all of them anew where the markers have
    /// changed meanwhile, because what was answered means something else then.
    fn following(&mut self, from: usize) -> Option<Lap> {
        if Instant::now() >= self.ends {
            return None;
        }
        if let Some(next) = self.next_lap(None) {
            self.failed_over(from, next.at);
            return Some(next);
        }
        if self.begin_again() { self.next_lap(None) } else { None }
    }

    /// Forgets who answered what, if that was not believed and the markers of the key are others than they were. The read's
    /// own deadline bounds how often.
    fn begin_again(&mut self) -> bool {
        if !self.stale && self.missed.is_empty() {
            return false;
        }
        let dirt = self.key.and_then(|key| self.engine.index.dirt(key));
        if dirt == self.dirt {
            return false;
        }
        self.dirt = dirt;
        (self.asked, self.missed, self.stale) = (Mask::NONE, Mask::NONE, false);
        self.failures.clear();
        true
    }

    fn next_lap(&mut self, against: Option<usize>) -> Option<Lap> {
        let (at, standing) = self.pick()?;
        self.asked.set(at);
        Some(Lap { at, standing, began: Instant::now(), against })
    }

    fn attempt<'f, T, F, A>(&self, lap: Lap, call: &F) -> Attempt<'f, T>
    where
        T: Send + 'f,
        F: Fn(&Backend) -> A,
        A: Future<Output = Result<T>> + Send + 'f,
    {
        let bound = self.attempt;
        let ends = self.ends.min(lap.began + bound);
        let asked = call(&self.engine.backends[lap.at]);
        async move {
            let result = timeout_at(ends, asked).await;
            (lap, result.unwrap_or_else(|_| Err(CutOff(bound).into_error())))
        }
        .boxed()
    }

    fn hedge_fired(&self, slow: usize, to: usize) {
        let backends = &self.engine.backends;
        self.engine.observers.hedges_fired.increment(1);
        self.engine.observers.tell(|| Event::HedgeFired {
            operation: self.operation,
            slow: backends[slow].id.clone(),
            to: backends[to].id.clone(),
        });
    }

    fn failed_over(&self, from: usize, to: usize) {
        let backends = &self.engine.backends;
        tracing::debug!(from = %backends[from].id, to = %backends[to].id, "failed over");
        self.engine.observers.tell(|| Event::FailedOver {
            operation: self.operation,
            from: backends[from].id.clone(),
            to: backends[to].id.clone(),
        });
    }

    /// A backend has answered with something.
    fn answered(&self, lap: Lap) {
        let backend = &self.engine.backends[lap.at];
        let took = lap.began.elapsed();
        let observers = &self.engine.observers;
        observers.answered(lap.at, &backend.id, self.operation, took, Outcome::Ok);
        backend.answered();
        if backend.is_troubled() && took <= self.engine.late(lap.at, self.kind).0 {
            backend.observe(Evidence::InTime, "it answers in time");
        }
        backend.latencies.record(self.kind, took);
    }

    /// What an answer with something in it is worth: the result, or nothing, and the next one is asked.
    fn weigh<T: Versioned>(
        &mut self,
        lap: Lap,
        result: T,
        older: &mut Option<Served<T>>,
    ) -> Option<Result<Served<T>>> {
        self.answered(lap);
        // Read only where something is known of the key that it is compared with.
        let tag = self.dirt.as_ref().and_then(|_| result.tag());
        if !self.choice.trusted
            && let Some(buried) = self.buried(tag)
        {
            return self.missing(lap, buried);
        }
        let accepted = self.accept(lap, tag, result, older);
        if accepted.is_some() {
            self.won(lap);
        }
        accepted
    }

    /// What any other answer is worth. Whoever calls it boxes it, so that a read that succeeds need not make room for it.
    async fn judge<T>(&mut self, lap: Lap, error: Error) -> Option<Result<Served<T>>> {
        let backend = &self.engine.backends[lap.at];
        // The judgement may ask a probe.
        let took = lap.began.elapsed();
        let verdict = self.engine.judge(lap.at, self.operation, &error).await;
        let observers = &self.engine.observers;
        observers.answered(lap.at, &backend.id, self.operation, took, Outcome::of(&verdict));
        match verdict.class {
            Class::Fault(fault) => {
                // Someone who stands in has not failed the caller yet.
                if fault == Fault::Slow && lap.against.is_none() {
                    tracing::debug!(backend = %backend.id, "no sign in time");
                }
                self.failures.push((lap.at, error));
                None
            }
            Class::Answer if self.key.is_some() && matches!(error, Error::NotFound { .. }) => {
                let believed = self.missing(lap, error);
                if believed.is_some() {
                    self.won(lap);
                }
                believed
            }
            // What a backend that lags says about conditions is worth nothing.
            Class::Answer if self.is_behind(lap.at) && !self.may_serve_stale() => {
                self.stale = true;
                self.failures.push((lap.at, error));
                None
            }
            // It does not say of which version, and that may be an older one, or deleted.
            Class::Answer if matches!(error, Error::NotModified { .. }) && self.is_marked() => {
                self.not_modified(lap, error).await
            }
            _ => Some(Err(self.relabel(lap.at, error))),
        }
    }

    /// Whether anything acknowledged is known of the key that an answer is compared with.
    fn is_marked(&self) -> bool {
        !self.choice.trusted && self.dirt.as_ref().is_some_and(|dirt| dirt.newest.is_some())
    }

    /// That an object is as the caller knows it is worth as much as the object itself.
    async fn not_modified<T>(&mut self, lap: Lap, error: Error) -> Option<Result<Served<T>>> {
        let (engine, key) = (self.engine, self.key?);
        let look = head(&*engine.backends[lap.at].store, key);
        let bound = self.attempt.min(self.ends.saturating_duration_since(Instant::now()));
        let tag = match within(bound, look).await {
            Ok(Some((_, tag))) => tag,
            Ok(None) => {
                let path = key.to_string();
                return self
                    .missing(lap, Error::NotFound { path, source: "it has just gone".into() });
            }
            Err(failed) => {
                engine.judge(lap.at, self.operation, &failed).await;
                self.failures.push((lap.at, failed));
                return None;
            }
        };
        if let Some(buried) = self.buried(tag) {
            return self.missing(lap, buried);
        }
        let older = self.dirt.as_ref().is_some_and(|dirt| self.is_older(dirt, tag));
        if older && !self.may_serve_stale() {
            self.stale = true;
            self.failures.push((lap.at, error));
            return None;
        }
        Some(Err(self.relabel(lap.at, error)))
    }

    /// Somebody answered who was asked because another was late.
    fn won(&self, lap: Lap) {
        let Some(slow) = lap.against else { return };
        let backends = &self.engine.backends;
        self.engine.observers.hedges_won.increment(1);
        self.engine.observers.tell(|| Event::HedgeWon {
            operation: self.operation,
            slow: backends[slow].id.clone(),
            winner: backends[lap.at].id.clone(),
        });
        // One that is itself under suspicion is no measure: the slow one may be the only one that serves.
        let winner = &backends[lap.at];
        if winner.state() == HealthState::Serving || winner.health().is_sound() {
            backends[slow].observe(Evidence::Outrun, "others answer long before it");
        }
    }

    fn may_serve_stale(&self) -> bool {
        self.engine.settings.stale_reads == StaleReads::Serve && !self.choice.latest
    }

    /// What was read, if it is the latest version; otherwise it is laid aside, in case nobody has that.
    fn accept<T>(
        &mut self,
        lap: Lap,
        tag: Option<VersionTag>,
        result: T,
        older: &mut Option<Served<T>>,
    ) -> Option<Result<Served<T>>> {
        let older_than_known = |dirt: &Dirt| self.is_older(dirt, tag);
        let dirty = self.is_behind(lap.at) || self.dirt.as_ref().is_some_and(older_than_known);
        let served = Served { at: lap.at, result, missed: self.missed };
        if !dirty || self.choice.trusted || self.is_latest(tag) {
            return Some(Ok(served));
        }
        self.stale = true;
        if self.may_serve_stale() && older.is_none() {
            *older = Some(served);
        }
        None
    }

    fn served_stale(&self, at: usize) {
        let (key, backend) = (self.key.cloned().unwrap_or_default(), &self.engine.backends[at].id);
        self.engine.observers.tell(|| Event::StaleRead { key, backend: backend.clone() });
    }

    /// What is read of a version that comes before the newest delete: nothing, as catch-up will decide. Somebody who has yet
    /// to hear of the delete has brought it back, or wrote it by a clock that is behind; then it is kept as a conflict.
    fn buried(&self, tag: Option<VersionTag>) -> Option<Error> {
        let newest = self.dirt.as_ref()?.newest.as_ref()?;
        let (tag, key) = (tag?, self.key?);
        newest.buries(key, tag).then(|| Error::NotFound {
            path: key.to_string(),
            source: "it is deleted, and this backend has yet to hear of it".into(),
        })
    }

    /// Whether a version is older than the newest acknowledged one: a request that had been given up landed on top of
    /// that, at a backend that no marker names.
    fn is_older(&self, dirt: &Dirt, tag: Option<VersionTag>) -> bool {
        let (Some(newest), Some(tag), Some(key)) = (&dirt.newest, tag, self.key) else {
            return false;
        };
        // Of two processes the stamps tell no order that holds, unless one knew of the other: the later may have the lower.
        let certain = tag.stamp.writer() == newest.stamp.writer() || newest.follows(tag.stamp);
        certain && tag.belongs_to(key) && tag.stamp < newest.stamp && !self.is_latest(Some(tag))
    }

    /// Whether a version is the newest acknowledged one, or newer.
    fn is_latest(&self, tag: Option<VersionTag>) -> bool {
        let newest = self.dirt.as_ref().and_then(|dirt| dirt.newest.as_ref());
        let (Some(newest), Some(tag), Some(key)) = (newest, tag, self.key) else {
            return false;
        };
        if tag.belongs_to(key) && tag.stamp >= newest.stamp {
            return true;
        }
        !newest.delete && tag.stamp == newest.version_stamp()
    }

    /// Nothing is there: believed from a backend that is complete and clean, or from all of them.
    fn missing<T>(&mut self, lap: Lap, error: Error) -> Option<Result<Served<T>>> {
        let backend = &self.engine.backends[lap.at];
        self.missed.set(lap.at);
        let newest = self.dirt.as_ref().and_then(|dirt| dirt.newest.as_ref());
        let deleted = newest.is_some_and(|newest| newest.delete);
        let complete = backend.seeded.load(Ordering::Acquire) || deleted;
        let clean = lap.standing == Standing::Clean
            || (deleted && lap.standing != Standing::Ejected)
            || self
                .dirt
                .as_ref()
                .is_none_or(|dirt| !dirt.behind.has(lap.at) && !dirt.unsure.has(lap.at));
        let believed = if self.choice.trusted {
            // One that was seen to hold the latest may have lost it since; it is gone where all of those lack it.
            self.choice.among.without(self.missed).is_empty()
        } else {
            (clean && complete) || self.missed.len() == self.engine.backends.len()
        };
        if believed {
            return Some(Err(error));
        }
        if self.is_behind(lap.at) {
            self.stale = true;
        }
        self.failures.push((lap.at, error));
        None
    }

    /// Whether a backend may lack an acknowledged write, whatever else is known of it.
    fn is_behind(&self, at: usize) -> bool {
        self.dirt.as_ref().is_some_and(|dirt| dirt.behind.has(at))
    }

    fn relabel(&self, at: usize, error: Error) -> Error {
        tracing::trace!(backend = %self.engine.backends[at].id, %error, "answered");
        error
    }

    /// Nobody could serve: says what everybody answered.
    fn give_up(&mut self) -> Error {
        let reason = match () {
            () if self.stale => Reason::Stale,
            () if !self.missed.is_empty() => Reason::MissNotBelieved,
            () => Reason::Unavailable,
        };
        let mut error = FailoverError::new(reason, self.key, Effect::None);
        let mut told = Mask::NONE;
        for (at, cause) in &self.failures {
            told.set(*at);
            error = error.failed(&self.engine.backends[*at].id, cause);
        }
        for backend in self.engine.backends.iter().filter(|backend| !told.has(backend.at)) {
            let text = match self.dirt.as_ref() {
                Some(dirt) if dirt.behind.has(backend.at) => "lacks the latest version",
                _ if backend.is_in_use() => "gave no answer in time",
                _ => backend.state().as_str(),
            };
            error = error.answered(&backend.id, text);
        }
        error.into()
    }
}

fn is_stale(error: &Error) -> bool {
    FailoverError::find(error).is_some_and(|error| error.reason() == Reason::Stale)
}

fn kind_of(options: &GetOptions) -> (Operation, ReadKind) {
    use object_store::GetRange;
    if options.head {
        return (Operation::Head, ReadKind::Head);
    }
    let small = match &options.range {
        Some(GetRange::Bounded(range)) => range.end.saturating_sub(range.start) <= SMALL,
        Some(GetRange::Suffix(bytes)) => *bytes <= SMALL,
        _ => false,
    };
    (Operation::Get, if small { ReadKind::SmallRange } else { ReadKind::Get })
}

/// The options in a backend's own words.
fn own_options(backend: &Backend, options: &GetOptions) -> GetOptions {
    let mut own = options.clone();
    let mine = |tag: &str| match tag {
        "*" => Some("*".to_owned()),
        tag => etag::own(&backend.id, backend.is_first(), tag).map(str::to_owned),
    };
    // `If-Match` and a version name their backend, and no other is asked; a foreign `If-None-Match` matches nothing.
    if let Some(tag) = &options.if_match {
        own.if_match = mine(tag);
    }
    if let Some(tag) = &options.version {
        own.version = mine(tag);
    }
    if let Some(tag) = &options.if_none_match {
        own.if_none_match = mine(tag);
    }
    own
}
