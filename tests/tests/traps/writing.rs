//! Traps of a single writer: order, markers, stamps.

use std::time::Duration;

use lifeboat_core::Effect;
use lifeboat_failover::{HealthState, Reason};
use lifeboat_testkit::fault_store::{Failure, Gate, Operation, Rule, Strike};
use lifeboat_testkit::simulation::BackendSettings;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::{Instant, sleep, timeout};

use crate::lab::{JOURNAL, Lab, Process, come_to_rest, key, reason, stamp, wait_until};

/// A process whose first backend refuses connections: it has "old", all others have "new".
async fn missed_by_the_first(lab: &Lab) -> Process {
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    process.refuse(0);
    process.must_put(&key(), "new").await;
    process
}

/// A process crashes in an overwrite: b0 has "new", and it is still on its way to b1.
pub(crate) async fn crash_between_the_legs(lab: &Lab) {
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    let gate = Gate::new();
    process.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let put = process.put(&key(), "new");
    gate.reached().await;
    wait_until(|| lab.at(0, &key()).as_deref() == Some("new")).await;
    process.spawner.crash();
    drop(put);
}

#[tokio::test(start_paused = true)]
async fn t01_overlapping_puts_of_one_process_leave_the_backends_equal() {
    let lab = Lab::without_conditions(2);
    let process = lab.process(1);
    let gate = Gate::new();
    process.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let first = process.put(&key(), "v1");
    gate.reached().await;
    let second = process.put(&key(), "v2");
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(process.get(&key()).await.unwrap(), "v2");
    gate.open();
    come_to_rest().await;
    assert_eq!(process.get(&key()).await.unwrap(), "v2", "whatever landed on b1");
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
}

#[tokio::test(start_paused = true)]
async fn t02_marker_stands_on_every_backend_that_has_the_write() {
    let lab = Lab::new(3);
    let process = missed_by_the_first(&lab).await;
    assert!(!lab.markers(1).is_empty() && !lab.markers(2).is_empty(), "one each");
    // b1 is lost for good, and b0 is back; someone starts who was not there.
    process.spawner.crash();
    let late = lab.process(2);
    late.swallow(1);
    assert_eq!(late.get(&key()).await.unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn t03_the_next_read_of_the_process_knows_of_the_marker() {
    let lab = Lab::new(2);
    let process = missed_by_the_first(&lab).await;
    process.clear(0);
    assert_eq!(process.get(&key()).await.unwrap(), "new");
    process.recover(0).await;
    assert_eq!(process.get(&key()).await.unwrap(), "new", "also when b0 is preferred again");
}

#[tokio::test(start_paused = true)]
async fn t04_marker_is_durable_before_the_acknowledgement() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    process.refuse(0);
    let gate = Gate::new();
    process.ways[1].add(Rule::new(Strike::Hold(gate.clone())).on(Operation::PUTS).prefix(JOURNAL));
    let mut put = process.put(&key(), "new");
    gate.reached().await;
    assert!(
        timeout(Duration::from_secs(1), &mut put).await.is_err(),
        "no marker, no acknowledgement"
    );
    gate.open();
    put.await.unwrap().unwrap();
    process.spawner.crash();
    let next = lab.process(2);
    assert_eq!(next.get(&key()).await.unwrap(), "new");
    lab.expect_everywhere(&[&next], &key(), Some("new")).await;
}

#[tokio::test(start_paused = true)]
async fn t05_late_put_does_not_bring_an_old_version_back() {
    for lab in [Lab::new(2), Lab::without_conditions(2)] {
        let process = lab.process(1);
        let gate = Gate::new();
        process.strike(0, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
        process.must_put(&key(), "v1").await;
        sleep(lab.settings.attempt_deadline * 2).await;
        process.recover(0).await;
        process.store.catch_up().await;
        process.must_put(&key(), "v2").await;
        process.store.catch_up().await;
        // The first put of v1 arrives at last.
        gate.open();
        come_to_rest().await;
        assert_eq!(process.get(&key()).await.unwrap(), "v2");
        lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t05_late_delete_does_not_remove_a_newer_version() {
    for lab in [Lab::new(2), Lab::without_conditions(2)] {
        let process = lab.process(1);
        process.must_put(&key(), "v1").await;
        let gate = Gate::new();
        process.strike(0, &[Operation::Delete], &key(), Strike::Hold(gate.clone()));
        process.delete(&key()).await.unwrap().unwrap();
        sleep(lab.settings.attempt_deadline * 2).await;
        process.recover(0).await;
        process.must_put(&key(), "v2").await;
        gate.open();
        come_to_rest().await;
        assert_eq!(process.get(&key()).await.unwrap(), "v2");
        lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t08_deleted_key_stays_deleted_however_long_the_outage() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.refuse(0);
    process.delete(&key()).await.unwrap().unwrap();
    sleep(Duration::from_hours(24)).await;
    assert!(!lab.markers(1).is_empty(), "the tombstone waits for its target");
    process.spawner.crash();
    let next = lab.process(2);
    assert!(matches!(next.get(&key()).await, Err(object_store::Error::NotFound { .. })));
    lab.expect_everywhere(&[&next], &key(), None).await;
}

#[tokio::test(start_paused = true)]
async fn t13_copied_object_does_not_carry_the_stamp_of_its_source() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    let (from, to) = (Path::from("data/old"), key());
    process.must_put(&from, "of the source").await;
    sleep(Duration::from_mins(1)).await;
    process.must_put(&to, "overwritten").await;
    // The copy reaches b0 alone; b1 keeps what is newer than the source.
    process.refuse(1);
    let (store, source, target) = (process.store.clone(), from.clone(), to.clone());
    process.run(async move { store.copy(&source, &target).await }).await.unwrap().unwrap();
    process.recover(1).await;
    lab.expect_everywhere(&[&process], &to, Some("of the source")).await;
}

#[tokio::test(start_paused = true)]
async fn t15_completion_whose_answer_is_lost_is_recognised() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.strike(0, &[Operation::MultipartComplete], &key(), Strike::FailAfter(Failure::Reset));
    let mut upload = process.store.put_multipart(&key()).await.unwrap();
    upload.put_part("one".into()).await.unwrap();
    upload.complete().await.unwrap();
    lab.expect_everywhere(&[&process], &key(), Some("one")).await;
}

#[tokio::test(start_paused = true)]
async fn t16_backend_that_fails_amid_an_upload_is_left_out_and_brought_up_to_date() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    let mut upload = process.store.put_multipart(&key()).await.unwrap();
    upload.put_part("one ".into()).await.unwrap();
    process.strike(0, &[Operation::MultipartPart], &key(), Strike::Fail(Failure::Reset));
    upload.put_part("two ".into()).await.unwrap();
    upload.put_part("three".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(lab.at(1, &key()).as_deref(), Some("one two three"));
    assert!(lab.at(0, &key()).is_none_or(|there| there == "one two three"), "nothing partial");
    lab.expect_everywhere(&[&process], &key(), Some("one two three")).await;
    assert_eq!(lab.backends[0].open_uploads(), 0, "the upload that was left is aborted");
}

#[tokio::test(start_paused = true)]
async fn t17_bulk_delete_says_what_came_of_each_key() {
    use futures::StreamExt;
    let lab = Lab::new(2);
    let process = lab.process(1);
    let keys: Vec<Path> = (0..10).map(|number| Path::from(format!("data/{number}"))).collect();
    for key in &keys {
        process.must_put(key, "x").await;
    }
    for backend in [0, 1] {
        let denied = Rule::new(Strike::Fail(Failure::Denied)).on(&[Operation::Delete]);
        process.ways[backend].add(denied.key(keys[7].as_ref()));
    }
    let all = futures::stream::iter(keys.clone().into_iter().map(Ok)).boxed();
    let results: Vec<_> = process.store.delete_stream(all).collect().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 9);
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(process.get(key).await.is_ok(), number == 7, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn t21_failing_marker_is_held_against_the_backend_that_refused_it() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    let refuse_markers = Rule::new(Strike::Fail(Failure::Down)).on(Operation::PUTS).prefix(JOURNAL);
    process.ways[0].add(refuse_markers);
    // b1 is slow to answer puts, so that markers for it are due on b0, which does not take them.
    process.ways[1].add(Rule::new(Strike::Delay(Duration::from_secs(1))).on(Operation::PUTS));
    for _ in 0..6 {
        let _ = process.put(&key(), "x").await.unwrap();
    }
    let status = process.store.status();
    assert_eq!(status.backends[1].health, HealthState::Serving, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn t33_intent_survives_a_crash_between_the_legs() {
    let mut lab = Lab::new(2);
    lab.settings.intent = true;
    crash_between_the_legs(&lab).await;
    let next = lab.process(2);
    assert!(!lab.journal_is_empty(), "the intent was written before the data");
    lab.drain(&[&next]).await;
    assert_eq!(lab.at(0, &key()), lab.at(1, &key()));
}

#[tokio::test(start_paused = true)]
async fn t33_without_intent_mending_finds_what_a_crash_left() {
    let lab = Lab::new(2);
    crash_between_the_legs(&lab).await;
    assert_ne!(lab.at(0, &key()), lab.at(1, &key()));
    let next = lab.process(2);
    next.store.mend(None).await;
    lab.expect_everywhere(&[&next], &key(), Some("new")).await;
}

#[tokio::test(start_paused = true)]
async fn t34_second_attempt_of_a_write_keeps_its_stamp_and_the_first_may_land_late() {
    for mut lab in [Lab::new(2), Lab::without_conditions(2)] {
        // Otherwise nobody waits for a backend that throttles.
        lab.settings.min_copies = 2;
        let process = lab.process(1);
        let late = Strike::FailLate(Failure::Throttled, lab.settings.quarantine);
        process.strike(0, Operation::PUTS, &key(), late);
        process.must_put(&key(), "v1").await;
        let of_v1 = stamp(&lab, 0, &key());
        assert_eq!(of_v1, stamp(&lab, 1, &key()), "the second attempt is the same write");
        process.must_put(&key(), "v2").await;
        let landed = || {
            let log = lab.backends[0].log().into_iter().filter(|change| change.key == key());
            log.filter(|change| change.now.as_deref() == Some(b"v1")).count() == 2
        };
        assert!(!landed(), "the first attempt is still on its way");
        wait_until(landed).await;
        assert_eq!(stamp(&lab, 0, &key()), of_v1, "the first attempt is the same write");
        assert_eq!(process.get(&key()).await.unwrap(), "v2");
        lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t34_throttled_write_waits_as_long_as_it_is_told_and_is_tried_again() {
    let mut lab = Lab::new(2);
    lab.settings.min_copies = 2;
    let process = lab.process(1);
    let pause = Duration::from_millis(400);
    process.strike(0, Operation::PUTS, &key(), Strike::Fail(Failure::ThrottledFor(pause)));
    let began = Instant::now();
    process.must_put(&key(), "v1").await;
    let took = began.elapsed();
    assert!(took >= pause && took < pause * 2, "{took:?}");
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v1"));
    assert!(lab.journal_is_empty(), "a throttled attempt lands nowhere");
}

#[tokio::test(start_paused = true)]
async fn t36_content_e_tags_do_not_pass_one_version_for_another() {
    let mut content = BackendSettings::default();
    content.content_etags = true;
    let lab = Lab::with(vec![content; 2]);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.refuse(0);
    process.must_put(&key(), "v2").await;
    process.must_put(&key(), "v1").await;
    process.recover(0).await;
    lab.expect_everywhere(&[&process], &key(), Some("v1")).await;
    assert_eq!(
        stamp(&lab, 0, &key()),
        stamp(&lab, 1, &key()),
        "the same bytes, and the same version"
    );
}

/// Simulation seed 225474.
#[tokio::test(start_paused = true)]
async fn write_goes_on_at_a_backend_that_was_busy_with_an_earlier_one_before_the_silent_ones_are_given_up()
 {
    let mut lab = Lab::new(2);
    lab.settings.slow_after = Duration::ZERO;
    let process = lab.process(1);
    let gate = Gate::new();
    process.strike(0, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    process.must_put(&key(), "v1").await;
    process.swallow(1);
    let began = Instant::now();
    let put = process.put(&key(), "v2");
    come_to_rest().await;
    gate.open();
    put.await.unwrap().unwrap();
    assert!(began.elapsed() < lab.settings.write_deadline / 2, "{:?}", began.elapsed());
    process.clear(1);
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
}

#[tokio::test(start_paused = true)]
async fn copies_that_are_needed_are_written_to_a_backend_that_others_outran() {
    let mut lab = Lab::new(2);
    lab.settings.min_copies = 2;
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.outrun_the_first(&key()).await;
    process.must_put(&key(), "v2").await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v2"));
}

/// Simulation seed 492510.
#[tokio::test(start_paused = true)]
async fn copies_that_are_needed_are_written_to_a_backend_that_answers_again_before_its_probe_is_due()
 {
    let mut lab = Lab::new(2);
    lab.settings.min_copies = 2;
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.refuse(0);
    let health = || process.store.status().backends[0].health;
    while health() != HealthState::Ejected {
        process.get(&key()).await.unwrap();
    }
    process.clear(0);
    process.must_put(&key(), "v2").await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v2"));
}

/// Simulation seed 55017892: the slow one was left out, because there were enough others, and then one of them fell silent.
#[tokio::test(start_paused = true)]
async fn copies_that_a_silent_backend_does_not_take_are_written_to_one_that_others_outran() {
    let mut lab = Lab::new(3);
    lab.settings.min_copies = 2;
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.outrun_the_first(&key()).await;
    process.swallow(1);
    process.must_put(&key(), "v2").await;
    process.delete(&key()).await.unwrap().unwrap();
    assert_eq!(lab.at(0, &key()), None);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_sent_a_write_after_all_has_an_intent_before() {
    let mut lab = Lab::new(3);
    lab.settings.min_copies = 2;
    lab.settings.intent = true;
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.outrun_the_first(&key()).await;
    process.swallow(1);
    let gate = Gate::new();
    process.strike(0, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let put = process.put(&key(), "v2");
    gate.reached().await;
    let says_that_it_may_land = |path: &Path| {
        path.as_ref().starts_with(&format!("{JOURNAL}sim.b0/"))
            && path.parts().nth(3).is_some_and(|name| name.as_ref().contains("_pa"))
    };
    assert!(lab.markers(2).iter().any(says_that_it_may_land), "{:?}", lab.markers(2));
    gate.open();
    put.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn where_nobody_serves_a_slow_backend_is_not_the_only_one_that_is_asked() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.outrun_the_first(&key()).await;
    process.refuse(1);
    for number in 0..lab.settings.health.consecutive_faults {
        drop(process.put(&Path::from(format!("data/{number}")), "x").await);
    }
    assert!(process.is_avoided(0) && process.is_avoided(1));
    process.swallow(0);
    process.clear(1);
    process.must_put(&key(), "v2").await;
    assert_eq!(lab.at(1, &key()).as_deref(), Some("v2"));
}

/// Simulation seed 14034639: what was sent then landed much later, and no marker said that it might.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_any_more_when_the_time_of_a_write_is_over() {
    let mut lab = Lab::new(2);
    lab.settings.write_deadline = lab.settings.attempt_deadline;
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    come_to_rest().await;
    process.refuse(0);
    while !process.is_avoided(0) {
        process.ask().await;
    }
    // The other one takes the delete, and not its marker.
    process.ways[1].add(Rule::new(Strike::Hang).on(Operation::PUTS).prefix(JOURNAL));
    let delete = process.delete(&key());
    process.clear(0);
    while process.is_avoided(0) {
        process.ask().await;
    }
    let sent = process.count(0, &[Operation::Delete], &key());
    let failed = delete.await.unwrap().unwrap_err();
    assert_eq!(reason(&failed), (Reason::NotRecorded, Effect::Unknown), "{failed}");
    assert_eq!(sent.count(), 0);
    process.clear(1);
    lab.expect_everywhere(&[&process], &key(), None).await;
}

/// A store that repeats by itself: its first request lands when the second one has long succeeded.
#[tokio::test(start_paused = true)]
async fn first_request_of_a_repeated_put_does_not_bring_an_old_version_back() {
    let mut lab = Lab::new(2);
    lab.repeating = true;
    let process = lab.process(1);
    let late = Duration::from_secs(30);
    process.strike(0, Operation::PUTS, &key(), Strike::FailLate(Failure::Reset, late));
    process.must_put(&key(), "v1").await;
    process.store.catch_up().await;
    process.must_put(&key(), "v2").await;
    sleep(late * 2).await;
    assert_eq!(process.get(&key()).await.unwrap(), "v2");
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
}

/// Simulation seed 40127654.
#[tokio::test(start_paused = true)]
async fn nor_does_that_of_one_which_failed_for_want_of_copies() {
    let mut lab = Lab::new(2);
    lab.repeating = true;
    lab.settings.min_copies = 2;
    let process = lab.process(1);
    process.must_put(&key(), "v0").await;
    process.refuse(1);
    let late = Duration::from_secs(30);
    process.strike(0, Operation::PUTS, &key(), Strike::FailLate(Failure::Reset, late));
    let failed = process.put(&key(), "v1").await.unwrap().unwrap_err();
    assert_eq!(reason(&failed), (Reason::TooFewCopies, Effect::Unknown), "{failed}");
    process.recover(1).await;
    process.store.catch_up().await;
    process.must_put(&key(), "v2").await;
    sleep(late * 2).await;
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
}
