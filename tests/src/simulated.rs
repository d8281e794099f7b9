//! The engine in the test kit's simulated world: its clock and tasks through the engine's seams, what a simulated
//! backend declares, and settings with which a scenario is a matter of minutes.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use lifeboat_core::{AnyStore, Capabilities, Identity, PartLimits, Support};
use lifeboat_failover::{Clock, Failover, FailoverBuilder, Settings, Spawner};
use lifeboat_testkit::simulation::{Conditions, Order, SimBackend, SimClock, SimSpawner};
use object_store::ObjectStore;

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
pub fn backend(way: impl ObjectStore, backend: &SimBackend) -> AnyStore {
    let settings = backend.settings();
    let conditions = Support::from(settings.conditions == Conditions::Enforced);
    let mut capabilities = Capabilities::CONSERVATIVE;
    capabilities.create_if_absent = conditions;
    capabilities.compare_and_swap = conditions;
    capabilities.user_metadata = Support::Yes;
    capabilities.ordered_listing = Support::from(settings.order == Order::Bytes);
    capabilities.parts = PartLimits::NONE;
    AnyStore::new(way, Identity::new("sim", "", backend.name())).with_capabilities(capabilities)
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
