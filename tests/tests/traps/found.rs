//! Traps that the engine itself once fell into: each test fails without the remedy that it is about.

use std::time::Duration;

use futures::TryStreamExt;
use lifeboat_core::{BlobStore, Effect};
use lifeboat_testkit::fault_store::{At, Failure, Gate, Operation, Rule, Strike};
use lifeboat_testkit::simulation::{BackendSettings, Order};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::time::{sleep, timeout};

use crate::lab::{JOURNAL, Lab, Process, come_to_rest, key, stamp, wait_until};

/// Far beyond every deadline of the lab, and the time in which a request may be late.
const FOR_EVER: Duration = Duration::from_mins(10);

/// Enough frames of whatever recurs once for each entry to overflow the stack of a thread.
const MANY: usize = 100_000;

#[tokio::test(start_paused = true)]
async fn copies_and_puts_of_crossing_keys_finish_with_memory_for_one_body() {
    crossing_keys(40 << 10).await;
}

/// What does not fit the memory is copied part by part.
#[tokio::test(start_paused = true)]
async fn copies_in_parts_and_puts_of_crossing_keys_finish_as_well() {
    crossing_keys(100 << 10).await;
}

/// Copies and puts of two objects of that size, with memory for 64 KiB.
async fn crossing_keys(size: usize) {
    let mut lab = Lab::new(2);
    lab.settings.memory = 64 << 10;
    let process = lab.process(1);
    let keys = [Path::from("data/a"), Path::from("data/b")];
    let put = |to: &Path| {
        let (store, to) = (process.store.clone(), to.clone());
        process.run(async move { store.put(&to, PutPayload::from(vec![7; size])).await.map(drop) })
    };
    let copy = |from: &Path, to: &Path| {
        let (store, from, to) = (process.store.clone(), from.clone(), to.clone());
        process.run(async move { store.copy(&from, &to).await })
    };
    for (key, backend) in keys.iter().flat_map(|key| [(key, 0), (key, 1)]) {
        // Without a stamp: nobody but the service could copy it otherwise, and would copy the stamp.
        lab.backends[backend].write_directly(key, vec![7; size]);
    }
    // A copy holds the locks of its keys, and has yet to ask for memory.
    let gate = Gate::new();
    for way in &process.ways {
        let hold = Rule::new(Strike::Hold(gate.clone())).on(&[Operation::Get]);
        way.add(hold.prefix("data/"));
    }
    let mut all = vec![copy(&keys[0], &keys[1])];
    gate.reached().await;
    // Puts of the same keys have memory, or wait for it, and have yet to get a lock.
    all.extend([put(&keys[1]), copy(&keys[1], &keys[0]), put(&keys[0])]);
    come_to_rest().await;
    gate.open();
    let finished = timeout(FOR_EVER, futures::future::join_all(all)).await;
    for result in finished.expect("they wait for each other") {
        result.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn listing_that_passes_over_very_many_keys_does_not_run_out_of_stack() {
    let mut settings = BackendSettings::default();
    // In one page, so that what is passed over is there at once; where keys come in no order, an offset is
    // for the engine to apply.
    settings.page = 2 * MANY;
    settings.order = Order::Folders;
    let lab = Lab::with(vec![settings; 2]);
    for number in 0..MANY {
        for folder in [".lifeboat/conflicts", "data"] {
            lab.backends[0].write_directly(&Path::from(format!("{folder}/{number}")), "x");
        }
    }
    let last = Path::from("last");
    lab.backends[0].write_directly(&last, "x");
    let process = lab.process(1);
    let listed = process.store.list_with_offset(None, &Path::from("e"));
    let listed: Vec<_> = listed.map_ok(|meta| meta.location).try_collect().await.unwrap();
    assert_eq!(listed, [last]);
}

#[tokio::test(start_paused = true)]
async fn overwrites_of_a_key_dated_far_ahead_have_rising_stamps() {
    let lab = Lab::new(2);
    let (ahead, right) = (lab.process_ahead(1, 3_600_000), lab.process(2));
    ahead.must_put(&key(), "of the fast clock").await;
    right.get(&key()).await.unwrap();
    let mut stamps = vec![stamp(&lab, 0, &key())];
    for text in ["one", "two", "three"] {
        right.put(&key(), text).await.unwrap().unwrap();
        stamps.push(stamp(&lab, 0, &key()));
    }
    assert!(stamps.is_sorted_by(|one, other| one < other), "{stamps:?}");
    lab.expect_everywhere(&[&right], &key(), Some("three")).await;
}

/// A writer whose third backend refuses connections, and that is killed then: the third has "old", the others have "new".
pub(crate) async fn missed_by_the_third(lab: &Lab) {
    let writer = lab.process(1);
    writer.must_put(&key(), "old").await;
    writer.refuse(2);
    writer.must_put(&key(), "new").await;
    writer.spawner.crash();
}

#[tokio::test(start_paused = true)]
async fn marker_of_a_backend_that_is_not_ours_is_kept_and_keeps_nobody_busy() {
    let lab = Lab::new(3);
    missed_by_the_third(&lab).await;
    let markers = [lab.markers(0), lab.markers(1)];
    assert!(markers.iter().all(|markers| !markers.is_empty()));

    // Somebody uses the first two backends without the third.
    let process = lab.of_the_first(2).process(2);
    let looks = Gate::new();
    looks.open();
    for way in &process.ways {
        let count = Rule::new(Strike::Hold(looks.clone())).on(&[Operation::Head]);
        way.add(count.key(key().as_ref()));
    }
    process.store.loaded().await;
    process.store.catch_up().await;
    // The data on both are level, and the marker is over once the quarantine has passed.
    sleep(lab.settings.quarantine * 3).await;
    process.store.catch_up().await;
    assert_eq!([lab.markers(0), lab.markers(1)], markers);
    assert_eq!(looks.count(), 0, "catch-up has nothing to look for");

    // It was for those who have the third.
    let next = lab.process(3);
    assert_eq!(next.get(&key()).await.unwrap(), "new");
    lab.expect_everywhere(&[&next], &key(), Some("new")).await;
}

#[tokio::test(start_paused = true)]
async fn write_whose_first_holder_takes_no_marker_is_acknowledged_when_another_one_has_it() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    let gate = Gate::new();
    process.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let denied = Rule::new(Strike::Fail(Failure::Denied)).on(Operation::PUTS).prefix(JOURNAL);
    process.ways[0].add(denied);
    let put = process.put(&key(), "new");
    // Longer than anybody waits for a slow backend: b0 has it, and cannot say that b1 lacks it.
    sleep(lab.settings.slow_after * 4).await;
    assert!(!put.is_finished(), "nobody knows that b1 lacks it");
    gate.open();
    put.await.unwrap().unwrap();
    assert_eq!([lab.at(0, &key()), lab.at(1, &key())], [(); 2].map(|()| Some("new".to_owned())));
    process.clear(0);
    lab.expect_everywhere(&[&process], &key(), Some("new")).await;
}

#[tokio::test(start_paused = true)]
async fn write_that_nobody_can_take_a_marker_of_is_remembered_and_settled() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    process.strike(1, Operation::PUTS, &key(), Strike::Hang);
    let denied = Rule::new(Strike::Fail(Failure::Denied)).on(Operation::PUTS).prefix(JOURNAL);
    process.ways[0].add(denied);
    let error = process.put(&key(), "new").await.unwrap().unwrap_err();
    assert!(error.to_string().contains("could not be recorded"), "{error}");
    assert_eq!(process.store.status().journal.markers, 1, "remembered, if nowhere else");
    process.clear(0);
    sleep(lab.settings.quarantine * 2).await;
    process.store.catch_up().await;
    assert_eq!(process.store.status().journal.markers, 0, "both have it");
    assert_eq!([lab.at(0, &key()), lab.at(1, &key())], [(); 2].map(|()| Some("new".to_owned())));
}

/// Simulation seed 43529: the one who knows that an older request may land reaches no backend that could keep a marker
/// of it, and the markers of what replaced it are removed by somebody who does not know.
#[tokio::test(start_paused = true)]
async fn older_request_that_lands_late_at_the_only_backend_in_reach_is_not_read() {
    let lab = Lab::without_conditions(2);
    let (alone, other) = (lab.process(1), lab.process(2));
    alone.refuse(0);
    let gate = Gate::new();
    alone.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    alone.put(&key(), "older").await.unwrap().unwrap_err();
    alone.must_put(&key(), "newer").await;
    lab.drain(&[&other]).await;
    // Until it has read the journal again.
    sleep(lab.settings.journal_poll * 3).await;
    assert_eq!(alone.get(&key()).await.unwrap(), "newer");
    gate.open();
    come_to_rest().await;
    assert_eq!(lab.at(1, &key()).as_deref(), Some("older"));
    alone.get(&key()).await.unwrap_err();
    alone.recover(0).await;
    assert_eq!(alone.get(&key()).await.unwrap(), "newer");
    lab.expect_everywhere(&[&alone, &other], &key(), Some("newer")).await;
}

/// A write that only b1 has, and another process that dies with its copy to b0 on the way.
async fn with_a_create_on_its_way(lab: &Lab) -> (Process, Gate) {
    let (one, other) = (lab.process(1), lab.process(2));
    one.refuse(0);
    one.must_put(&key(), "deleted").await;
    let gate = Gate::new();
    other.strike(0, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let store = other.store.clone();
    drop(other.run(async move { store.catch_up().await }));
    gate.reached().await;
    other.spawner.crash();
    (one, gate)
}

/// Simulation seed 100574.
#[tokio::test(start_paused = true)]
async fn create_on_its_way_does_not_bring_back_what_is_deleted_after_its_markers_went() {
    let lab = Lab::new(2);
    let (one, gate) = with_a_create_on_its_way(&lab).await;
    one.recover(0).await;
    lab.drain(&[&one]).await;
    one.delete(&key()).await.unwrap().unwrap();
    gate.open();
    come_to_rest().await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("deleted"), "it has landed");
    assert!(matches!(one.get(&key()).await, Err(object_store::Error::NotFound { .. })));
    lab.expect_everywhere(&[&one], &key(), None).await;
}

/// Simulation seed 87597.
#[tokio::test(start_paused = true)]
async fn create_on_its_way_does_not_bring_back_what_is_deleted_while_it_has_markers() {
    let lab = Lab::new(2);
    let (one, gate) = with_a_create_on_its_way(&lab).await;
    one.delete(&key()).await.unwrap().unwrap();
    one.recover(0).await;
    one.store.catch_up().await;
    gate.open();
    come_to_rest().await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("deleted"), "it has landed");
    assert!(matches!(one.get(&key()).await, Err(object_store::Error::NotFound { .. })));
    lab.expect_everywhere(&[&one], &key(), None).await;
}

/// Simulation seed 132200.
#[tokio::test(start_paused = true)]
async fn create_is_refused_even_if_a_late_delete_lands_just_before_it() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    let (delete, create) = (Gate::new(), Gate::new());
    process.strike(0, &[Operation::Delete], &key(), Strike::Hold(delete.clone()));
    process.delete(&key()).await.unwrap().unwrap();
    // Its client gives up.
    sleep(lab.settings.write_deadline * 2).await;
    process.recover(0).await;
    process.must_put(&key(), "new").await;
    process.store.catch_up().await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("new"));

    process.strike(0, Operation::PUTS, &key(), Strike::Hold(create.clone()));
    let store = process.store.clone();
    let created = process.run(async move {
        store.put_opts(&key(), "created".into(), object_store::PutMode::Create.into()).await
    });
    come_to_rest().await;
    delete.open();
    come_to_rest().await;
    create.open();
    let refused = created.await.unwrap().unwrap_err();
    assert!(matches!(refused, object_store::Error::AlreadyExists { .. }), "{refused}");
    lab.expect_everywhere(&[&process], &key(), Some("new")).await;
}

/// Simulation seed 95605.
#[tokio::test(start_paused = true)]
async fn delete_by_a_restarted_process_counts_although_an_earlier_life_dated_its_write_later() {
    let lab = Lab::new(2);
    let (ahead, earlier) = (lab.process_ahead(1, 25_000), lab.process(2));
    let other = Path::from("data/other");
    ahead.must_put(&other, "of the fast clock").await;
    earlier.get(&other).await.unwrap();
    earlier.must_put(&key(), "deleted").await;
    earlier.spawner.crash();

    let process = lab.process(3);
    process.refuse(1);
    process.delete(&key()).await.unwrap().unwrap();
    process.recover(1).await;
    lab.expect_everywhere(&[&process], &key(), None).await;
}

/// Simulation seed 72806: only memory knows of a delete that failed, and names one of the two backends.
#[tokio::test(start_paused = true)]
async fn backend_that_returns_while_a_key_is_looked_at_is_looked_at_as_well() {
    let mut lab = Lab::new(2);
    // One look outlasts the return.
    lab.settings.attempt_deadline = Duration::from_secs(30);
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    process.refuse(1);
    let lost = Strike::FailAfter(Failure::Reset);
    process.strike(0, &[Operation::Delete], &key(), lost);
    process.delete(&key()).await.unwrap().unwrap_err();
    assert_eq!([lab.at(0, &key()), lab.at(1, &key())], [None, Some("old".to_owned())]);

    let look = Gate::new();
    process.strike(0, &[Operation::Head], &key(), Strike::HoldAfter(look.clone()));
    let store = process.store.clone();
    let catch_up = process.run(async move { store.catch_up().await });
    look.reached().await;
    process.recover(1).await;
    look.open();
    catch_up.await.unwrap();
    // By itself: nobody asks for anything.
    sleep(lab.settings.write_deadline * 3).await;
    assert_eq!([lab.at(0, &key()), lab.at(1, &key())], [None, None]);
}

/// Simulation seed 128534.
#[tokio::test(start_paused = true)]
async fn create_that_may_still_land_is_not_refused_for_certain() {
    let lab = Lab::new(2);
    let (process, other) = (lab.process(1), lab.process(2));
    process.must_put(&key(), "there").await;
    let gate = Gate::new();
    process.strike(0, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let mode = object_store::PutMode::Create;
    let open = process.store.put_opts(&key(), "created".into(), mode.into()).await.unwrap_err();
    assert_eq!(gate.count(), 1, "an attempt is on its way");
    assert_eq!(process.store.classify(&open).effect, Effect::Unknown, "{open}");
    // It lands on nothing, after all.
    other.delete(&key()).await.unwrap().unwrap();
    gate.open();
    lab.drain(&[&process, &other]).await;
    assert_eq!(lab.at(0, &key()), lab.at(1, &key()));
}

/// Simulation seed 143158: every backend stalls again and again.
#[tokio::test(start_paused = true)]
async fn body_that_stalls_everywhere_is_given_up_within_the_read_deadline() {
    let lab = Lab::new(3);
    let process = lab.process(1);
    process.must_put(&key(), "body").await;
    for way in &process.ways {
        let stall = Rule::new(Strike::Stall(At::Offset(0)));
        way.set([stall.on(&[Operation::Get, Operation::GetRange])]);
    }
    let began = tokio::time::Instant::now();
    process.get(&key()).await.unwrap_err();
    let bound = lab.settings.stall_deadline + lab.settings.read_deadline;
    assert!(began.elapsed() <= bound + Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn body_that_breaks_at_two_backends_is_taken_up_again_at_the_second() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "body").await;
    let breaks = || Strike::Break(At::Offset(1), Failure::Reset);
    let gone = Rule::new(Strike::Fail(Failure::Refused)).on(&[Operation::GetRange]);
    process.ways[0].set([Rule::new(breaks()).on(&[Operation::Get]), gone]);
    process.strike(1, &[Operation::GetRange], &key(), breaks());
    assert_eq!(process.get(&key()).await.unwrap(), "body");
}

/// Simulation seed 172051: a write that nobody acknowledged is what there is, and one backend was away when that was found.
#[tokio::test(start_paused = true)]
async fn backend_that_was_away_gets_what_nobody_acknowledged() {
    let lab = Lab::new(3);
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    process.refuse(1);
    process.refuse(2);
    process.strike(0, Operation::PUTS, &key(), Strike::FailAfter(Failure::Reset));
    process.put(&key(), "landed").await.unwrap().unwrap_err();
    process.recover(1).await;
    sleep(lab.settings.quarantine * 2).await;
    process.store.catch_up().await;
    assert_eq!(lab.at(1, &key()).as_deref(), Some("landed"));
    process.recover(2).await;
    sleep(lab.settings.write_deadline * 3).await;
    lab.expect_everywhere(&[&process], &key(), Some("landed")).await;
}

/// Simulation seed 260450: what this process remembers of a lone holder does not make that one pass for behind.
#[tokio::test(start_paused = true)]
async fn what_a_marked_backend_holds_is_not_brought_to_a_lone_holder_that_has_lost_its_own() {
    let lab = Lab::new(2);
    let (process, other) = (lab.process(1), lab.process(2));
    process.must_put(&key(), "oldest").await;
    process.refuse(0);
    other.refuse(0);
    process.strike(1, Operation::PUTS, &key(), Strike::Hang);
    process.put(&key(), "never lands").await.unwrap().unwrap_err();
    process.must_put(&key(), "newer").await;
    // Nobody knows of this delete any more.
    let refused = Rule::new(Strike::Fail(Failure::Reset)).on(Operation::PUTS).prefix(JOURNAL);
    other.ways[1].add(refused);
    other.strike(1, &[Operation::Delete], &key(), Strike::FailAfter(Failure::Reset));
    other.delete(&key()).await.unwrap().unwrap_err();
    other.spawner.crash();

    process.recover(0).await;
    lab.expect_everywhere(&[&process], &key(), None).await;
}

#[tokio::test(start_paused = true)]
async fn listing_that_dies_halfway_twice_has_every_key_once_in_whatever_order_they_come() {
    let names = ["a", "a-b", "a/x", "a/y", "a.b", "b", "b-c/z", "b/1", "b/2", "c"];
    let mut wanted: Vec<Path> = names.iter().map(|name| Path::from(*name)).collect();
    wanted.sort();
    for unordered in 0..8 {
        let settings = (0..3).map(|backend| {
            let mut settings = BackendSettings::default();
            settings.order =
                if unordered & (1 << backend) == 0 { Order::Bytes } else { Order::Folders };
            settings
        });
        let lab = Lab::with(settings.collect());
        for name in &wanted {
            lab.backends.iter().for_each(|backend| backend.write_directly(name, "x"));
        }
        for (first, second) in (0..9).flat_map(|first| (0..9).map(move |second| (first, second))) {
            let process = lab.process(1);
            process.store.loaded().await;
            for (backend, after) in [first, second].into_iter().enumerate() {
                let dies = Rule::new(Strike::Break(At::Offset(after), Failure::Reset));
                process.ways[backend].add(dies.on(&[Operation::List]).key(""));
            }
            let listed: Vec<_> = process.store.list(None).try_collect().await.unwrap();
            let mut keys: Vec<_> = listed.into_iter().map(|meta| meta.location).collect();
            keys.sort();
            assert_eq!(keys, wanted, "orders {unordered:03b}; deaths after {first} and {second}");
            process.spawner.crash();
        }
    }
}

/// Simulation seed 3516: a catch-up that had not read of a delete yet created what it had looked at before.
#[tokio::test(start_paused = true)]
async fn what_a_late_catch_up_brought_back_reads_as_deleted_for_who_deleted_it() {
    let lab = Lab::new(2);
    let (one, gate) = with_a_create_on_its_way(&lab).await;
    one.recover(0).await;
    one.delete(&key()).await.unwrap().unwrap();
    gate.open();
    come_to_rest().await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("deleted"), "it has landed");
    // The one that knows better is away.
    one.refuse(1);
    let read = one.get(&key()).await;
    assert!(matches!(read, Err(object_store::Error::NotFound { .. })), "{read:?}");
    one.recover(1).await;
    lab.expect_everywhere(&[&one], &key(), None).await;
}

/// Simulation seed 40082216: the first request of an intent lands when its write has long been settled.
#[tokio::test(start_paused = true)]
async fn marker_that_lands_when_nothing_needs_it_is_removed_again() {
    for repeating in [false, true] {
        let mut lab = Lab::without_conditions(2);
        (lab.repeating, lab.settings.intent) = (repeating, true);
        let process = lab.process(1);
        let lost = Strike::FailLate(Failure::Reset, Duration::from_secs(20));
        process.ways[0].add(Rule::new(lost).on(Operation::PUTS).prefix(JOURNAL).times(1));
        process.must_put(&key(), "new").await;
        wait_until(|| lab.journal_is_empty()).await;
        wait_until(|| !lab.journal_is_empty()).await;
        sleep(lab.settings.journal_poll * 2).await;
        assert!(lab.journal_is_empty(), "{:?}", lab.markers(0));
    }
}
