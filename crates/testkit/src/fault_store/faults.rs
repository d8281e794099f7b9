//! The handle on the faults of one or more stores: rules, latency, and the randomness that decides.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::path::Path;

use super::{At, Operation, Rule, Strike};
use crate::random::Random;

/// Sees requests as they leave and answers as they arrive. `false` means that the client is no more: whoever waits
/// for this request waits for ever.
pub(crate) trait Watch: Send + Sync {
    fn request(&self, operation: Operation, key: &Path) -> bool;
    fn answer(&self, operation: Operation, key: &Path) -> bool;
}

/// The faults of a [`FaultStore`](super::FaultStore). Clones are the same faults, so that a test keeps one to change
/// the weather while the application runs.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<State>>);

struct State {
    random: Random,
    rules: Vec<Rule>,
    latency: Range<Duration>,
    slower: u32,
    requests: u64,
    watch: Option<Arc<dyn Watch>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("rules", &self.state().rules).finish_non_exhaustive()
    }
}

/// What becomes of one request.
pub(super) struct Fate {
    pub(super) strike: Option<Strike>,
    /// How long the request travels.
    pub(super) there: Duration,
    /// How long the answer travels.
    pub(super) back: Duration,
    /// When the effect of a late request comes; where in a body something happens.
    pub(super) draw: u64,
}

impl Faults {
    /// No faults yet; whatever is drawn later comes from this seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random::new(seed),
            rules: Vec::new(),
            latency: Duration::ZERO..Duration::ZERO,
            slower: 1,
            requests: 0,
            watch: None,
        })))
    }

    /// Adds a rule. Of several rules that would hit a request the first added strikes; the others do not count it.
    pub fn add(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// Replaces all rules at once.
    pub fn set(&self, rules: impl IntoIterator<Item = Rule>) {
        self.state().rules = rules.into_iter().collect();
    }

    /// Removes all rules and the slowness: the weather is fine again. What is lost or held stays so.
    pub fn clear(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.slower = 1;
    }

    /// How long a request travels, and the answer again; drawn from the range each time.
    pub fn latency(&self, range: Range<Duration>) {
        self.state().latency = range;
    }

    /// A brownout: makes the way this many times slower.
    pub fn slower(&self, times: u32) {
        self.state().slower = times.max(1);
    }

    /// How many requests were made so far.
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    /// Has every request and answer seen.
    #[cfg(feature = "simulation")]
    pub(crate) fn watch(&self, watch: Arc<dyn Watch>) {
        self.state().watch = Some(watch);
    }

    pub(super) fn watcher(&self) -> Option<Arc<dyn Watch>> {
        self.state().watch.clone()
    }

    /// Decides on a request.
    pub(super) fn decide(&self, operation: Operation, key: &Path) -> Fate {
        let mut state = self.state();
        let State { random, rules, latency, slower, requests, .. } = &mut *state;
        *requests += 1;
        let strike = rules.iter_mut().find_map(|rule| rule.consult(operation, key, random));
        let mut travel = || {
            if latency.end.is_zero() {
                return Duration::ZERO;
            }
            let drawn = random.in_range(micros(latency.start)..micros(latency.end));
            Duration::from_micros(drawn) * *slower
        };
        let (there, back) = (travel(), travel());
        let draws = strike.as_ref().is_some_and(|strike| !matches!(strike, Strike::Fail(_)));
        let draw = if draws { random.next() } else { 0 };
        Fate { strike, there, back, draw }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Fate {
    /// A moment within a bound.
    pub(super) fn moment(&self, bound: Duration) -> Duration {
        Duration::from_micros(Random::new(self.draw).in_range(0..micros(bound).saturating_add(1)))
    }

    /// A position in a body of this length.
    pub(super) fn position(&self, at: At, length: u64) -> u64 {
        match at {
            At::Offset(offset) => offset,
            At::Anywhere => Random::new(self.draw).in_range(0..length),
        }
    }
}
