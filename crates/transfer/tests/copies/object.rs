//! Copies of one object: sizes, limits, attributes, and what happens when either end fails.

use std::sync::Arc;

use crate::support::{MIB, Requests, Rig, all_attributes, bytes, read};
use lifeboat_core::{AnyStore, BlobStore, ErrorKind, PartLimits};
use lifeboat_transfer::{Copied, CopyOptions, copy_object};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Attribute, ObjectStore, ObjectStoreExt, PutOptions};

const KEY: &str = "a/key";

/// Parts of 1 MiB, so that small objects have many.
fn small_parts() -> CopyOptions {
    CopyOptions { part_size: MIB, ..CopyOptions::default() }
}

async fn source_of(rig: Rig, size: u64) -> AnyStore {
    let options = PutOptions::from(all_attributes());
    rig.memory.put_opts(&KEY.into(), bytes(size).into(), options).await.unwrap();
    rig.store("source")
}

async fn copy(
    source: &dyn BlobStore,
    target: &dyn BlobStore,
    options: &CopyOptions,
) -> Result<Copied, lifeboat_core::Error> {
    copy_object(source, &KEY.into(), target, &KEY.into(), options, &()).await
}

#[tokio::test]
async fn every_size_around_a_part_arrives_whole_with_its_attributes() {
    for size in [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 17] {
        // One piece with everything in it, pieces that fit parts, and pieces that do not.
        for piece in [usize::MAX, 1 << 18, 100_003] {
            let source = source_of(Rig { piece, ..Rig::default() }, size).await;
            let target = Rig::default();
            let requests = Arc::clone(&target.requests);
            let target = target.store("target");
            let copied = copy(&source, &target, &small_parts()).await.unwrap();
            assert_eq!(copied.size, size);
            assert_eq!(read(&target, KEY).await, bytes(size), "{size} in pieces of {piece}");
            let mut expected = all_attributes();
            expected.remove(&Attribute::StorageClass);
            assert_eq!(target.get(&KEY.into()).await.unwrap().attributes, expected);
            let parts = requests.parts.lock().unwrap().clone();
            let whole = size <= MIB;
            assert_eq!(copied.parts as usize, parts.len());
            assert_eq!(Requests::count(&requests.puts), u64::from(whole));
            assert_eq!(parts.is_empty(), whole, "{size}: {parts:?}");
            if let Some((last, others)) = parts.split_last() {
                assert!(others.iter().all(|part| *part == MIB) && *last > 0, "{parts:?}");
                assert_eq!(parts.iter().sum::<u64>(), size);
            }
        }
    }
}

#[tokio::test]
async fn part_size_grows_with_the_targets_limit_on_the_number_of_parts() {
    let source = source_of(Rig::default(), 10 * MIB).await;
    let target = Rig::default();
    let requests = Arc::clone(&target.requests);
    let target = target.store_with("target", PartLimits { max_parts: 3, ..PartLimits::NONE });
    copy(&source, &target, &small_parts()).await.unwrap();
    assert_eq!(*requests.parts.lock().unwrap(), [4 * MIB, 4 * MIB, 2 * MIB]);
}

#[tokio::test]
async fn object_too_large_for_the_target_is_refused_before_anything_is_sent() {
    let source = source_of(Rig::default(), 3 * MIB).await;
    let target = Rig::default();
    let requests = Arc::clone(&target.requests);
    let limits = PartLimits { max_parts: 2, max_part_size: MIB, ..PartLimits::NONE };
    let target = target.store_with("target", limits);
    let error = copy(&source, &target, &small_parts()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    assert_eq!((error.backend(), error.key()), (Some("memory/target"), Some(KEY)));
    assert!(error.remedy().is_some() && error.to_string().contains("too large"), "{error}");
    assert_eq!(Requests::count(&requests.puts) + Requests::count(&requests.uploads), 0);
}

#[tokio::test]
async fn body_that_breaks_leaves_nothing_and_aborts_the_upload() {
    for (size, aborted) in [(MIB, 0), (3 * MIB, 1)] {
        let rig = Rig { break_body_at: Some(size - 1), ..Rig::default() };
        let source = source_of(rig, size).await;
        let target = Rig::default();
        let requests = Arc::clone(&target.requests);
        let target = target.store("target");
        let error = copy(&source, &target, &small_parts()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!((error.backend(), error.key()), (Some("memory/source"), Some(KEY)));
        assert_eq!(Requests::count(&requests.aborted), aborted);
        assert_eq!(Requests::count(&requests.completed), 0);
        target.head(&KEY.into()).await.unwrap_err();
    }
}

#[tokio::test]
async fn body_of_another_length_than_announced_is_an_integrity_error() {
    for size in [1000, 2 * MIB] {
        for announce in [-1, 1] {
            let source = source_of(Rig { announce, ..Rig::default() }, size).await;
            let target = Rig::default().store("target");
            let error = copy(&source, &target, &small_parts()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
            target.head(&KEY.into()).await.unwrap_err();
        }
    }
}

#[tokio::test]
async fn each_part_that_fails_aborts_the_upload() {
    for part in 0..4 {
        let source = source_of(Rig::default(), 3 * MIB + 17).await;
        let target = Rig { fail_part: Some(part), ..Rig::default() };
        let requests = Arc::clone(&target.requests);
        let target = target.store("target");
        let error = copy(&source, &target, &small_parts()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.backend(), Some("memory/target"));
        assert_eq!(Requests::count(&requests.aborted), 1);
        target.head(&KEY.into()).await.unwrap_err();
    }
}

#[tokio::test]
async fn upload_that_cannot_be_aborted_is_told_with_the_first_error() {
    let source = source_of(Rig::default(), 2 * MIB).await;
    let target = Rig { fail_part: Some(0), fail_abort: true, ..Rig::default() }.store("target");
    let error = copy(&source, &target, &small_parts()).await.unwrap_err();
    assert!(error.remedy().unwrap().contains("unfinished uploads"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn size_that_the_target_reports_is_compared() {
    let source = source_of(Rig::default(), 2 * MIB).await;
    let target = Rig { head: -1, ..Rig::default() }.store("target");
    let error = copy(&source, &target, &small_parts()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
}

#[tokio::test]
async fn attributes_are_dropped_only_with_leave() {
    for size in [1, 2 * MIB] {
        let source = source_of(Rig::default(), size).await;
        let target = Rig { refuse_attributes: true, ..Rig::default() }.store("target");
        let error = copy(&source, &target, &small_parts()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSupported, "{error}");
        assert!(error.to_string().contains("attributes"), "{error}");
        target.head(&KEY.into()).await.unwrap_err();

        let options = CopyOptions { drop_attributes: true, ..small_parts() };
        copy(&source, &target, &options).await.unwrap();
        assert_eq!(read(&target, KEY).await, bytes(size));
    }
}

#[tokio::test]
async fn metadata_that_the_target_is_known_to_forget_is_not_sent_without_leave() {
    let source = source_of(Rig::default(), 1).await;
    let mut capabilities = lifeboat_core::Capabilities::CONSERVATIVE;
    capabilities.user_metadata = lifeboat_core::Support::No;
    let target = Rig::default().store("target").with_capabilities(capabilities);
    let error = copy(&source, &target, &small_parts()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported, "{error}");
    let options = CopyOptions { drop_attributes: true, ..small_parts() };
    copy(&source, &target, &options).await.unwrap();
    let kept = target.get(&KEY.into()).await.unwrap().attributes;
    assert_eq!(kept.get(&Attribute::ContentType).unwrap().as_ref(), "text/plain");
    assert_eq!(kept.get(&Attribute::Metadata("owner".into())), None);
}

#[tokio::test]
async fn missing_source_is_not_found() {
    let (source, target) = (Rig::default().store("source"), Rig::default().store("target"));
    let error = copy(&source, &target, &small_parts()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "memory/source, key `a/key`: no such object");
}

#[tokio::test]
async fn one_store_copies_by_itself_and_refuses_to_copy_onto_the_same_key() {
    let rig = Rig::default();
    let requests = Arc::clone(&rig.requests);
    let store = source_of(rig, 3 * MIB).await;
    let (from, to) = (Path::from(KEY), Path::from("b/key"));
    let copied = copy_object(&store, &from, &store, &to, &small_parts(), &()).await.unwrap();
    assert!(copied.server_side);
    assert_eq!(copied.size, 3 * MIB);
    assert_eq!((Requests::count(&requests.copies), Requests::count(&requests.gets)), (1, 0));
    assert_eq!(read(&store, "b/key").await, bytes(3 * MIB));
    let error = copy(&store, &store, &small_parts()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
}

#[tokio::test]
async fn two_stores_of_one_name_are_two_stores() {
    let source = source_of(Rig::default(), 10).await;
    let target = Rig::default().store("source");
    assert_eq!(source.identity(), target.identity());
    let copied = copy(&source, &target, &small_parts()).await.unwrap();
    assert!(!copied.server_side);
    assert_eq!(read(&target, KEY).await, bytes(10));
}

#[tokio::test]
async fn large_object_keeps_to_its_parts_in_flight() {
    for parts_in_flight in [1, 2, 4] {
        let rig = Rig::default();
        let gauge = Arc::clone(&rig.gauge);
        let source = source_of(rig, 24 * MIB + 5).await;
        let target = Rig { slowness: 50, gauge: Arc::clone(&gauge), ..Rig::default() };
        let requests = Arc::clone(&target.requests);
        let target = target.store("target");
        let options = CopyOptions { parts_in_flight, ..small_parts() };
        copy(&source, &target, &options).await.unwrap();
        let most = requests.most_parts_at_once.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(most, parts_in_flight, "the bound is reached and kept");
        assert!(gauge.peak() <= parts_in_flight as u64 * MIB + (64 << 10), "{}", gauge.peak());
        assert_eq!(gauge.now(), 0);
    }
}

#[tokio::test]
async fn foreign_store_of_one_piece_bodies_works_as_both_ends() {
    let store = |name| {
        let identity = lifeboat_core::Identity::new("memory", "", name);
        AnyStore::new(InMemory::new(), identity)
    };
    let (source, target) = (store("source"), store("target"));
    source.put(&KEY.into(), bytes(20 * MIB).into()).await.unwrap();
    let copied = copy(&source, &target, &CopyOptions::default()).await.unwrap();
    assert_eq!(copied.parts, 3);
    assert_eq!(read(&target, KEY).await, bytes(20 * MIB));
}
