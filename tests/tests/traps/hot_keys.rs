//! Traps of keys that are written again and again while a backend is down: their markers must not pile up, and
//! nothing that one of them tells may be lost with it.

use std::time::Duration;

use lifeboat_failover::HealthState;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::time::{Instant, sleep};

use crate::lab::{Lab, Process, key};

/// Markers of one key that may be left: the first, the newest ones, and those that are just being removed.
const HANDFUL: usize = 10;

async fn overwrite(process: &Process, times: usize) {
    for number in 0..times {
        process.store.put(&key(), number.to_string().into()).await.unwrap();
    }
}

/// What runs in the background is over.
async fn settled(lab: &Lab) {
    let end = Instant::now() + Duration::from_secs(30);
    while lab.markers(1).len() > HANDFUL {
        assert!(Instant::now() < end, "{} markers are left", lab.markers(1).len());
        sleep(Duration::from_millis(100)).await;
    }
}

fn is_ambiguous(marker: &Path) -> bool {
    let head = marker.parts().nth(3).unwrap().as_ref().to_owned();
    head.split('_').nth(4).unwrap().contains('a')
}

#[tokio::test(start_paused = true)]
async fn overwrites_of_one_key_in_an_outage_leave_a_handful_of_markers() {
    for lab in [Lab::new(2), Lab::without_conditions(2)] {
        let process = lab.process(1);
        process.put(&key(), "before").await.unwrap().unwrap();
        process.refuse(0);
        overwrite(&process, 200).await;
        settled(&lab).await;
        assert!(process.store.status().journal.markers <= HANDFUL as u64);
        assert_eq!(process.get(&key()).await.unwrap(), "199");
        // Someone who was not there knows as much.
        let late = lab.process(2);
        late.store.loaded().await;
        assert_eq!(late.get(&key()).await.unwrap(), "199");
        process.recover(0).await;
        assert_eq!(process.get(&key()).await.unwrap(), "199");
        lab.expect_everywhere(&[&process, &late], &key(), Some("199")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn key_created_and_deleted_by_turns_in_an_outage_stays_as_it_was_left() {
    for deleted in [true, false] {
        let lab = Lab::new(2);
        let process = lab.process(1);
        process.put(&key(), "before").await.unwrap().unwrap();
        process.refuse(0);
        for _ in 0..100 {
            process.delete(&key()).await.unwrap().unwrap();
            process.put(&key(), "again").await.unwrap().unwrap();
        }
        if deleted {
            process.delete(&key()).await.unwrap().unwrap();
        }
        settled(&lab).await;
        let deletes = lab.markers(1).iter().filter(|path| path.as_ref().contains("_d")).count();
        assert!(deletes > 0, "no delete is remembered: {:?}", lab.markers(1));
        process.spawner.crash();
        let late = lab.process(2);
        late.store.loaded().await;
        lab.expect_everywhere(&[&late], &key(), (!deleted).then_some("again")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn markers_of_requests_that_may_still_land_do_not_go_for_newer_ones() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&key(), "before").await.unwrap().unwrap();
    // Nothing is known of what is sent to the first backend until it is given up.
    process.swallow(0);
    overwrite(&process, 3).await;
    let ambiguous = |lab: &Lab| lab.markers(1).into_iter().filter(is_ambiguous).collect::<Vec<_>>();
    let before = ambiguous(&lab);
    assert!(!before.is_empty());
    process.refuse(0);
    overwrite(&process, 100).await;
    sleep(Duration::from_secs(1)).await;
    let after = ambiguous(&lab);
    assert!(before.iter().all(|marker| after.contains(marker)), "{before:?} {after:?}");
    assert!(lab.markers(1).len() <= HANDFUL + after.len());
    process.recover(0).await;
    lab.expect_everywhere(&[&process], &key(), Some("99")).await;
}

#[tokio::test(start_paused = true)]
async fn what_someone_wrote_early_in_a_long_outage_is_kept_whatever_was_overwritten_since() {
    let mut lab = Lab::new(2);
    // Longer than wall clocks may be apart, at a quieter pace.
    lab.settings.journal_poll = Duration::from_mins(10);
    lab.settings.health.probe_max = Duration::from_mins(1);
    let process = lab.process(1);
    process.put(&key(), "before").await.unwrap().unwrap();
    process.refuse(0);
    // Known to be down: all markers are alike.
    while process.store.status().backends[0].health != HealthState::Ejected {
        process.store.put(&Path::from("data/other"), "x".into()).await.unwrap();
    }
    overwrite(&process, 1).await;
    sleep(Duration::from_hours(1)).await;
    lab.backends[0].write_directly(&key(), "someone else's");
    sleep(Duration::from_hours(30)).await;
    overwrite(&process, 50).await;
    settled(&lab).await;
    process.recover(0).await;
    lab.expect_everywhere(&[&process], &key(), Some("49")).await;
    assert!(lab.kept().contains(&"someone else's".to_owned()), "lost: {:?}", lab.kept());
}

#[tokio::test(start_paused = true)]
async fn newest_write_of_a_hot_key_stands_on_every_backend_that_has_it() {
    let lab = Lab::new(3);
    let process = lab.process(1);
    process.put(&key(), "before").await.unwrap().unwrap();
    process.refuse(0);
    overwrite(&process, 100).await;
    sleep(Duration::from_secs(5)).await;
    for backend in [1, 2] {
        let markers = lab.markers(backend).len();
        assert!((1..=HANDFUL).contains(&markers), "{markers} on b{backend}");
    }
    // b1 is lost for good.
    process.spawner.crash();
    let late = lab.process(2);
    late.swallow(1);
    assert_eq!(late.get(&key()).await.unwrap(), "99");
}
