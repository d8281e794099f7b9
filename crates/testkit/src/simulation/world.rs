//! What everyone in a simulation shares: time, backends, the history and the complaints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use object_store::path::Path;
use tokio::time::Instant;

use super::backend::SimBackend;
use super::content::{attributes, content, value_of};
use super::history::{Action, History, Outcome, Record, Value};
use super::model::Model;
use super::plan::{Plan, Profile};
use crate::random::Random;

/// The world of one seed.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) profile: Profile,
    pub(super) began: Instant,
    pub(super) backends: Vec<SimBackend>,
    /// What was there before anything began.
    pub(super) before: BTreeMap<Path, Value>,
    state: Mutex<State>,
}

/// A client: what survives the crash of its process.
pub(super) struct Client {
    pub(super) random: Random,
    pub(super) remaining: u32,
    pub(super) model: Model,
    /// Versions that were seen: what a conditional update needs.
    pub(super) versions: BTreeMap<Path, (String, Value)>,
}

/// What changes.
pub(super) struct State {
    pub(super) history: History,
    pub(super) violations: Vec<String>,
    pub(super) clients: BTreeMap<(usize, usize), Client>,
    /// Keys that nothing remembers to be different on the backends: only comparing them finds out.
    pub(super) forgotten: BTreeSet<Path>,
    /// Keys of which a provider lost versions, or which someone wrote behind our back.
    pub(super) disturbed: BTreeSet<Path>,
    /// What was written behind our back: where, when, which key, which value.
    pub(super) foreign: Vec<(usize, u64, Path, Value)>,
    /// When the current life of each process began.
    pub(super) born: Vec<u64>,
}

impl State {
    /// The last delete of a key by a client, or its last move elsewhere.
    pub(super) fn last_delete(&self, client: (usize, usize), key: &Path) -> Option<&Record> {
        self.history.records.iter().rev().find(|record| {
            let gone = match &record.action {
                Action::Delete(keys) => keys.contains(key),
                Action::Rename(from, _) => from == key,
                _ => false,
            };
            gone && (record.process, record.client) == client
        })
    }
}

/// Lives of one process; more than any plan has.
const LIVES: u64 = 1_000;

/// The number by which backends know a life of a process.
pub(super) fn client_number(process: usize, incarnation: u32) -> u64 {
    u64::try_from(process).unwrap_or(u64::MAX / LIVES) * LIVES + u64::from(incarnation)
}

fn process_of(client: u64) -> usize {
    usize::try_from(client / LIVES).unwrap_or(usize::MAX)
}

impl World {
    pub(super) fn new(plan: Plan, profile: Profile) -> Arc<Self> {
        let backend = |(number, settings): (usize, &super::BackendSettings)| {
            SimBackend::new(format!("b{number}"), settings.clone())
        };
        let backends: Vec<_> = plan.backends.iter().enumerate().map(backend).collect();
        let before = plan.before();
        for (_, backend) in backends.iter().enumerate().filter(|(at, _)| plan.joins != Some(*at)) {
            for (key, value) in &before {
                backend.hold(key, content(*value), attributes(*value));
            }
        }
        let mut random = Random::new(plan.seed ^ 0x5EED);
        let mut clients = BTreeMap::new();
        for process in 0..plan.clocks.len() {
            for client in 0..plan.clients {
                let keys = (0..plan.own_keys).map(|number| plan.own_key(process, client, number));
                let model = Model::new(keys.map(|key| (key.clone(), before.get(&key).copied())));
                let (random, remaining) = (random.fork(), profile.operations);
                let versions = BTreeMap::new();
                clients.insert((process, client), Client { random, remaining, model, versions });
            }
        }
        let state = State {
            history: History::default(),
            violations: Vec::new(),
            clients,
            forgotten: BTreeSet::new(),
            disturbed: BTreeSet::new(),
            foreign: Vec::new(),
            born: vec![0; plan.clocks.len()],
        };
        let (began, state) = (Instant::now(), Mutex::new(state));
        Arc::new(Self { plan, profile, began, backends, before, state })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the beginning.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes something that is no operation.
    pub(super) fn note(&self, event: impl Into<String>) {
        let now = self.now();
        self.state().history.events.push((now, event.into()));
    }

    /// Notes a broken promise.
    pub(super) fn complain(&self, text: impl Into<String>) {
        let text = text.into();
        self.note(format!("VIOLATION: {text}"));
        self.state().violations.push(text);
    }

    /// Whether a state of a key came to some backend at or after a moment.
    pub(super) fn landed(&self, key: &Path, state: Option<Value>, since: u64) -> bool {
        self.backends.iter().any(|backend| {
            backend.with_log(|log| {
                let mut later = log.iter().rev().take_while(|change| change.at >= since);
                later.any(|change| {
                    change.key == *key && change.now.as_deref().and_then(value_of) == state
                })
            })
        })
    }

    /// Whether an acknowledged write of a process that began at `since` and left one of `states` was on one backend alone
    /// when a request that had been sent there before it landed on top of it; or one of another process that no condition
    /// stops: a delete, or an older version of which the process could not hear.
    pub(super) fn overrun(
        &self,
        key: &Path,
        states: &[Option<Value>],
        since: u64,
        process: usize,
    ) -> bool {
        let another =
            |client: Option<u64>| client.is_some_and(|client| process_of(client) != process);
        let last = |log: &[super::Applied], until: u64| {
            log.iter().rev().find(|change| change.key == *key && change.at <= until).cloned()
        };
        let state_of = |change: Option<super::Applied>| {
            change.and_then(|change| change.now).as_deref().and_then(value_of)
        };
        self.backends.iter().enumerate().any(|(at, backend)| {
            let elsewhere = |until: u64| -> Vec<Option<Value>> {
                let others = self.backends.iter().enumerate().filter(|(other, _)| *other != at);
                let changes = others.map(|(_, other)| other.with_log(|log| last(log, until)));
                // What was there before is another version, even if its bytes are the same.
                let older = |change: &super::Applied| change.sent < since && change.now.is_some();
                changes.filter(|change| !change.as_ref().is_some_and(older)).map(state_of).collect()
            };
            backend.with_log(|log| {
                let changes = log.iter().enumerate().filter(|(_, change)| change.key == *key);
                let late = changes.filter(|(_, change)| {
                    let unconditional =
                        change.now.is_none() || self.was_unheard(process, at, change);
                    let unstopped = unconditional && another(change.client);
                    change.at >= since && (change.sent < since || unstopped)
                });
                // Even if it brings the same bytes: they are an older version.
                late.into_iter().any(|(place, change)| {
                    let replaced = state_of(last(&log[..place], change.at));
                    let elsewhere = elsewhere(change.at);
                    let alone = states.contains(&replaced) && !elsewhere.contains(&replaced);
                    alone || !elsewhere.iter().any(|there| states.contains(there))
                })
            })
        })
    }

    /// Whether a change that no condition stops brought a backend what a process could not hear of: it has not had the time to
    /// read what is remembered at another backend since that has had it.
    fn was_unheard(&self, process: usize, at: usize, change: &super::Applied) -> bool {
        let guarded = self.plan.backends[at].conditions == super::Conditions::Enforced;
        let brought = |one: &&super::Applied| {
            one.key == change.key && one.at <= change.sent && one.now == change.now
        };
        let others = self.backends.iter().enumerate().filter(|(other, _)| *other != at);
        let mut sources = others.filter_map(|(other, backend)| {
            let since = backend.with_log(|log| log.iter().rev().find(brought).map(|one| one.at))?;
            Some((other, since))
        });
        !guarded && sources.any(|(other, since)| !self.could_read(process, other, since, change.at))
    }

    /// Whether another process changed a key while an operation was under way, or within the grace before it.
    pub(super) fn others_wrote(&self, key: &Path, record: &Record) -> bool {
        let grace = u64::try_from(self.profile.grace.as_millis()).unwrap_or(u64::MAX);
        let from = record.invoked.saturating_sub(grace);
        let until = record.completed.unwrap_or(u64::MAX);
        let is_other = |change: &super::Applied| {
            change.key == *key
                && (from..=until).contains(&change.at)
                && change.client.is_some_and(|client| process_of(client) != record.process)
        };
        self.any_change(is_other)
    }

    /// Whether such a change was made at any backend.
    fn any_change(&self, such: impl Fn(&super::Applied) -> bool) -> bool {
        self.backends.iter().any(|backend| backend.with_log(|log| log.iter().any(&such)))
    }

    /// Whether a change of a key that was asked for before an operation was made while that was under way.
    pub(super) fn landed_late(&self, key: &Path, record: &Record) -> bool {
        let until = record.completed.unwrap_or(u64::MAX);
        let is_late = |change: &super::Applied| {
            change.key == *key
                && change.sent < record.invoked
                && (record.invoked..=until).contains(&change.at)
        };
        self.any_change(is_late)
    }

    /// Whether a request of an earlier life of a process changed a key when its next life had begun: where one backend alone
    /// had the write, only that process knew that it might.
    pub(super) fn landed_after_death(&self, state: &State, key: &Path) -> bool {
        self.any_change(|change| change.key == *key && self.is_of_the_dead(state, change).is_some())
    }

    /// Whether what is seen of a key is what landed so, of a write that no other backend had when its process crashed.
    pub(super) fn is_from_a_dead_life(
        &self,
        state: &State,
        key: &Path,
        seen: Option<Value>,
    ) -> bool {
        self.backends.iter().enumerate().any(|(at, backend)| {
            let late: Vec<_> = backend.with_log(|log| {
                let late = log.iter().filter(|change| {
                    change.key == *key && change.now.as_deref().and_then(value_of) == seen
                });
                late.filter_map(|change| {
                    Some((change.clone(), self.is_of_the_dead(state, change)?))
                })
                .collect()
            });
            late.iter().any(|(change, died)| {
                let same = |other: &super::Applied| {
                    other.key == *key && other.at < *died && other.now == change.now
                };
                let others = self.backends.iter().enumerate().filter(|(other, _)| *other != at);
                !others.into_iter().any(|(_, other)| other.with_log(|log| log.iter().any(same)))
            })
        })
    }

    /// When the life ended which a change is of, if that was made when the next one had begun, or later.
    fn is_of_the_dead(&self, state: &State, change: &super::Applied) -> Option<u64> {
        let client = change.client?;
        let process = process_of(client);
        let crashes = self.plan.crashes.iter().filter(|crash| crash.process == process);
        let born = state.born[process];
        let dead = client % LIVES < u64::try_from(crashes.clone().count()).unwrap_or(u64::MAX);
        let down = crashes.map(|crash| crash.down).next_back().unwrap_or(0);
        (dead && change.at >= born).then_some(born.saturating_sub(down))
    }

    /// Whether nothing is asked of a key, because a provider lost versions of it, or someone wrote behind our back.
    pub(super) fn is_disturbed(&self, state: &State, key: &Path) -> bool {
        // A request that was sent before the loss and landed after it: what was remembered of it may be lost.
        let late = |at: u64| {
            let of_before =
                |change: &super::Applied| change.key == *key && change.sent <= at && change.at > at;
            self.any_change(of_before)
        };
        state.disturbed.contains(key) || self.plan.loss.is_some_and(|(_, _, at)| late(at))
    }

    /// Whether a life of a process has had the time to read what is remembered at every backend.
    pub(super) fn could_read_all(&self, process: usize, since: u64, now: u64) -> bool {
        (0..self.backends.len()).all(|backend| self.could_read(process, backend, since, now))
    }

    /// Whether a process has had the time to read what is remembered at a backend.
    fn could_read(&self, process: usize, backend: usize, since: u64, now: u64) -> bool {
        let grace = u64::try_from(self.profile.grace.as_millis()).unwrap_or(u64::MAX);
        // The last moment of each episode, and the beginning, are where a time of fine weather may begin.
        let ends = self.plan.episodes.iter().map(|episode| episode.until + 1);
        let mut begins = ends.chain([since]).filter(|at| *at >= since);
        begins.any(|at| {
            at + grace <= now && self.plan.was_fine(Some(process), backend, at, at + grace)
        })
    }

    /// Whether nobody has written a key that was there before a backend joined: only comparing brings it there.
    pub(super) fn is_untouched(&self, key: &Path) -> bool {
        let Some(before) = self.before.get(key) else { return false };
        self.backends.iter().enumerate().all(|(at, backend)| {
            let there = backend.object(key).and_then(|stored| value_of(&stored.bytes));
            there == Some(*before).filter(|_| self.plan.joins != Some(at))
        })
    }

    /// Whether a read of a process may find what is older, because somebody may be away who has what is newer.
    pub(super) fn may_be_stale(&self, record: &Record) -> bool {
        let grace = u64::try_from(self.profile.grace.as_millis()).unwrap_or(u64::MAX);
        let from = record.invoked.saturating_sub(grace);
        let until = record.completed.unwrap_or(u64::MAX);
        // One that is slow all the time may be taken for one that is away.
        let here = |backend: usize| {
            self.plan.was_fine(Some(record.process), backend, from, until)
                && self.plan.backends[backend].slower == 1
        };
        self.plan.variant.stale && !(0..self.backends.len()).all(here)
    }

    /// The process dies: what it had under way is open for ever, and what it remembered is lost.
    pub(super) fn bury(&self, process: usize, incarnation: u32) {
        let now = self.now();
        let millis =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (comparing, late) = (millis(self.profile.comparing), millis(self.profile.late));
        let mut guard = self.state();
        let state = &mut *guard;
        let mine =
            |record: &&mut Record| record.process == process && record.incarnation == incarnation;
        for record in state.history.records.iter_mut().filter(mine) {
            let open = record.outcome == Outcome::Pending;
            if open {
                record.outcome = Outcome::Crashed;
            }
            let matters = if record.is_acknowledged() { comparing } else { comparing + late };
            let recent = record.completed.is_none_or(|completed| completed + matters >= now);
            if record.action.is_read() || !recent {
                continue;
            }
            for key in super::check::written_keys(&record.action) {
                // A write that was acknowledged is forgotten only where someone else wrote, too.
                if open || !record.is_acknowledged() || is_shared(key) {
                    state.forgotten.insert(key.clone());
                }
            }
            if open && let Some(client) = state.clients.get_mut(&(process, record.client)) {
                client.model.apply(record);
            }
        }
        for ((owner, _), client) in &mut state.clients {
            if *owner == process {
                client.model.crash();
            }
        }
    }
}

/// The folder of a client.
pub(super) fn own_folder(process: usize, client: usize) -> Path {
    Path::from(format!("own/p{process}c{client}"))
}

/// Whether everyone writes it.
pub(super) fn is_shared(key: &Path) -> bool {
    key.as_ref().starts_with("shared/")
}
