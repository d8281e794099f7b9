//! `Failover` passes what every store has to pass: over pairs of backends on real servers, healthy and with the
//! first one dead. Our own suites over the same pairs are with those of all stores (`keys`, `conditions`, `extensions`,
//! `integrity`); what it does on top is in `traps`, `simulation` and `outage`.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lifeboat_failover::{Failover, Settings};
use lifeboat_testkit::proxy::Fault;
use lifeboat_tests::{Kind, fresh};
use object_store::integration as suite;
use object_store::{ObjectStore, ObjectStoreExt};

macro_rules! suites {
    ($($module:ident => $kind:expr),* $(,)?) => {$(
        mod $module {
            use super::*;

            suites!(@plain $kind, put_get_delete_list, put_get_attributes, get_opts, stream_get,
                list_uses_directories_correctly, list_with_delimiter, rename_and_copy,
                copy_if_not_exists, copy_rename_nonexistent_object, multipart_out_of_order,
                list_with_offset_exclusivity);

            #[tokio::test]
            async fn put_opts() {
                let updates = $kind.decider() != Kind::Folder;
                suite::put_opts(&fresh($kind).await.store, updates).await;
            }

            #[tokio::test]
            async fn get_nonexistent_object() {
                let t = fresh($kind).await;
                let error = suite::get_nonexistent_object(&t.store, None).await.unwrap_err();
                assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
            }
        }
    )*};
    (@plain $kind:expr, $($function:ident),*) => {$( suites!(@one $kind, $function); )*};
    (@one $kind:expr, $function:ident) => {
        #[tokio::test]
        async fn $function() {
            suite::$function(&fresh($kind).await.store).await;
        }
    };
}

suites! {
    memory_memory => Kind::MEMORY_MEMORY,
    seaweedfs_azurite => Kind::SEAWEEDFS_AZURITE,
    azurite_gcs => Kind::AZURITE_GCS,
    gcs_folder => Kind::GCS_FOLDER,
    dead_seaweedfs_gcs => Kind::DEAD_SEAWEEDFS_GCS,
    dead_azurite_seaweedfs => Kind::DEAD_AZURITE_SEAWEEDFS,
    dead_gcs_azurite => Kind::DEAD_GCS_AZURITE,
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
    let journal = failover.status().journal;
    assert!(journal.markers >= 3 && journal.unlevel >= 3, "{journal:?}");
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
    assert_eq!(failover.status().journal.unlevel, 0);
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
