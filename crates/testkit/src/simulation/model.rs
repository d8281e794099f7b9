//! What a client knows about the keys that it has to itself: the values that each may hold, as far as its own
//! operations and their outcomes allow.

use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path;

use super::history::{Action, Outcome, Record, Refusal, Value};

/// A value, or absent.
type State = Option<Value>;

/// A key with one writer.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// What it may hold.
    possible: BTreeSet<State>,
    /// What was written without acknowledgement before the last acknowledged write.
    unacknowledged: BTreeSet<State>,
    /// What a process left unacknowledged when it crashed: nobody remembers it, so it may land on top of later writes.
    haunting: BTreeSet<State>,
    /// When the last acknowledged write began.
    since: u64,
    /// Everything that it may ever have held.
    ever: BTreeSet<State>,
}

/// The keys of one client.
#[derive(Clone, Debug, Default)]
pub(super) struct Model(BTreeMap<Path, Key>);

/// Whether an operation that ended so may have had an effect.
pub(super) fn may_have_happened(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Failed(refusal, _) => *refusal == Refusal::Other,
        _ => true,
    }
}

impl Key {
    fn acknowledge(&mut self, states: impl IntoIterator<Item = State>, record: &Record) {
        self.possible = states.into_iter().collect();
        self.ever.extend(&self.possible);
        self.since = record.invoked;
    }

    fn perhaps(&mut self, states: impl IntoIterator<Item = State>) {
        for state in states {
            self.possible.insert(state);
            self.ever.insert(state);
            self.unacknowledged.insert(state);
        }
    }

    /// Whether it may hold this; `landed` says whether a value came to a backend at or after a moment.
    pub(super) fn allows(&self, state: State, landed: impl FnOnce(State, u64) -> bool) -> bool {
        self.possible.contains(&state)
            || (self.haunting.contains(&state) && landed(state, self.since))
    }

    /// Whether it may once have held this.
    pub(super) fn ever(&self, state: State) -> bool {
        self.ever.contains(&state)
    }

    /// What it may hold, and since when.
    pub(super) fn expected(&self) -> (Vec<State>, u64) {
        (self.possible.iter().copied().collect(), self.since)
    }

    /// Whether something that haunts it has landed.
    pub(super) fn allows_more(&self, landed: impl Fn(State, u64) -> bool) -> bool {
        self.haunting.iter().any(|state| landed(*state, self.since))
    }

    /// Whether nothing but one state is possible.
    pub(super) fn certain(&self) -> Option<State> {
        let only = self.possible.len() == 1 && self.haunting.is_empty();
        if only { self.possible.first().copied() } else { None }
    }
}

impl Model {
    /// Keys, with what they hold in the beginning.
    pub(super) fn new(keys: impl IntoIterator<Item = (Path, State)>) -> Self {
        let holding = |state: State| Key {
            possible: [state].into(),
            unacknowledged: BTreeSet::new(),
            haunting: BTreeSet::new(),
            since: 0,
            ever: [state].into(),
        };
        Self(keys.into_iter().map(|(key, state)| (key, holding(state))).collect())
    }

    pub(super) fn key(&self, key: &Path) -> Option<&Key> {
        self.0.get(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (&Path, &Key)> {
        self.0.iter()
    }

    /// The values that a key may hold.
    pub(super) fn values(&self, key: &Path) -> Vec<Value> {
        self.0
            .get(key)
            .map(|key| key.possible.iter().flatten().copied().collect())
            .unwrap_or_default()
    }

    /// The values that a key may ever have held.
    pub(super) fn all_values(&self, key: &Path) -> Vec<Value> {
        self.0.get(key).map(|key| key.ever.iter().flatten().copied().collect()).unwrap_or_default()
    }

    /// Takes over what an operation did or may have done.
    pub(super) fn apply(&mut self, record: &Record) {
        let written = || record.values.iter().copied().map(Some);
        match &record.action {
            Action::Put(key)
            | Action::Create(key)
            | Action::Update(key)
            | Action::Multipart(key)
            | Action::Copy(_, key) => self.write(key, record, written()),
            Action::Rename(from, to) => {
                self.write(to, record, written());
                self.write(from, record, [None]);
            }
            Action::Delete(keys) => {
                for (place, key) in keys.iter().enumerate() {
                    let done = match &record.outcome {
                        Outcome::Deleted(done) => done.get(place) == Some(&true),
                        outcome => *outcome == Outcome::Done,
                    };
                    let Some(key) = self.0.get_mut(key) else { continue };
                    if done { key.acknowledge([None], record) } else { key.perhaps([None]) }
                }
            }
            _ => {}
        }
    }

    fn write(&mut self, key: &Path, record: &Record, states: impl IntoIterator<Item = State>) {
        let Some(key) = self.0.get_mut(key) else { return };
        if record.is_acknowledged() {
            key.acknowledge(states, record);
        } else if may_have_happened(&record.outcome) {
            key.perhaps(states);
        }
    }

    /// The process is gone, and with it all that it remembered.
    pub(super) fn crash(&mut self) {
        for key in self.0.values_mut() {
            let left = std::mem::take(&mut key.unacknowledged);
            key.haunting.extend(left);
        }
    }
}
