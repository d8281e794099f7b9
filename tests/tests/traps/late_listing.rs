//! Traps of listings that are late.

use std::time::Duration;

use futures::TryStreamExt;
use lifeboat_failover::HealthState;
use lifeboat_testkit::fault_store::{Failure, Operation, Rule, Strike};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::sleep;

use crate::lab::{Lab, come_to_rest, key};

#[tokio::test(start_paused = true)]
async fn late_listing_is_waited_for_if_the_other_backend_has_gone_meanwhile() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    let health = || process.store.status().backends[0].health;
    // b0 has just returned: b1 is listed, and given up after 600 ms because b0 could be asked.
    process.refuse(0);
    while health() != HealthState::Ejected {
        process.must_put(&key(), "v2").await;
    }
    process.clear(0);
    while health() != HealthState::Suspect {
        sleep(Duration::from_millis(50)).await;
    }
    let late = Rule::new(Strike::Delay(Duration::from_millis(1_500)));
    process.ways[1].add(late.on(&[Operation::List]).prefix("data"));
    let store = process.store.clone();
    let listing = process
        .run(async move { store.list(Some(&Path::from("data"))).try_collect::<Vec<_>>().await });
    come_to_rest().await;
    // It goes again while b1 is waited for, which answers well within every deadline.
    process.refuse(0);
    while health() != HealthState::Ejected {
        process.must_put(&key(), "v3").await;
    }
    let listed = listing.await.unwrap();
    assert_eq!(listed.map(|objects| objects.len()).map_err(|error| error.to_string()), Ok(1));
}

/// What was under way when the lock fell goes on being answered while the lock is looked into.
#[tokio::test(start_paused = true)]
async fn lock_that_falls_among_many_requests_fails_none_of_them() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    sleep(Duration::from_secs(5)).await;
    for number in 1..=40 {
        let under_way = Rule::new(Strike::Delay(Duration::from_millis(5 * number)));
        process.ways[0].add(under_way.on(&[Operation::Get]).key(key().as_ref()).times(1));
    }
    let reads: Vec<_> = (0..40)
        .map(|_| {
            let store = process.store.clone();
            process.run(async move { store.get(&key()).await.map(drop) })
        })
        .collect();
    sleep(Duration::from_millis(1)).await;
    process.ways[0].set([Rule::new(Strike::Fail(Failure::Denied))]);
    let read = process.get(&key()).await;
    assert_eq!(read.map_err(|error| error.to_string()), Ok("v1".to_owned()));
    for read in reads {
        read.await.unwrap().unwrap();
    }
}
