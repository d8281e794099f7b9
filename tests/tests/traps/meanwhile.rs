//! Traps of what happens while something else is on its way, found by reading the engine: each test failed before its remedy.

use std::time::Duration;

use futures::TryStreamExt;
use lifeboat_failover::{MendReport, Reason};
use lifeboat_testkit::fault_store::{At, Failure, Gate, Operation, Rule, Strike};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::lab::{JOURNAL, Lab, Process, come_to_rest, key, reason, wait_until};

/// Somebody deletes the key while a version of it is being brought to b0, which had none; then that lands.
async fn deleted_while_it_is_brought(lab: &Lab, runner: &Process, deleter: &Process, gate: &Gate) {
    let reached = timeout(lab.settings.quarantine, gate.reached()).await;
    reached.expect("it is brought to b0");
    deleter.delete(&key()).await.unwrap().unwrap();
    assert_eq!(lab.at(1, &key()), None);
    // What compares copies after a write has done so.
    sleep(lab.settings.settle_after * 3).await;
    gate.open();
    come_to_rest().await;
    lab.expect_everywhere(&[runner, deleter], &key(), None).await;
}

/// Mends a key that b1 alone has, until that is about to land at b0, and is deleted by somebody else: who mends, who
/// deleted, what it lands by, and the end of mending.
pub(crate) async fn deleted_while_it_is_mended(
    lab: &Lab,
) -> (Process, Process, Gate, JoinHandle<MendReport>) {
    let (runner, deleter) = (lab.process(1), lab.process(2));
    deleter.store.loaded().await;
    lab.backends[1].write_directly(&key(), "old");
    let gate = Gate::new();
    runner.strike(0, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let store = runner.store.clone();
    let mending = runner.run(async move { store.mend(None).await });
    timeout(lab.settings.quarantine, gate.reached()).await.expect("it is brought to b0");
    deleter.delete(&key()).await.unwrap().unwrap();
    (runner, deleter, gate, mending)
}

#[tokio::test(start_paused = true)]
async fn mending_does_not_bring_back_what_is_deleted_while_it_copies() {
    for stamped in [true, false] {
        let lab = Lab::new(2);
        let (runner, deleter) = (lab.process(1), lab.process(2));
        deleter.store.loaded().await;
        if stamped {
            deleter.must_put(&key(), "old").await;
            sleep(lab.settings.settle_after * 3).await;
            lab.backends[0].delete_directly(&key());
        } else {
            lab.backends[1].write_directly(&key(), "old");
        }
        let gate = Gate::new();
        runner.strike(0, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
        let store = runner.store.clone();
        let mending = runner.run(async move { store.mend(None).await });
        deleted_while_it_is_brought(&lab, &runner, &deleter, &gate).await;
        mending.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn catch_up_does_not_bring_back_what_is_deleted_by_somebody_who_has_not_heard_of_it() {
    let mut lab = Lab::new(2);
    // Longer than it takes to hear that the marker has gone.
    lab.settings.attempt_deadline = lab.settings.journal_poll * 5;
    let (runner, deleter) = (lab.process(1), lab.process(2));
    deleter.store.loaded().await;
    runner.strike(0, Operation::PUTS, &key(), Strike::Fail(Failure::Refused));
    let gate = Gate::new();
    runner.strike(0, &[Operation::Create], &key(), Strike::Hold(gate.clone()));
    runner.must_put(&key(), "v1").await;
    let reached = timeout(lab.settings.quarantine, gate.reached()).await;
    reached.expect("it is brought to b0");
    deleter.delete(&key()).await.unwrap().unwrap();
    sleep(lab.settings.settle_after * 2).await;
    // He hears of the marker only now, and finds that nobody has the key.
    deleter.store.journal().await.unwrap();
    deleter.store.catch_up().await;
    sleep(lab.settings.journal_poll).await;
    gate.open();
    come_to_rest().await;
    lab.expect_everywhere(&[&runner, &deleter], &key(), None).await;
}

/// A later version at its keeper does not say that a write is over.
#[tokio::test(start_paused = true)]
async fn write_that_lands_on_top_of_a_later_one_is_found_again() {
    let lab = Lab::new(2);
    let (writer, other) = (lab.process(1), lab.process(2));
    other.store.loaded().await;
    writer.lose(0).await;
    // Its marker is there at once, the data takes its time.
    let gate = Gate::new();
    writer.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let put = writer.put(&key(), "earlier");
    gate.reached().await;
    come_to_rest().await;
    other.store.journal().await.unwrap();
    other.must_put(&key(), "later").await;
    other.store.catch_up().await;
    other.store.catch_up().await;
    gate.open();
    put.await.unwrap().unwrap();
    writer.recover(0).await;
    lab.drain(&[&writer, &other]).await;
    assert_eq!(lab.at(0, &key()), lab.at(1, &key()));
}

/// What a backend that lags says about a condition is worth nothing, although it is avoided as well.
#[tokio::test(start_paused = true)]
async fn backend_that_lags_and_is_avoided_does_not_say_not_modified() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    let e_tag = process.store.head(&key()).await.unwrap().e_tag;
    process.refuse(0);
    while !process.is_avoided(0) {
        process.must_put(&key(), "v2").await;
    }
    process.clear(0);
    process.strike(1, &[Operation::Get], &key(), Strike::Fail(Failure::Reset));
    let options = GetOptions { if_none_match: e_tag, ..GetOptions::default() };
    assert!(process.is_avoided(0), "not probed yet");
    match process.store.get_opts(&key(), options).await {
        Ok(read) => assert_eq!(read.bytes().await.unwrap(), "v2"),
        Err(error) => assert_eq!(reason(&error).0, Reason::Stale, "{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn body_goes_on_at_a_backend_that_failed_long_before() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    let text: &str = "0123456789".repeat(1 << 10).leak();
    process.must_put(&key(), text).await;
    let broken = |at: u64| {
        let strike = Strike::Break(At::Offset(at), Failure::Reset);
        Rule::new(strike).on(Operation::READS).key(key().as_ref())
    };
    process.ways[0].add(broken(2_000).times(1));
    // Then b1 dies for good.
    process.ways[1].add(broken(4_000).times(1));
    process.ways[1].add(Rule::new(Strike::Fail(Failure::Refused)).on(Operation::READS));
    assert_eq!(process.get(&key()).await.unwrap(), text);
}

#[tokio::test(start_paused = true)]
async fn listing_goes_on_at_a_backend_that_failed_long_before() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    for number in 0..40 {
        process.must_put(&Path::from(format!("data/{number:02}")), "x").await;
    }
    let broken = |at: u64| {
        let strike = Strike::Break(At::Offset(at), Failure::Reset);
        Rule::new(strike).on(&[Operation::List]).prefix("data").times(1)
    };
    process.ways[0].add(broken(5));
    process.ways[1].add(broken(5));
    let listing = process.store.list(Some(&Path::from("data")));
    let listed: Vec<ObjectMeta> = listing.try_collect().await.unwrap();
    assert_eq!(listed.len(), 40);
}

/// A marker that comes in while its key is looked at speaks of what was not seen.
#[tokio::test(start_paused = true)]
async fn marker_that_comes_in_during_a_look_is_looked_at_as_well() {
    let lab = Lab::without_conditions(2);
    let (writer, runner) = (lab.process(1), lab.process(2));
    runner.store.loaded().await;
    writer.lose(0).await;
    writer.must_put(&key(), "v1").await;
    sleep(lab.settings.journal_poll * 6).await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v1"), "caught up");
    // The runner looks once more; what is written after it has seen b1 is in the journal before it has its answer.
    writer.must_put(&key(), "v2").await;
    sleep(lab.settings.journal_poll * 6).await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v2"), "caught up");
    let gate = Gate::new();
    runner.strike(1, &[Operation::Head], &key(), Strike::HoldAfter(gate.clone()));
    let (store, looked) = (runner.store.clone(), gate.clone());
    let look = runner.run(async move { store.catch_up().await });
    looked.reached().await;
    come_to_rest().await;
    writer.must_put(&key(), "v3").await;
    runner.store.journal().await.unwrap();
    gate.open();
    look.await.unwrap();
    sleep(lab.settings.journal_poll * 6).await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v3"));
}

/// The marker beside its data says that a write was acknowledged, and cannot be taken back.
#[tokio::test(start_paused = true)]
async fn failed_write_does_not_make_its_key_unreadable_for_an_outage() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    come_to_rest().await;
    process.lose(0).await;
    // b1 dies when it has the marker, and before it has the data.
    let gate = Gate::new();
    process.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let before = lab.markers(1).len();
    let put = process.put(&key(), "v2");
    gate.reached().await;
    wait_until(|| lab.markers(1).len() > before).await;
    process.ways[1].set([Rule::new(Strike::Fail(Failure::Reset))]);
    let failed = timeout(lab.settings.write_deadline * 2, put).await;
    failed.expect("within its bound").unwrap().unwrap_err();
    process.recover(0).await;
    assert_eq!(process.get(&key()).await.unwrap(), "v1");
}

#[tokio::test(start_paused = true)]
async fn copy_of_what_cannot_be_read_now_does_not_wait_for_itself() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.refuse(0);
    while !process.is_avoided(0) {
        process.must_put(&key(), "v2").await;
    }
    process.refuse(1);
    process.recover(0).await;
    let began = Instant::now();
    let failed = process.store.copy(&key(), &Path::from("data/to")).await.unwrap_err();
    assert_eq!(reason(&failed).0, Reason::Stale, "{failed}");
    assert!(began.elapsed() < lab.settings.read_deadline / 2, "{:?}", began.elapsed());
}

/// What was written before there were stamps, and copied to the replica a moment ago, is no stranger there.
#[tokio::test(start_paused = true)]
async fn update_of_an_object_that_was_just_copied_reaches_all_backends() {
    let mut lab = Lab::new(2);
    lab.settings.min_copies = 2;
    let process = lab.process(1);
    process.store.loaded().await;
    lab.backends.iter().for_each(|backend| backend.write_directly(&key(), "old"));
    let e_tag = process.store.head(&key()).await.unwrap().e_tag;
    let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
    process.store.put_opts(&key(), "new".into(), mode.into()).await.unwrap();
    lab.expect_everywhere(&[&process], &key(), Some("new")).await;
    assert!(lab.kept().is_empty(), "{:?}", lab.kept());
}

/// The first request of a marker is given up, and the marker written again at the same place; then the first one lands.
#[tokio::test(start_paused = true)]
async fn marker_that_was_written_twice_is_removed_when_its_first_request_lands() {
    let lab = Lab::without_conditions(2);
    let process = lab.process(1);
    process.lose(0).await;
    let first = Gate::new();
    let held = Rule::new(Strike::Hold(first.clone())).on(Operation::PUTS).prefix(JOURNAL);
    process.ways[1].add(held.times(1));
    process.must_put(&key(), "new").await;
    assert!(first.count() == 1 && !lab.markers(1).is_empty(), "written again");
    process.recover(0).await;
    lab.drain(&[&process]).await;
    first.open();
    come_to_rest().await;
    assert!(!lab.journal_is_empty(), "it has landed");
    sleep(lab.settings.journal_poll * 2).await;
    assert!(lab.journal_is_empty(), "{:?}", lab.markers(1));
}

/// What is brought may be years old, and its stamp with it; the request that brings it is not.
#[tokio::test(start_paused = true)]
async fn marker_of_a_late_request_stays_although_the_version_that_it_brings_is_old() {
    let mut lab = Lab::new(2);
    lab.settings.journal_poll = Duration::from_mins(10);
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    sleep(Duration::from_hours(30)).await;
    lab.backends[0].delete_directly(&key());
    let late = Strike::FailLate(Failure::Reset, lab.settings.quarantine / 2);
    process.strike(0, Operation::PUTS, &key(), late);
    process.store.mend(None).await;
    process.store.mend(None).await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("old"));
    process.store.catch_up().await;
    assert!(!lab.journal_is_empty(), "the first request may land on top of what is written now");
}

/// What a lone holder of a version may lose to an older request is told to others as soon as they have that version.
#[tokio::test(start_paused = true)]
async fn older_version_that_lands_late_is_not_taken_for_the_latest_by_others() {
    let mut lab = Lab::new(2);
    lab.repeating = true;
    lab.settings.quarantine = Duration::from_mins(10);
    let (writer, other) = (lab.process(1), lab.process(2));
    other.store.loaded().await;
    writer.lose(1).await;
    let late = Strike::FailLate(Failure::Reset, lab.settings.quarantine);
    writer.strike(0, Operation::PUTS, &key(), late);
    writer.must_put(&key(), "v1").await;
    writer.must_put(&key(), "v2").await;
    // The other one brings it to b1, and nothing is left to do that it knows of.
    wait_until(|| lab.markers(0).iter().all(|marker| !marker.as_ref().contains("/data=2Fk"))).await;
    assert_eq!(lab.at(1, &key()).as_deref(), Some("v2"));
    writer.recover(1).await;
    sleep(lab.settings.journal_poll * 2).await;
    writer.spawner.crash();
    while lab.at(0, &key()).as_deref() != Some("v1") {
        assert!(lab.backends[0].now() < 900_000, "it does not land");
        sleep(Duration::from_secs(1)).await;
    }
    let third = lab.process(3);
    third.store.loaded().await;
    third.strike(1, &[Operation::Get], &key(), Strike::Fail(Failure::Reset));
    match third.get(&key()).await {
        Ok(found) => assert_eq!(found, "v2"),
        Err(error) => assert_eq!(reason(&error).0, Reason::Stale, "{error}"),
    }
    lab.expect_everywhere(&[&other, &third], &key(), Some("v2")).await;
}

/// Simulation seed 53008771: an earlier delete lands late at the source of what is being brought.
#[tokio::test(start_paused = true)]
async fn late_delete_at_the_source_of_a_copy_does_not_bury_the_copy() {
    let mut lab = Lab::new(2);
    lab.settings.attempt_deadline = lab.settings.quarantine / 2;
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    let late = Strike::FailLate(Failure::Reset, lab.settings.attempt_deadline);
    process.strike(1, &[Operation::Delete], &key(), late);
    process.delete(&key()).await.unwrap().unwrap();
    process.strike(0, Operation::PUTS, &key(), Strike::Fail(Failure::Refused));
    let gate = Gate::new();
    process.strike(0, &[Operation::Create], &key(), Strike::Hold(gate.clone()));
    process.must_put(&key(), "v2").await;
    let reached = timeout(lab.settings.quarantine, gate.reached()).await;
    reached.expect("it is brought to b0");
    assert_eq!(lab.at(1, &key()).as_deref(), Some("v2"));
    wait_until(|| lab.at(1, &key()).is_none()).await;
    gate.open();
    come_to_rest().await;
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
}

/// Simulation seed 54019005: nobody lives who could know of the late request, but the delete was made in knowledge of its version.
#[tokio::test(start_paused = true)]
async fn version_that_was_deleted_in_its_knowledge_is_not_read_when_it_lands_late() {
    let mut lab = Lab::new(2);
    lab.repeating = true;
    let writer = lab.process(1);
    writer.refuse(0);
    writer.must_put(&Path::from("data/other"), "x").await;
    let late = Strike::FailLate(Failure::Reset, lab.settings.quarantine / 2);
    writer.strike(1, Operation::PUTS, &key(), late);
    writer.must_put(&key(), "v1").await;
    writer.spawner.crash();
    let next = lab.process(2);
    next.store.loaded().await;
    next.refuse(0);
    next.delete(&key()).await.unwrap().unwrap();
    assert_eq!(lab.at(1, &key()), None);
    wait_until(|| lab.at(1, &key()).is_some()).await;
    let found = next.get(&key()).await;
    assert!(matches!(found, Err(Error::NotFound { .. })), "{found:?}");
}

/// Where it was brought from cannot be asked for a while, when it seems to be deleted.
#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_it_was_copied_is_remembered_until_all_can_be_asked() {
    let lab = Lab::new(2);
    let (runner, deleter, gate, mending) = deleted_while_it_is_mended(&lab).await;
    let unread = Rule::new(Strike::Fail(Failure::Reset)).on(&[Operation::List]);
    runner.ways[1].add(unread.prefix(JOURNAL.trim_end_matches('/')));
    sleep(lab.settings.settle_after * 3).await;
    gate.open();
    mending.await.unwrap();
    come_to_rest().await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("old"));
    sleep(lab.settings.journal_poll * 3).await;
    runner.recover(1).await;
    sleep(lab.settings.journal_poll * 2).await;
    lab.expect_everywhere(&[&runner, &deleter], &key(), None).await;
}

/// A delete that was replayed, and is no news to anybody, lands at the source of what is being brought.
#[tokio::test(start_paused = true)]
async fn replayed_delete_at_the_source_of_a_copy_does_not_bury_an_acknowledged_write() {
    let mut lab = Lab::new(2);
    lab.settings.attempt_deadline = lab.settings.quarantine / 2;
    lab.settings.write_deadline = lab.settings.quarantine;
    let first = lab.process(1);
    first.must_put(&key(), "old").await;
    first.lose(1).await;
    first.delete(&key()).await.unwrap().unwrap();
    first.spawner.crash();
    // Everybody has heard of the delete; this one replays it.
    let (replaying, writer) = (lab.process(2), lab.process(3));
    let late = Gate::new();
    replaying.strike(1, &[Operation::Delete], &key(), Strike::Hold(late.clone()));
    writer.refuse(0);
    writer.store.loaded().await;
    replaying.store.loaded().await;
    let replays = timeout(lab.settings.quarantine, late.reached()).await;
    replays.expect("it replays the delete");
    let put = writer.put(&key(), "new");
    wait_until(|| lab.at(1, &key()).as_deref() == Some("new")).await;
    // A third one brings the new version to b0, from where it is gone when that lands.
    let runner = lab.process(4);
    let landing = Gate::new();
    runner.strike(0, &[Operation::Create], &key(), Strike::Hold(landing.clone()));
    runner.store.loaded().await;
    timeout(lab.settings.quarantine, landing.reached()).await.expect("it is brought to b0");
    late.open();
    wait_until(|| lab.at(1, &key()).is_none()).await;
    landing.open();
    put.await.unwrap().unwrap();
    writer.recover(0).await;
    lab.expect_everywhere(&[&replaying, &writer, &runner], &key(), Some("new")).await;
}

/// That the bucket is missing does not say that the object is.
#[tokio::test(start_paused = true)]
async fn delete_at_a_backend_without_its_bucket_is_not_confirmed_by_it() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    come_to_rest().await;
    let missing = Rule::new(Strike::Fail(Failure::BucketMissing));
    process.ways[0].add(missing.on(&[Operation::Delete, Operation::Head]).key(key().as_ref()));
    process.delete(&key()).await.unwrap().unwrap();
    // What compares copies after a write has done so.
    sleep(lab.settings.settle_after * 3).await;
    process.clear(0);
    lab.expect_everywhere(&[&process], &key(), None).await;
}

#[tokio::test(start_paused = true)]
async fn key_is_not_absent_because_a_backend_has_lost_its_bucket_for_a_moment() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.refuse(1);
    process.must_put(&key(), "v1").await;
    let missing = Rule::new(Strike::Fail(Failure::BucketMissing));
    process.ways[0]
        .add(missing.on(&[Operation::Get, Operation::Head]).key(key().as_ref()).times(2));
    process.clear(1);
    while process.is_avoided(1) {
        sleep(Duration::from_millis(100)).await;
    }
    match process.get(&key()).await {
        Ok(found) => assert_eq!(found, "v1"),
        Err(error) => assert_eq!(reason(&error).0, Reason::Stale, "{error}"),
    }
}

/// A client has given its parts away when it has asked once: asking again would be told that parts are missing.
#[tokio::test(start_paused = true)]
async fn throttled_completion_is_not_repeated() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.refuse(1);
    let mut upload = process.store.put_multipart(&key()).await.unwrap();
    upload.put_part("part".into()).await.unwrap();
    process.strike(0, &[Operation::MultipartComplete], &key(), Strike::Fail(Failure::Throttled));
    let sent = process.count(0, &[Operation::MultipartComplete], &key());
    let failed = upload.complete().await.unwrap_err();
    assert_eq!(reason(&failed).0, Reason::Unavailable, "{failed}");
    assert!(failed.to_string().contains("begin the upload again"), "{failed}");
    assert_eq!(sent.count(), 0, "nor sent again");
}

/// A completion has no body that takes its time.
#[tokio::test(start_paused = true)]
async fn completion_that_hangs_ends_in_the_time_of_a_write() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.refuse(1);
    let mut upload = process.store.put_multipart(&key()).await.unwrap();
    upload.put_part(vec![7; 8 << 20].into()).await.unwrap();
    process.strike(0, &[Operation::MultipartComplete], &key(), Strike::Hang);
    let began = Instant::now();
    upload.complete().await.unwrap_err();
    let bound = lab.settings.write_deadline + lab.settings.attempt_deadline * 2;
    assert!(began.elapsed() < bound, "{:?}", began.elapsed());
}

/// A backend that is busy with an earlier write of the key takes no part in the end of an upload.
#[tokio::test(start_paused = true)]
async fn parts_of_an_upload_that_a_backend_was_not_asked_to_complete_are_removed() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    let mut upload = process.store.put_multipart(&key()).await.unwrap();
    upload.put_part("part".into()).await.unwrap();
    let gate = Gate::new();
    process.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    process.must_put(&key(), "earlier").await;
    upload.complete().await.unwrap();
    gate.open();
    come_to_rest().await;
    assert_eq!(lab.backends[1].open_uploads(), 0);
    lab.expect_everywhere(&[&process], &key(), Some("part")).await;
}

/// A service stored other bytes than it was sent under the right stamp, and they could be neither replaced nor removed at
/// once. They are not copied on, and do not stay.
#[tokio::test(start_paused = true)]
async fn what_was_stored_otherwise_than_sent_does_not_pass_for_its_version() {
    let lab = Lab::new(3);
    let process = lab.process(1);
    process.lose(2).await;
    process.strike(0, Operation::PUTS, &key(), Strike::FailAfter(Failure::Reset));
    process.must_put(&key(), "right").await;
    let stored = lab.backends[0].object(&key()).expect("it has landed");
    let options = PutOptions::from(stored.object_attributes());
    lab.backends[0].as_seen_by(9).put_opts(&key(), "wrong".into(), options).await.unwrap();
    process.recover(2).await;
    process.store.catch_up().await;
    assert_eq!(lab.at(2, &key()).as_deref(), Some("right"));
    lab.expect_everywhere(&[&process], &key(), Some("right")).await;
}
