//! Settings that change what is promised: each does what it says, and takes nothing else away.

use std::time::Duration;

use futures::TryStreamExt;
use lifeboat_core::Effect;
use lifeboat_failover::{Failback, HealthState, Reason, StaleReads};
use lifeboat_testkit::fault_store::{Failure, Gate, Operation, Rule, Strike};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use tokio::time::{Instant, sleep};

use crate::lab::{JOURNAL, Lab, Process, come_to_rest, fresh_way, key, reason};

/// Asks until a backend is what it should be.
async fn until_health(process: &Process, backend: usize, wanted: HealthState) {
    let end = Instant::now() + Duration::from_mins(2);
    while process.store.status().backends[backend].health != wanted {
        assert!(Instant::now() < end, "never {wanted}: {:?}", process.store.status());
        let _ = process.store.head(&Path::from("nothing")).await;
        sleep(Duration::from_millis(100)).await;
    }
}

/// Two copies are wanted.
pub(crate) fn two_copies(mut lab: Lab) -> Lab {
    lab.settings.min_copies = 2;
    lab
}

#[tokio::test(start_paused = true)]
async fn write_that_too_few_backends_take_fails_says_so_and_leaves_everything_convergent() {
    for lab in [Lab::new(2), Lab::without_conditions(2)].map(two_copies) {
        let process = lab.process(1);
        let deleted = Path::from("data/deleted");
        for name in [&key(), &deleted] {
            process.must_put(name, "v1").await;
            assert_eq!([0, 1].map(|at| lab.at(at, name).is_some()), [true; 2], "both have it");
        }
        process.refuse(1);
        let failed = [
            process.put(&key(), "v2").await.unwrap().unwrap_err(),
            process.put(&Path::from("data/new"), "v1").await.unwrap().unwrap_err(),
            process.delete(&deleted).await.unwrap().unwrap_err(),
        ];
        for error in &failed {
            // One backend has it, and nobody was told that it was written.
            assert_eq!(reason(error), (Reason::TooFewCopies, Effect::Unknown), "{error}");
            let text = error.to_string();
            assert!(text.contains("b1: ") && text.contains("min_copies"), "{text}");
        }
        process.recover(1).await;
        lab.drain(&[&process]).await;
        for name in [key(), deleted, Path::from("data/new")] {
            assert_eq!(lab.at(0, &name), lab.at(1, &name), "{name}");
        }
        assert!(lab.at(0, &key()).is_some(), "an overwrite that failed takes nothing away");
        process.must_put(&key(), "v3").await;
        assert_eq!([0, 1].map(|at| lab.at(at, &key())), [Some("v3".into()), Some("v3".into())]);
    }
}

#[tokio::test(start_paused = true)]
async fn write_with_two_copies_of_three_is_acknowledged_and_survives_one_of_them() {
    let lab = two_copies(Lab::new(3));
    let process = lab.process(1);
    process.refuse(0);
    process.must_put(&key(), "v1").await;
    assert!([1, 2].iter().all(|home| !lab.markers(*home).is_empty()), "b0 lacks it, both know");
    process.spawner.crash();
    let next = lab.process(2);
    next.refuse(1);
    assert_eq!(next.get(&key()).await.unwrap(), "v1");
    next.recover(1).await;
    lab.expect_everywhere(&[&next], &key(), Some("v1")).await;
}

#[tokio::test(start_paused = true)]
async fn write_whose_second_copy_is_slow_waits_for_it_where_two_are_wanted() {
    let mut lab = two_copies(Lab::new(2));
    lab.settings.slow_after = Duration::ZERO;
    let process = lab.process(1);
    process.must_put(&Path::from("data/warm"), "x").await;
    let gate = Gate::new();
    process.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let put = process.put(&key(), "v1");
    gate.reached().await;
    come_to_rest().await;
    assert!(lab.at(0, &key()).is_some() && !put.is_finished(), "one copy is not enough");
    gate.open();
    put.await.unwrap().unwrap();
    assert_eq!(lab.at(1, &key()).as_deref(), Some("v1"));
}

/// b0 has missed v2 and answers; b1, which has it, does not.
async fn only_the_older_version_answers(lab: &Lab) -> Process {
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.refuse(0);
    process.must_put(&key(), "v2").await;
    process.refuse(1);
    process.clear(0);
    process
}

#[tokio::test(start_paused = true)]
async fn older_version_is_refused_by_default_and_the_refusal_names_the_setting() {
    let lab = Lab::new(2);
    let process = only_the_older_version_answers(&lab).await;
    let error = process.get(&key()).await.unwrap_err();
    assert_eq!(reason(&error), (Reason::Stale, Effect::None), "{error}");
    assert!(error.to_string().contains("stale_reads = \"serve\""), "{error}");
    assert_eq!(process.stale_reads(), []);
}

#[tokio::test(start_paused = true)]
async fn older_version_is_served_as_configured_and_the_observer_is_told() {
    let mut lab = Lab::new(2);
    lab.settings.stale_reads = StaleReads::Serve;
    let process = only_the_older_version_answers(&lab).await;
    assert_eq!(process.get(&key()).await.unwrap(), "v1");
    let older = (key(), process.store.status().backends[0].id.clone());
    assert_eq!(process.stale_reads(), std::slice::from_ref(&older));
    process.store.head(&key()).await.unwrap();
    assert_eq!(process.stale_reads(), [older.clone(), older]);
    process.recover(1).await;
    assert_eq!(process.get(&key()).await.unwrap(), "v2");
    assert_eq!(process.stale_reads().len(), 2, "what is not older is not told");
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
}

#[tokio::test(start_paused = true)]
async fn reads_stay_away_from_a_returned_backend_until_the_operator_wants_it_back() {
    let mut lab = Lab::new(2);
    lab.settings.failback = Failback::Manual;
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    for round in 0..2 {
        process.refuse(0);
        until_health(&process, 0, HealthState::Ejected).await;
        process.clear(0);
        until_health(&process, 0, HealthState::Suspect).await;
        // Far beyond any settling time, and everything is caught up.
        sleep(lab.settings.settling * 100).await;
        process.must_put(&key(), "v2").await;
        assert_eq!(lab.at(0, &key()).as_deref(), Some("v2"), "it takes writes");
        let reads = process.count(0, &[Operation::Get], &key());
        for _ in 0..20 {
            assert_eq!(process.get(&key()).await.unwrap(), "v2");
        }
        let status = process.store.status();
        assert!(reads.count() == 0 && status.backends[0].settling, "{round}: {status:?}");
        process.store.fail_back("somebody else").unwrap_err();
        process.get(&key()).await.unwrap();
        assert_eq!(reads.count(), 0);
        process.store.fail_back(&status.backends[0].id).unwrap();
        process.get(&key()).await.unwrap();
        assert_eq!(reads.count(), 1, "the operator wants it back");
        assert_eq!(process.store.status().backends[0].health, HealthState::Serving);
    }
}

/// b0 has joined; b1 holds what was there before.
fn joined() -> Lab {
    let mut lab = Lab::new(2);
    lab.seeded = vec![false, true];
    lab.backends[1].write_directly(&key(), "from before");
    lab
}

const NOTHING: &str = "data/nothing";

#[tokio::test(start_paused = true)]
async fn miss_of_a_backend_is_believed_once_it_is_marked_as_seeded() {
    let lab = joined();
    let process = lab.process(1);
    assert_eq!(process.get(&key()).await.unwrap(), "from before", "looked up elsewhere");
    process.refuse(1);
    let read = process.get(&Path::from(NOTHING)).await.unwrap_err();
    assert_eq!(reason(&read).0, Reason::MissNotBelieved, "{read}");
    process.recover(1).await;
    // A sync has been here, and found the two equal.
    lab.backends[0].write_directly(&key(), "from before");
    let id = process.store.status().backends[0].id.clone();
    process.store.mark_seeded(&id).await.unwrap();
    process.refuse(1);
    assert_eq!(process.get(&key()).await.unwrap(), "from before");
    let read = process.get(&Path::from(NOTHING)).await;
    assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn new_process_learns_from_the_control_object_which_backend_is_seeded() {
    let mut lab = joined();
    lab.seeded = vec![false; 2];
    for (process, believed) in [(1, false), (2, true)] {
        let process = lab.process(process);
        process.store.loaded().await;
        let seeded = process.store.status().backends.iter().map(|known| known.seeded).collect();
        assert_eq!((seeded, believed), (vec![believed, false], believed));
        process.refuse(1);
        let read = process.get(&Path::from(NOTHING)).await.unwrap_err();
        assert_eq!(matches!(read, Error::NotFound { .. }), believed, "{read}");
        let id = process.store.status().backends[0].id.clone();
        process.store.mark_seeded(&id).await.unwrap();
        process.spawner.crash();
    }
}

#[tokio::test(start_paused = true)]
async fn backend_that_cannot_be_written_to_or_is_not_there_is_not_marked_as_seeded() {
    let lab = joined();
    let process = lab.process(1);
    process.store.loaded().await;
    let id = process.store.status().backends[0].id.clone();
    let control = Rule::new(Strike::Fail(Failure::Denied)).on(Operation::PUTS);
    process.ways[0].set([control.prefix(".lifeboat/seeded")]);
    process.store.mark_seeded(&id).await.unwrap_err();
    assert!(!process.store.status().backends[0].seeded);
    process.clear(0);
    let error = process.store.mark_seeded("somebody else").await.unwrap_err();
    assert!(error.to_string().contains("somebody else"), "{error}");
    assert_eq!(lab.backends[0].keys(".lifeboat/seeded"), []);
}

#[tokio::test(start_paused = true)]
async fn asynchronous_write_is_acknowledged_with_one_copy_and_a_marker_and_converges() {
    for mut lab in [Lab::new(2), Lab::without_conditions(2)] {
        lab.settings.slow_after = Duration::ZERO;
        let process = lab.process(1);
        process.must_put(&Path::from("data/warm"), "x").await;
        lab.drain(&[&process]).await;
        let gate = Gate::new();
        process.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
        let began = Instant::now();
        process.must_put(&key(), "v1").await;
        assert!(began.elapsed() < Duration::from_millis(100), "nobody is waited for");
        assert_eq!([0, 1].map(|at| lab.at(at, &key()).is_some()), [true, false]);
        assert!(!lab.markers(0).is_empty(), "b1 may lack it, and that is durable");
        assert_eq!(process.get(&key()).await.unwrap(), "v1", "one's own writes are read");
        gate.open();
        lab.expect_everywhere(&[&process], &key(), Some("v1")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn asynchronous_write_reaches_the_replica_although_its_process_is_killed() {
    for mut lab in [Lab::new(2), Lab::without_conditions(2)] {
        lab.settings.slow_after = Duration::ZERO;
        let process = lab.process(1);
        process.must_put(&key(), "v0").await;
        lab.drain(&[&process]).await;
        let hold = Rule::new(Strike::Hang).on(Operation::WRITES);
        process.ways[1].set([hold]);
        process.must_put(&key(), "v1").await;
        let gone = Path::from("data/gone");
        process.must_put(&gone, "x").await;
        process.delete(&gone).await.unwrap().unwrap();
        process.spawner.crash();
        assert_eq!(lab.at(1, &key()).as_deref(), Some("v0"), "that is the trap");
        let next = lab.process(2);
        assert_eq!(next.get(&key()).await.unwrap(), "v1");
        lab.expect_everywhere(&[&next], &key(), Some("v1")).await;
        assert_eq!([0, 1].map(|at| lab.at(at, &gone)), [None, None]);
    }
}

#[tokio::test(start_paused = true)]
async fn replica_that_is_never_waited_for_is_not_taken_for_slow() {
    let mut lab = Lab::new(2);
    lab.settings.slow_after = Duration::ZERO;
    let process = lab.process(1);
    // As a replica a continent away is.
    process.ways[1].set([Rule::new(Strike::Delay(Duration::from_millis(300)))]);
    for number in 0..100 {
        let began = Instant::now();
        process.must_put(&Path::from(format!("data/{number}")), "x").await;
        // A copy and its marker, after the first write has said who writes.
        assert!(number == 0 || began.elapsed() < Duration::from_millis(100), "{number}");
        sleep(Duration::from_millis(50)).await;
    }
    let status = process.store.status();
    assert_eq!(status.backends[1].health, HealthState::Serving, "{status:?}");
    lab.expect_everywhere(&[&process], &Path::from("data/99"), Some("x")).await;
    // A create waits for nobody else either, and is one all the same.
    let create = process.store.put_opts(&key(), "x".into(), PutMode::Create.into()).await;
    assert!(create.is_ok(), "{create:?}");
    let again = process.store.put_opts(&key(), "y".into(), PutMode::Create.into()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
}

/// Simulation seed 231424.
#[tokio::test(start_paused = true)]
async fn intents_that_take_too_long_leave_time_for_the_data() {
    let mut lab = Lab::new(3);
    lab.settings.intent = true;
    lab.settings.write_deadline = lab.settings.attempt_deadline * 2;
    let process = lab.process(1);
    process.store.loaded().await;
    // Two of them answer nothing that has to do with markers or data, and everything else: they are not out.
    for way in &process.ways[..2] {
        for kept in [JOURNAL, key().as_ref()] {
            way.add(Rule::new(Strike::Hang).on(&[Operation::Put]).prefix(kept));
        }
    }
    process.must_put(&key(), "v1").await;
    assert_eq!(lab.at(2, &key()).as_deref(), Some("v1"));
}

/// One of two new buckets does not answer when the first process starts.
#[tokio::test(start_paused = true)]
async fn new_buckets_are_seeded_although_one_answers_later() {
    for swallowed in [false, true] {
        let mut lab = Lab::new(2);
        lab.seeded = vec![false, false];
        let ways = vec![fresh_way(), fresh_way()];
        let silent = if swallowed { Strike::Hang } else { Strike::Fail(Failure::Refused) };
        ways[1].set([Rule::new(silent)]);
        let process = lab.process_through(1, 0, ways);
        process.must_put(&key(), "first").await;
        process.recover(1).await;
        lab.drain(&[&process]).await;
        sleep(lab.settings.journal_poll * 2).await;
        // In the next outage the one that is left knows all there is.
        process.refuse(1);
        let other = Path::from("data/other");
        process.store.put_opts(&other, "x".into(), PutMode::Create.into()).await.unwrap();
        let listed: Vec<_> = process.store.list(None).try_collect().await.unwrap();
        assert_eq!(listed.len(), 2, "{swallowed}");
    }
}

#[tokio::test(start_paused = true)]
async fn bucket_that_has_something_of_its_own_is_not_new_although_it_answers_later() {
    let mut lab = Lab::new(2);
    lab.seeded = vec![false, false];
    lab.backends[1].write_directly(&Path::from("data/of/before"), "x");
    let ways = vec![fresh_way(), fresh_way()];
    ways[1].set([Rule::new(Strike::Fail(Failure::Refused))]);
    let process = lab.process_through(1, 0, ways);
    process.must_put(&key(), "first").await;
    process.recover(1).await;
    lab.drain(&[&process]).await;
    sleep(lab.settings.journal_poll * 2).await;
    let status = process.store.status();
    assert!(status.backends.iter().all(|backend| !backend.seeded), "{status:?}");
}
