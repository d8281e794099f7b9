//! Whole drills over pairs of real servers: every scenario by the faults that the drill injects on this side of the wire,
//! as `lifeboat drill --config` does. What happens to servers whose processes are killed is in `outage`.
//!
//! By default each pair goes through one scenario. `LIFEBOAT_DRILLS=full` has each go through all of them, with a table;
//! `LIFEBOAT_DRILLS=slow,flap` through these.

use std::sync::Arc;
use std::time::Duration;

use lifeboat_drill::{Outcome, Plan, Scenario, Site, settings};
use lifeboat_failover::Settings;
use lifeboat_tests::{Kind, fresh, show};

/// Selects what runs.
const SWITCH: &str = "LIFEBOAT_DRILLS";

/// How long the load of each drill lasts.
const LENGTH: Duration = Duration::from_secs(6);

/// Requests in a second: the servers share two cores with everything else that runs.
const RATE: u32 = 30;

/// The drill's settings, but that nobody waits for half a minute until a write is surely over.
fn brisk() -> Settings {
    let mut settings = settings(LENGTH);
    settings.write_deadline = Duration::from_secs(10);
    settings.journal_poll = Duration::from_secs(1);
    settings.settling = Duration::from_secs(1);
    settings
}

fn scenarios(by_default: Scenario) -> Vec<Scenario> {
    match std::env::var(SWITCH).unwrap_or_default().as_str() {
        "" => vec![by_default],
        "full" => Scenario::ALL.to_vec(),
        names => names.split(',').map(|name| name.parse().unwrap()).collect(),
    }
}

async fn drill(pair: [Kind; 2], scenario: Scenario) -> Outcome {
    let stores = [fresh(pair[0]).await, fresh(pair[1]).await];
    let backends = stores.each_ref().map(|fresh| Arc::clone(&fresh.store));
    let mut plan = Plan::new(scenario);
    plan.length = LENGTH;
    plan.rate = RATE;
    let site = Site::over(&backends, scenario.name()).unwrap();
    let outcome = site.drill(&plan, brisk(), &()).await.unwrap();
    let left = site.clean_up().await;
    assert!(left.is_empty(), "{left:?}");
    outcome
}

/// A time in whole milliseconds.
fn whole(milliseconds: Option<f64>) -> String {
    milliseconds.map_or_else(|| "-".to_owned(), |time| format!("{time:.0}"))
}

fn row(outcome: &Outcome) -> String {
    let (measured, found) = (&outcome.measured, &outcome.findings);
    let cells = [
        outcome.scenario.to_string(),
        measured.requests.to_string(),
        measured.failed_requests.to_string(),
        whole(Some(measured.p99_ms)),
        whole(Some(measured.slowest_ms)),
        found.acked_writes.to_string(),
        found.lost_writes.to_string(),
        found.resurrected_deletes.to_string(),
        found.stale_reads.to_string(),
        outcome.journal_peak.to_string(),
        whole(outcome.catch_up_ms),
        if outcome.converged { "yes" } else { "NO" }.to_owned(),
    ];
    format!("| {} |", cells.join(" | "))
}

async fn every_outage_is_a_non_event(pair: [Kind; 2], by_default: Scenario) {
    let mut outcomes = Vec::new();
    for scenario in scenarios(by_default) {
        outcomes.push(drill(pair, scenario).await);
    }
    let columns = "requests | failed | p99 ms | slowest ms | writes | lost | back | stale | journal | \
                   caught up in ms | equal";
    let rule = "---|".repeat(columns.split('|').count() + 1);
    let rows: Vec<String> = outcomes.iter().map(row).collect();
    show(format_args!(
        "primary {}, replica {}\n| scenario | {columns} |\n|{rule}\n{}",
        pair[0],
        pair[1],
        rows.join("\n")
    ));
    let wrong: Vec<String> =
        outcomes.iter().filter(|outcome| !outcome.passed()).map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "{pair:?}:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outage_of_seaweedfs_with_azurite_behind_it_is_a_non_event() {
    every_outage_is_a_non_event([Kind::SeaweedFs, Kind::Azurite], Scenario::Slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outage_of_azurite_with_gcs_behind_it_is_a_non_event() {
    every_outage_is_a_non_event([Kind::Azurite, Kind::Gcs], Scenario::Reset).await;
}
