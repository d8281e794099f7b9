//! Conditional writes: races with one winner, and services that only pretend. Through `Failover` the first backend that
//! lives decides.

use std::sync::Arc;

use futures::future::join_all;
use lifeboat_core::conditions::Finding;
use lifeboat_core::{BlobStore, Support};
use lifeboat_testkit::s3::{ConditionalWrites, Listing, Options};
use lifeboat_tests::{Kind, fresh, tiny_s3};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};

const RACERS: usize = 10;

async fn race(store: &Arc<dyn BlobStore>, key: &Path, mode: PutMode) -> usize {
    let racers = (0..RACERS).map(|racer| {
        let (store, mode) = (Arc::clone(store), mode.clone());
        // No racer writes what is there already: under an MD5 ETag that would pass twice.
        let body = format!("racer {racer}");
        async move { (racer, store.put_opts(key, body.into(), mode.into()).await) }
    });
    let mut winners = Vec::new();
    for (racer, result) in join_all(racers).await {
        match result {
            Ok(_) => winners.push(format!("racer {racer}")),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let stored = store.get(key).await.unwrap().bytes().await.unwrap();
    assert_eq!(
        winners,
        [String::from_utf8(stored.to_vec()).unwrap()],
        "the winner's body is there"
    );
    winners.len()
}

async fn ten_racing_creates_have_one_winner(kind: Kind) {
    let t = fresh(kind).await;
    assert_eq!(race(&t.store, &Path::from("lock"), PutMode::Create).await, 1);
}

async fn ten_racing_updates_have_one_winner(kind: Kind) {
    let t = fresh(kind).await;
    let key = Path::from("table");
    let version: UpdateVersion = t.store.put(&key, "0".into()).await.unwrap().into();
    assert_eq!(race(&t.store, &key, PutMode::Update(version)).await, 1);
}

async fn capabilities_are_confirmed(kind: Kind, ordered: Support) {
    let t = fresh(kind).await;
    let report = t.store.confirm_capabilities().await.unwrap();
    assert_eq!(report.conditions.create_if_absent.support, Support::Yes, "{report:?}");
    assert_eq!(report.conditions.compare_and_swap.support, Support::Yes, "{report:?}");
    assert_eq!(report.conditions.user_metadata.support, Support::Yes, "{report:?}");
    assert_eq!(report.ordered_listing.support, ordered, "{report:?}");
    let left: Vec<_> = futures::StreamExt::collect(t.store.list(None)).await;
    assert!(left.is_empty(), "the probe leaves nothing behind: {left:?}");
}

macro_rules! races {
    ($kind:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn ten_racing_creates_have_one_winner() {
            super::ten_racing_creates_have_one_winner($kind).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn ten_racing_updates_have_one_winner() {
            super::ten_racing_updates_have_one_winner($kind).await;
        }
    };
    // Its threads look at the ETag and then write, without a lock: now and then two of them win.
    ($kind:expr, one_after_the_other) => {};
}

macro_rules! on {
    ($($module:ident => $kind:expr, $ordered:expr $(, $order:ident)?;)*) => {$(
        mod $module {
            use super::*;

            races!($kind $(, $order)?);

            #[tokio::test]
            async fn capabilities_are_confirmed() {
                super::capabilities_are_confirmed($kind, $ordered).await;
            }
        }
    )*};
}

on! {
    seaweedfs => Kind::SeaweedFs, Support::No;
    moto => Kind::Moto, Support::Yes, one_after_the_other;
    azurite => Kind::Azurite, Support::Yes;
    gcs => Kind::Gcs, Support::Yes;
    tiny_s3 => Kind::TinyS3, Support::Yes;
    memory => Kind::Memory, Support::Yes;
    failover_seaweedfs_azurite => Kind::SEAWEEDFS_AZURITE, Support::No;
    failover_azurite_gcs => Kind::AZURITE_GCS, Support::Yes;
}

/// What a dead backend does cannot be found out, and it is the first one's answer that counts.
async fn capabilities_are_not_confirmed(kind: Kind) {
    let t = fresh(kind).await;
    let error = t.store.confirm_capabilities().await.unwrap_err();
    assert!(t.store.classify(&error).is_fault(), "{error}");
}

macro_rules! on_dead {
    ($($module:ident => $kind:expr;)*) => {$(
        mod $module {
            use super::*;

            races!($kind);

            #[tokio::test]
            async fn capabilities_are_not_confirmed() {
                super::capabilities_are_not_confirmed($kind).await;
            }
        }
    )*};
}

on_dead! {
    failover_dead_seaweedfs_gcs => Kind::DEAD_SEAWEEDFS_GCS;
    failover_dead_azurite_seaweedfs => Kind::DEAD_AZURITE_SEAWEEDFS;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_create_has_one_winner_and_updates_are_refused() {
    ten_racing_creates_have_one_winner(Kind::Folder).await;
    let t = fresh(Kind::Folder).await;
    let key = Path::from("k");
    let version: UpdateVersion = t.store.put(&key, "0".into()).await.unwrap().into();
    let update = t.store.put_opts(&key, "1".into(), PutMode::Update(version).into()).await;
    assert!(matches!(update, Err(Error::NotSupported { .. } | Error::NotImplemented { .. })));
}

#[tokio::test]
async fn conditions_that_are_ignored_are_found_out_and_never_a_false_success() {
    let t = tiny_s3(Options::default().conditional_writes(ConditionalWrites::Ignore)).await;
    let key = Path::from("lock");
    let version = UpdateVersion { e_tag: Some("\"any\"".into()), version: None };
    for mode in [PutMode::Create, PutMode::Update(version)] {
        let error = t.store.put_opts(&key, "x".into(), mode.into()).await.unwrap_err();
        assert!(matches!(error, Error::NotSupported { .. }), "{error}");
        assert!(error.to_string().contains("the condition is ignored"), "{error}");
    }
    assert!(t.tiny_s3().contents("bucket", "lock").is_none(), "nothing was written");
    assert_eq!(t.store.capabilities().create_if_absent, Support::No);
    let report = t.store.confirm_capabilities().await.unwrap();
    let Finding { support, detail, .. } = report.conditions.create_if_absent;
    assert_eq!((support, detail.contains("ignored")), (Support::No, true), "{detail}");
    assert!(t.tiny_s3().keys("bucket").is_empty(), "the probe leaves nothing behind");
}

#[tokio::test]
async fn conditions_are_probed_once_however_many_ask() {
    let t = tiny_s3(Options::default()).await;
    let keys: Vec<Path> = (0..8).map(|i| Path::from(format!("k{i}"))).collect();
    let puts = keys.iter().map(|key| t.store.put_opts(key, "x".into(), PutMode::Create.into()));
    for put in join_all(puts).await {
        put.unwrap();
    }
    let log = t.tiny_s3().request_log();
    let first_puts = log
        .iter()
        .filter(|request| request.method == "PUT" && request.path.contains("/.lifeboat/probe/"))
        .map(|request| request.path.clone())
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(first_puts.len(), 1, "one probe key for all: {first_puts:?}");
}

#[tokio::test]
async fn directory_order_is_found_out_and_offsets_skip_nothing() {
    let t = tiny_s3(Options::default().listing(Listing::DirectoryOrder)).await;
    let report = t.store.confirm_capabilities().await.unwrap();
    assert_eq!(report.ordered_listing.support, Support::No, "{report:?}");
    assert_eq!(t.store.capabilities().ordered_listing, Support::No);
    for key in ["a", "a/b", "a0"] {
        t.store.put(&Path::from(key), "x".into()).await.unwrap();
    }
    let after = t.store.list_with_offset(None, &Path::from("a"));
    let after: Vec<_> = futures::StreamExt::collect(after).await;
    assert_eq!(after.len(), 2, "{after:?}");
}
