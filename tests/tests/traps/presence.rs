//! T33: a writer that is killed between two legs of a write leaves a difference that no marker knows of. What tells the
//! next process that there was one, and what mends it at the price of what was written meanwhile.

use std::time::{Duration, SystemTime};

use lifeboat_testkit::fault_store::{Failure, Gate, Operation, Rule, Strike};
use lifeboat_testkit::simulation::EPOCH_MILLIS;
use object_store::path::Path;
use tokio::time::sleep;

use crate::lab::{Lab, Process, come_to_rest, key};
use crate::writing::crash_between_the_legs;

const BEAT: Duration = Duration::from_secs(5);
const WRITERS: &str = ".lifeboat/writers/";

fn lab() -> Lab {
    let mut lab = Lab::new(2);
    lab.settings.presence_beat = BEAT;
    lab
}

/// The objects of writers on each backend.
fn writers(lab: &Lab) -> [usize; 2] {
    [0, 1].map(|backend| lab.backends[backend].keys(WRITERS).len())
}

/// Counts the looks at keys that a process takes.
fn count_looks(process: &Process) -> Gate {
    let looks = Gate::new();
    looks.open();
    for way in &process.ways {
        way.add(Rule::new(Strike::Hold(looks.clone())).on(&[Operation::Head]).prefix("data/"));
    }
    looks
}

fn simulated_time(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn t33_unclean_end_is_seen_by_the_next_process_and_mended_for_what_was_written_since() {
    let mut lab = lab();
    // Written long before, and not to be compared again.
    let before = lab.process(9);
    for number in 0..50 {
        before.must_put(&Path::from(format!("data/old/{number}")), "old").await;
    }
    let store = before.store.clone();
    before.run(async move { store.close().await }).await.unwrap();
    sleep(Duration::from_hours(1)).await;
    crash_between_the_legs(&lab).await;
    assert_ne!(lab.at(0, &key()), lab.at(1, &key()));

    lab.settings.settle_check = false;
    let next = lab.process(2);
    assert!(next.store.unclean_ends().await.is_empty(), "it may be alive");
    next.store.start();
    sleep(BEAT * 5).await;
    let [end] = &next.store.status().unclean_ends[..] else {
        panic!("not seen: {:?}", next.store.status())
    };
    let began = u64::try_from(EPOCH_MILLIS).unwrap() + 3_600_000;
    // Providers tell times in whole seconds.
    assert!(
        end.since_unix_ms >= began && end.until_unix_ms + 1_000 >= end.since_unix_ms,
        "{end:?}"
    );

    let looks = count_looks(&next);
    let report = next.store.mend_since(None, simulated_time(began - 900_000)).await;
    assert_eq!((report.compared, report.mended), (1, 1), "{report:?}");
    assert!(looks.count() < 20, "{} looks", looks.count());
    lab.expect_everywhere(&[&next], &key(), Some("new")).await;
    assert_eq!((writers(&lab), next.store.status().unclean_ends.len()), ([0, 0], 0));
}

#[tokio::test(start_paused = true)]
async fn t33_delete_that_was_cut_off_is_found_however_old_the_object() {
    let lab = lab();
    let process = lab.process(1);
    process.must_put(&key(), "old").await;
    sleep(Duration::from_hours(1)).await;
    let gate = Gate::new();
    process.strike(1, &[Operation::Delete], &key(), Strike::Hold(gate.clone()));
    drop(process.delete(&key()));
    gate.reached().await;
    come_to_rest().await;
    process.spawner.crash();
    assert_eq!(lab.at(0, &key()), None);
    let next = lab.process(2);
    next.store.mend_since(None, simulated_time(u64::try_from(EPOCH_MILLIS).unwrap() * 2)).await;
    assert_eq!(lab.at(0, &key()), lab.at(1, &key()));
}

#[tokio::test(start_paused = true)]
async fn t33_writer_that_ends_cleanly_or_is_alive_is_no_unclean_end() {
    let lab = lab();
    let [one, other] = [1, 2].map(|number| lab.process(number));
    one.must_put(&key(), "of one").await;
    assert_eq!(writers(&lab), [1, 1], "before its first write is acknowledged");
    other.must_put(&key(), "of the other").await;
    // Ten beats without a write, and one that goes on.
    for _ in 0..20 {
        other.must_put(&key(), "again").await;
        sleep(BEAT).await;
        assert!(other.store.status().unclean_ends.is_empty(), "{:?}", other.store.status());
    }
    assert_eq!(writers(&lab), [1, 1], "who does not write any more says nothing any more");
    one.must_put(&key(), "after a while").await;
    assert_eq!(writers(&lab), [2, 2]);
    for process in [&one, &other] {
        let store = process.store.clone();
        process.run(async move { store.close().await }).await.unwrap();
    }
    assert_eq!(writers(&lab), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn t33_writes_do_not_wait_for_a_backend_that_does_not_take_the_sign_of_life() {
    let lab = lab();
    let process = lab.process(1);
    for way in &process.ways {
        way.add(Rule::new(Strike::Hang).prefix(WRITERS));
    }
    let began = tokio::time::Instant::now();
    process.must_put(&key(), "new").await;
    assert!(began.elapsed() < lab.settings.rescue_after * 2 + Duration::from_secs(1));
    let began = tokio::time::Instant::now();
    process.must_put(&key(), "newer").await;
    assert!(began.elapsed() < lab.settings.rescue_after, "only the first one waits");
}

/// The backend that lacks what was written is listed, and answers nothing more: nothing was compared, and nothing is forgotten.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_compared_is_neither_equal_nor_forgotten() {
    let lab = lab();
    crash_between_the_legs(&lab).await;
    let next = lab.process(2);
    next.store.start();
    sleep(BEAT * 5).await;
    assert_eq!(next.store.status().unclean_ends.len(), 1);
    next.ways[1].add(Rule::new(Strike::Fail(Failure::Reset)).on(&[Operation::Head]));
    let report = next.store.mend(None).await;
    assert_eq!((&report.unreachable[..], report.mended), (&["sim.b1".to_owned()][..], 0));
    assert_eq!(next.store.status().unclean_ends.len(), 1, "{report:?}");
    next.recover(1).await;
    let report = next.store.mend(None).await;
    assert!(report.unreachable.is_empty() && report.mended == report.different, "{report:?}");
    assert_eq!((writers(&lab), next.store.status().unclean_ends.len()), ([0, 0], 0));
    lab.expect_everywhere(&[&next], &key(), Some("new")).await;
}

/// A provider lost more keys than are remembered otherwise.
#[tokio::test(start_paused = true)]
async fn however_many_keys_differ_all_of_them_are_mended() {
    const LOST: usize = 10_500;
    let lab = Lab::new(2);
    for number in 0..LOST {
        lab.backends[0].write_directly(&Path::from(format!("data/{number}")), "kept");
    }
    let process = lab.process(1);
    let report = process.store.mend(None).await;
    let lost = u64::try_from(LOST).unwrap();
    assert_eq!((report.different, report.mended), (lost, lost), "{report:?}");
}
