//! The handle that applications hold.

use std::sync::Arc;
use std::time::SystemTime;

use futures::TryStreamExt;
use lifeboat_core::{BlobStore, Identity, RESERVED_PREFIX};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, Result};
use serde::Serialize;
use tokio::time::{Duration, sleep};

use crate::backend::Backend;
use crate::builder::FailoverBuilder;
use crate::catch_up::conflicts::CONFLICTS;
use crate::catch_up::mend::MendReport;
use crate::catch_up::runner::CatchUpReport;
use crate::engine::Engine;
use crate::error::within;
use crate::events::Operation;
use crate::health::Evidence;
use crate::journal::Marker;
use crate::presence::UncleanEnd;
use crate::status::Status;

/// Two or more backends as one store. Cloning is cheap; all clones are one.
///
/// Background work (probes, reading journals, catch-up) begins with the first request, or with [`start`](Self::start).
///
/// When the last clone is dropped, background work ends; writes that are under way go on. [`close`](Self::close) also waits for those.
#[derive(Debug, Clone)]
pub struct Failover {
    pub(crate) engine: Arc<Engine>,
    pub(crate) identity: Identity,
    /// Held by all clones.
    _last: Arc<LastHandle>,
}

/// Ends background work when it is dropped: the tasks hold the engine, and would go on for ever.
#[derive(Debug)]
struct LastHandle(Arc<Engine>);

impl Drop for LastHandle {
    fn drop(&mut self) {
        self.0.closed.raise();
    }
}

/// A version that lost against another one and was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// The object. A key of more than 880 bytes is cut there, and ends in its hash.
    pub key: Path,
    /// Where the loser is.
    pub kept_at: Path,
    /// Size in bytes.
    pub size: u64,
    /// A backend that keeps it.
    pub backend: String,
}

/// As a line of `journal conflicts --json`.
impl Serialize for Conflict {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut line = serializer.serialize_struct("Conflict", 4)?;
        line.serialize_field("key", self.key.as_ref())?;
        line.serialize_field("kept_at", self.kept_at.as_ref())?;
        line.serialize_field("size", &self.size)?;
        line.serialize_field("backend", &self.backend)?;
        line.end()
    }
}

impl Failover {
    /// A builder without backends.
    pub fn builder() -> FailoverBuilder {
        FailoverBuilder::default()
    }

    /// Begins with the store that an application already has, which holds everything there is.
    ///
    /// Switch off the retries of a client that is not Lifeboat's (`RetryConfig::max_retries` of `object_store`): a put that
    /// it repeated without telling may land twice, the second time over a newer one, and no marker says so. The failover
    /// goes to the next backend sooner than a client would have given up.
    pub fn wrap(existing: impl BlobStore) -> FailoverBuilder {
        Self::builder().seeded_backend(existing)
    }

    pub(crate) fn over(engine: Arc<Engine>) -> Self {
        let ids: Vec<&str> = engine.backends.iter().map(|backend| &*backend.id).collect();
        let identity = Identity::new("failover", "", ids.join("+"));
        let last = Arc::new(LastHandle(Arc::clone(&engine)));
        Self { engine, identity, _last: last }
    }

    /// Begins background work now. Must be called within a tokio runtime.
    pub fn start(&self) {
        self.engine.start();
    }

    /// Waits until the journals have been read, or those that cannot be read now are known; a second at most.
    pub async fn loaded(&self) {
        self.engine.start();
        self.engine.wait_loaded().await;
    }

    /// What is known now. Sends nothing.
    pub fn status(&self) -> Status {
        self.engine.status()
    }

    /// Reads all journals anew, and returns every marker. Changes nothing and begins no background work.
    ///
    /// # Errors
    /// No journal could be read.
    pub async fn journal(&self) -> Result<Vec<Marker>> {
        let engine = &self.engine;
        let mut last = None;
        let mut read = 0;
        for backend in &engine.backends {
            match engine.read_journal(backend.at).await {
                Ok(_) => {
                    backend.answered();
                    engine.learn_seeding(backend).await;
                    read += 1;
                }
                Err(error) => {
                    engine.judge(backend.at, Operation::Journal, &error).await;
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if read == 0 => Err(error),
            _ => Ok(engine.index.markers()),
        }
    }

    /// Replays everything that can be replayed now. What waits for a backend or for the quarantine stays.
    ///
    /// # Cancel safety
    /// A dropped future leaves the markers of what was not finished.
    pub async fn catch_up(&self) -> CatchUpReport {
        self.engine.read_journals().await;
        self.engine.confirm_all().await;
        self.engine.pass(true).await
    }

    /// Compares all backends key by key, and settles every difference. For what no marker can know of: a process
    /// killed in the middle of a write that it never acknowledged, or a provider that lost data. Costs a listing of each backend and one
    /// request for each key and backend.
    ///
    /// # Cancel safety
    /// A dropped future leaves the differences that it has not come to; a key that it is at may stay different as well.
    pub async fn mend(&self, prefix: Option<&Path>) -> MendReport {
        self.mend_since(prefix, SystemTime::UNIX_EPOCH).await
    }

    /// As [`mend`](Self::mend), but compares only keys that some backend lacks, of which sizes differ, or of which a copy was
    /// written since then, by a provider's clock: after an [unclean end](Self::unclean_ends). Costs a listing of each backend, and one
    /// request for each such key and backend. [`UncleanEnd::compare_since`] gives clocks their due.
    ///
    /// # Cancel safety
    /// As that of [`mend`](Self::mend).
    pub async fn mend_since(&self, prefix: Option<&Path>, since: SystemTime) -> MendReport {
        self.engine.confirm_all().await;
        self.engine.look_for_writers().await;
        self.engine.mend(prefix, since).await
    }

    /// Looks for writers that ended without saying so: they were killed, or are cut off. What they had under way and never
    /// acknowledged may be at some backends and not at others. Those that ended so short a time ago that they
    /// may be alive are told later. Changes nothing and begins no background work.
    pub async fn unclean_ends(&self) -> Vec<UncleanEnd> {
        self.engine.look_for_writers().await;
        self.engine.unclean_ends()
    }

    /// The versions that lost against others and were kept.
    ///
    /// # Errors
    /// No backend could be listed.
    pub async fn conflicts(&self) -> Result<Vec<Conflict>> {
        let engine = &self.engine;
        let folder = Path::from_iter([RESERVED_PREFIX, CONFLICTS]);
        let mut found: Vec<Conflict> = Vec::new();
        let mut last = None;
        let mut read = 0;
        for backend in &engine.backends {
            match self.kept_at(backend, &folder).await {
                Ok(objects) => {
                    backend.answered();
                    read += 1;
                    found.extend(objects.into_iter().filter_map(|object| {
                        let mut parts: Vec<_> = object.location.prefix_match(&folder)?.collect();
                        parts.pop()?;
                        let key = Path::from_iter(parts);
                        let backend = backend.id.clone();
                        Some(Conflict {
                            key,
                            kept_at: object.location.clone(),
                            size: object.size,
                            backend,
                        })
                    }));
                }
                Err(error) => {
                    engine.judge(backend.at, Operation::Journal, &error).await;
                    last = Some(error);
                }
            }
        }
        found.sort_by(|a, b| a.kept_at.cmp(&b.kept_at));
        found.dedup_by(|a, b| a.kept_at == b.kept_at);
        match last {
            Some(error) if read == 0 => Err(error),
            _ => Ok(found),
        }
    }

    /// The losers that a backend keeps: however many pages, as long as it goes on answering.
    async fn kept_at(&self, backend: &Backend, folder: &Path) -> Result<Vec<ObjectMeta>> {
        let bound = self.engine.settings.stall_deadline;
        let mut listing = backend.store.list(Some(folder));
        let mut objects = Vec::new();
        while let Some(object) = within(bound, listing.try_next()).await? {
            objects.push(object);
        }
        Ok(objects)
    }

    /// Prefers a returned backend again, now. For [`Failback::Manual`](crate::Failback::Manual), or to cut the settling time short.
    ///
    /// # Errors
    /// There is no such backend, or it has not returned: it answers no probes.
    pub fn fail_back(&self, backend_id: &str) -> Result<()> {
        let backend = self.backend(backend_id)?;
        if !backend.is_in_use() {
            let state = backend.state();
            let source = format!("`{backend_id}` is {state}: call this when it answers probes");
            return Err(object_store::Error::Generic { store: "Failover", source: source.into() });
        }
        backend.observe(Evidence::FailBack, "the operator wants it back");
        Ok(())
    }

    /// Marks a backend as holding everything that exists, after a finished and verified sync.
    ///
    /// # Errors
    /// There is no such backend, or it cannot be written to.
    ///
    /// # Cancel safety
    /// A dropped future may have marked it.
    pub async fn mark_seeded(&self, backend_id: &str) -> Result<()> {
        self.engine.mark_seeded(self.backend(backend_id)?.at).await
    }

    fn backend(&self, id: &str) -> Result<&Backend> {
        let backend = self.engine.backends.iter().find(|backend| backend.id == id);
        let backend = backend.map(|backend| &**backend);
        let unknown = || object_store::Error::Generic {
            store: "Failover",
            source: format!("no backend has the id `{id}`").into(),
        };
        backend.ok_or_else(unknown)
    }

    /// Ends background work, after the legs of acknowledged writes have ended or their bound has passed.
    ///
    /// # Cancel safety
    /// With a dropped future background work goes on. Call it again to end that.
    pub async fn close(&self) {
        let engine = &self.engine;
        let over = engine.legs_end().await;
        engine.closed.raise();
        if over {
            engine.withdraw().await;
        }
        sleep(Duration::ZERO).await;
    }
}
