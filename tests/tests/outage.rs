//! Drills on real servers of different kinds, whose processes are killed, stopped and frozen in the
//! middle of the load, and started again. Each test has servers of its own.
//!
//! Azurite is shut down, not killed: it keeps its index in memory for seconds, and a backend that has
//! lost writes which it acknowledged is another matter (see `Failover::mend`).
#![cfg(unix)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lifeboat::BlobStore;
use lifeboat_drill::{
    Breaker, Disturbance, Outcome, Plan, Scenario, Served, Watched, drill, settings,
};
use lifeboat_failover::{Event, Failover, Observer};
use lifeboat_testkit::ServerKind;
use lifeboat_testkit::bed::create_bucket;
use lifeboat_testkit::servers::Server;
use lifeboat_tests::{Kind, Site, http};
use object_store::ObjectStore;
use tokio::sync::Mutex;

const BUCKET: &str = "outage";

/// How the primary's process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// `SIGKILL`.
    Killed,
    /// `SIGTERM`.
    ShutDown,
    /// `SIGSTOP`: connections are accepted by the kernel, and nothing is ever said.
    Frozen,
}

/// Ends the primary's process, and starts it again on the same port and data.
struct Signals {
    server: Mutex<Server>,
    end: End,
}

#[async_trait]
impl Breaker for Signals {
    async fn apply(&self, disturbance: Disturbance) -> Result<(), String> {
        let mut server = self.server.lock().await;
        let done = match (disturbance, self.end) {
            (Disturbance::None, End::Frozen) => server.resume(),
            (Disturbance::None, _) => server.restart().await,
            (_, End::Killed) => server.kill(),
            (_, End::ShutDown) => server.shut_down().await,
            (_, End::Frozen) => server.pause(),
        };
        done.map_err(|error| error.to_string())
    }
}

/// Prints how everybody's health went, for whoever looks at a failure.
#[derive(Debug)]
struct Narrator(Instant);

impl Observer for Narrator {
    fn event(&self, event: &Event) {
        let told = matches!(event, Event::Health { .. } | Event::Fault { .. });
        if told || matches!(event, Event::Conflict { .. }) {
            println!("{:7.3} s {event:?}", self.0.elapsed().as_secs_f64());
        }
    }
}

async fn start(kind: Kind, server: ServerKind) -> (Server, Site) {
    let server = Server::start(server).await.unwrap();
    create_bucket(server.endpoint(), BUCKET).await.unwrap();
    let endpoint = server.endpoint().clone();
    let (url, credentials) = (endpoint.url, endpoint.credentials);
    (server, Site { kind, url, bucket: BUCKET.into(), credentials, http: http() })
}

fn plan() -> Plan {
    let mut plan = Plan::new(Scenario::Refused);
    plan.length = Duration::from_secs(12);
    // The servers share two cores with everything else that runs.
    plan.rate = 40;
    plan
}

/// A drill with a primary of one kind, a replica of another, and the end of the primary.
async fn outage(primary: (Kind, ServerKind), replica: (Kind, ServerKind), end: End) -> Outcome {
    let (server, first) = start(primary.0, primary.1).await;
    let (_replica, second) = start(replica.0, replica.1).await;
    let connect = |site: &Site| -> Arc<dyn BlobStore> { site.connect().unwrap().0 };
    let plan = plan();
    let watching = Arc::new(Served::default());
    let failover = Failover::builder()
        .settings(settings(plan.length))
        .observer(watching.clone())
        .observer(Arc::new(Narrator(Instant::now())))
        .seeded_backend(connect(&first))
        .seeded_backend(connect(&second))
        .build()
        .unwrap();
    let subject = Watched::new(failover.clone(), watching);
    let breaker = Signals { server: Mutex::new(server), end };
    let sides = [connect(&first), connect(&second)];
    let sides: Vec<&dyn ObjectStore> = sides.iter().map(|side| &**side as _).collect();
    let outcome = drill(&plan, &subject, &breaker, &sides, &()).await.unwrap();
    failover.close().await;
    println!("{primary:?} {end:?}, replica {replica:?}: {outcome}");
    outcome
}

const SEAWEEDFS: (Kind, ServerKind) = (Kind::SeaweedFs, ServerKind::SeaweedFs);
const AZURITE: (Kind, ServerKind) = (Kind::Azurite, ServerKind::Azurite);
const GCS: (Kind, ServerKind) = (Kind::Gcs, ServerKind::Gcs);

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_is_killed_and_azurite_carries_on() {
    let outcome = outage(SEAWEEDFS, AZURITE, End::Killed).await;
    assert!(outcome.passed() && outcome.journal_peak > 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_is_frozen_and_azurite_carries_on() {
    let outcome = outage(SEAWEEDFS, AZURITE, End::Frozen).await;
    assert!(outcome.passed() && outcome.journal_peak > 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn azurite_is_shut_down_and_gcs_carries_on() {
    let outcome = outage(AZURITE, GCS, End::ShutDown).await;
    assert!(outcome.passed() && outcome.journal_peak > 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn azurite_is_frozen_and_gcs_carries_on() {
    let outcome = outage(AZURITE, GCS, End::Frozen).await;
    assert!(outcome.passed() && outcome.journal_peak > 0, "{outcome}");
}
