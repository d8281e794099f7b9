//! What all parts share: the backends, the index, the clocks and budgets, and how a failure is judged.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use lifeboat_core::{Class, Fault, Stamp, Verdict};
use object_store::path::Path;
use object_store::{Error, Result};
use tokio::sync::{MutexGuard, Notify, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::backend::{Backend, Mask};
use crate::catch_up::patience::Patience;
use crate::catch_up::stillness::Stillness;
use crate::clock::HybridClock;
use crate::events::{Event, Operation};
use crate::flag::Flag;
use crate::health::{Evidence, HealthState};
use crate::journal::compaction::Compaction;
use crate::journal::departed::Departed;
use crate::journal::index::Index;
use crate::journal::store::{LateMarkers, LongKeys};
use crate::locks::KeyLocks;
use crate::memory::Memory;
use crate::observe::Observers;
use crate::presence::Presence;
use crate::seam::{Randomness, Spawner};
use crate::settings::Settings;
use crate::settle::SettleQueue;
use crate::tokens::TokenBudget;

/// Everything behind a `Failover`.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) backends: Vec<Arc<Backend>>,
    pub(crate) settings: Settings,
    pub(crate) clock: HybridClock,
    pub(crate) randomness: Arc<Randomness>,
    pub(crate) spawner: Arc<dyn Spawner>,
    pub(crate) observers: Arc<Observers>,
    pub(crate) index: Index,
    pub(crate) departed: Departed,
    pub(crate) locks: Arc<KeyLocks>,
    /// Keys whose backends differ without a marker that says why.
    pub(crate) still: Stillness,
    pub(crate) hedges: TokenBudget,
    pub(crate) retries: TokenBudget,
    /// Turns of those who copy what was read elsewhere.
    pub(crate) filling: Arc<Semaphore>,
    /// Bodies of writes.
    pub(crate) memory: Arc<Memory>,
    /// The same for catch-up and copies, which take it under a key's lock: writes take theirs before, and two orders of
    /// one thing wait for each other.
    pub(crate) memory_under_lock: Arc<Memory>,
    pub(crate) settle: SettleQueue,
    pub(crate) compaction: Compaction,
    pub(crate) patience: Patience,
    pub(crate) presence: Presence,
    pub(crate) long_keys: LongKeys,
    pub(crate) late_markers: LateMarkers,
    pub(crate) conflicts: AtomicU64,
    /// Background work has begun.
    pub(crate) started: AtomicBool,
    /// Journals are read, as far as they can be.
    pub(crate) loaded: Flag,
    /// It is settled whether the buckets were new.
    pub(crate) seeding_known: AtomicBool,
    /// Every backend was found to be new: those that are not marked yet are to be.
    pub(crate) all_new: AtomicBool,
    /// Requests need not wait for the journals any more.
    pub(crate) ready: AtomicBool,
    /// Every backend's journal has been read once.
    pub(crate) journals_known: AtomicBool,
    pub(crate) closed: Flag,
    /// There is something for catch-up to do.
    pub(crate) work: Notify,
    /// Legs of acknowledged writes, and keys that catch-up works on.
    pub(crate) legs: AtomicUsize,
    /// Copies whose sources have to be looked at once more.
    pub(crate) burials: AtomicUsize,
    /// One of either has ended.
    pub(crate) leg_ended: Notify,
    /// Backends whose probe was answered at least once: only then does a refused probe mean anything.
    probes: AtomicUsize,
    /// Stamps too far ahead of our clock to be followed: overwriting those keys needs a higher one all the same.
    ahead: Mutex<BTreeMap<Path, Stamp>>,
}

/// Keys remembered with a stamp too far ahead; beyond it the oldest names are forgotten.
const MOST_AHEAD: usize = 10_000;

/// Probes that decide whether a refusal is about one key or about us.
const LOCK_LOOKS: u32 = 3;
/// Pause between them, the first one: longer than an answer is on its way.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How long what a probe said about a backend in doubt holds: requests come in crowds, and so do refusals.
const DOUBT_LASTS: Duration = Duration::from_secs(1);

impl Engine {
    #[allow(clippy::too_many_arguments, reason = "called once, by the builder")]
    pub(crate) fn new(
        backends: Vec<Arc<Backend>>,
        settings: Settings,
        clock: HybridClock,
        randomness: Arc<Randomness>,
        spawner: Arc<dyn Spawner>,
        observers: Arc<Observers>,
    ) -> Self {
        // A write, and until every process has heard of what came of it.
        let window = settings.write_deadline + settings.journal_poll * 2;
        Self {
            hedges: TokenBudget::new(settings.hedge_budget_percent),
            retries: TokenBudget::new(RETRY_PERCENT),
            filling: Arc::new(Semaphore::new(settings.catch_up_concurrency.clamp(1, 1 << 10))),
            memory: Arc::new(Memory::new(settings.memory)),
            memory_under_lock: Arc::new(Memory::new(settings.memory)),
            backends,
            settings,
            clock,
            randomness,
            spawner,
            observers,
            index: Index::default(),
            departed: Departed::new(window),
            locks: KeyLocks::new(),
            still: Stillness::default(),
            settle: SettleQueue::default(),
            compaction: Compaction::default(),
            patience: Patience::default(),
            presence: Presence::default(),
            long_keys: LongKeys::default(),
            late_markers: LateMarkers::default(),
            conflicts: AtomicU64::new(0),
            started: AtomicBool::new(false),
            loaded: Flag::default(),
            seeding_known: AtomicBool::new(false),
            all_new: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            journals_known: AtomicBool::new(false),
            closed: Flag::default(),
            work: Notify::new(),
            legs: AtomicUsize::new(0),
            burials: AtomicUsize::new(0),
            leg_ended: Notify::new(),
            probes: AtomicUsize::new(0),
            ahead: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn all(&self) -> Mask {
        (0..self.backends.len()).collect()
    }

    /// The backends that requests are sent to; all of them if none is left, because then the health we know
    /// may speak about our own network.
    pub(crate) fn in_use(&self) -> Mask {
        let mask: Mask = self.backends.iter().filter(|b| b.is_in_use()).map(|b| b.at).collect();
        if mask.is_empty() { self.all() } else { mask }
    }

    /// Those that are in use, and those that are avoided for nothing but their slowness: somebody has to say what nobody
    /// else knows.
    pub(crate) fn reachable(&self) -> Mask {
        let mut mask = self.in_use();
        mask |= self.backends.iter().filter(|b| b.is_reachable()).map(|b| b.at).collect();
        mask
    }

    /// The backends that a write is sent to: those in use, and where they are fewer than must have it, all that answer.
    pub(crate) async fn takers(&self) -> Mask {
        let takers = self.in_use();
        if takers.len() >= self.settings.min_copies { takers } else { self.answering().await }
    }

    /// The backends in use, and those that are avoided and answer all the same.
    pub(crate) async fn answering(&self) -> Mask {
        let mut answering = self.reachable();
        let away = self.backends.iter().filter(|backend| !answering.has(backend.at));
        let asked = away.map(|backend| async {
            let asked = timeout(self.settings.health.probe_deadline, self.is_out(backend, 1)).await;
            matches!(asked, Ok(false)).then_some(backend.at)
        });
        answering |= futures::future::join_all(asked).await.into_iter().flatten().collect();
        answering
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawner.spawn(Box::pin(task));
    }

    /// Backends that answer and whose journals have not been read: they may know of writes that others lack.
    pub(crate) fn unread_journals(&self) -> Mask {
        if self.journals_known.load(Ordering::Acquire) {
            return Mask::NONE;
        }
        let unread =
            self.backends.iter().filter(|backend| !backend.journal_read.load(Ordering::Acquire));
        // One that has given no sign at all is suspect by now, and is not waited for.
        let silent =
            |backend: &Backend| backend.answers() == 0 && backend.state() == HealthState::Suspect;
        unread
            .filter(|backend| backend.is_in_use() && !silent(backend))
            .map(|backend| backend.at)
            .collect()
    }

    /// Runs `task` to its end even if the caller goes away.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        self.spawn(async move {
            // Nobody waits any more: the work is done all the same.
            let _ = sender.send(task.await);
        });
        receiver.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Judges a failure at a backend, and takes it as evidence. What may be about one key only, or is of a kind that nobody
    /// knows, is put to a probe: only a backend that refuses everything has lost our identity.
    pub(crate) async fn judge(&self, at: usize, operation: Operation, error: &Error) -> Verdict {
        let backend = &self.backends[at];
        let verdict = backend.store.classify(error);
        match verdict.class {
            Class::Denied if self.is_out(backend, LOCK_LOOKS).await => {
                backend.fault(operation, Fault::IdentityLost, None);
                return Verdict::fault(Fault::IdentityLost, verdict.effect);
            }
            Class::Denied => backend.refused(),
            Class::Fault(fault) if verdict.certain => {
                // The one who is slow with everybody is ourselves, or our network.
                if fault == Fault::Slow && self.are_all_slow(at) {
                    backend.told(operation, fault);
                } else {
                    backend.fault(operation, fault, verdict.retry_after);
                }
            }
            Class::Fault(fault) if self.is_out(backend, 1).await => {
                backend.fault(operation, fault, verdict.retry_after);
            }
            Class::Fault(fault) => backend.told(operation, fault),
            // Our own doing.
            Class::Cancelled => {}
            _ => backend.answered(),
        }
        verdict
    }

    /// Waits for those who probe a backend now. None if that takes too long: who asks already may not get on, because its own
    /// request waits for something else meanwhile.
    async fn turn_to_probe<'b>(
        &self,
        backend: &'b Backend,
    ) -> Option<MutexGuard<'b, Option<(Instant, bool)>>> {
        let bound = self.settings.health.probe_deadline * LOCK_LOOKS;
        timeout(bound, backend.doubted.lock()).await.ok()
    }

    /// Whether a backend refuses its probe as well. Those who ask at the same moment share one answer.
    pub(crate) async fn is_out(&self, backend: &Backend, looks: u32) -> bool {
        let Some(mut last) = self.turn_to_probe(backend).await else {
            return self.refuses_probes(backend, looks).await;
        };
        if let Some((at, out)) = *last
            && at.elapsed() < DOUBT_LASTS
        {
            return out;
        }
        let out = self.refuses_probes(backend, looks).await;
        *last = Some((Instant::now(), out));
        out
    }

    async fn refuses_probes(&self, backend: &Backend, looks: u32) -> bool {
        // What was under way when the lock fell may still be answered: then the probe is sent once more, a little later.
        for look in 0..looks {
            if look > 0 {
                sleep(LOOK_PAUSE * look).await;
            }
            let answers = backend.answers();
            // A probe that never worked says nothing, unless nothing else ever worked either.
            if self.probes.load(Ordering::Acquire) & (1 << backend.at) == 0 && answers > 0 {
                return false;
            }
            let probed = timeout(self.settings.health.probe_deadline, backend.store.probe()).await;
            match probed {
                Ok(Ok(_)) => return false,
                _ if backend.answers() == answers => return true,
                _ => {}
            }
        }
        false
    }

    /// Whether every backend that requests are sent to has been slow a moment ago, and none has answered since.
    fn are_all_slow(&self, at: usize) -> bool {
        self.backends[at].was_slow();
        let window = self.settings.health.window;
        let in_use = self.backends.iter().filter(|backend| backend.is_in_use());
        self.backends.len() > 1 && in_use.into_iter().all(|backend| backend.is_slow_within(window))
    }

    /// Asks an ejected backend whether it serves, once.
    pub(crate) async fn probe(&self, backend: &Backend) {
        // One at a time. Whoever is in doubt then asks again: what this one finds may have been over before their request.
        let _one = self.turn_to_probe(backend).await;
        backend.observe(Evidence::ProbeBegun, "a probe is due");
        let probed = timeout(self.settings.health.probe_deadline, backend.store.probe()).await;
        let known = self.probes.load(Ordering::Acquire) & (1 << backend.at) != 0;
        let alive = match &probed {
            Ok(Ok(_)) => {
                self.probes.fetch_or(1 << backend.at, Ordering::AcqRel);
                true
            }
            // Credentials that may not read the probe's key at any time say nothing by being refused.
            Ok(Err(error)) => {
                let class = backend.store.classify(error).class;
                class == Class::Answer
                    || class == Class::Fault(Fault::Throttled)
                    || (class == Class::Denied && !known)
            }
            Err(_) => false,
        };
        if alive {
            backend.confirming.answered.raise();
            backend.observe(Evidence::ProbeAnswered, "the probe was answered");
        } else {
            backend.observe(Evidence::ProbeFailed, "the probe failed");
        }
    }

    /// Follows a stamp that was read.
    pub(crate) fn follow(&self, key: &Path, stamp: Stamp) {
        if self.clock.follow(stamp) {
            return;
        }
        self.observers.tell(|| Event::ClockAhead { key: key.clone(), stamp });
        self.remember_ahead(key, stamp);
    }

    /// Keys that are remembered with a stamp too far ahead.
    pub(crate) fn keys_dated_ahead(&self) -> u64 {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        u64::try_from(ahead.len()).unwrap_or(u64::MAX)
    }

    fn remember_ahead(&self, key: &Path, stamp: Stamp) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.len() >= MOST_AHEAD {
            ahead.pop_first();
        }
        let known = ahead.entry(key.clone()).or_insert(stamp);
        *known = (*known).max(stamp);
    }

    /// A stamp for a new write of `key`, above every one that is known for it.
    pub(crate) fn stamp(&self, key: &Path) -> Stamp {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied();
        let marked = self
            .index
            .dirt(key)
            .and_then(|dirt| dirt.newest)
            .map(|newest| newest.stamp.max(newest.version_stamp()));
        let floor = ahead.max(marked);
        let stamp = self.clock.tick(floor);
        // Above the clock: the next stamp of this key must be above this one all the same.
        if floor.is_some_and(|floor| stamp.time() == floor.time().saturating_add(1)) {
            self.remember_ahead(key, stamp);
        }
        stamp
    }

    /// Dates a write: its stamp, and the newest write that was known then.
    ///
    /// What a journal says that could not be read since the start is not known, nor how far ahead the clock was by which this
    /// process was dated before: then what is there is looked at first, so that the write comes after that.
    pub(crate) async fn date(&self, key: &Path) -> (Stamp, Option<Stamp>) {
        if !self.journals_known.load(Ordering::Acquire) {
            // Whoever is silent is not waited for longer than a write waits for a slow one.
            drop(timeout(self.marker_patience(), self.look(key)).boxed().await);
        }
        self.stamp_after_known(key)
    }

    /// A stamp, and the newest acknowledged write of the key that is known and comes before it.
    pub(crate) fn stamp_after_known(&self, key: &Path) -> (Stamp, Option<Stamp>) {
        let stamp = self.stamp(key);
        let newest = self.index.dirt(key).and_then(|dirt| dirt.newest).map(|newest| newest.stamp);
        (stamp, newest.filter(|newest| *newest < stamp))
    }

    /// Waits until the legs of acknowledged writes have ended. False if they take longer than a write may: what is still
    /// under way then has a marker.
    pub(crate) async fn legs_end(&self) -> bool {
        let until = Instant::now() + self.settings.write_deadline;
        self.await_legs(until, || self.legs.load(Ordering::Acquire) == 0).await
    }

    /// Waits until it is `over`, which is looked at whenever a leg has ended. False if it is not by `until`.
    pub(crate) async fn await_legs(&self, until: Instant, over: impl Fn() -> bool) -> bool {
        loop {
            let mut ended = pin!(self.leg_ended.notified());
            // Registered before the look, so that no end is missed between the two.
            ended.as_mut().enable();
            if over() {
                return true;
            }
            if timeout_at(until, ended).await.is_err() {
                return false;
            }
        }
    }

    /// Waits until background work should end.
    pub(crate) async fn until_closed(&self) {
        self.closed.wait().await;
    }
}

/// Counts background work that somebody waits for, until it is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    engine: Arc<Engine>,
    count: fn(&Engine) -> &AtomicUsize,
}

impl UnderWay {
    /// Work that must not be left alone when the failover is closed: its requests may land.
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        Self::among(engine, |engine| &engine.legs)
    }

    /// A look at the source of a copy once more.
    pub(crate) fn burial(engine: &Arc<Engine>) -> Self {
        Self::among(engine, |engine| &engine.burials)
    }

    fn among(engine: &Arc<Engine>, count: fn(&Engine) -> &AtomicUsize) -> Self {
        count(engine).fetch_add(1, Ordering::AcqRel);
        Self { engine: Arc::clone(engine), count }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        (self.count)(&self.engine).fetch_sub(1, Ordering::AcqRel);
        self.engine.leg_ended.notify_waiters();
    }
}

/// Retries may be a fifth of all writes.
const RETRY_PERCENT: u32 = 20;

/// A boxed future that owns what it needs.
pub(crate) type Task<T> = BoxFuture<'static, T>;

fn stopped() -> Error {
    let source = "the runtime stopped while the request was under way".into();
    Error::Generic { store: "Failover", source }
}
