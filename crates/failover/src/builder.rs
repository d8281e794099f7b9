//! Building a failover: backends in order, settings, and the components behind the seams.

use std::sync::Arc;

use lifeboat_core::{BlobStore, Error, ErrorKind, Support};
use tokio::time::Instant;

use crate::Failover;
use crate::backend::{Backend, MOST_BACKENDS};
use crate::clock::HybridClock;
use crate::engine::Engine;
use crate::events::Observer;
use crate::health::Rules;
use crate::observe::Observers;
use crate::seam::{Clock, Randomness, Spawner, SystemClock, TokioSpawner};
use crate::settings::Settings;

/// Builds a [`Failover`].
#[derive(Debug)]
pub struct FailoverBuilder {
    backends: Vec<(Arc<dyn BlobStore>, bool)>,
    settings: Settings,
    observers: Vec<Arc<dyn Observer>>,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    seed: Option<u64>,
}

impl Default for FailoverBuilder {
    fn default() -> Self {
        Self {
            backends: Vec::new(),
            settings: Settings::default(),
            observers: Vec::new(),
            clock: Arc::new(SystemClock),
            spawner: Arc::new(TokioSpawner),
            seed: None,
        }
    }
}

impl FailoverBuilder {
    /// Adds a backend; the first is preferred. What it lacks is looked up on the others until a control object says
    /// that it is seeded.
    pub fn backend(mut self, store: impl BlobStore) -> Self {
        self.backends.push((Arc::new(store), false));
        self
    }

    /// Adds a backend that is declared to hold everything that exists: its "not found" is believed.
    pub fn seeded_backend(mut self, store: impl BlobStore) -> Self {
        self.backends.push((Arc::new(store), true));
        self
    }

    /// Adds the next backend: reads as `Failover::wrap(existing).or(other)`.
    pub fn or(self, store: impl BlobStore) -> Self {
        self.backend(store)
    }

    /// Replaces the settings.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Adds an observer.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Replaces the wall clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Replaces what runs background tasks.
    pub fn spawner(mut self, spawner: Arc<dyn Spawner>) -> Self {
        self.spawner = spawner;
        self
    }

    /// Makes jitter, names and the writer's id repeatable. Two processes must not share a seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds it. Sends nothing: a backend that is down is found out later and keeps nobody from starting.
    ///
    /// # Errors
    /// No backend, too many, two with one id, a backend that is declared to keep no user metadata, or a
    /// setting out of its bounds.
    pub fn build(self) -> Result<Failover, Error> {
        self.check()?;
        let randomness = Arc::new(self.seed.map_or_else(Randomness::ambient, Randomness::seeded));
        let ids: Vec<String> =
            self.backends.iter().map(|(store, _)| store.identity().id().to_owned()).collect();
        let observers = Arc::new(Observers::new(self.observers, &ids));
        let rules = Rules {
            health: self.settings.health,
            settling: self.settings.settling,
            failback: self.settings.failback,
        };
        let now = Instant::now();
        let backends = self.backends.into_iter().enumerate().map(|(at, (store, seeded))| {
            let (observers, randomness) = (Arc::clone(&observers), Arc::clone(&randomness));
            let backend = Backend::new(store, at, rules, observers, randomness, now);
            backend.seeded.store(seeded, std::sync::atomic::Ordering::Release);
            Arc::new(backend)
        });
        let backends = backends.collect();
        let clock = HybridClock::new(self.clock, randomness.number());
        let engine =
            Engine::new(backends, self.settings, clock, randomness, self.spawner, observers);
        Ok(Failover::over(Arc::new(engine)))
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |message: String, remedy: &str| {
            Err(Error::new(ErrorKind::Configuration, message).with_remedy(remedy))
        };
        let count = self.backends.len();
        if count == 0 || count > MOST_BACKENDS {
            let message = format!("a failover over {count} backends");
            return wrong(
                message,
                "add between 1 and 32 backends; it takes two to survive an outage",
            );
        }
        for (at, (store, _)) in self.backends.iter().enumerate() {
            let id = store.identity().id();
            if self.backends[..at].iter().any(|(other, _)| other.identity().id() == id) {
                let message = format!("two backends have the id `{id}`");
                return wrong(message, "give each an id of its own: markers name backends by it");
            }
            if store.capabilities().user_metadata == Support::No {
                let message = format!("`{id}` keeps no user metadata");
                return wrong(message, "versions are told apart by it; choose another backend");
            }
        }
        if let Some((name, remedy)) = self.settings.out_of_bounds() {
            return wrong(format!("the setting `{name}` is out of its bounds"), remedy);
        }
        if self.settings.min_copies == 0 || self.settings.min_copies > count {
            let copies = self.settings.min_copies;
            let message = format!("the setting `min_copies` is {copies}, with {count} backends");
            return wrong(message, "choose a number from 1 to the number of backends");
        }
        Ok(())
    }
}
