//! The engine in the test kit's simulated world: its clock and tasks through the engine's seams, what a simulated
//! backend declares, and settings with which a scenario is a matter of minutes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use lifeboat_core::{
    AnyStore, BlobStore, BucketRules, Capabilities, CapabilityReport, Effect, Identity, PartLimits,
    Probe, Support, Verdict, forward_object_store, repeated,
};
use lifeboat_drill::injected_verdict;
use lifeboat_failover::{Clock, Failover, FailoverBuilder, Settings, Spawner};
use lifeboat_testkit::simulation::{Conditions, Order, SimBackend, SimClock, SimSpawner};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Error, ObjectStore, PutMode, PutOptions, PutPayload, PutResult, Result};

#[derive(Debug)]
struct ClockOf(SimClock);

impl Clock for ClockOf {
    fn unix_millis(&self) -> u64 {
        self.0.unix_millis()
    }
}

#[derive(Debug)]
struct SpawnerOf(SimSpawner);

impl Spawner for SpawnerOf {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }
}

/// The engine of a simulated process, still without backends.
pub fn process(settings: Settings, clock: SimClock, spawner: SimSpawner) -> FailoverBuilder {
    Failover::builder()
        .settings(settings)
        .clock(Arc::new(ClockOf(clock)))
        .spawner(Arc::new(SpawnerOf(spawner)))
}

/// A way to a simulated backend, with what the catalogue would say of the backend.
pub fn backend(way: impl ObjectStore, backend: &SimBackend) -> Simulated {
    let settings = backend.settings();
    let conditions = Support::from(settings.conditions == Conditions::Enforced);
    let mut capabilities = Capabilities::CONSERVATIVE;
    capabilities.create_if_absent = conditions;
    capabilities.compare_and_swap = conditions;
    capabilities.user_metadata = Support::Yes;
    capabilities.ordered_listing = Support::from(settings.order == Order::Bytes);
    capabilities.parts = PartLimits::NONE;
    let store = AnyStore::new(way, Identity::new("sim", "", backend.name()));
    Simulated { inner: store.with_capabilities(capabilities), repeats: false }
}

/// A way to a simulated backend. Unlike any store that nothing is known of, it tells throttled answers from others, as a
/// backend on the wire does.
#[derive(Debug)]
pub struct Simulated {
    inner: AnyStore,
    repeats: bool,
}

impl Simulated {
    /// Adds what makes presigned URLs for the backend.
    pub fn with_signer(self, signer: Arc<dyn Signer>) -> Self {
        Self { inner: self.inner.with_signer(signer), ..self }
    }

    /// Puts that had no clear answer are sent once more, as backends on the wire do.
    pub fn repeating(self, repeats: bool) -> Self {
        Self { repeats, ..self }
    }
}

impl fmt::Display for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

forward_object_store! { Simulated => inner:
    put_multipart_opts get_opts get_ranges delete_stream list list_with_offset list_with_delimiter
    copy_opts rename_opts;

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if self.repeats && matches!(options.mode, PutMode::Overwrite) {
            let put = self.inner.put_opts(location, payload.clone(), options.clone());
            match put.await {
                Err(error) if self.classify(&error).effect == Effect::Unknown => repeated::note(),
                done => return done,
            }
        }
        self.inner.put_opts(location, payload, options).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Simulated {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn confirm_capabilities(&self) -> Result<CapabilityReport> {
        self.inner.confirm_capabilities().await
    }

    async fn bucket_rules(&self, prefix: &Path) -> BucketRules {
        self.inner.bucket_rules(prefix).await
    }

    async fn probe(&self) -> Result<Probe> {
        self.inner.probe().await
    }

    fn classify(&self, error: &Error) -> Verdict {
        injected_verdict(error).unwrap_or_else(|| self.inner.classify(error))
    }

    fn signer(&self) -> Option<Arc<dyn Signer>> {
        self.inner.signer()
    }

    fn multipart_store(&self) -> Option<Arc<dyn MultipartStore>> {
        self.inner.multipart_store()
    }
}

/// The defaults, some ten times faster.
pub fn fast() -> Settings {
    let mut settings = Settings::default();
    settings.slow_after = Duration::from_millis(500);
    settings.read_deadline = Duration::from_secs(8);
    settings.write_deadline = Duration::from_secs(10);
    settings.attempt_deadline = Duration::from_secs(2);
    settings.stall_deadline = Duration::from_secs(2);
    settings.settling = Duration::from_secs(2);
    settings.journal_poll = Duration::from_secs(2);
    settings.quarantine = Duration::from_mins(1);
    settings.settle_after = Duration::from_secs(1);
    // Its own traps switch it on: the others count requests.
    settings.presence_beat = Duration::ZERO;
    settings.health.probe_initial = Duration::from_millis(500);
    settings.health.probe_max = Duration::from_secs(2);
    settings.health.probe_deadline = Duration::from_secs(1);
    settings
}
