//! `Failover` passes what every store has to pass: over pairs of backends on real servers, healthy and with the
//! first one dead. What it does on top is in `traps`, `simulation` and `outage`.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lifeboat_core::BlobStore;
use lifeboat_failover::{ConditionalWrites, Failover, HealthState, Settings};
use lifeboat_testkit::proxy::{Fault, FaultProxy};
use lifeboat_tests::{Kind, TestStore, fresh};
use object_store::integration as suite;
use object_store::{ObjectStore, ObjectStoreExt};

/// A failover and what must live as long as it does.
struct Pair {
    failover: Failover,
    second: Kind,
    dead: bool,
    _proxy: Option<FaultProxy>,
    _stores: [TestStore; 2],
}

async fn pair(first: Kind, second: Kind, dead: bool) -> Pair {
    let stores = [fresh(first).await, fresh(second).await];
    let mut settings = Settings::default();
    let mut proxy = None;
    let mut primary: Arc<dyn BlobStore> = Arc::clone(&stores[0].store);
    if dead {
        let (in_front, store) = stores[0].through_proxy(lifeboat_tests::http()).await;
        in_front.set(Fault::Refuse);
        primary = store;
        proxy = Some(in_front);
        settings.conditional_writes = ConditionalWrites::Active;
    }
    let failover = Failover::builder()
        .seeded_backend(primary)
        .seeded_backend(Arc::clone(&stores[1].store))
        .settings(settings)
        .build()
        .unwrap();
    if dead {
        // What was written before it was known to be dead might be there.
        failover.loaded().await;
        let known = async {
            while failover.status().backends[0].health != HealthState::Ejected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), known).await.unwrap();
    }
    Pair { failover, second, dead, _proxy: proxy, _stores: stores }
}

impl Pair {
    fn updates(&self) -> bool {
        !(self.dead && self.second == Kind::Folder)
    }
}

macro_rules! suites {
    ($($module:ident => ($first:expr, $second:expr, $dead:expr)),* $(,)?) => {$(
        mod $module {
            use super::*;

            suites!(@plain ($first, $second, $dead) put_get_delete_list, put_get_attributes, get_opts, stream_get,
                list_uses_directories_correctly, list_with_delimiter, rename_and_copy,
                copy_if_not_exists, copy_rename_nonexistent_object, multipart_out_of_order,
                list_with_offset_exclusivity);

            #[tokio::test]
            async fn put_opts() {
                let pair = pair($first, $second, $dead).await;
                suite::put_opts(&pair.failover, pair.updates()).await;
            }

            #[tokio::test]
            async fn get_nonexistent_object() {
                let pair = pair($first, $second, $dead).await;
                let error = suite::get_nonexistent_object(&pair.failover, None).await.unwrap_err();
                assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
            }
        }
    )*};
    (@plain $pair:tt $($function:ident),*) => {$( suites!(@one $pair $function); )*};
    (@one ($first:expr, $second:expr, $dead:expr) $function:ident) => {
        #[tokio::test]
        async fn $function() {
            let pair = pair($first, $second, $dead).await;
            suite::$function(&pair.failover).await;
        }
    };
}

suites! {
    memory_memory => (Kind::Memory, Kind::Memory, false),
    seaweedfs_azurite => (Kind::SeaweedFs, Kind::Azurite, false),
    azurite_gcs => (Kind::Azurite, Kind::Gcs, false),
    gcs_folder => (Kind::Gcs, Kind::Folder, false),
    dead_seaweedfs_gcs => (Kind::SeaweedFs, Kind::Gcs, true),
    dead_azurite_seaweedfs => (Kind::Azurite, Kind::SeaweedFs, true),
    dead_gcs_azurite => (Kind::Gcs, Kind::Azurite, true),
}

#[tokio::test]
async fn what_was_written_during_an_outage_reaches_the_primary_afterwards() {
    let stores = [fresh(Kind::SeaweedFs).await, fresh(Kind::Azurite).await];
    let (proxy, primary) = stores[0].through_proxy(lifeboat_tests::http()).await;
    let mut settings = Settings::default();
    settings.settling = Duration::from_secs(1);
    // A refused connection may have been a pooled one, on which the request may have gone out.
    settings.quarantine = Duration::from_secs(5);
    let failover = Failover::builder()
        .seeded_backend(primary)
        .seeded_backend(Arc::clone(&stores[1].store))
        .settings(settings)
        .build()
        .unwrap();
    failover.put(&"before".into(), "1".into()).await.unwrap();
    failover.put(&"gone".into(), "1".into()).await.unwrap();
    proxy.set(Fault::Refuse);
    failover.put(&"during".into(), "2".into()).await.unwrap();
    failover.put(&"before".into(), "3".into()).await.unwrap();
    failover.delete(&"gone".into()).await.unwrap();
    assert_eq!(failover.get(&"before".into()).await.unwrap().bytes().await.unwrap(), "3");
    assert!(failover.status().journal.markers >= 3);
    proxy.set(Fault::Pass);
    let bound = Duration::from_mins(1);
    let drained = async {
        while failover.status().journal.markers > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(bound, drained).await.unwrap_or_else(|_| {
        panic!("the journal does not drain: {:#?}", failover.status());
    });
    for store in &stores {
        let mut keys: Vec<String> = store
            .store
            .list(None)
            .map(|object| object.unwrap().location.to_string())
            .filter(|key| futures::future::ready(!key.starts_with(".lifeboat")))
            .collect()
            .await;
        keys.sort();
        assert_eq!(keys, ["before", "during"], "{}", store.store);
        let before = store.store.get(&"before".into()).await.unwrap();
        assert_eq!(before.bytes().await.unwrap(), "3", "{}", store.store);
    }
}
