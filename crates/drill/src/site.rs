//! Where a drill takes place: two embedded endpoints, or a reserved part of configured backends; with
//! the store under test built over it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use lifeboat_core::{BlobStore, Error, ErrorKind, Prefixed, RESERVED_PREFIX};
use lifeboat_failover::{Failover, Settings};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore};

use crate::breaker::Breaker;
use crate::embedded::Embedded;
use crate::failover::{Served, Watched};
use crate::frame::Watcher;
use crate::injected::Injected;
use crate::naive::NaiveFallback;
use crate::report::Outcome;
use crate::run::{DrillError, Plan, drill};
use crate::subject::Subject;

/// Where a drill takes place.
pub struct Site {
    place: Place,
    /// As an application has them. The first one breaks.
    backends: Vec<Arc<dyn BlobStore>>,
    /// The same, past everything that breaks.
    sides: Vec<Arc<dyn BlobStore>>,
    /// The stores under test that were not closed yet: drills that were dropped leave theirs here.
    open: Mutex<Vec<Failover>>,
}

enum Place {
    Embedded(Embedded),
    Real {
        primary: Arc<Injected>,
        /// The backends of which the sides are parts.
        existing: Vec<Arc<dyn BlobStore>>,
    },
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("backends", &self.backends).finish_non_exhaustive()
    }
}

impl Site {
    /// Two S3 endpoints of the drill's own, on loopback.
    ///
    /// # Errors
    /// No loopback port is to be had.
    pub async fn embedded() -> Result<Self, Error> {
        let endpoints = Embedded::start().await?;
        let (backends, sides) = (endpoints.backends()?, endpoints.sides()?);
        Ok(Self { place: Place::Embedded(endpoints), backends, sides, open: Mutex::default() })
    }

    /// A part of existing backends, `.lifeboat/drill/<id>`, which no other key of theirs is touched
    /// beside. Faults are injected on this side of the wire. [`clean_up`](Self::clean_up) removes
    /// everything again.
    ///
    /// # Errors
    /// Fewer than two backends.
    pub fn over(existing: &[Arc<dyn BlobStore>], id: &str) -> Result<Self, Error> {
        if existing.len() < 2 {
            let message = format!("a drill needs two backends, and there are {}", existing.len());
            return Err(Error::new(ErrorKind::Configuration, message)
                .with_remedy("configure a second one, or run the drill without --config"));
        }
        let prefix = Path::from_iter([RESERVED_PREFIX, "drill", id]);
        let part = |store: &Arc<dyn BlobStore>| -> Arc<dyn BlobStore> {
            Arc::new(Prefixed::new(Arc::clone(store), prefix.clone()))
        };
        let sides: Vec<Arc<dyn BlobStore>> = existing.iter().map(part).collect();
        let mut backends = sides.clone();
        let primary = Arc::new(Injected::new(Arc::clone(&sides[0])));
        backends[0] = Arc::clone(&primary) as _;
        let place = Place::Real { primary, existing: existing.to_vec() };
        Ok(Self { place, backends, sides, open: Mutex::default() })
    }

    /// Who breaks the first backend.
    pub fn breaker(&self) -> &dyn Breaker {
        match &self.place {
            Place::Embedded(endpoints) => endpoints,
            Place::Real { primary, .. } => &**primary,
        }
    }

    /// Carries out a drill through a `Failover` with these settings.
    ///
    /// # Errors
    /// The drill cannot be carried out.
    pub async fn drill(
        &self,
        plan: &Plan,
        settings: Settings,
        watcher: &dyn Watcher,
    ) -> Result<Outcome, DrillError> {
        let served = Arc::new(Served::default());
        let mut builder = Failover::builder().settings(settings).observer(served.clone());
        for backend in &self.backends {
            // Nothing was there before: what a backend lacks does not exist.
            builder = builder.seeded_backend(Arc::clone(backend));
        }
        let failover = builder.build().map_err(DrillError::Build)?;
        self.open().push(failover.clone());
        let subject = Watched::new(failover, served);
        let outcome = self.run(plan, &subject, watcher).await;
        self.close().await;
        outcome
    }

    /// Carries out a drill through a naive fallback: with clients of `object_store`'s defaults on
    /// endpoints of the drill's own, over the same backends elsewhere.
    ///
    /// # Errors
    /// The drill cannot be carried out.
    pub async fn drill_naive(
        &self,
        plan: &Plan,
        watcher: &dyn Watcher,
    ) -> Result<Outcome, DrillError> {
        let clients: Vec<Arc<dyn ObjectStore>> = match &self.place {
            Place::Embedded(endpoints) => {
                endpoints.plain_clients().map_err(DrillError::Unhealthy)?
            }
            Place::Real { .. } => {
                self.backends.iter().map(|store| Arc::clone(store) as _).collect()
            }
        };
        let subject = NaiveFallback::new(Arc::clone(&clients[0]), Arc::clone(&clients[1]));
        self.run(plan, &subject, watcher).await
    }

    async fn run(
        &self,
        plan: &Plan,
        subject: &dyn Subject,
        watcher: &dyn Watcher,
    ) -> Result<Outcome, DrillError> {
        let sides: Vec<&dyn ObjectStore> = self.sides.iter().map(|side| &**side as _).collect();
        drill(plan, subject, self.breaker(), &sides, watcher).await
    }

    fn open(&self) -> MutexGuard<'_, Vec<Failover>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what the stores under test still do in the background.
    async fn close(&self) {
        let open = std::mem::take(&mut *self.open());
        join_all(open.iter().map(Failover::close)).await;
    }

    /// Removes everything that drills wrote, at each side whatever becomes of the others. Does nothing
    /// on endpoints of the drill's own, which forget everything anyway.
    ///
    /// Gives the backends where something is left, and why: it lies under `.lifeboat/drill` and can be
    /// removed by hand.
    pub async fn clean_up(&self) -> Vec<(&dyn BlobStore, StoreError)> {
        self.close().await;
        let Place::Real { existing, .. } = &self.place else { return Vec::new() };
        let mut left = Vec::new();
        for (backend, side) in existing.iter().zip(&self.sides) {
            let listed = side.list(None).map_ok(|meta| meta.location).boxed();
            let removed: Result<Vec<_>, _> = side.delete_stream(listed).try_collect().await;
            left.extend(removed.err().map(|error| (&**backend, error)));
        }
        left
    }
}
