//! Traps of several writers, and of writers and those who catch up.

use std::time::Duration;

use lifeboat_core::Effect;
use lifeboat_failover::Reason;
use lifeboat_testkit::fault_store::{Gate, Operation, Rule, Strike};
use lifeboat_testkit::simulation::{BackendSettings, Conditions};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::lab::{Lab, Process, come_to_rest, key, reason, stamp};

/// b0 has missed v1, and a process has begun to bring it there: its put on b0 is held at the gate. Whoever wrote v1
/// is gone, so that nobody else has caught up before.
async fn catching_up(lab: &Lab) -> (Process, Gate) {
    let gone = lab.process(1);
    gone.must_put(&key(), "v0").await;
    gone.refuse(0);
    gone.must_put(&key(), "v1").await;
    gone.spawner.crash();
    let runner = lab.process(9);
    let gate = Gate::new();
    runner.strike(0, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    runner.store.start();
    let begins = timeout(lab.settings.quarantine, gate.reached()).await;
    begins.expect("it catches up by itself");
    (runner, gate)
}

#[tokio::test(start_paused = true)]
async fn t06_catch_up_does_not_overwrite_what_another_process_wrote_meanwhile() {
    for lab in [Lab::new(2), Lab::without_conditions(2)] {
        let (runner, gate) = catching_up(&lab).await;
        let writer = lab.process(2);
        writer.must_put(&key(), "v2").await;
        // Nobody else has anything left to do.
        writer.store.catch_up().await;
        gate.open();
        come_to_rest().await;
        assert_eq!(writer.get(&key()).await.unwrap(), "v2");
        lab.expect_everywhere(&[&writer, &runner], &key(), Some("v2")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t07_catch_up_does_not_bring_back_what_was_deleted_meanwhile() {
    for lab in [Lab::new(2), Lab::without_conditions(2)] {
        let (runner, gate) = catching_up(&lab).await;
        let writer = lab.process(2);
        writer.delete(&key()).await.unwrap().unwrap();
        gate.open();
        come_to_rest().await;
        lab.expect_everywhere(&[&writer, &runner], &key(), None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t09_two_processes_that_overwrite_a_key_at_once_end_with_one_version() {
    for lab in [Lab::new(2), Lab::without_conditions(2)] {
        let (one, other) = (lab.process(1), lab.process(2));
        let gates = [Gate::new(), Gate::new()];
        one.strike(1, Operation::PUTS, &key(), Strike::Hold(gates[1].clone()));
        other.strike(0, Operation::PUTS, &key(), Strike::Hold(gates[0].clone()));
        let (first, second) = (one.put(&key(), "one"), other.put(&key(), "other"));
        gates[0].reached().await;
        gates[1].reached().await;
        come_to_rest().await;
        gates.iter().for_each(Gate::open);
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        assert_ne!(lab.at(0, &key()), lab.at(1, &key()), "that is the trap");
        lab.drain(&[&one, &other]).await;
        assert_eq!(lab.at(0, &key()), lab.at(1, &key()));
    }
}

#[tokio::test(start_paused = true)]
async fn t14_clock_an_hour_ahead_is_not_followed_and_does_not_lose_a_later_write() {
    let lab = Lab::new(2);
    let (ahead, right) = (lab.process_ahead(1, 3_600_000), lab.process(2));
    ahead.must_put(&key(), "of the fast clock").await;
    assert_eq!(right.get(&key()).await.unwrap(), "of the fast clock");
    right.refuse(0);
    right.must_put(&key(), "later").await;
    right.recover(0).await;
    assert_eq!(right.get(&key()).await.unwrap(), "later");
    lab.drain(&[&right]).await;
    let everywhere = lab.at(0, &key()).as_deref() == Some("later");
    assert!(everywhere || lab.kept().contains(&"later".to_owned()), "lost");
    assert_eq!(lab.at(0, &key()), lab.at(1, &key()));
    // Other keys are not dated by it.
    let elsewhere = Path::from("data/elsewhere");
    right.must_put(&elsewhere, "x").await;
    let stamp = stamp(&lab, 0, &elsewhere);
    let millis = u64::from_str_radix(&stamp[..12], 16).unwrap();
    let now = u64::try_from(lifeboat_testkit::simulation::EPOCH_MILLIS).unwrap();
    assert!(millis < now + 1_800_000, "{stamp} lies ahead");
}

#[tokio::test(start_paused = true)]
async fn t27_runner_that_was_paused_for_minutes_does_not_bring_back_what_is_old() {
    for lab in [Lab::new(2), Lab::without_conditions(2)] {
        let (runner, gate) = catching_up(&lab).await;
        let writer = lab.process(2);
        // Another runner does the same work meanwhile, and life goes on.
        writer.store.catch_up().await;
        writer.must_put(&key(), "v2").await;
        // Within the longest time a request can take to land.
        sleep(lab.settings.quarantine / 2).await;
        gate.open();
        come_to_rest().await;
        lab.expect_everywhere(&[&writer, &runner], &key(), Some("v2")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t28_what_someone_wrote_during_the_outage_is_kept() {
    for lab in [Lab::new(2), Lab::without_conditions(2)] {
        let process = lab.process(1);
        process.must_put(&key(), "v0").await;
        process.refuse(0);
        process.must_put(&key(), "ours").await;
        lab.backends[0].write_directly(&key(), "someone else's");
        process.recover(0).await;
        lab.drain(&[&process]).await;
        let there = lab.at(0, &key()).unwrap();
        assert_eq!(Some(&there), lab.at(1, &key()).as_ref());
        let kept = lab.kept();
        for text in ["ours", "someone else's"] {
            assert!(there == text || kept.contains(&text.to_owned()), "{text} is lost");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t31_after_a_provider_lost_writes_mending_restores_them() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    sleep(Duration::from_mins(1)).await;
    let moment = lab.backends[0].now();
    process.must_put(&key(), "v2").await;
    let created = Path::from("data/created");
    process.must_put(&created, "c").await;
    assert_eq!(lab.backends[0].lose_since(moment).len(), 2);
    process.store.mend(None).await;
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
    lab.expect_everywhere(&[&process], &created, Some("c")).await;
}

#[tokio::test(start_paused = true)]
async fn t35_repair_leaves_the_markers_of_a_running_operation_alone() {
    for lab in [Lab::new(2), Lab::without_conditions(2)] {
        let (writer, runner) = (lab.process(1), lab.process(2));
        writer.must_put(&key(), "v1").await;
        runner.store.loaded().await;
        // The leg to b0 is on its way and takes its time; a marker stands in for it.
        let gate = Gate::new();
        writer.strike(0, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
        writer.must_put(&key(), "v2").await;
        assert!(!lab.markers(1).is_empty());
        // Somebody else repairs at once, then everything is overwritten once more.
        runner.store.journal().await.unwrap();
        runner.store.catch_up().await;
        assert!(!lab.journal_is_empty(), "v2 may still land on b0");
        let _ = runner.store.head(&key()).await;
        runner.must_put(&key(), "v3").await;
        gate.open();
        come_to_rest().await;
        lab.expect_everywhere(&[&writer, &runner], &key(), Some("v3")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t06_joining_rule_lets_writes_of_a_dirty_key_leave_markers_even_when_confirmed() {
    let lab = Lab::without_conditions(2);
    let (one, other) = (lab.process(1), lab.process(2));
    one.refuse(0);
    one.must_put(&key(), "v1").await;
    sleep(lab.settings.journal_poll * 2).await;
    // `other` reaches b0 all the time, and knows by now that the key has a marker for b0.
    let before = lab.markers(1).len();
    other.must_put(&key(), "v2").await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v2"));
    assert!(lab.markers(1).len() > before, "confirmed, and marked all the same");
    one.recover(0).await;
    lab.expect_everywhere(&[&one, &other], &key(), Some("v2")).await;
}

/// A backend that a writer alone reaches, with an older version that a runner is just bringing there: it waits at the gate.
async fn older_version_on_its_way(lab: &Lab) -> (Process, Process, Gate) {
    older_state_on_its_way(lab, Operation::PUTS, |writer| writer.put(&key(), "old"), None).await
}

/// The same for what is done while that backend is away, and for the request by which it is brought there; and for what the
/// runner puts then, of which the writer does not hear.
async fn older_state_on_its_way(
    lab: &Lab,
    brought_by: &[Operation],
    older: impl FnOnce(&Process) -> JoinHandle<object_store::Result<()>>,
    unheard: Option<&'static str>,
) -> (Process, Process, Gate) {
    let (writer, runner) = (lab.process(1), lab.process(2));
    writer.refuse(1);
    runner.refuse(1);
    older(&writer).await.unwrap().unwrap();
    sleep(lab.settings.journal_poll * 4).await;
    // Each of them reaches one backend that the other one does not.
    writer.refuse(0);
    if let Some(unheard) = unheard {
        runner.must_put(&key(), unheard).await;
    }
    writer.recover(1).await;
    let gate = Gate::new();
    runner.clear(1);
    runner.strike(1, brought_by, &key(), Strike::Hold(gate.clone()));
    let asking = async {
        loop {
            runner.ask().await;
        }
    };
    tokio::select! {
        () = gate.reached() => {}
        () = asking => {}
    }
    let late = Strike::Delay(Duration::from_millis(300));
    writer.ways[1].add(Rule::new(late).on(&[Operation::Head]).key(key().as_ref()));
    (writer, runner, gate)
}

/// The writer puts "new", which is there for a while before what is on its way lands; and is acknowledged.
async fn put_before_it_lands(lab: &Lab, writer: &Process, gate: &Gate) {
    writer.clear(1);
    let put = writer.put(&key(), "new");
    sleep(lab.settings.attempt_deadline / 2).await;
    assert_eq!(lab.at(1, &key()).as_deref(), Some("new"));
    gate.open();
    put.await.unwrap().unwrap();
}

fn without_conditions() -> BackendSettings {
    let mut settings = BackendSettings::default();
    settings.conditions = Conditions::Ignored;
    settings
}

fn second_without_conditions() -> Lab {
    Lab::with(vec![BackendSettings::default(), without_conditions()])
}

/// Simulation seed 103686.
#[tokio::test(start_paused = true)]
async fn what_only_a_backend_without_conditions_took_outlives_a_catch_up_that_was_on_its_way_there()
{
    let lab = second_without_conditions();
    let (writer, runner, gate) = older_version_on_its_way(&lab).await;
    let put = writer.put(&key(), "new");
    come_to_rest().await;
    gate.open();
    put.await.unwrap().unwrap();
    writer.recover(0).await;
    lab.expect_everywhere(&[&writer, &runner], &key(), Some("new")).await;
}

/// Simulation seed 9059854.
#[tokio::test(start_paused = true)]
async fn such_a_catch_up_that_takes_its_time_does_not_take_the_only_copy_either() {
    let lab = second_without_conditions();
    let (writer, runner, gate) = older_version_on_its_way(&lab).await;
    put_before_it_lands(&lab, &writer, &gate).await;
    // What was on its way is over by now: the next write waits for nothing.
    let began = Instant::now();
    writer.must_put(&key(), "newer").await;
    assert!(began.elapsed() < lab.settings.attempt_deadline / 2, "{:?}", began.elapsed());
    writer.recover(0).await;
    lab.expect_everywhere(&[&writer, &runner], &key(), Some("newer")).await;
}

#[tokio::test(start_paused = true)]
async fn nor_does_one_that_brings_what_the_writer_has_not_heard_of() {
    let lab = second_without_conditions();
    let old = |writer: &Process| writer.put(&key(), "old");
    let (writer, runner, gate) =
        older_state_on_its_way(&lab, Operation::PUTS, old, Some("unheard of")).await;
    put_before_it_lands(&lab, &writer, &gate).await;
    writer.recover(0).await;
    lab.expect_everywhere(&[&writer, &runner], &key(), Some("new")).await;
}

/// Simulation seed 40120374.
#[tokio::test(start_paused = true)]
async fn nor_does_one_that_brings_back_what_has_just_been_deleted() {
    let lab = second_without_conditions();
    let (writer, runner) = (lab.process(1), lab.process(2));
    runner.store.loaded().await;
    writer.refuse(1);
    writer.must_put(&key(), "old").await;
    writer.recover(1).await;
    sleep(lab.settings.journal_poll * 4).await;
    writer.must_put(&key(), "older").await;
    // Nobody has had anything to bring there for longer than that takes.
    sleep(lab.settings.attempt_deadline + Duration::from_millis(1)).await;
    writer.must_put(&key(), "later").await;
    // The writer deletes it there alone. The runner hears of what came before that, and of the delete only later.
    let (gate, later) = (Gate::new(), lab.settings.stall_deadline.mul_f64(0.9));
    runner.ways[1].add(Rule::new(Strike::Delay(later)).on(&[Operation::List]));
    runner.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    writer.refuse(0);
    writer.delete(&key()).await.unwrap().unwrap();
    let brought_back = timeout(lab.settings.journal_poll * 2, gate.reached()).await;
    brought_back.expect("it is missing there for the runner");
    let put = writer.put(&key(), "new");
    come_to_rest().await;
    gate.open();
    put.await.unwrap().unwrap();
    writer.recover(0).await;
    lab.expect_everywhere(&[&writer, &runner], &key(), Some("new")).await;
}

/// Simulation seed 51002407.
#[tokio::test(start_paused = true)]
async fn sole_copy_is_not_held_back_when_a_backend_that_was_busy_can_take_the_write() {
    let lab = Lab::without_conditions(2);
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    process.refuse(0);
    process.must_put(&key(), "missed").await;
    process.recover(0).await;
    sleep(lab.settings.journal_poll * 4).await;
    assert!(!lab.markers(1).is_empty(), "b0 may be brought something");
    // b1 is still busy with a delete that was acknowledged without it.
    let gate = Gate::new();
    process.strike(1, &[Operation::Delete], &key(), Strike::Hold(gate.clone()));
    process.delete(&key()).await.unwrap().unwrap();
    let began = Instant::now();
    let put = process.put(&key(), "new");
    come_to_rest().await;
    gate.open();
    put.await.unwrap().unwrap();
    assert!(began.elapsed() < lab.settings.attempt_deadline / 2, "{:?}", began.elapsed());
    assert_eq!(lab.at(1, &key()).as_deref(), Some("new"));
    lab.expect_everywhere(&[&process], &key(), Some("new")).await;
}

#[tokio::test(start_paused = true)]
async fn backend_without_conditions_waits_for_its_own_marker_to_be_heard_of() {
    let lab = Lab::with(vec![
        BackendSettings::default(),
        without_conditions(),
        BackendSettings::default(),
    ]);
    let (writer, runner) = (lab.process(1), lab.process(2));
    runner.store.loaded().await;
    writer.refuse(1);
    writer.refuse(2);
    writer.must_put(&key(), "new").await;
    runner.store.journal().await.unwrap();
    runner.store.catch_up().await;
    assert_eq!(lab.at(2, &key()).as_deref(), Some("new"), "the condition guards it");
    assert_eq!(
        lab.at(1, &key()),
        None,
        "not everybody knows that its own writes must leave markers"
    );
    lab.expect_everywhere(&[&runner], &key(), Some("new")).await;
}

#[tokio::test(start_paused = true)]
async fn catch_up_that_deletes_does_not_take_the_only_copy() {
    // A delete knows no condition, wherever it goes.
    let lab = Lab::new(2);
    lab.process(3).must_put(&key(), "oldest").await;
    come_to_rest().await;
    let delete = |writer: &Process| writer.delete(&key());
    let (writer, runner, gate) =
        older_state_on_its_way(&lab, &[Operation::Delete], delete, None).await;
    put_before_it_lands(&lab, &writer, &gate).await;
    writer.recover(0).await;
    lab.expect_everywhere(&[&writer, &runner], &key(), Some("new")).await;
}

#[tokio::test(start_paused = true)]
async fn catch_up_in_parts_looks_once_more_before_it_completes() {
    let lab = Lab::new(2);
    let large = |writer: &Process| {
        let store = writer.store.clone();
        let body = bytes::Bytes::from(vec![1; 17 << 20]);
        writer.run(async move { store.put(&key(), body.into()).await.map(drop) })
    };
    let parts = [Operation::MultipartPart];
    let (writer, runner, gate) = older_state_on_its_way(&lab, &parts, large, None).await;
    writer.clear(1);
    writer.must_put(&key(), "new").await;
    gate.open();
    come_to_rest().await;
    assert_eq!(lab.at(1, &key()).as_deref(), Some("new"));
    writer.recover(0).await;
    lab.expect_everywhere(&[&writer, &runner], &key(), Some("new")).await;
}

/// Simulation seed 7092163.
#[tokio::test(start_paused = true)]
async fn upload_that_such_a_catch_up_overwrites_is_not_acknowledged() {
    let lab = second_without_conditions();
    let (writer, runner, gate) = older_version_on_its_way(&lab).await;
    let store = writer.store.clone();
    let upload = writer.run(async move {
        let mut upload = store.put_multipart(&key()).await?;
        upload.put_part("new".into()).await?;
        upload.complete().await.map(drop)
    });
    while lab.at(1, &key()).is_none() {
        come_to_rest().await;
    }
    gate.open();
    let failed = upload.await.unwrap().unwrap_err();
    assert_eq!(reason(&failed), (Reason::Unavailable, Effect::Unknown));
    assert!(failed.to_string().contains("an older state"), "{failed}");
    writer.recover(0).await;
    lab.expect_everywhere(&[&writer, &runner], &key(), Some("old")).await;
}
