//! Traps of conditional writes.

use std::time::Duration;

use lifeboat_failover::{FailoverError, HealthState, Reason};
use lifeboat_testkit::fault_store::{Failure, Gate, Operation, Rule, Strike};
use lifeboat_testkit::simulation::BackendSettings;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};
use tokio::time::{Instant, sleep};

use crate::lab::{Lab, Process, come_to_rest, key};

async fn create(process: &Process, text: &'static str) -> object_store::Result<()> {
    process.store.put_opts(&key(), text.into(), PutMode::Create.into()).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn t10_replicas_get_compare_and_swap_winners_in_their_order() {
    let lab = Lab::new(2);
    let (one, other) = (lab.process(1), lab.process(2));
    one.put(&key(), "v0").await.unwrap().unwrap();
    let update = async |process: &Process, text: &'static str| {
        let e_tag = process.store.head(&key()).await.unwrap().e_tag;
        let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
        process.store.put_opts(&key(), text.into(), mode.into()).await.map(drop)
    };
    // The replica leg of v1 is late; v2 is written by someone else meanwhile.
    let gate = Gate::new();
    one.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let first = async {
        update(&one, "v1").await.unwrap();
    };
    let second = async {
        gate.reached().await;
        update(&other, "v2").await.unwrap();
        gate.open();
    };
    tokio::join!(first, second);
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v2"));
    lab.expect_everywhere(&[&one, &other], &key(), Some("v2")).await;
}

#[tokio::test(start_paused = true)]
async fn t11_create_whose_answer_is_lost_is_not_taken_for_someone_elses() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.strike(0, &[Operation::Create], &key(), Strike::FailAfter(Failure::Reset));
    create(&process, "ours").await.unwrap();
    lab.expect_everywhere(&[&process], &key(), Some("ours")).await;
    let again = create(&process, "again").await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn t12_conflict_of_a_race_in_flight_is_not_taken_for_an_object() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.strike(0, &[Operation::Create], &key(), Strike::Fail(Failure::AlreadyExists));
    create(&process, "ours").await.unwrap();
    lab.expect_everywhere(&[&process], &key(), Some("ours")).await;
}

#[tokio::test(start_paused = true)]
async fn t24_e_tag_of_one_backend_never_holds_on_another() {
    // The worst case: equal contents have equal ETags at both providers.
    let mut content = BackendSettings::default();
    content.content_etags = true;
    let lab = Lab::with(vec![content; 2]);
    let process = lab.process(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    let of_b0 = process.store.head(&key()).await.unwrap().e_tag;
    process.refuse(0);
    sleep(Duration::from_secs(1)).await;
    let if_match = GetOptions::new().with_if_match(of_b0.clone());
    let read = process.store.get_opts(&key(), if_match).await;
    assert!(read.is_err(), "b1 holds the same bytes under the same ETag, and must not pass for b0");
    let mode = PutMode::Update(UpdateVersion { e_tag: of_b0, version: None });
    assert!(process.store.put_opts(&key(), "v2".into(), mode.into()).await.is_err());
    assert_eq!(lab.at(1, &key()).as_deref(), Some("v1"));
    // One taken from b1 holds on b1.
    let of_b1 = process.store.head(&key()).await.unwrap().e_tag;
    let if_match = GetOptions::new().with_if_match(of_b1);
    process.store.get_opts(&key(), if_match).await.unwrap();
}

/// The key's ETag as the replica gave it: the first backend was late, and a hedge won.
async fn tag_of_replica(process: &Process) -> Option<String> {
    let late = Rule::new(Strike::Delay(Duration::from_secs(1))).on(&[Operation::Head]);
    process.ways[0].add(late.key(key().as_ref()).times(1));
    let e_tag = process.store.head(&key()).await.unwrap().e_tag;
    assert!(e_tag.as_deref().is_some_and(|tag| tag.starts_with("lifeboat-")), "{e_tag:?}");
    e_tag
}

/// Updates the key if it has this `ETag`.
pub(crate) async fn update(
    process: &Process,
    e_tag: Option<String>,
    text: &'static str,
) -> object_store::Result<()> {
    let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
    process.store.put_opts(&key(), text.into(), mode.into()).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn t24_e_tag_that_a_hedged_read_got_from_the_replica_holds_where_the_condition_is_decided() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    let e_tag = tag_of_replica(&process).await;
    update(&process, e_tag.clone(), "v2").await.unwrap();
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v2"));
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
    // And only once.
    let again = update(&process, e_tag, "v3").await;
    assert!(matches!(again, Err(Error::Precondition { .. })), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn t24_e_tag_that_the_replica_gave_in_an_outage_holds_after_it() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&key(), "v0").await.unwrap().unwrap();
    process.refuse(0);
    process.put(&key(), "v1").await.unwrap().unwrap();
    let e_tag = process.store.head(&key()).await.unwrap().e_tag;
    process.recover(0).await;
    update(&process, e_tag, "v2").await.unwrap();
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
}

#[tokio::test(start_paused = true)]
async fn t24_e_tag_of_a_replica_that_lags_behind_the_decider_fails_the_precondition() {
    let lab = Lab::new(2);
    let (process, other) = (lab.process(1), lab.process(2));
    process.put(&key(), "v1").await.unwrap().unwrap();
    let e_tag = tag_of_replica(&process).await;
    // Only the first backend gets v2, and this process has not heard of it.
    other.refuse(1);
    other.put(&key(), "v2").await.unwrap().unwrap();
    let lost = update(&process, e_tag, "v3").await;
    assert!(matches!(lost, Err(Error::Precondition { .. })), "{lost:?}");
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v2"));
}

#[tokio::test(start_paused = true)]
async fn t24_e_tag_of_a_backend_that_cannot_be_asked_decides_nothing() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    let e_tag = tag_of_replica(&process).await;
    process.refuse(1);
    // Known to be down, and not known yet.
    for _ in 0..2 {
        let open = update(&process, e_tag.clone(), "v2").await.unwrap_err();
        let why = FailoverError::find(&open).map(FailoverError::reason);
        assert_eq!(why, Some(Reason::Undecidable), "{open}");
        assert!(open.to_string().contains("b1"), "{open}");
        assert_eq!(lab.at(0, &key()).as_deref(), Some("v1"));
        sleep(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn t24_reading_with_the_e_tag_of_a_backend_that_is_down_is_no_failed_precondition() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    let of_b0 = process.store.head(&key()).await.unwrap().e_tag;
    process.refuse(0);
    while process.store.status().backends[0].health != HealthState::Ejected {
        let _ = process.put(&Path::from("data/other"), "x").await.unwrap();
    }
    let if_match = GetOptions::new().with_if_match(of_b0);
    let error = process.store.get_opts(&key(), if_match).await.unwrap_err();
    let why = FailoverError::find(&error).map(FailoverError::reason);
    assert_eq!(why, Some(Reason::Unavailable), "{error}");
    assert!(error.to_string().contains("b0"), "{error}");
    // What it never had it never gave an ETag for.
    let if_match = GetOptions::new().with_if_match(Some("\"b0-1\""));
    process.put(&key(), "v2").await.unwrap().unwrap();
    let error = process.store.get_opts(&key(), if_match).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
}

/// Simulation seed 38075.
#[tokio::test(start_paused = true)]
async fn a_condition_that_the_backend_does_not_enforce_is_refused_as_such_also_where_it_lags() {
    let lab = Lab::without_conditions(2);
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    process.refuse(0);
    process.delete(&key()).await.unwrap().unwrap();
    process.recover(0).await;
    let began = Instant::now();
    for mode in
        [PutMode::Create, PutMode::Update(UpdateVersion { e_tag: Some("x".into()), version: None })]
    {
        let refused = process.store.put_opts(&key(), "new".into(), mode.into()).await.unwrap_err();
        assert!(matches!(refused, Error::NotSupported { .. }), "{refused}");
    }
    assert!(began.elapsed() < lab.settings.attempt_deadline / 2, "{:?}", began.elapsed());
}

/// Simulation seed 4004740.
#[tokio::test(start_paused = true)]
async fn create_does_not_wait_for_a_silent_decider_to_hear_which_of_two_versions_is_later() {
    let lab = Lab::new(2);
    let (one, other) = (lab.process(1), lab.process(2));
    one.must_put(&Path::from("data/other"), "x").await;
    let gate = Gate::new();
    one.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    let store = one.store.clone();
    let created = one.run(async move {
        store.put_opts(&key(), "v1".into(), PutMode::Create.into()).await.map(drop)
    });
    gate.reached().await;
    one.swallow(0);
    other.swallow(0);
    other.must_put(&key(), "v2").await;
    let began = Instant::now();
    gate.open();
    created.await.unwrap().unwrap();
    assert!(began.elapsed() < lab.settings.write_deadline, "{:?}", began.elapsed());
    one.clear(0);
    other.clear(0);
    lab.expect_everywhere(&[&one, &other], &key(), Some("v2")).await;
}

/// Simulation seed 2001856, with losers to be kept: a clock is ahead, and an update that was decided before it lands late
/// on the replica.
#[tokio::test(start_paused = true)]
async fn update_that_meets_a_later_looking_version_at_the_replica_is_there_in_the_end_or_kept() {
    let mut lab = Lab::new(2);
    let other = lab.process(2);
    lab.settings.slow_after = Duration::ZERO;
    let ahead = lab.process_ahead(1, 300_000);
    other.must_put(&key(), "v0").await;
    lab.expect_everywhere(&[&other], &key(), Some("v0")).await;
    let e_tag = async |process: &Process| process.store.head(&key()).await.unwrap().e_tag;
    let gate = Gate::new();
    ahead.strike(1, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    update(&ahead, e_tag(&ahead).await, "v1").await.unwrap();
    gate.reached().await;
    other.must_put(&key(), "v2").await;
    come_to_rest().await;
    gate.open();
    come_to_rest().await;
    update(&other, e_tag(&other).await, "v3").await.unwrap();
    assert_eq!(lab.at(0, &key()).as_deref(), Some("v3"));
    lab.drain(&[&ahead, &other]).await;
    let there = [0, 1].map(|at| lab.at(at, &key()).unwrap());
    let kept = lab.kept();
    assert!(there[0] == there[1], "{there:?}");
    assert!(there[0] == "v3" || kept.contains(&"v3".to_owned()), "{there:?}, kept {kept:?}");
}

/// A delete that passed by the first backend, where the object still was on its way.
async fn deleted_behind_the_first(lab: &Lab) -> Process {
    let process = lab.process(1);
    let gate = Gate::new();
    process.strike(0, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
    process.must_put(&key(), "old").await;
    process.delete(&key()).await.unwrap().unwrap();
    gate.open();
    come_to_rest().await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("old"));
    process
}

fn asynchronous() -> Lab {
    let mut lab = Lab::new(2);
    lab.settings.slow_after = Duration::ZERO;
    lab
}

/// Simulation seed 10021422.
#[tokio::test(start_paused = true)]
async fn update_of_what_was_just_deleted_fails_its_precondition() {
    let lab = asynchronous();
    let process = deleted_behind_the_first(&lab).await;
    let e_tag = Some(lab.backends[0].object(&key()).unwrap().e_tag);
    let failed = update(&process, e_tag, "new").await.unwrap_err();
    assert!(matches!(failed, Error::Precondition { .. }), "{failed}");
    lab.expect_everywhere(&[&process], &key(), None).await;
}

/// A store of somebody else's may repeat a conditional put by itself, and meet its own first attempt.
#[tokio::test(start_paused = true)]
async fn update_that_is_refused_by_its_own_first_attempt_has_happened() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    come_to_rest().await;
    let e_tag = process.store.head(&key()).await.unwrap().e_tag;
    process.strike(0, &[Operation::Update], &key(), Strike::FailAfter(Failure::Precondition));
    update(&process, e_tag, "v2").await.unwrap();
    lab.expect_everywhere(&[&process], &key(), Some("v2")).await;
}

/// Simulation seed 50004980.
#[tokio::test(start_paused = true)]
async fn create_keeps_what_someone_else_writes_to_a_replica_meanwhile() {
    for lab in [Lab::new(2), asynchronous()] {
        let process = lab.process(1);
        let gate = Gate::new();
        process.strike(1, &[Operation::Head], &key(), Strike::Hold(gate.clone()));
        let someone_else = async {
            gate.reached().await;
            lab.backends[1].write_directly(&key(), "someone else's");
            gate.open();
        };
        let (created, ()) = tokio::join!(create(&process, "ours"), someone_else);
        created.unwrap();
        lab.expect_everywhere(&[&process], &key(), Some("ours")).await;
        assert_eq!(lab.kept(), ["someone else's"; 2]);
    }
}
