//! One backend as the engine sees it: the store, its health behind a lock that only faults take, and what
//! reads must know in one atomic.

use std::ops::BitOrAssign;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lifeboat_core::{BlobStore, Fault, Support};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::confirming::Confirming;
use crate::events::{Event, Operation};
use crate::health::{Evidence, Health, HealthState, Rules};
use crate::latency::Latencies;
use crate::observe::Observers;
use crate::seam::Randomness;

/// A set of backends by their place in the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mask(u32);

/// Most backends in one failover: as many as a [`Mask`] has bits.
pub(crate) const MOST_BACKENDS: usize = 32;

impl Mask {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn only(at: usize) -> Self {
        let mut mask = Self::NONE;
        mask.set(at);
        mask
    }

    pub(crate) fn has(self, at: usize) -> bool {
        self.0 & (1 << at) != 0
    }

    pub(crate) fn set(&mut self, at: usize) {
        self.0 |= 1 << at;
    }

    pub(crate) fn clear(&mut self, at: usize) {
        self.0 &= !(1 << at);
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn len(self) -> usize {
        usize::try_from(self.0.count_ones()).unwrap_or(MOST_BACKENDS)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The backends in it, in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..MOST_BACKENDS).filter(move |at| self.has(*at))
    }
}

impl BitOrAssign for Mask {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl FromIterator<usize> for Mask {
    fn from_iter<I: IntoIterator<Item = usize>>(backends: I) -> Self {
        let mut mask = Self::NONE;
        backends.into_iter().for_each(|at| mask.set(at));
        mask
    }
}

/// A backend of a failover.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) at: usize,
    pub(crate) id: String,
    pub(crate) latencies: Latencies,
    health: Mutex<Health>,
    /// [`HealthState`] as a number: what requests load.
    state: AtomicU8,
    /// A success and a fault change nothing while this is false, so that a healthy backend's answers take no lock.
    troubled: AtomicBool,
    /// A row of requests had to be saved from its slowness, and it has not answered in time since.
    outrun: AtomicBool,
    /// Nobody waits here but those whose request is under way at a backend that has just been ejected.
    pub(crate) ejected: Notify,
    /// The prober waits here.
    pub(crate) changed: Notify,
    rules: Rules,
    observers: Arc<Observers>,
    randomness: Arc<Randomness>,
    pub(crate) seeded: AtomicBool,
    /// Whether it was empty when it was first asked; not asked where some backend is known to be seeded.
    pub(crate) blank: OnceLock<bool>,
    pub(crate) journal_read: AtomicBool,
    /// When the last reading of the journal that succeeded began.
    journal_heard: Mutex<Option<Instant>>,
    /// Answers so far, and when the last came in: evidence that a refusal concerns one key only.
    answers: AtomicU64,
    /// What a probe said when it was in doubt whether it serves at all: whether it is out. Held during any probe.
    pub(crate) doubted: tokio::sync::Mutex<Option<(Instant, bool)>>,
    /// When it was last too slow, and how often it had answered by then.
    slow: Mutex<Option<(Instant, u64)>>,
    pub(crate) confirming: Confirming,
}

const SERVING: u8 = 0;
const SUSPECT: u8 = 1;
const EJECTED: u8 = 2;
const PROBING: u8 = 3;

impl Backend {
    pub(crate) fn new(
        store: Arc<dyn BlobStore>,
        at: usize,
        rules: Rules,
        observers: Arc<Observers>,
        randomness: Arc<Randomness>,
        now: Instant,
    ) -> Self {
        Self {
            id: store.identity().id().to_owned(),
            store,
            at,
            latencies: Latencies::new(),
            health: Mutex::new(Health::new(now)),
            state: AtomicU8::new(SERVING),
            troubled: AtomicBool::new(false),
            outrun: AtomicBool::new(false),
            ejected: Notify::new(),
            changed: Notify::new(),
            rules,
            observers,
            randomness,
            seeded: AtomicBool::new(false),
            blank: OnceLock::new(),
            journal_read: AtomicBool::new(false),
            journal_heard: Mutex::new(None),
            answers: AtomicU64::new(0),
            doubted: tokio::sync::Mutex::default(),
            slow: Mutex::default(),
            confirming: Confirming::default(),
        }
    }

    /// Notes that the journal was read whole, from this moment on. Whether it was the first time.
    pub(crate) fn journal_was_read(&self, began: Instant) -> bool {
        *self.journal_heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
        !self.journal_read.swap(true, Ordering::AcqRel)
    }

    /// Whether the journal was read whole, beginning after this moment.
    pub(crate) fn journal_read_since(&self, moment: Instant) -> bool {
        let heard = *self.journal_heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|began| began > moment)
    }

    /// Whether it is the first in order: its `ETag`s carry no label.
    pub(crate) fn is_first(&self) -> bool {
        self.at == 0
    }

    pub(crate) fn state(&self) -> HealthState {
        match self.state.load(Ordering::Acquire) {
            SERVING => HealthState::Serving,
            SUSPECT => HealthState::Suspect,
            EJECTED => HealthState::Ejected,
            _ => HealthState::Probing,
        }
    }

    /// Whether requests are sent to it.
    pub(crate) fn is_in_use(&self) -> bool {
        matches!(self.state(), HealthState::Serving | HealthState::Suspect)
    }

    /// Whether it answers, as far as is known: it is in use, or is avoided for nothing but its slowness.
    pub(crate) fn is_reachable(&self) -> bool {
        self.is_in_use() || self.is_outrun()
    }

    /// A copy of its health, for status and the prober.
    pub(crate) fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of answers so far.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Acquire)
    }

    /// It answered.
    pub(crate) fn answered(&self) {
        if self.answers.fetch_add(1, Ordering::AcqRel) == 0 {
            self.confirming.answered.raise();
        }
        if self.is_troubled() {
            self.observe(Evidence::Answered, "it answers");
        }
    }

    /// It refused something: it is there, but that is no proof that it still lets us in.
    pub(crate) fn refused(&self) {
        if self.is_troubled() {
            self.observe(Evidence::Answered, "it answers");
        }
    }

    /// Whether there is anything against it that an answer would change.
    pub(crate) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Acquire)
    }

    /// Whether requests are being saved from its slowness one after the other; or, once it is ejected, whether that is why.
    pub(crate) fn is_outrun(&self) -> bool {
        self.outrun.load(Ordering::Acquire)
    }

    /// Tells of a failure that is no evidence against it.
    pub(crate) fn told(&self, operation: Operation, class: Fault) {
        self.observers.tell(|| Event::Fault { backend: self.id.clone(), operation, class });
    }

    /// It gave no sign in time.
    pub(crate) fn was_slow(&self) {
        let now = (Instant::now(), self.answers());
        *self.slow.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Whether it gave no sign in time within the last `window`, and has not answered since.
    pub(crate) fn is_slow_within(&self, window: Duration) -> bool {
        let slow = *self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.is_some_and(|(at, answers)| at.elapsed() < window && answers == self.answers())
    }

    /// It failed in this way.
    pub(crate) fn fault(&self, operation: Operation, fault: Fault, pause: Option<Duration>) {
        self.told(operation, fault);
        self.observe(Evidence::Failed(fault, pause), fault_in_words(fault));
    }

    /// Puts evidence to the rules, and tells what changed.
    pub(crate) fn observe(&self, evidence: Evidence, why: &str) {
        let now = Instant::now();
        let jitter = self.randomness.fraction();
        let (from, to) = {
            let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            let from = health.state();
            *health = health.after(evidence, now, &self.rules, (self.answers(), jitter));
            let to = health.state();
            self.state.store(as_number(to), Ordering::Release);
            self.troubled.store(!health.is_quiet(), Ordering::Release);
            self.outrun.store(health.is_outrun(&self.rules), Ordering::Release);
            (from, to)
        };
        // Evidence that changes no state may still move the next probe or the end of a pause.
        self.changed.notify_one();
        if from == to {
            return;
        }
        if to == HealthState::Ejected {
            self.ejected.notify_waiters();
        }
        let why = why.to_owned();
        tracing::info!(backend = %self.id, %from, %to, %why, "health changed");
        self.observers.tell(|| Event::Health { backend: self.id.clone(), from, to, why });
        self.observers.numbers(self.at).health.set(f64::from(as_number(to)));
    }

    /// Whether conditions on puts are known to be enforced.
    pub(crate) fn enforces_conditions(&self) -> bool {
        let can = self.store.capabilities();
        can.create_if_absent == Support::Yes && can.compare_and_swap == Support::Yes
    }

    pub(crate) fn lists_in_order(&self) -> bool {
        self.store.capabilities().ordered_listing == Support::Yes
    }
}

fn as_number(state: HealthState) -> u8 {
    match state {
        HealthState::Serving => SERVING,
        HealthState::Suspect => SUSPECT,
        HealthState::Ejected => EJECTED,
        HealthState::Probing => PROBING,
    }
}

fn fault_in_words(fault: Fault) -> &'static str {
    match fault {
        Fault::Throttled => "it throttles",
        Fault::IdentityLost => "it does not authenticate us",
        Fault::Slow => "it gives no sign in time",
        _ => "it fails",
    }
}
