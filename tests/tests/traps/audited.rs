//! Traps that were found by reading the engine as its users would meet it: each test failed before its remedy.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use lifeboat_core::{AnyStore, BlobStore, Effect, Identity, Support};
use lifeboat_failover::{ConditionalWrites, Failback, Failover, HealthState, Reason, Settings};
use lifeboat_testkit::fault_store::{Failure, Faults, Gate, Operation, Rule, Strike};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use tokio::time::{Instant, sleep};

use crate::lab::{Lab, come_to_rest, fresh_way, key, reason, wait_until};

/// A backend answers, but long after the others.
const SLOW: Strike = Strike::Delay(Duration::from_millis(900));

/// Somebody who refuses does not end a write that another backend is still taking, because a third one could be asked.
#[tokio::test(start_paused = true)]
async fn write_that_one_refuses_goes_on_where_it_is_slow() {
    let lab = Lab::new(3);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.outrun_the_first(&key()).await;
    process.strike(1, Operation::PUTS, &key(), Strike::Delay(Duration::from_secs(3)));
    process.strike(2, Operation::PUTS, &key(), Strike::Fail(Failure::Denied));
    process.must_put(&key(), "v2").await;
    assert_eq!(lab.at(1, &key()).as_deref(), Some("v2"));
}

/// Who is avoided, and asked for help, does not decide by refusing it.
#[tokio::test(start_paused = true)]
async fn refusal_of_an_avoided_backend_fails_no_write_that_another_one_takes() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.outrun_the_first(&key()).await;
    process.strike(0, Operation::PUTS, &key(), Strike::Fail(Failure::Denied));
    process.strike(1, Operation::PUTS, &key(), Strike::Delay(Duration::from_secs(3)));
    process.must_put(&key(), "v2").await;
    process.recover(0).await;
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
}

/// Two backends copy for themselves, and one of them has a version of the source that this process has not heard of.
#[tokio::test(start_paused = true)]
async fn copies_that_backends_make_are_of_one_version() {
    let mut lab = Lab::new(2);
    lab.settings.settle_check = false;
    let (from, to) = (Path::from("data/from"), Path::from("data/to"));
    let large = |byte| Bytes::from(vec![byte; (64 << 20) + 1]);
    let (copier, writer) = (lab.process(1), lab.process(2));
    copier.store.put(&from, large(1).into()).await.unwrap();
    come_to_rest().await;
    writer.refuse(0);
    writer.store.put(&from, large(2).into()).await.unwrap();
    let has = |backend: usize, key: &Path| lab.backends[backend].object(key).map(|at| at.bytes[0]);
    assert_eq!((has(0, &from), has(1, &from)), (Some(1), Some(2)));
    copier.store.copy(&from, &to).await.unwrap();
    // What the second one copied is not what was acknowledged: a marker says so.
    assert_eq!(has(0, &to), Some(1));
    let about = |path: &Path| path.as_ref().ends_with("data=2Fto");
    assert!(has(1, &to) == Some(1) || lab.markers(0).iter().any(about), "{:?}", lab.markers(0));
}

/// Where one process writes, the next backend decides; if there is none, the first one is not asked again and again.
#[tokio::test(start_paused = true)]
async fn condition_that_nobody_can_decide_is_not_asked_for_without_a_pause() {
    let mut lab = Lab::new(2);
    lab.settings.conditional_writes = ConditionalWrites::Active;
    let process = lab.process(1);
    process.lose(1).await;
    process.ways[0].add(Rule::new(Strike::Fail(Failure::Throttled)).key(key().as_ref()));
    let before = process.ways[0].requests();
    let create = process.store.put_opts(&key(), "v1".into(), PutMode::Create.into()).await;
    assert_eq!(reason(&create.unwrap_err()).0, Reason::Undecidable);
    let asked = process.ways[0].requests() - before;
    assert!(asked < 20, "{asked} requests");
}

/// A backend has copied for itself, and cannot be asked what: it may have happened, and what the other lacks stays marked.
#[tokio::test(start_paused = true)]
async fn copy_that_nobody_could_look_at_may_have_happened() {
    let lab = Lab::new(2);
    let (from, to) = (Path::from("data/from"), Path::from("data/to"));
    let process = lab.process(1);
    process.store.put(&from, Bytes::from(vec![1; (64 << 20) + 1]).into()).await.unwrap();
    process.must_put(&to, "old").await;
    come_to_rest().await;
    process.lose(1).await;
    process.strike(0, &[Operation::Head], &to, Strike::Fail(Failure::Refused));
    let failed = process.store.copy(&from, &to).await.unwrap_err();
    assert_eq!(reason(&failed), (Reason::Unavailable, Effect::Unknown), "{failed}");
    process.recover(1).await;
    lab.drain(&[&process]).await;
    let has = |backend: usize| lab.backends[backend].object(&to).map(|at| at.bytes.len());
    assert_eq!(has(0), has(1));
}

/// Listings of backends none of which is known to be complete are joined, and are not in order.
#[tokio::test(start_paused = true)]
async fn joined_listings_are_not_said_to_be_in_order() {
    for (seeded, ordered) in [([true; 2], true), ([false, true], true), ([false; 2], false)] {
        let mut lab = Lab::new(2);
        lab.seeded = seeded.to_vec();
        for (backend, name) in [(0, "m"), (0, "z"), (1, "a"), (1, "b")] {
            lab.backends[backend].write_directly(&Path::from(name), "x");
        }
        let process = lab.process(1);
        process.store.loaded().await;
        assert_eq!(process.store.capabilities().ordered_listing, Support::from(ordered));
    }
}

/// The complete one fails once. The other one would have to be joined with it, and not in order: it is asked again instead.
#[tokio::test(start_paused = true)]
async fn listing_that_fails_once_at_the_only_complete_backend_is_in_order_all_the_same() {
    let mut lab = Lab::new(2);
    lab.seeded = vec![false, true];
    for name in ["a", "b", "m", "z"] {
        lab.backends[1].write_directly(&Path::from(name), "x");
    }
    lab.backends[0].write_directly(&Path::from("m"), "x");
    let process = lab.process(1);
    process.store.loaded().await;
    let lists = Rule::new(Strike::Fail(Failure::Down)).on(&[Operation::List]);
    process.ways[1].add(lists.clone().times(1));
    let list = || process.store.list(None).map_ok(|object| object.location).try_collect();
    let listed: Vec<Path> = list().await.unwrap();
    assert_eq!(listed, ["a", "b", "m", "z"].map(Path::from));
    process.ways[1].add(lists);
    let failed = list().await.map(|_: Vec<Path>| ()).unwrap_err();
    assert_eq!(reason(&failed).0, Reason::Unavailable, "{failed}");
}

/// What may have been stored otherwise than it was sent is read when its marker can go, and not each time that is looked at.
#[tokio::test(start_paused = true)]
async fn copies_whose_markers_wait_are_not_read_again_and_again() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    // The marker of the later one, which lands late, cannot go before that of the earlier one.
    process.strike(0, Operation::PUTS, &key(), Strike::FailAfter(Failure::Reset));
    process.must_put(&key(), "v1").await;
    process.strike(0, Operation::PUTS, &key(), Strike::Delay(lab.settings.slow_after * 2));
    process.must_put(&key(), "v2").await;
    let reads = process.count(0, &[Operation::Get, Operation::GetRange], &key());
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
    assert!(reads.count() <= 2, "{} reads", reads.count());
}

/// The first probe of all finds nobody: the next ones have their pauses, too.
#[tokio::test(start_paused = true)]
async fn backend_that_is_down_at_the_start_is_not_probed_without_pauses() {
    let lab = Lab::new(2);
    let ways = [fresh_way(), fresh_way()];
    ways[0].set([Rule::new(Strike::Fail(Failure::Refused))]);
    let process = lab.process_through(1, 0, ways.to_vec());
    process.store.loaded().await;
    sleep(Duration::from_secs(20)).await;
    let requests = process.ways[0].requests();
    assert!(requests < 40, "{requests} requests to nobody");
}

/// Another backend is asked for a listing that is late where that costs less than waiting, and not where many keys have to be
/// looked up first.
#[tokio::test(start_paused = true)]
async fn listing_that_is_late_does_not_move_to_a_backend_that_lags() {
    // Catch-up waits there until everybody has heard of the markers.
    let lab = Lab::without_conditions(2);
    let (process, writer) = (lab.process(1), lab.process(2));
    process.store.loaded().await;
    writer.refuse(0);
    for number in 0..50 {
        writer.must_put(&Path::from(format!("data/{number}")), "x").await;
    }
    wait_until(|| process.store.status().backends[0].dirty_keys == 50).await;
    process.ways[1].add(Rule::new(SLOW).on(&[Operation::List]));
    let requests = || process.ways.iter().map(Faults::requests).sum::<u64>();
    let before = requests();
    let listed: Vec<_> = process.store.list(None).try_collect().await.unwrap();
    assert_eq!((listed.len(), process.is_avoided(1)), (50, false));
    assert!(requests() - before < 40, "{} requests", requests() - before);
}

/// One that has returned, and that reads do not prefer because the operator has not said so, serves: what it wins is evidence.
#[tokio::test(start_paused = true)]
async fn backend_that_the_operator_holds_back_convicts_a_slow_one() {
    let mut lab = Lab::new(2);
    lab.settings.failback = Failback::Manual;
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.lose(1).await;
    process.clear(1);
    while process.is_avoided(1) {
        process.ask().await;
    }
    sleep(lab.settings.settling * 100).await;
    assert_eq!(process.store.status().backends[1].health, HealthState::Suspect);
    process.swallow(0);
    let began = Instant::now();
    while !process.is_avoided(0) {
        process.get(&key()).await.unwrap();
    }
    assert!(began.elapsed() < lab.settings.attempt_deadline, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn operator_is_told_that_a_backend_that_has_not_returned_cannot_be_preferred() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.lose(1).await;
    let id = process.store.status().backends[1].id.clone();
    let refused = process.store.fail_back(&id).unwrap_err().to_string();
    assert!(refused.contains("ejected"), "{refused}");
    process.recover(1).await;
    process.store.fail_back(&id).unwrap();
}

/// The first who finds new buckets marks them, and goes on until all are marked.
#[tokio::test(start_paused = true)]
async fn new_bucket_that_cannot_be_marked_at_first_is_marked_later() {
    let mut lab = Lab::new(2);
    lab.seeded = vec![false; 2];
    let ways = [fresh_way(), fresh_way()];
    ways[1].add(Rule::new(Strike::Fail(Failure::Denied)).on(Operation::PUTS).times(1));
    let process = lab.process_through(1, 0, ways.to_vec());
    process.store.loaded().await;
    sleep(lab.settings.journal_poll * 3).await;
    let status = process.store.status();
    assert!(status.backends.iter().all(|backend| backend.seeded), "{status:?}");
}

#[test]
fn settings_that_would_do_nothing_but_repeat_themselves_are_refused() {
    type Change = fn(&mut Settings);
    const NOTHING: Duration = Duration::from_nanos(1);
    let wrong: [(&str, Change); 5] = [
        ("journal_poll", |settings| settings.journal_poll = NOTHING),
        ("presence_beat", |settings| settings.presence_beat = NOTHING),
        ("health.probe_initial", |settings| settings.health.probe_initial = NOTHING),
        ("health.slow_in_row", |settings| settings.health.slow_in_row = 0),
        ("health.consecutive_faults", |settings| settings.health.consecutive_faults = 0),
    ];
    for (name, change) in wrong {
        let mut settings = Settings::default();
        change(&mut settings);
        let stores =
            ["a", "b"].map(|id| AnyStore::new(InMemory::new(), Identity::new("memory", "", id)));
        let [first, second] = stores;
        let built = Failover::wrap(first).or(second).settings(settings).build();
        let error = built.unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

/// Simulation seed 61048294: two processes overwrite a key at once, in two orders, and one of them knows intents of the other
/// when it compares the copies. Nothing is left to do when those go.
#[tokio::test(start_paused = true)]
async fn copies_are_compared_although_intents_of_others_are_known_at_that_time() {
    let mut lab = Lab::without_conditions(2);
    lab.settings.intent = true;
    lab.settings.slow_after = Duration::from_secs(5);
    lab.settings.journal_poll = Duration::from_millis(300);
    let process = lab.process(1);
    // The other one hears of nothing, and is killed when it has written.
    lab.settings.journal_poll = Duration::from_mins(1);
    let killed = lab.process(2);
    process.store.loaded().await;
    killed.store.loaded().await;
    // The first backend gets v1 and then v2, the second one v2 and then v1.
    let [first, second] = [Gate::new(), Gate::new()];
    process.strike(1, Operation::PUTS, &key(), Strike::Hold(second.clone()));
    killed.strike(0, Operation::PUTS, &key(), Strike::Hold(first.clone()));
    let put = process.put(&key(), "v1");
    let other = killed.put(&key(), "v2");
    wait_until(|| lab.at(0, &key()).is_some() && lab.at(1, &key()).is_some()).await;
    second.open();
    put.await.unwrap().unwrap();
    wait_until(|| process.store.status().journal.markers > 0).await;
    sleep(lab.settings.settle_after * 2).await;
    first.open();
    other.await.unwrap().unwrap();
    wait_until(|| lab.journal_is_empty()).await;
    killed.spawner.crash();
    assert_ne!(lab.at(0, &key()), lab.at(1, &key()));
    wait_until(|| lab.at(0, &key()) == lab.at(1, &key())).await;
}
