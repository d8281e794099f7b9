//! Traps of judging a backend: whose fault it was.

use std::time::Duration;

use lifeboat_failover::HealthState;
use lifeboat_testkit::fault_store::{Failure, Rule, Strike};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use tokio::time::{Instant, sleep, timeout};

use crate::lab::{Lab, key};

#[tokio::test(start_paused = true)]
async fn t22_callers_who_stop_waiting_eject_nobody() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    for way in &process.ways {
        way.add(Rule::new(Strike::Delay(Duration::from_millis(200))));
    }
    for _ in 0..50 {
        let patience = Duration::from_millis(20);
        assert!(timeout(patience, process.store.head(&key())).await.is_err());
    }
    sleep(Duration::from_secs(5)).await;
    for backend in process.store.status().backends {
        assert_eq!(backend.health, HealthState::Serving, "{backend:?}");
    }
}

/// Seen in a drill: what the prober had heard before the lock fell passed for an answer about what came after.
#[tokio::test(start_paused = true)]
async fn lock_that_falls_right_after_a_probe_was_answered_is_no_answer_to_anybody() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    // The probe of the start has been answered by now.
    process.must_put(&key(), "v1").await;
    process.ways[0].set([Rule::new(Strike::Fail(Failure::Denied))]);
    assert_eq!(process.get(&key()).await.unwrap(), "v1");
    process.must_put(&key(), "v2").await;
    assert_eq!(process.get(&key()).await.unwrap(), "v2");
}

#[tokio::test(start_paused = true)]
async fn t22_backends_that_are_all_slow_at_once_are_not_ejected_for_it() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    // As if our own machine were overloaded: nobody's answer comes in time.
    for way in &process.ways {
        way.add(Rule::new(Strike::Delay(lab.settings.attempt_deadline * 2)));
    }
    for _ in 0..20 {
        process.get(&key()).await.expect_err("nobody answers in time");
        for backend in process.store.status().backends {
            let asked = matches!(backend.health, HealthState::Serving | HealthState::Suspect);
            assert!(asked, "{backend:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t23_one_forbidden_key_is_the_callers_affair_and_all_of_them_are_the_providers() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    let forbidden = Path::from("secret/x");
    for name in [&key(), &forbidden] {
        process.put(name, "v1").await.unwrap().unwrap();
    }
    process.ways[0].add(Rule::new(Strike::Fail(Failure::Denied)).key(forbidden.as_ref()));
    for _ in 0..20 {
        let read = process.get(&forbidden).await;
        assert!(matches!(read, Err(Error::PermissionDenied { .. })), "{read:?}");
        process.get(&key()).await.unwrap();
    }
    assert_eq!(process.store.status().backends[0].health, HealthState::Serving);
    // Now everything is forbidden: locked out.
    process.ways[0].set([Rule::new(Strike::Fail(Failure::Denied))]);
    let others: Vec<Path> = (0..10).map(|number| Path::from(format!("data/{number}"))).collect();
    for other in &others {
        let _ = process.put(other, "x").await;
        let _ = process.get(other).await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(process.get(&key()).await.unwrap(), "v1", "b1 serves");
    assert_ne!(process.store.status().backends[0].health, HealthState::Serving);
}

#[tokio::test(start_paused = true)]
async fn t32_backend_that_flaps_is_not_trusted_at_once() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.put(&key(), "v1").await.unwrap().unwrap();
    let mut failed = 0;
    let mut slowest = Duration::ZERO;
    let mut reads = async |until: Instant| {
        while Instant::now() < until {
            let began = Instant::now();
            failed += u32::from(process.get(&key()).await.is_err());
            slowest = slowest.max(began.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
    };
    for _ in 0..10 {
        process.ways[0].set([Rule::new(Strike::Hang)]);
        reads(Instant::now() + Duration::from_secs(20)).await;
        process.clear(0);
        reads(Instant::now() + Duration::from_secs(1)).await;
        // It has only just come back: reads do not depend on it yet.
        let before = process.ways[0].requests();
        reads(Instant::now() + Duration::from_millis(500)).await;
        assert!(process.ways[0].requests() - before <= 6, "all reads at once");
        reads(Instant::now() + Duration::from_secs(18)).await;
    }
    assert_eq!(failed, 0);
    assert!(slowest <= lab.settings.attempt_deadline * 2, "{slowest:?}");
}
