//! What the killed writer and its examiner agree on: where the backends are, how the engine is set, what an object holds, and
//! the lines in which the writer tells what it does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lifeboat_failover::{Failover, Settings};
use lifeboat_testkit::ServerKind;
use lifeboat_testkit::bed;
use object_store::path::Path;

use crate::tapped::{Moment, Step, Tapped};
use crate::{Kind, Site, http};

/// Where the writer is told the URLs and buckets of the primary and the replica, separated by spaces.
pub const PLACES: &str = "LIFEBOAT_WRITER_PLACES";
/// Where it is told at which step to die.
pub const KILL_AT: &str = "LIFEBOAT_WRITER_KILL_AT";
/// Where it is told the seed of its choices.
pub const SEED: &str = "LIFEBOAT_WRITER_SEED";
/// Where it is told to write intents.
pub const INTENT: &str = "LIFEBOAT_WRITER_INTENT";

/// Workers of a writer; each has keys of its own.
pub const WORKERS: usize = 4;
/// Keys of a worker.
pub const KEYS: usize = 6;
/// Bytes of a part.
pub const PART: usize = 96 << 10;

/// A `SeaweedFS` and an Azurite behind their proxies.
///
/// # Panics
/// If the test bed does not run.
pub fn sites(places: &str) -> [Site; 2] {
    let mut words = places.split_whitespace();
    let mut site = |kind, server| {
        let mut word = || words.next().unwrap_or_default().to_owned();
        let credentials = bed::endpoint(server).expect("the test bed runs").credentials;
        Site { kind, url: word(), bucket: word(), credentials, http: http() }
    };
    [site(Kind::SeaweedFs, ServerKind::SeaweedFs), site(Kind::Azurite, ServerKind::Azurite)]
}

/// The engine's settings, quick enough for a test.
pub fn settings(intent: bool) -> Settings {
    let mut settings = Settings::default();
    settings.intent = intent;
    settings.read_deadline = Duration::from_secs(6);
    settings.write_deadline = Duration::from_secs(6);
    settings.attempt_deadline = Duration::from_secs(2);
    settings.slow_after = Duration::from_millis(300);
    settings.settling = Duration::from_millis(200);
    settings.settle_after = Duration::from_millis(200);
    settings.journal_poll = Duration::from_millis(300);
    settings.quarantine = Duration::from_secs(2);
    settings.health.probe_initial = Duration::from_millis(50);
    settings.health.probe_max = Duration::from_millis(200);
    settings
}

/// A failover over both, which tells `tap` what it sends.
///
/// # Panics
/// If a backend cannot be built.
pub fn failover(
    sites: &[Site; 2],
    intent: bool,
    tap: impl Fn(Moment, Step, &Path) + Clone + Send + Sync + 'static,
) -> Failover {
    let tapped =
        |site: &Site| Arc::new(Tapped::new(site.connect().expect("a backend").0, tap.clone()));
    Failover::builder()
        .settings(settings(intent))
        .seeded_backend(tapped(&sites[0]))
        .seeded_backend(tapped(&sites[1]))
        .build()
        .expect("a failover")
}

/// A key of a worker.
pub fn key(worker: usize, number: usize) -> Path {
    Path::from(format!("w{worker}/k{number}"))
}

/// What the write with this number leaves in an object.
pub fn content(serial: u64, size: usize) -> Bytes {
    let head = format!("{serial:020}|");
    let low = |number: u64| number.to_le_bytes()[0];
    let fill = (head.len() as u64..size as u64).map(|at| low(serial.wrapping_add(at)));
    head.bytes().chain(fill).collect::<Vec<_>>().into()
}

/// Which write left this; none if no whole write did.
pub fn serial_of(bytes: &Bytes) -> Option<u64> {
    let serial = std::str::from_utf8(bytes.get(..20)?).ok()?.parse().ok()?;
    (*bytes == content(serial, bytes.len())).then_some(serial)
}
