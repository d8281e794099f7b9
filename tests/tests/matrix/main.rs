//! Everything that can go wrong with a primary, against everything that is asked of it, for each kind of
//! primary on a real server, with a replica of another kind. Every request succeeds or gives its documented
//! error, within its deadline; afterwards both sides are equal and hold what was acknowledged.
//!
//! By default each fault strikes one of the three kinds. `LIFEBOAT_MATRIX=full` has each strike all of them;
//! `LIFEBOAT_MATRIX=BlackHole,Stopped` only these, on all kinds.
#![cfg(unix)]

mod faults;
mod operations;
mod rig;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use lifeboat::BlobStore;
use lifeboat_core::is_reserved;
use lifeboat_failover::{ConditionalWrites, Event, Failover, HealthState, Observer, Settings};
use lifeboat_testkit::ServerKind;
use lifeboat_tests::{Kind, show};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use faults::Fault;
use operations::{COLUMNS, Cell, Expected, Workload};
use rig::Rig;

/// Selects what runs.
const SWITCH: &str = "LIFEBOAT_MATRIX";
/// How often the end of catch-up is looked for.
const POLL: Duration = Duration::from_millis(100);
/// What a busy machine may add to the time until both sides are equal.
const SLACK: Duration = Duration::from_secs(20);

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.read_deadline = Duration::from_secs(6);
    settings.write_deadline = Duration::from_secs(8);
    settings.attempt_deadline = Duration::from_secs(2);
    settings.stall_deadline = Duration::from_secs(3);
    settings.slow_after = Duration::from_millis(500);
    settings.settling = Duration::from_millis(500);
    settings.settle_after = Duration::from_millis(500);
    settings.journal_poll = Duration::from_millis(500);
    // Everything that a broken connection still holds lands as soon as the fault ends.
    settings.quarantine = Duration::from_secs(2);
    settings.health.probe_initial = Duration::from_millis(250);
    settings.health.probe_max = Duration::from_secs(1);
    settings
}

/// Why catch-up failed, most lately; for the report of a journal that does not drain.
#[derive(Debug, Default)]
struct Troubles(Mutex<Option<String>>);

impl Observer for Troubles {
    fn event(&self, event: &Event) {
        if let Event::CatchUpFailed { key, why } = event {
            *self.0.lock().unwrap() = Some(format!("{key}: {why}"));
        }
    }
}

fn over(rig: &Rig, settings: Settings, troubles: &Arc<Troubles>) -> Failover {
    Failover::builder()
        .settings(settings)
        .observer(Arc::clone(troubles) as Arc<dyn Observer>)
        .seeded_backend(Arc::clone(&rig.primary))
        .seeded_backend(Arc::clone(&rig.replica.store))
        .build()
        .unwrap()
}

/// A row of the table.
struct Row {
    fault: Fault,
    cells: Vec<Cell>,
    converged_in: Duration,
    violations: Vec<String>,
}

async fn row(rig: &mut Rig, fault: Fault) -> Row {
    let settings = settings();
    let mut alone = settings.clone();
    alone.conditional_writes = ConditionalWrites::Active;
    let troubles = Arc::new(Troubles::default());
    let failover = over(rig, settings.clone(), &troubles);
    let active = over(rig, alone, &troubles);
    let workload = Workload {
        failover: &failover,
        active: &active,
        settings: &settings,
        replica: rig.replica.store.identity().id().to_owned(),
        prefix: format!("{fault:?}"),
        flips_bits: fault == Fault::CorruptedAnswers,
    };
    let uploads = workload.prepare().await;
    let mut violations = Vec::new();
    for failover in [&failover, &active] {
        violations.extend(drain(failover, &settings).await.err());
    }
    faults::strike(rig, fault).await;
    let (cells, expected) = workload.run(uploads).await;
    faults::heal(rig, fault).await;
    let healed = Instant::now();
    for failover in [&failover, &active] {
        violations.extend(drain(failover, &settings).await.err());
    }
    if fault == Fault::Killed && rig.forgets() {
        // No marker can know what the primary has forgotten.
        let report = failover.mend(None).await;
        println!("{} has forgotten: {report:?}", rig.kind);
    }
    let converged_in = healed.elapsed();
    if !violations.is_empty() {
        println!("{} {fault:?}: catch-up's last trouble: {troubles:?}", rig.kind);
    }
    violations.extend(cells.iter().filter_map(|cell| cell.violation.clone()));
    if fault.is_total() {
        let read_there = |cell: &&Cell| cell.text == "ok(primary)";
        let impossible = cells.iter().filter(read_there).map(|cell| cell.column);
        violations.extend(impossible.map(|column| format!("{column}: a dead primary served")));
    }
    // Azurite says nothing of what it took for a part: one that was spoilt on its way is for TLS to find.
    let unheard = fault == Fault::CorruptedRequests && rig.kind == Kind::Azurite;
    let uploads = format!("{}/mp-", workload.prefix);
    let wrong = compare(rig, &workload.prefix, &expected).await.into_iter();
    violations.extend(wrong.filter(|wrong| !unheard || !wrong.starts_with(&uploads)));
    failover.close().await;
    active.close().await;
    Row { fault, cells, converged_in, violations }
}

/// Waits until nothing is left in the journal.
async fn drain(failover: &Failover, settings: &Settings) -> Result<(), String> {
    let bound = settings.quarantine + settings.write_deadline + settings.health.probe_max + SLACK;
    let began = Instant::now();
    loop {
        let status = failover.status();
        let serving = status.backends.iter().all(|backend| backend.health == HealthState::Serving);
        let idle = status.journal.markers == 0 && !status.settling_checks_pending;
        if serving && idle && failover.journal().await.is_ok_and(|markers| markers.is_empty()) {
            return Ok(());
        }
        if began.elapsed() > bound {
            let markers = failover.journal().await;
            return Err(format!("not drained within {bound:?}: {status:?}, {markers:?}"));
        }
        tokio::time::sleep(POLL).await;
    }
}

type Contents = BTreeMap<Path, Bytes>;

async fn contents(store: &dyn BlobStore, prefix: &str) -> Contents {
    let folder = Path::from(prefix);
    let listed: Vec<_> = store.list(Some(&folder)).try_collect().await.unwrap();
    let mut contents = Contents::new();
    for object in listed.into_iter().filter(|object| !is_reserved(&object.location)) {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        contents.insert(object.location, bytes);
    }
    contents
}

/// What is wrong with the two sides, seen without the failover.
async fn compare(rig: &Rig, prefix: &str, expected: &[Expected]) -> Vec<String> {
    let primary = contents(&*rig.direct, prefix).await;
    let replica = contents(&*rig.replica.store, prefix).await;
    let mut wrong = Vec::new();
    let keys: std::collections::BTreeSet<_> = primary.keys().chain(replica.keys()).collect();
    for key in keys {
        let (a, b) = (primary.get(key), replica.get(key));
        if a != b {
            let size = |side: Option<&Bytes>| side.map(Bytes::len);
            wrong.push(format!("{key} differs: {:?} and {:?} bytes", size(a), size(b)));
        }
        if !expected.iter().any(|known| known.key == *key) {
            wrong.push(format!("{key} was never written"));
        }
    }
    for Expected { key, states } in expected {
        if !states.contains(&primary.get(key).cloned()) {
            let is = primary.get(key).map(|bytes| (bytes.len(), bytes.first().copied()));
            wrong.push(format!("{key} is {is:?}, which nobody was told"));
        }
    }
    wrong
}

/// The rows for a kind; each fault strikes one of the kinds by default.
fn rows(place: usize) -> Vec<Fault> {
    let wanted = std::env::var(SWITCH).unwrap_or_default();
    let all = Fault::ALL.into_iter().enumerate();
    match wanted.as_str() {
        "full" => Fault::ALL.to_vec(),
        "" => all.filter(|(at, _)| at % 3 == place).map(|(_, fault)| fault).collect(),
        names => {
            let is_asked =
                |fault: &Fault| names.split(',').any(|word| word == format!("{fault:?}"));
            Fault::ALL.into_iter().filter(is_asked).collect()
        }
    }
}

fn table(title: &str, rows: &[Row]) -> String {
    let rule = "---|".repeat(COLUMNS.len() + 2);
    let head = format!("{title}\n| fault | {} | converged |\n|{rule}", COLUMNS.join(" | "));
    let mut lines = vec![head];
    for Row { fault, cells, converged_in, .. } in rows {
        let shown = |column: &&str| {
            let cell = cells.iter().find(|cell| cell.column == *column);
            cell.map_or_else(String::new, |cell| {
                format!("{} {}", cell.text, cell.elapsed.as_millis())
            })
        };
        let shown: Vec<String> = COLUMNS.iter().map(shown).collect();
        let converged_in = converged_in.as_millis();
        lines.push(format!("| {fault:?} | {} | {converged_in} ms |", shown.join(" | ")));
    }
    let cells = rows.iter().flat_map(|row| &row.cells);
    let slowest = cells.clone().max_by_key(|cell| cell.elapsed);
    let violations = rows.iter().map(|row| row.violations.len()).sum::<usize>();
    lines.push(format!("{} cells, {violations} violations, slowest {slowest:?}", cells.count()));
    lines.join("\n")
}

async fn matrix(place: usize, kind: Kind, server: ServerKind, replica: Kind) {
    let faults = rows(place);
    let mut rig = Rig::new(kind, server, replica).await;
    let mut done = Vec::new();
    for fault in faults {
        let row = row(&mut rig, fault).await;
        for violation in &row.violations {
            println!("{kind} {fault:?}: {violation}");
        }
        let undrained = row.violations.iter().any(|why| why.starts_with("not drained"));
        done.push(row);
        if undrained {
            // What is left would be held against the rows that follow.
            break;
        }
    }
    show(table(&format!("primary {kind}, replica {replica}, milliseconds"), &done));
    let wrong: Vec<_> = done
        .iter()
        .flat_map(|row| row.violations.iter().map(|why| format!("{:?}: {why}", row.fault)))
        .collect();
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_seaweedfs_azurite_carries_on() {
    matrix(0, Kind::SeaweedFs, ServerKind::SeaweedFs, Kind::Azurite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_azurite_gcs_carries_on() {
    matrix(1, Kind::Azurite, ServerKind::Azurite, Kind::Gcs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_gcs_seaweedfs_carries_on() {
    matrix(2, Kind::Gcs, ServerKind::Gcs, Kind::SeaweedFs).await;
}
