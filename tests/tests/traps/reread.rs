//! Traps that were found by reading the engine against its own rules: each test failed before its remedy.

use std::time::Duration;

use lifeboat_core::Effect;
use lifeboat_failover::{Reason, StaleReads};
use lifeboat_testkit::fault_store::{Failure, Gate, Operation, Rule, Strike};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use tokio::time::{Instant, sleep};

use crate::conditional::update;
use crate::lab::{JOURNAL, Lab, Process, come_to_rest, fresh_way, key, reason, wait_until};
use crate::meanwhile::deleted_while_it_is_mended;
use crate::settings::two_copies;

/// Simulation seed 64130966: a write that nobody acknowledged was compared when b1, which had been throttling, could not be
/// asked, and then not before its marker's quarantine was over.
#[tokio::test(start_paused = true)]
async fn write_that_nobody_acknowledged_is_compared_when_all_answer() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.ways[1].set([Rule::new(Strike::Fail(Failure::Throttled))]);
    process.strike(0, Operation::PUTS, &key(), Strike::FailAfter(Failure::Reset));
    let failed = process.put(&key(), "v2").await.unwrap().unwrap_err();
    assert_eq!(reason(&failed).1, Effect::Unknown, "{failed}");
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v2"), "it has landed there");
    let about = |path: &Path| path.as_ref().ends_with("data=2Fk");
    sleep(lab.settings.journal_poll * 3).await;
    assert!(!lab.markers(1).iter().any(about), "{:?}", lab.markers(1));
    process.clear(1);
    let end = lab.settings.write_deadline + lab.settings.journal_poll * 5;
    assert!(end < lab.settings.quarantine);
    sleep(end).await;
    assert_eq!(lab.at(1, &key()).as_deref(), Some("v2"));
}

/// What a rename finds may be served to readers, who have agreed to that; but it deletes what it has not found.
#[tokio::test(start_paused = true)]
async fn rename_does_not_take_an_older_version_and_delete_the_latest() {
    let mut lab = Lab::new(2);
    lab.settings.stale_reads = StaleReads::Serve;
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.lose(1).await;
    process.must_put(&key(), "v2").await;
    process.refuse(0);
    process.recover(1).await;
    assert_eq!(process.get(&key()).await.unwrap(), "v1", "readers have it");
    let to = Path::from("data/to");
    for failed in [
        process.store.rename(&key(), &to).await.unwrap_err(),
        process.store.copy(&key(), &to).await.unwrap_err(),
    ] {
        assert_eq!(reason(&failed), (Reason::Stale, Effect::None), "{failed}");
    }
    process.recover(0).await;
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
    lab.expect_everywhere(&[&process], &to, None).await;
}

/// Where two must have it, and one that comes later refuses it, the first has it all the same.
#[tokio::test(start_paused = true)]
async fn refusal_of_a_later_backend_does_not_say_that_nothing_happened() {
    let lab = two_copies(Lab::new(2));
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    come_to_rest().await;
    process.strike(1, Operation::PUTS, &key(), Strike::Fail(Failure::Denied));
    let failed = process.put(&key(), "v2").await.unwrap().unwrap_err();
    assert_eq!(reason(&failed), (Reason::TooFewCopies, Effect::Unknown), "{failed}");
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v2"));
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
}

#[tokio::test(start_paused = true)]
async fn write_that_a_later_backend_refuses_goes_to_one_that_is_avoided() {
    let lab = two_copies(Lab::new(3));
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.outrun_the_first(&key()).await;
    process.strike(2, Operation::PUTS, &key(), Strike::Fail(Failure::Denied));
    process.must_put(&key(), "v2").await;
    assert_eq!([0, 1].map(|at| lab.at(at, &key())), [Some("v2".into()), Some("v2".into())]);
}

/// Uploads a small object in one part.
async fn upload(process: &Process, text: &'static str) -> object_store::Result<()> {
    let mut upload = process.store.put_multipart(&key()).await?;
    upload.put_part(text.into()).await?;
    upload.complete().await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn upload_begins_at_a_backend_that_is_avoided_where_too_few_others_take_it() {
    let lab = two_copies(Lab::new(3));
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.outrun_the_first(&key()).await;
    process.strike(2, &[Operation::MultipartBegin], &key(), Strike::Fail(Failure::Down));
    upload(&process, "v2").await.unwrap();
    assert_eq!([0, 1].map(|at| lab.at(at, &key())), [Some("v2".into()), Some("v2".into())]);
}

/// Nobody sends gigabytes for an upload that cannot be completed.
#[tokio::test(start_paused = true)]
async fn upload_in_which_too_few_take_part_ends_at_once() {
    for step in [Operation::MultipartBegin, Operation::MultipartPart] {
        let lab = two_copies(Lab::new(2));
        let process = lab.process(1);
        process.must_put(&key(), "v1").await;
        process.strike(1, &[step], &key(), Strike::Fail(Failure::Down));
        let mut begun = process.store.put_multipart(&key()).await;
        let failed = match &mut begun {
            Err(error) => error,
            Ok(upload) => &mut upload.put_part("v2".into()).await.unwrap_err(),
        };
        assert_eq!(reason(failed), (Reason::TooFewCopies, Effect::None), "{step:?}: {failed}");
        lab.expect_everywhere(&[&process], &key(), Some("v1")).await;
    }
}

/// It was dated before the journal was read that tells of a delete by somebody whose clock is ahead.
#[tokio::test(start_paused = true)]
async fn create_is_dated_after_the_delete_that_it_has_just_read_of() {
    let lab = Lab::new(2);
    let ahead = lab.process_ahead(1, 30_000);
    ahead.must_put(&key(), "v1").await;
    ahead.lose(0).await;
    ahead.delete(&key()).await.unwrap().unwrap();
    ahead.clear(0);
    while lab.at(0, &key()).is_some() {
        ahead.ask().await;
    }
    ahead.spawner.crash();
    let about = |path: &Path| path.as_ref().ends_with("data=2Fk");
    assert!(lab.markers(1).iter().any(about), "it stays for a while");
    let ways = vec![fresh_way(), fresh_way()];
    let unread = Rule::new(Strike::Fail(Failure::Reset)).on(&[Operation::List]);
    ways[1].add(unread.prefix(JOURNAL.trim_end_matches('/')).times(1));
    let next = lab.process_through(2, 0, ways);
    next.store.loaded().await;
    assert!(!next.store.status().backends[1].journal_read, "it has yet to read of it");
    next.store.put_opts(&key(), "v2".into(), PutMode::Create.into()).await.unwrap();
    assert_eq!(next.get(&key()).await.unwrap(), "v2");
    lab.expect_everywhere(&[&next], &key(), Some("v2")).await;
}

/// The present version's stamp has to be known: one answer that is lost is asked for again.
#[tokio::test(start_paused = true)]
async fn update_is_dated_after_a_version_whose_first_look_failed() {
    let lab = Lab::new(2);
    let (ahead, other) = (lab.process_ahead(1, 30_000), lab.process(2));
    other.store.loaded().await;
    ahead.must_put(&key(), "v1").await;
    come_to_rest().await;
    let e_tag = lab.backends[0].object(&key()).unwrap().e_tag;
    other.strike(0, &[Operation::Head], &key(), Strike::Fail(Failure::Reset));
    update(&other, Some(e_tag), "v2").await.unwrap();
    lab.expect_everywhere(&[&ahead, &other], &key(), Some("v2")).await;
    // Where it cannot be known, nothing is decided.
    let e_tag = lab.backends[0].object(&key()).unwrap().e_tag;
    other.ways[0]
        .add(Rule::new(Strike::Fail(Failure::Reset)).on(&[Operation::Head]).key(key().as_ref()));
    let failed = update(&other, Some(e_tag), "v3").await.unwrap_err();
    assert_eq!(reason(&failed), (Reason::Undecidable, Effect::None), "{failed}");
}

/// A source that trickles is never silent, and the keys are locked meanwhile.
#[tokio::test(start_paused = true)]
async fn copy_of_what_trickles_gives_up() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    let long: &'static str = Box::leak("x".repeat(64 << 10).into_boxed_str());
    process.must_put(&key(), long).await;
    for way in &process.ways {
        way.add(Rule::new(Strike::Drip(Duration::from_secs(1))).on(&[Operation::Get]));
    }
    let (began, to) = (Instant::now(), Path::from("data/to"));
    let failed = process.store.copy(&key(), &to).await.unwrap_err();
    assert_eq!(reason(&failed), (Reason::Unavailable, Effect::None), "{failed}");
    assert!(began.elapsed() < lab.settings.read_deadline * 2, "{:?}", began.elapsed());
    process.must_put(&key(), "v2").await;
    lab.expect_everywhere(&[&process], &to, None).await;
}

/// Whether the source still had it when it had landed was asked once, and that got no answer.
#[tokio::test(start_paused = true)]
async fn deleted_key_is_not_brought_back_because_one_look_failed() {
    // Which of the looks at the source fails: one of them belongs to the copy itself.
    for look in 0..3 {
        let mut lab = Lab::new(2);
        lab.settings.attempt_deadline = lab.settings.settle_after * 5;
        let (runner, deleter, gate, mending) = deleted_while_it_is_mended(&lab).await;
        sleep(lab.settings.settle_after * 3).await;
        let failing = Rule::new(Strike::Fail(Failure::Reset)).on(&[Operation::Head]);
        runner.ways[1].add(failing.key(key().as_ref()).skip(look).times(1));
        gate.open();
        mending.await.unwrap();
        wait_until(|| lab.at(0, &key()).is_none()).await;
        lab.drain(&[&runner, &deleter]).await;
        let left = [0, 1].map(|at| lab.at(at, &key()));
        assert_eq!(left, [None, None], "look {look}");
    }
}

/// The intents of a process that was killed speak of a version that nobody has.
#[tokio::test(start_paused = true)]
async fn update_beside_intents_of_the_dead_is_not_decided_again_and_again() {
    let mut lab = Lab::new(2);
    lab.settings.intent = true;
    let (killed, process) = (lab.process(1), lab.process(2));
    process.store.loaded().await;
    killed.must_put(&key(), "v1").await;
    let gate = Gate::new();
    for at in [0, 1] {
        killed.strike(at, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    }
    drop(killed.put(&key(), "v2"));
    gate.reached_by(2).await;
    killed.spawner.crash();
    sleep(lab.settings.journal_poll * 2).await;
    let before = process.ways[0].requests();
    let began = Instant::now();
    let failed = update(&process, Some("\"other\"".to_owned()), "v3").await.unwrap_err();
    assert!(matches!(failed, Error::Precondition { .. }), "{failed}");
    let asked = process.ways[0].requests() - before;
    assert!(asked < 60, "{asked} requests in {:?}", began.elapsed());
    assert!(began.elapsed() < lab.settings.attempt_deadline, "{:?}", began.elapsed());
}
