//! Traps of reading: what is believed, and from whom.

use std::time::Duration;

use futures::TryStreamExt;
use lifeboat_testkit::fault_store::{At, Failure, Gate, Operation, Rule, Strike};
use lifeboat_testkit::simulation::{BackendSettings, Order};
use object_store::path::Path;
use object_store::{Error, ObjectStore};
use tokio::time::{Instant, sleep};

use crate::lab::{JOURNAL, Lab, Process, come_to_rest, fresh_way, key};

#[tokio::test(start_paused = true)]
async fn t18_application_starts_while_the_first_backend_swallows_everything() {
    let lab = Lab::new(2);
    lab.process(1).must_put(&key(), "v1").await;
    let ways = vec![fresh_way(), fresh_way()];
    ways[0].add(Rule::new(Strike::Hang));
    let process = lab.process_through(2, 0, ways);
    let began = Instant::now();
    assert_eq!(process.get(&key()).await.unwrap(), "v1");
    process.must_put(&key(), "v2").await;
    assert!(began.elapsed() < lab.settings.write_deadline, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn t19_process_says_that_it_has_not_read_the_journal_of_a_dead_backend() {
    let lab = Lab::new(2);
    let first = lab.process(1);
    first.must_put(&key(), "old").await;
    first.refuse(0);
    first.must_put(&key(), "new").await;
    first.spawner.crash();
    // b0 is back, and b1, which knows better, is gone when the process starts again.
    let ways = vec![fresh_way(), fresh_way()];
    ways[1].add(Rule::new(Strike::Fail(Failure::Refused)));
    let next = lab.process_through(2, 0, ways);
    next.store.loaded().await;
    let _ = next.get(&key()).await;
    assert!(!next.store.status().backends[1].journal_read, "the journal of b1 is unread");
    next.recover(1).await;
    sleep(lab.settings.journal_poll * 2).await;
    assert!(next.store.status().backends[1].journal_read);
    assert_eq!(next.get(&key()).await.unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn t20_half_seeded_replica_never_turns_an_outage_into_not_found() {
    let mut lab = Lab::new(2);
    lab.seeded = vec![true, false];
    lab.backends[0].write_directly(&key(), "from before");
    let process = lab.process(1);
    assert_eq!(process.get(&key()).await.unwrap(), "from before");
    process.refuse(0);
    let read = process.get(&key()).await;
    assert!(matches!(&read, Err(error) if !matches!(error, Error::NotFound { .. })), "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn t25_listing_that_continues_elsewhere_has_every_key_once() {
    let mut folders = BackendSettings::default();
    folders.order = Order::Folders;
    folders.page = 3;
    let mut bytes = BackendSettings::default();
    bytes.page = 3;
    for settings in [vec![folders.clone(), bytes.clone()], vec![bytes, folders]] {
        let lab = Lab::with(settings);
        let process = lab.process(1);
        let names = ["a", "a-b", "a/x", "a/y", "a.b", "b", "b-c/z", "b/1", "b/2", "c"];
        let mut wanted: Vec<Path> = names.iter().map(|name| Path::from(*name)).collect();
        wanted.sort();
        for name in &wanted[..8] {
            process.must_put(name, "x").await;
        }
        // Two keys that b0 does not have, and one that it has too much.
        process.refuse(0);
        process.must_put(&wanted[8], "x").await;
        process.must_put(&wanted[9], "x").await;
        process.delete(&wanted[4]).await.unwrap().unwrap();
        let gone = wanted.remove(4);
        process.recover(0).await;
        for page in 0..4 {
            let fails = Strike::Break(At::Offset(3 * page), Failure::Down);
            process.ways[0].set([Rule::new(fails).on(&[Operation::List]).key("")]);
            let listed: Vec<_> = process.store.list(None).try_collect().await.unwrap();
            let mut keys: Vec<_> = listed.into_iter().map(|meta| meta.location).collect();
            keys.sort();
            assert_eq!(keys, wanted, "{gone} is deleted; b0 failed on page {page}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t26_body_that_breaks_continues_elsewhere_only_in_the_same_version() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "0123456789").await;
    let broken = || Strike::Break(At::Offset(4), Failure::Reset);
    process.strike(0, &[Operation::Get], &key(), broken());
    assert_eq!(process.get(&key()).await.unwrap(), "0123456789", "the same version is at b1");
    // Another version at b1, and nobody knows.
    lab.backends[1].write_directly(&key(), "abcdefghij");
    process.recover(0).await;
    process.strike(0, &[Operation::Get], &key(), broken());
    let read = process.get(&key()).await;
    assert!(matches!(read.as_deref(), Err(_) | Ok("0123456789")), "{read:?} is a mixture");
}

#[tokio::test(start_paused = true)]
async fn t30_keys_of_a_large_journal_are_right_before_it_is_loaded() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    let keys: Vec<Path> = (0..300).map(|number| Path::from(format!("data/{number:03}"))).collect();
    for key in &keys {
        process.must_put(key, "old").await;
    }
    process.refuse(0);
    for key in &keys {
        process.must_put(key, "new").await;
    }
    process.spawner.crash();
    // Reading the journal takes its time: each page of it.
    let ways = vec![fresh_way(), fresh_way()];
    for way in &ways {
        way.add(Rule::new(Strike::Delay(Duration::from_secs(1))).on(&[Operation::List]));
    }
    let next = lab.process_through(2, 0, ways);
    for key in keys.iter().rev().take(5) {
        assert_eq!(next.get(key).await.unwrap(), "new", "{key}");
    }
    next.store.loaded().await;
    assert_eq!(next.get(&keys[0]).await.unwrap(), "new");
}

/// Simulation seed 44970.
#[tokio::test(start_paused = true)]
async fn what_only_a_backend_that_others_outran_holds_is_read_from_it() {
    let mut lab = Lab::new(2);
    lab.seeded = vec![true, false];
    lab.backends[0].write_directly(&key(), "from before");
    let process = lab.process(1);
    let both = Path::from("data/both");
    process.must_put(&both, "x").await;
    process.outrun_the_first(&both).await;
    assert_eq!(process.get(&key()).await.unwrap(), "from before");
    let data = Path::from("data");
    let level = process.store.list_with_delimiter(Some(&data)).await.unwrap();
    assert_eq!(level.objects.len(), 2, "{level:?}");
    let listed: Vec<_> = process.store.list(Some(&data)).try_collect().await.unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(process.is_avoided(0), "{:?}", process.store.status().backends[0]);
    // One that does not answer at all is not waited for, once that is known.
    process.swallow(0);
    for _ in 0..lab.settings.health.consecutive_faults {
        process.get(&key()).await.unwrap_err();
    }
    let began = Instant::now();
    process.get(&key()).await.unwrap_err();
    assert!(began.elapsed() < lab.settings.attempt_deadline, "{:?}", began.elapsed());
}

/// b1 is away and lacks what the others hold.
async fn without_the_second() -> (Lab, Process) {
    let lab = Lab::new(3);
    let process = lab.process(1);
    process.refuse(0);
    process.must_put(&key(), "v1").await;
    process.refuse(1);
    process.refuse(2);
    process.recover(0).await;
    process.must_put(&key(), "v2").await;
    process.recover(2).await;
    assert_eq!(process.get(&key()).await.unwrap(), "v2");
    (lab, process)
}

/// Strikes the writing of markers at the two that serve.
fn strike_recording(process: &Process, strike: &Strike) {
    for place in [0, 2] {
        let recording = Rule::new(strike.clone()).on(&[Operation::Put]).prefix(JOURNAL);
        process.ways[place].add(recording);
    }
}

/// Simulation seed 158333.
#[tokio::test(start_paused = true)]
async fn read_beside_a_delete_that_has_landed_and_is_not_recorded_yet_waits_for_it() {
    // The delete is recorded after all of the read's answers, or before the last of them.
    for (recording, answer) in [(300, 0), (100, 300)].map(|(a, b)| (after(a), after(b))) {
        let (lab, process) = without_the_second().await;
        strike_recording(&process, &recording);
        let delete = process.delete(&key());
        come_to_rest().await;
        assert_eq!(lab.at(0, &key()), None, "it has landed");
        process.ways[2].add(Rule::new(answer).on(&[Operation::Get]).key(key().as_ref()).times(1));
        let read = process.get(&key()).await;
        assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
        delete.await.unwrap().unwrap();
    }
}

/// Simulation seed 5021606.
#[tokio::test(start_paused = true)]
async fn read_beside_a_delete_waits_for_it_longer_than_one_attempt_may_take() {
    let (lab, process) = without_the_second().await;
    let (gate, attempt) = (Gate::new(), lab.settings.attempt_deadline);
    for place in [0, 2] {
        process.strike(place, &[Operation::Delete], &key(), Strike::HoldAfter(gate.clone()));
    }
    strike_recording(&process, &Strike::Delay(attempt / 2));
    let delete = process.delete(&key());
    come_to_rest().await;
    assert_eq!((lab.at(0, &key()), lab.at(2, &key())), (None, None), "it has landed");
    let answered = async {
        sleep(attempt).await;
        gate.open();
    };
    let key = key();
    let (read, ()) = tokio::join!(process.get(&key), answered);
    assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
    delete.await.unwrap().unwrap();
}

/// Simulation seed 64600690: it waited for the write, asked once more, and once more because of the markers that had come
/// meanwhile.
#[tokio::test(start_paused = true)]
async fn read_beside_a_write_that_takes_long_ends_in_its_time() {
    let mut lab = Lab::without_conditions(2);
    lab.settings.min_copies = 2;
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.strike(1, Operation::PUTS, &key(), Strike::Fail(Failure::Refused));
    process.put(&key(), "v2").await.unwrap().unwrap_err();
    // Acknowledged, and still with a marker about b1.
    process.must_put(&key(), "v3").await;
    process.ways[0].set([Rule::new(Strike::Hang).key(key().as_ref())]);
    let delete = process.delete(&key());
    come_to_rest().await;
    let began = Instant::now();
    process.get(&key()).await.unwrap_err();
    let bound = lab.settings.read_deadline + lab.settings.attempt_deadline;
    assert!(began.elapsed() <= bound, "{:?}", began.elapsed());
    delete.await.unwrap().unwrap_err();
}

/// Simulation seed 7082548: while a journal is unread all are asked which version they have, and the first of those that
/// have the latest had lost it to a late request when it was read.
#[tokio::test(start_paused = true)]
async fn miss_of_a_backend_that_was_just_seen_to_hold_the_latest_is_not_believed() {
    let lab = Lab::new(2);
    lab.process(1).must_put(&key(), "v1").await;
    let ways = vec![fresh_way(), fresh_way()];
    ways[1].add(Rule::new(Strike::Hang).on(&[Operation::List]));
    let gone = Strike::Fail(Failure::NotFound);
    ways[0].add(Rule::new(gone).on(&[Operation::Get]).key(key().as_ref()).times(1));
    let next = lab.process_through(2, 0, ways);
    // Whoever has answered nothing so far is not asked.
    next.must_put(&Path::from("data/other"), "x").await;
    assert_eq!(next.get(&key()).await.unwrap(), "v1");
    assert!(!next.store.status().backends[1].journal_read, "that is why all were asked");
}

fn after(milliseconds: u64) -> Strike {
    Strike::Delay(Duration::from_millis(milliseconds))
}
