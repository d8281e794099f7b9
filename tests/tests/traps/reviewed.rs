//! Traps that were found by reading the engine: each test failed before its remedy.

use std::time::Duration;

use futures::TryStreamExt;
use lifeboat_core::{AnyStore, Effect, Identity};
use lifeboat_failover::{Failover, FailoverError, HealthState, Reason, Settings};
use lifeboat_testkit::fault_store::{At, Failure, Gate, Operation, Rule, Strike};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion,
};
use tokio::time::{Instant, sleep, timeout};

use crate::found::missed_by_the_third;
use crate::lab::{CONFLICTS, JOURNAL, Lab, Process, key};

async fn create(process: &Process, key: &Path) -> object_store::Result<()> {
    process.store.put_opts(key, "new".into(), PutMode::Create.into()).await.map(drop)
}

/// A first backend that has just joined, and one that holds what there was before.
fn joined() -> Lab {
    let mut lab = Lab::new(2);
    lab.seeded = vec![false, true];
    lab.backends[1].write_directly(&key(), "old");
    lab
}

#[tokio::test(start_paused = true)]
async fn create_at_a_first_backend_without_history_does_not_overwrite_what_the_others_hold() {
    let lab = joined();
    let process = lab.process(1);
    let refused = create(&process, &key()).await.unwrap_err();
    assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
    let from = Path::from("data/from");
    process.must_put(&from, "from").await;
    let refused = process.store.copy_if_not_exists(&from, &key()).await.unwrap_err();
    assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
    assert_eq!((lab.at(0, &key()), lab.at(1, &key()).as_deref()), (None, Some("old")));
    create(&process, &Path::from("data/other")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn create_at_a_first_backend_without_history_is_undecidable_while_the_others_are_silent() {
    let lab = joined();
    let process = lab.process(1);
    process.store.loaded().await;
    process.refuse(1);
    let refused = create(&process, &key()).await.unwrap_err();
    let reason = FailoverError::find(&refused).map(FailoverError::reason);
    assert_eq!(reason, Some(Reason::Undecidable), "{refused}");
    assert_eq!(lab.at(0, &key()), None);
}

/// Simulation seed 57002817: a marker of a write that failed makes the backend look at itself first.
#[tokio::test(start_paused = true)]
async fn nor_is_it_decided_there_because_a_write_of_the_key_has_failed() {
    let lab = joined();
    let process = lab.process(1);
    process.store.loaded().await;
    process.refuse(1);
    process.strike(0, Operation::PUTS, &key(), Strike::Fail(Failure::Reset));
    process.put(&key(), "failed").await.unwrap().unwrap_err();
    process.clear(0);
    let refused = create(&process, &key()).await.unwrap_err();
    let reason = FailoverError::find(&refused).map(FailoverError::reason);
    assert_eq!(reason, Some(Reason::Undecidable), "{refused}");
    assert_eq!(lab.at(0, &key()), None);
}

#[tokio::test(start_paused = true)]
async fn markers_of_keys_with_a_tilde_are_read_back_as_what_they_are() {
    let lab = Lab::new(2);
    let odd = Path::parse("data/a~b").unwrap();
    let process = lab.process(1);
    process.must_put(&odd, "old").await;
    process.refuse(0);
    process.must_put(&odd, "new").await;
    process.spawner.crash();
    let next = lab.process(2);
    assert_eq!(next.get(&odd).await.unwrap(), "new");
    lab.expect_everywhere(&[&next], &odd, Some("new")).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_written_just_after_a_delete_by_a_fast_clock_is_kept() {
    let lab = Lab::new(2);
    let (ahead, right) = (lab.process_ahead(1, 50_000), lab.process(2));
    right.must_put(&key(), "old").await;
    right.get(&key()).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    ahead.refuse(1);
    ahead.store.loaded().await;
    ahead.delete(&key()).await.unwrap().unwrap();
    right.must_put(&key(), "new").await;
    ahead.recover(1).await;
    lab.drain(&[&ahead, &right]).await;
    let there = [lab.at(0, &key()), lab.at(1, &key())];
    let lives = there.iter().all(|there| there.as_deref() == Some("new"));
    let kept = lab.kept();
    assert!(lives || kept.contains(&"new".to_owned()), "{there:?}, kept {kept:?}");
    assert!(!kept.contains(&"old".to_owned()), "whoever deleted it knew it");
}

/// A process that has "old" everywhere, and knows by then that its first backend is down.
async fn with_the_first_known_to_be_down(lab: &Lab) -> Process {
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    process.refuse(0);
    for number in 0..4 {
        process.must_put(&Path::from(format!("data/{number}")), "x").await;
    }
    process
}

#[tokio::test(start_paused = true)]
async fn failed_write_does_not_make_its_key_unreadable_for_the_rest_of_an_outage() {
    let lab = Lab::new(2);
    let process = with_the_first_known_to_be_down(&lab).await;
    process.strike(1, Operation::PUTS, &key(), Strike::Fail(Failure::Reset));
    process.put(&key(), "new").await.unwrap().unwrap_err();
    assert_eq!(process.get(&key()).await.unwrap(), "old");
    process.delete(&key()).await.unwrap().unwrap();
    process.recover(0).await;
    lab.expect_everywhere(&[&process], &key(), None).await;
}

#[tokio::test(start_paused = true)]
async fn failed_write_whose_marker_may_still_land_does_not_say_that_nothing_happened() {
    let lab = Lab::new(2);
    let process = with_the_first_known_to_be_down(&lab).await;
    // The delete is refused; its marker is on its way for longer than anybody waits.
    process.strike(1, &[Operation::Delete], &key(), Strike::Fail(Failure::Refused));
    let late = Rule::new(Strike::FailLate(Failure::Reset, Duration::from_secs(30)));
    process.ways[1].add(late.on(Operation::PUTS).prefix(JOURNAL));
    let error = process.delete(&key()).await.unwrap().unwrap_err();
    let effect = FailoverError::find(&error).map(FailoverError::effect);
    assert_eq!(effect, Some(Effect::Unknown), "{error}");
}

#[tokio::test(start_paused = true)]
async fn level_of_many_pages_is_listed_and_nobody_is_suspected_for_it() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "x").await;
    // All pages of a level are one request here.
    let pages = lab.settings.attempt_deadline * 3;
    for way in &process.ways {
        way.add(Rule::new(Strike::Delay(pages)).on(&[Operation::List]).prefix("data").times(4));
    }
    for _ in 0..4 {
        let level = process.store.list_with_delimiter(Some(&Path::from("data"))).await.unwrap();
        assert_eq!(level.objects.len(), 1);
    }
    let status = process.store.status();
    assert!(status.backends.iter().all(|b| b.health == HealthState::Serving), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn ranges_whose_bytes_take_longer_than_an_attempt_are_read() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "0123456789").await;
    let before = process.store.status();
    // The body begins in time, and its end is late.
    for way in &process.ways {
        let slow = Rule::new(Strike::Stall(At::Offset(0))).on(&[Operation::GetRange]);
        way.add(slow.key(key().as_ref()).times(1));
    }
    let ranges = [0..2, 4..6];
    let read = process.store.get_ranges(&key(), &ranges).await.unwrap();
    assert_eq!(read.concat(), b"0145", "{before:?}");
}

#[tokio::test(start_paused = true)]
async fn listing_waits_for_a_slow_backend_when_the_other_is_dead() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "x").await;
    let slow = Rule::new(Strike::Delay(Duration::from_millis(900))).on(&[Operation::List]);
    process.ways[0].add(slow);
    process.swallow(1);
    let listed = process.store.list(Some(&Path::from("data")));
    let listed: Vec<_> = listed.map_ok(|object| object.location).try_collect().await.unwrap();
    assert_eq!(listed, [key()]);
    let status = process.store.status();
    assert_eq!(status.backends[0].health, HealthState::Serving, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn joined_listing_of_a_slow_backend_without_history_succeeds() {
    let mut lab = Lab::new(2);
    lab.seeded = vec![false, false];
    lab.backends[0].write_directly(&Path::from("data/a"), "x");
    lab.backends[1].write_directly(&Path::from("data/b"), "x");
    let process = lab.process(1);
    process.store.loaded().await;
    for way in &process.ways {
        way.add(Rule::new(Strike::Delay(Duration::from_millis(900))).on(&[Operation::List]));
    }
    let listed = process.store.list(Some(&Path::from("data")));
    let listed: Vec<_> = listed.map_ok(|object| object.location).try_collect().await.unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
}

#[tokio::test(start_paused = true)]
async fn errors_that_nobody_can_place_eject_nobody() {
    let stores = ["a", "b"].map(|id| AnyStore::new(InMemory::new(), Identity::new("m", "", id)));
    let [first, second] = stores;
    let failover = Failover::wrap(first).or(second).build().unwrap();
    failover.put(&key(), "short".into()).await.unwrap();
    for _ in 0..20 {
        let range = GetRange::Offset(100);
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        failover.get_opts(&key(), options).await.unwrap_err();
    }
    let status = failover.status();
    let ejected = |health| matches!(health, HealthState::Ejected | HealthState::Probing);
    assert!(!status.backends.iter().any(|backend| ejected(backend.health)), "{status:?}");
    failover.get(&key()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn update_waits_for_an_earlier_write_of_the_key_that_is_on_its_way() {
    let mut lab = Lab::new(2);
    lab.settings.slow_after = Duration::ZERO;
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    sleep(Duration::from_secs(5)).await;
    let e_tag = process.store.head(&key()).await.unwrap().e_tag;
    process.strike(0, Operation::PUTS, &key(), Strike::Delay(Duration::from_millis(700)));
    process.must_put(&key(), "newer").await;
    let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
    let stale = process.store.put_opts(&key(), "stale".into(), mode.into()).await.unwrap_err();
    assert!(matches!(stale, Error::Precondition { .. }), "{stale}");
    lab.expect_everywhere(&[&process], &key(), Some("newer")).await;
}

#[tokio::test(start_paused = true)]
async fn write_waits_for_a_backend_that_is_busy_with_the_key_when_the_other_fails() {
    let mut lab = Lab::new(2);
    lab.settings.slow_after = Duration::ZERO;
    let process = lab.process(1);
    process.strike(0, Operation::PUTS, &key(), Strike::Delay(Duration::from_millis(700)));
    process.must_put(&key(), "old").await;
    process.refuse(1);
    process.must_put(&key(), "new").await;
    assert_eq!(process.get(&key()).await.unwrap(), "new");
    process.recover(1).await;
    lab.expect_everywhere(&[&process], &key(), Some("new")).await;
}

#[tokio::test(start_paused = true)]
async fn marker_of_a_backend_that_was_dropped_does_not_pin_those_of_later_outages() {
    let lab = Lab::new(3);
    missed_by_the_third(&lab).await;
    let left = lab.markers(0).len();
    // The third is given up for good.
    let process = lab.of_the_first(2).process(2);
    process.refuse(0);
    process.must_put(&key(), "newer").await;
    process.recover(0).await;
    sleep(lab.settings.quarantine * 3).await;
    process.store.catch_up().await;
    process.store.catch_up().await;
    let status = process.store.status();
    assert_eq!(status.backends.iter().map(|b| b.dirty_keys).sum::<u64>(), 0, "{status:?}");
    assert!(lab.markers(1).len() <= left, "{:?}", lab.markers(1));
    assert_eq!(lab.at(0, &key()).as_deref(), Some("newer"));
}

#[tokio::test(start_paused = true)]
async fn dead_keeper_of_markers_does_not_slow_the_catch_up_of_another_backend() {
    let lab = Lab::new(3);
    let process = lab.process(1);
    process.refuse(1);
    let keys: Vec<Path> = (0..200).map(|number| Path::from(format!("data/{number}"))).collect();
    for key in &keys {
        process.must_put(key, "x").await;
    }
    process.swallow(2);
    // Until it is known to be dead.
    while process.store.status().backends[2].health == HealthState::Serving {
        let _ = process.store.put(&Path::from("data/probe"), "x".into()).await;
    }
    process.recover(1).await;
    let began = Instant::now();
    process.store.catch_up().await;
    assert!(keys.iter().all(|key| lab.at(1, key).is_some()), "it has not caught up");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?} for {} keys", keys.len());
}

#[tokio::test(start_paused = true)]
async fn conflict_of_a_key_of_full_length_is_kept_and_settled() {
    let lab = Lab::new(2);
    let long = Path::from(format!("data/{}/{}", "a".repeat(500), "b".repeat(510)));
    let process = lab.process(1);
    process.must_put(&long, "old").await;
    process.refuse(0);
    process.must_put(&long, "new").await;
    lab.backends[0].write_directly(&long, "of somebody else");
    process.recover(0).await;
    lab.expect_everywhere(&[&process], &long, Some("new")).await;
    assert!(lab.kept().contains(&"of somebody else".to_owned()), "{:?}", lab.kept());
    let conflicts = process.store.conflicts().await.unwrap();
    assert_eq!(conflicts.len(), 1);
    let name = conflicts[0].kept_at.as_ref();
    assert!(name.len() <= 1024 && name.starts_with(CONFLICTS), "{name}");
}

#[tokio::test(start_paused = true)]
async fn failed_write_with_one_backend_is_forgotten_when_it_cannot_land_any_more() {
    let lab = Lab::new(1);
    let process = lab.process(1);
    process.strike(0, Operation::PUTS, &key(), Strike::Fail(Failure::Reset));
    process.put(&key(), "x").await.unwrap().unwrap_err();
    sleep(lab.settings.quarantine * 2).await;
    process.store.catch_up().await;
    assert_eq!(process.store.status().journal.markers, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_on_when_the_last_handle_is_dropped() {
    let lab = Lab::new(2);
    let Process { store, ways, .. } = lab.process(1);
    let requests = Gate::new();
    requests.open();
    store.put(&key(), "x".into()).await.unwrap();
    let other = store.clone();
    drop(store);
    sleep(lab.settings.journal_poll * 3).await;
    for way in &ways {
        way.add(Rule::new(Strike::Hold(requests.clone())));
    }
    sleep(lab.settings.journal_poll * 3).await;
    assert!(requests.count() > 0, "one handle is left");
    drop(other);
    sleep(Duration::from_secs(30)).await;
    let before = requests.count();
    sleep(Duration::from_hours(1)).await;
    assert_eq!(requests.count(), before);
}

#[tokio::test(start_paused = true)]
async fn markers_whose_key_lies_in_their_body_are_read_once() {
    let lab = Lab::new(2);
    let long = Path::from(format!("data/{}", "ä".repeat(300)));
    let writer = lab.process(1);
    writer.must_put(&long, "old").await;
    writer.refuse(0);
    writer.must_put(&long, "new").await;
    writer.spawner.crash();
    let reader = lab.process(2);
    reader.refuse(0);
    let bodies = Gate::new();
    bodies.open();
    let count = Rule::new(Strike::Hold(bodies.clone())).on(&[Operation::Get]);
    reader.ways[1].add(count.prefix(JOURNAL));
    reader.store.loaded().await;
    sleep(lab.settings.journal_poll * 20).await;
    assert_eq!(bodies.count(), 1);
    assert_eq!(reader.get(&long).await.unwrap(), "new");
}

#[tokio::test]
async fn settings_beyond_their_bounds_are_refused_with_the_remedy() {
    type Change = fn(&mut Settings);
    let build = |change: Change| {
        let mut settings = Settings::default();
        change(&mut settings);
        let store = |id| AnyStore::new(InMemory::new(), Identity::new("m", "", id));
        Failover::wrap(store("a")).or(store("b")).settings(settings).build()
    };
    let wrong: [(&str, Change); 6] = [
        ("slow_after", |settings| settings.slow_after = Duration::MAX),
        ("quarantine", |settings| settings.quarantine = Duration::MAX),
        ("settling", |settings| settings.settling = Duration::MAX),
        ("journal_poll", |settings| settings.journal_poll = Duration::ZERO),
        ("attempt_deadline", |settings| settings.attempt_deadline = Duration::ZERO),
        ("probe_max", |settings| settings.health.probe_max = Duration::MAX),
    ];
    for (name, change) in wrong {
        let error = build(change).map(drop).unwrap_err().to_string();
        assert!(error.contains(name), "{name}: {error}");
    }
    build(|settings| settings.slow_after = Duration::ZERO).unwrap();
}

#[tokio::test]
async fn rescue_that_is_sooner_than_any_hedge_does_not_panic() {
    let mut settings = Settings::default();
    settings.rescue_after = Duration::from_millis(1);
    let store = |id| AnyStore::new(InMemory::new(), Identity::new("m", "", id));
    let failover = Failover::wrap(store("a")).or(store("b")).settings(settings).build().unwrap();
    failover.put(&key(), "x".into()).await.unwrap();
    for _ in 0..100 {
        failover.get(&key()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn mending_compares_what_one_backend_stopped_listing() {
    let lab = Lab::new(3);
    let process = lab.process(1);
    for (backend, name) in [(0, "data/k"), (0, "data/l"), (2, "data/k"), (2, "data/l")] {
        lab.backends[backend].write_directly(&Path::from(name), "x");
    }
    sleep(Duration::from_hours(1)).await;
    // The third breaks off behind the first key: what it said does not stand for the second.
    let broken = Rule::new(Strike::Break(At::Offset(1), Failure::Reset)).on(&[Operation::List]);
    process.ways[2].add(broken.key("").times(1));
    let since = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    let report = process.store.mend_since(None, since).await;
    assert_eq!((report.compared, report.unreachable.len()), (2, 1), "{report:?}");
}

/// Refusals of single keys come in crowds: one probe answers for all of them.
#[tokio::test(start_paused = true)]
async fn crowd_of_refusals_asks_one_probe() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "x").await;
    let denied = Rule::new(Strike::Fail(Failure::Denied)).on(&[Operation::Get]).prefix("data/");
    process.ways[0].add(denied);
    sleep(Duration::from_secs(10)).await;
    let probes = Gate::new();
    probes.open();
    process.ways[0].add(Rule::new(Strike::Hold(probes.clone())).containing("beacon"));
    let key = key();
    let reads = (0..50).map(|_| process.get(&key));
    let all = timeout(Duration::from_secs(10), futures::future::join_all(reads)).await.unwrap();
    assert!(all.iter().all(Result::is_err));
    assert!(probes.count() <= 2, "{} probes", probes.count());
}

#[tokio::test(start_paused = true)]
async fn reading_through_fills_a_backend_that_joined_without_history() {
    let mut lab = joined();
    let process = lab.process(1);
    process.get(&key()).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(lab.at(0, &key()), None, "it is off by default");
    process.spawner.crash();
    lab.settings.read_through = true;
    let process = lab.process(2);
    assert_eq!(process.get(&key()).await.unwrap(), "old");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("old"));
}

#[tokio::test(start_paused = true)]
async fn copy_of_what_was_there_before_and_is_larger_than_the_memory_arrives_everywhere() {
    let mut lab = Lab::new(2);
    lab.settings.memory = 64 << 10;
    let text = "0123456789".repeat(20 << 10);
    for backend in &lab.backends {
        backend.write_directly(&key(), text.clone());
    }
    let process = lab.process(1);
    let to = Path::from("data/copy");
    process.store.copy(&key(), &to).await.unwrap();
    lab.expect_everywhere(&[&process], &to, Some(&text)).await;
    assert_eq!(crate::lab::stamp(&lab, 0, &to), crate::lab::stamp(&lab, 1, &to));
}

/// Seed 2904.
#[tokio::test(start_paused = true)]
async fn write_that_heard_of_another_while_it_was_under_way_has_not_replaced_it_knowingly() {
    let lab = Lab::new(2);
    let (earlier, later) = (lab.process(1), lab.process_ahead(2, 1_000));
    for process in [&earlier, &later] {
        process.store.loaded().await;
    }
    later.strike(1, Operation::PUTS, &key(), Strike::Delay(lab.settings.slow_after * 2));
    let two = later.put(&key(), "two");
    sleep(lab.settings.slow_after / 4).await;
    assert_eq!(lab.at(0, &key()).as_deref(), Some("two"));
    // Lands over it, and is older; its marker is heard of before the other write has one.
    earlier.refuse(1);
    earlier.must_put(&key(), "one").await;
    assert!(!later.store.journal().await.unwrap().is_empty());
    assert!(!two.is_finished());
    two.await.unwrap().unwrap();
    earlier.recover(1).await;
    lab.expect_everywhere(&[&earlier, &later], &key(), Some("two")).await;
    assert!(lab.kept().contains(&"one".to_owned()), "{:?}", lab.kept());
}

/// Connections that a server has closed are found out one after the other: three tries took a millisecond.
#[tokio::test(start_paused = true)]
async fn marker_survives_a_row_of_closed_connections() {
    let lab = Lab::new(2);
    let process = with_the_first_known_to_be_down(&lab).await;
    let closed = Rule::new(Strike::Fail(Failure::Reset)).on(Operation::PUTS).prefix(JOURNAL);
    process.ways[1].add(closed.times(7));
    process.must_put(&key(), "new").await;
    process.recover(0).await;
    lab.expect_everywhere(&[&process], &key(), Some("new")).await;
}

/// Seeds 30124 and 34014.
#[tokio::test(start_paused = true)]
async fn write_goes_to_whoever_was_busy_when_those_who_have_it_take_no_markers() {
    let mut lab = Lab::new(2);
    lab.settings.slow_after = Duration::ZERO;
    let process = lab.process(1);
    process.store.loaded().await;
    process.strike(1, Operation::PUTS, &key(), Strike::Delay(Duration::from_secs(1)));
    process.must_put(&key(), "old").await;
    assert_eq!(lab.at(1, &key()), None, "still on its way");
    let denied = Rule::new(Strike::Fail(Failure::Denied)).on(Operation::PUTS).prefix(JOURNAL);
    process.ways[0].add(denied);
    process.must_put(&key(), "new").await;
    process.clear(0);
    lab.expect_everywhere(&[&process], &key(), Some("new")).await;
}

/// Seed 31797.
#[tokio::test(start_paused = true)]
async fn deleted_key_stays_deleted_where_nobody_could_hear_of_what_it_was_marked_with() {
    let lab = Lab::without_conditions(2);
    let writer = lab.process(1);
    writer.refuse(0);
    writer.must_put(&key(), "old").await;
    writer.spawner.crash();
    // One knows of the marker, and has nobody to copy from when the first backend is there again.
    let knowing = lab.process(2);
    knowing.refuse(0);
    knowing.store.loaded().await;
    knowing.refuse(1);
    knowing.clear(0);
    for _ in 0..20 {
        knowing.ask().await;
    }
    // The other cannot know of it, and deletes; and that is not heard of yet when the second one returns.
    let ignorant = lab.process(3);
    ignorant.refuse(1);
    ignorant.store.loaded().await;
    let unheard = Rule::new(Strike::Fail(Failure::Reset)).on(&[Operation::List]);
    knowing.ways[0].add(unheard);
    ignorant.delete(&key()).await.unwrap().unwrap();
    knowing.clear(1);
    for _ in 0..20 {
        knowing.ask().await;
        assert_eq!(lab.at(0, &key()), None, "it is back");
    }
    knowing.clear(0);
    ignorant.recover(1).await;
    lab.expect_everywhere(&[&knowing, &ignorant], &key(), None).await;
}
