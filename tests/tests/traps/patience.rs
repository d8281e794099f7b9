//! Traps of keys that a backend will not take: catch-up must neither give up nor ask for ever at full speed.

use std::time::Duration;

use lifeboat_testkit::fault_store::{Failure, Gate, Operation, Rule, Strike};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::time::{Instant, sleep};

use crate::lab::{Lab, Process, come_to_rest, key};

/// b0 has missed a write of the key, is back, and refuses the key.
async fn refused(lab: &Lab) -> Process {
    let process = lab.process(1);
    process.put(&key(), "v0").await.unwrap().unwrap();
    process.refuse(0);
    process.put(&key(), "v1").await.unwrap().unwrap();
    refuse_key(&process, 0);
    process
}

/// The weather is fine, but a backend does not take the key.
fn refuse_key(process: &Process, backend: usize) {
    let refusal = Rule::new(Strike::Fail(Failure::NotSupported)).on(Operation::PUTS);
    process.ways[backend].set([refusal.key(key().as_ref())]);
}

#[tokio::test(start_paused = true)]
async fn key_that_a_backend_refuses_is_tried_less_and_less_often() {
    let lab = Lab::new(2);
    let process = refused(&lab).await;
    sleep(Duration::from_mins(20)).await;
    let tried = process.failures();
    assert!((5..=20).contains(&tried.len()), "tried {} times in 20 minutes", tried.len());
    assert!(tried.iter().all(|(tried, _)| *tried == key()));
    let told = process.store.status().refused;
    assert_eq!((told.len(), told[0].key.as_str()), (1, key().as_ref()), "{told:?}");
    assert!(told[0].times >= 5 && told[0].why.contains("injected"), "{told:?}");
    // Whoever asks for it has it tried at once.
    process.store.catch_up().await;
    assert_eq!(process.failures().len(), tried.len() + 1);
    sleep(Duration::from_mins(20)).await;
    // And so has a new marker.
    let before = process.failures().len();
    process.refuse(0);
    process.put(&key(), "v2").await.unwrap().unwrap();
    refuse_key(&process, 0);
    sleep(Duration::from_secs(30)).await;
    assert!(process.failures().len() > before);
    process.clear(0);
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
    assert!(process.store.status().refused.is_empty());
}

#[tokio::test(start_paused = true)]
async fn conflict_of_a_key_that_cannot_be_settled_is_counted_once() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&key(), "v0").await.unwrap().unwrap();
    process.refuse(0);
    process.put(&key(), "ours").await.unwrap().unwrap();
    lab.backends[0].write_directly(&key(), "someone else's");
    refuse_key(&process, 0);
    sleep(Duration::from_mins(2)).await;
    assert!(process.failures().len() > 2, "{:?}", process.failures());
    assert_eq!(process.store.status().conflicts, 1);
    assert!(lab.kept().contains(&"someone else's".to_owned()), "{:?}", lab.kept());
}

#[tokio::test(start_paused = true)]
async fn backend_that_refuses_a_key_keeps_no_other_from_catching_up() {
    let lab = Lab::new(3);
    let process = lab.process(1);
    process.put(&key(), "v0").await.unwrap().unwrap();
    process.refuse(0);
    process.refuse(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    refuse_key(&process, 0);
    process.clear(1);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(lab.at(1, &key()).as_deref(), Some("v1"));
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v0"));
}

#[tokio::test(start_paused = true)]
async fn settling_check_of_silent_backends_lets_a_writer_of_the_key_through() {
    let lab = Lab::new(4);
    let process = lab.process(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    process.swallow(1);
    process.swallow(2);
    // The first backend takes markers, and its answers are lost; reads keep it in use.
    let lost = Rule::new(Strike::HangAfter).on(Operation::WRITES);
    process.ways[0].set([lost.prefix(".lifeboat/journal/")]);
    let reader = process.store.clone();
    let _reading = process.run(async move {
        loop {
            let _ = reader.head(&Path::from("data/other")).await;
            sleep(Duration::from_millis(100)).await;
        }
    });
    sleep(lab.settings.settle_after + Duration::from_millis(100)).await;
    process.put(&key(), "v2").await.unwrap().unwrap();
    (0..3).for_each(|backend| process.clear(backend));
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
}

/// Simulation seed 146130.
#[tokio::test(start_paused = true)]
async fn writer_of_a_key_does_not_wait_until_a_loser_is_kept_at_a_slow_backend() {
    let lab = Lab::new(3);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.refuse(1);
    process.delete(&key()).await.unwrap().unwrap();
    lab.backends[1].write_directly(&key(), "somebody's");
    let slow = Strike::Delay(lab.settings.attempt_deadline * 9 / 10);
    process.ways[1].set([Rule::new(slow)]);
    sleep(lab.settings.journal_poll * 4).await;
    let catching_up = process.store.clone();
    let catching_up = process.run(async move { catching_up.catch_up().await });
    come_to_rest().await;
    let began = Instant::now();
    process.must_put(&key(), "v2").await;
    assert!(began.elapsed() < lab.settings.write_deadline / 2, "{:?}", began.elapsed());
    catching_up.await.unwrap();
    process.clear(1);
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
    assert!(lab.kept().contains(&"somebody's".to_owned()), "{:?}", lab.kept());
}

/// Simulation seed 342841.
#[tokio::test(start_paused = true)]
async fn catch_up_that_somebody_waits_for_does_not_wait_for_a_silent_backend() {
    let mut lab = Lab::new(3);
    lab.settings.min_copies = 2;
    let process = lab.process(1);
    process.refuse(0);
    process.must_put(&key(), "v1").await;
    let gate = Gate::new();
    process.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let held = process.put(&key(), "v2");
    gate.reached().await;
    // Catch-up stands in the queue for the key, and then a writer.
    process.recover(0).await;
    sleep(Duration::from_secs(1)).await;
    process.swallow(2);
    let put = process.put(&key(), "v3");
    come_to_rest().await;
    let began = Instant::now();
    gate.open();
    held.await.unwrap().unwrap();
    put.await.unwrap().unwrap();
    assert!(began.elapsed() < lab.settings.attempt_deadline, "{:?}", began.elapsed());
    process.clear(2);
    lab.expect_everywhere(&[&process], &key(), Some("v3")).await;
}

/// Large twins that bear no stamps are compared byte by byte, for as long as they take to read.
#[tokio::test(start_paused = true)]
async fn writer_does_not_wait_until_two_objects_are_compared() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.store.loaded().await;
    lab.backends.iter().for_each(|backend| backend.write_directly(&key(), vec![7; 1 << 20]));
    let drip = Strike::Drip(lab.settings.stall_deadline / 2);
    process.ways[0].add(Rule::new(drip).on(&[Operation::Get]).key(key().as_ref()));
    let (store, reads) = (process.store.clone(), process.count(1, &[Operation::Get], &key()));
    let mending = process.run(async move { store.mend(None).await });
    reads.reached().await;
    let began = Instant::now();
    process.must_put(&key(), "new").await;
    assert!(began.elapsed() < lab.settings.attempt_deadline, "{:?}", began.elapsed());
    mending.await.unwrap();
    process.clear(0);
    lab.expect_everywhere(&[&process], &key(), Some("new")).await;
}
