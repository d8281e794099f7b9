//! A backend that says nothing any more: how long its readers wait, with default settings and in paused time.

use std::time::Duration;

use lifeboat_core::{AnyStore, Identity};
use lifeboat_failover::Failover;
use lifeboat_testkit::fault_store::{FaultStore, Faults, Rule, Strike};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::time::Instant;

fn key() -> Path {
    Path::from("data/k")
}

/// A failover over two stores with one object, and the weather before the first of them.
async fn pair() -> (Failover, Faults) {
    let stores = [InMemory::new(), InMemory::new()];
    for store in &stores {
        store.put(&key(), "v1".into()).await.unwrap();
    }
    let [first, second] = stores;
    let way = Faults::seeded(1);
    let first = FaultStore::new(first, way.clone());
    let builder = Failover::builder()
        .seeded_backend(AnyStore::new(first, Identity::new("memory", "", "first")))
        .seeded_backend(AnyStore::new(second, Identity::new("memory", "", "second")));
    (builder.seed(1).build().unwrap(), way)
}

async fn timed(store: &Failover) -> Duration {
    let began = Instant::now();
    assert_eq!(store.get(&key()).await.unwrap().bytes().await.unwrap(), "v1");
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn the_first_read_of_a_process_that_starts_in_an_outage_comes_within_a_second() {
    let (store, way) = pair().await;
    way.add(Rule::new(Strike::Hang));
    let took = timed(&store).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn no_read_waits_for_the_hedge_budget_while_the_row_that_ejects_is_counted() {
    let (store, way) = pair().await;
    for _ in 0..100 {
        timed(&store).await;
    }
    way.add(Rule::new(Strike::Hang));
    for read in 0..200 {
        let took = timed(&store).await;
        assert!(took < Duration::from_millis(50), "read {read} took {took:?}");
    }
}
