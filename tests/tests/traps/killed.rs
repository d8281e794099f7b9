//! Traps of a process that is killed in the middle of a write: what it never acknowledged may be or not be, but nothing older
//! comes back.

use std::time::Duration;

use lifeboat_failover::HealthState;
use lifeboat_testkit::fault_store::{Failure, Gate, Operation, Rule, Strike};
use object_store::{Error, ObjectStoreExt};
use tokio::time::sleep;

use crate::lab::{JOURNAL, Lab, Process, fresh_way, key};

/// Nobody listens at b0, and the process knows it and b1: markers for b0 are written beside the data.
async fn lose_the_first(process: &Process) {
    process.refuse(0);
    let health = |at: usize| process.store.status().backends[at].health;
    while health(0) != HealthState::Ejected
        || !matches!(health(1), HealthState::Serving | HealthState::Suspect)
    {
        // Something has to ask. It fails while neither is in use.
        let _ = process.put(&"data/other".into(), "x").await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
}

/// The process deletes the key at b1 at once, and is killed while the marker for b0 is on its way.
async fn die_in_a_delete(process: &Process) {
    let gate = Gate::new();
    let markers = Rule::new(Strike::Hang).on(Operation::PUTS).prefix(JOURNAL);
    process.ways[1].add(markers);
    process.strike(1, &[Operation::Delete], &key(), Strike::HoldAfter(gate.clone()));
    let store = process.store.clone();
    process.spawner.spawn(Box::pin(async move {
        // Nobody hears of it.
        let _ = store.delete(&key()).await;
    }));
    gate.reached().await;
    process.spawner.crash();
}

#[tokio::test(start_paused = true)]
async fn delete_cut_off_before_its_marker_does_not_bring_back_what_was_overwritten_before() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    lose_the_first(&process).await;
    process.put(&key(), "v2").await.unwrap().unwrap();
    die_in_a_delete(&process).await;
    assert_eq!((lab.at(0, &key()).as_deref(), lab.at(1, &key())), (Some("v1"), None));
    let next = lab.process(2);
    let read = next.get(&key()).await;
    assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
    lab.expect_everywhere(&[&next], &key(), None).await;
}

#[tokio::test(start_paused = true)]
async fn delete_cut_off_at_a_backend_that_had_lagged_does_not_bring_back_what_was_overwritten_before()
 {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    process.refuse(1);
    process.put(&key(), "v2").await.unwrap().unwrap();
    // b0 goes before b1 has got what it lacks.
    process.refuse(0);
    process.clear(1);
    lose_the_first(&process).await;
    process.put(&key(), "v3").await.unwrap().unwrap();
    sleep(Duration::from_millis(100)).await;
    die_in_a_delete(&process).await;
    assert_eq!((lab.at(0, &key()).as_deref(), lab.at(1, &key())), (Some("v2"), None));
    let next = lab.process(2);
    let read = next.get(&key()).await;
    assert!(read.is_err(), "until it is settled nobody knows: {read:?}");
    lab.expect_everywhere(&[&next], &key(), None).await;
}

#[tokio::test(start_paused = true)]
async fn put_cut_off_after_its_marker_leaves_the_version_that_only_the_other_side_has() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&"data/warm".into(), "x").await.unwrap().unwrap();
    // b1 misses a write, and a marker on b0 says so.
    process.refuse(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    process.clear(1);
    process.spawner.crash();
    // Another process cannot reach b0, which has the marker, and is killed between its own marker and the data.
    let blind = lab.process(2);
    lose_the_first(&blind).await;
    let (gate, before) = (Gate::new(), lab.markers(1).len());
    blind.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let store = blind.store.clone();
    blind.spawner.spawn(Box::pin(async move {
        // Nobody hears of it.
        let _ = store.put(&key(), "v2".into()).await;
    }));
    while lab.markers(1).len() == before {
        sleep(Duration::from_millis(10)).await;
    }
    blind.spawner.crash();
    assert_eq!((lab.at(0, &key()).as_deref(), lab.at(1, &key())), (Some("v1"), None));
    let next = lab.process(3);
    assert_eq!(next.get(&key()).await.unwrap(), "v1");
    lab.expect_everywhere(&[&next], &key(), Some("v1")).await;
}

/// Simulation seed 231318.
#[tokio::test(start_paused = true)]
async fn process_that_starts_again_with_an_earlier_clock_writes_after_what_is_there() {
    for deleted in [false, true] {
        let lab = Lab::new(2);
        let first = lab.process_ahead(1, 60_000);
        first.must_put(&key(), "v1").await;
        first.spawner.crash();
        let ways = vec![fresh_way(), fresh_way()];
        ways[1].add(Rule::new(Strike::Fail(Failure::Refused)));
        let next = lab.process_through(2, 0, ways);
        if deleted {
            next.delete(&key()).await.unwrap().unwrap();
        } else {
            next.must_put(&key(), "v2").await;
        }
        next.recover(1).await;
        let wanted = (!deleted).then_some("v2");
        lab.expect_everywhere(&[&next], &key(), wanted).await;
    }
}
