//! Copies and comparisons of trees.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use crate::support::{MIB, Requests, Rig, all_attributes, bytes, read};
use futures::TryStreamExt;
use lifeboat_core::{AnyStore, Error, ErrorKind};
use lifeboat_transfer::{CopyOptions, Difference, Progress, Summary, copy_tree, verify_tree};
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt, PutPayload};

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

async fn fill(store: &dyn ObjectStore, objects: &[(&str, u64)]) {
    for (key, size) in objects {
        store.put_opts(&path(key), bytes(*size).into(), all_attributes().into()).await.unwrap();
    }
}

async fn keys(store: &dyn ObjectStore) -> Vec<String> {
    store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap()
}

async fn copy_all(source: &AnyStore, target: &AnyStore) -> Result<Summary, Error> {
    copy_tree(source, &Path::ROOT, target, &Path::ROOT, &CopyOptions::default(), &()).await
}

/// Adds up what it is told.
#[derive(Default)]
struct Ledger {
    discovered: (AtomicU64, AtomicU64),
    bytes: AtomicU64,
    started: Mutex<BTreeMap<String, u64>>,
    finished: Mutex<Vec<String>>,
    failed: Mutex<Vec<String>>,
}

impl Progress for Ledger {
    fn discovered(&self, objects: u64, bytes: u64) {
        self.discovered.0.fetch_add(objects, SeqCst);
        self.discovered.1.fetch_add(bytes, SeqCst);
    }

    fn started(&self, key: &Path, size: u64) {
        self.started.lock().unwrap().insert(key.to_string(), size);
    }

    fn bytes(&self, count: u64) {
        self.bytes.fetch_add(count, SeqCst);
    }

    fn finished(&self, key: &Path) {
        self.finished.lock().unwrap().push(key.to_string());
    }

    fn failed(&self, key: &Path, _error: &Error) {
        self.failed.lock().unwrap().push(key.to_string());
    }
}

#[tokio::test]
async fn tree_moves_from_prefix_to_prefix_with_odd_names_and_without_what_is_reserved() {
    let source = Rig::default().store("source");
    let names = ["in/a b", "in/50%", "in/%2F", "in/x#1/ü", "in/x#1/日本", "in/deep/er/f"];
    for name in names {
        fill(&source, &[(name, 10)]).await;
    }
    fill(&source, &[(".lifeboat/journal/1", 1), ("inside", 1), ("in", 1)]).await;
    let target = Rig::default().store("target");
    let options = CopyOptions::default();
    let ledger = Ledger::default();
    let summary =
        copy_tree(&source, &path("in"), &target, &path("out/to"), &options, &ledger).await.unwrap();
    assert!(summary.is_complete());
    assert_eq!((summary.objects, summary.bytes), (6, 60));
    let mut expected: Vec<_> = names.map(|name| name.replacen("in/", "out/to/", 1)).into();
    expected.sort();
    assert_eq!(keys(&target).await, expected);

    assert_eq!(ledger.discovered.0.load(SeqCst), 6);
    assert_eq!(ledger.discovered.1.load(SeqCst), 60);
    assert_eq!(ledger.bytes.load(SeqCst), 60);
    assert_eq!(ledger.started.lock().unwrap().len(), 6);
    assert_eq!(ledger.finished.lock().unwrap().len(), 6);

    let everything = Rig::default().store("everything");
    copy_all(&source, &everything).await.unwrap();
    assert!(!keys(&everything).await.iter().any(|key| key.starts_with(".lifeboat")));
}

#[tokio::test]
async fn objects_that_fail_are_reported_and_the_others_are_copied() {
    let mut source = Rig::default();
    source.broken_keys.insert("b".into());
    let source = source.store("source");
    let mut target = Rig::default();
    target.broken_keys.insert("c".into());
    let target = target.store("target");
    for key in ["a", "c", "d"] {
        fill(&source, &[(key, 5)]).await;
    }
    // A broken key refuses puts too, so it comes in by a copy.
    source.copy(&"a".into(), &"b".into()).await.unwrap();
    let ledger = Ledger::default();
    let options = CopyOptions::default();
    let root = Path::ROOT;
    let summary = copy_tree(&source, &root, &target, &root, &options, &ledger).await.unwrap();
    assert_eq!((summary.objects, summary.bytes, summary.failed), (2, 10, 2));
    assert!(!summary.is_complete());
    let mut failures: Vec<_> =
        summary.failures.iter().map(|(key, error)| (key.to_string(), error.backend())).collect();
    failures.sort();
    assert_eq!(
        failures,
        [("b".into(), Some("memory/source")), ("c".into(), Some("memory/target"))]
    );
    assert_eq!(keys(&target).await, ["a", "d"]);
    ledger.failed.lock().unwrap().sort();
    assert_eq!(*ledger.failed.lock().unwrap(), ["b", "c"]);
}

#[tokio::test]
async fn failures_are_counted_without_end_but_kept_only_to_a_bound() {
    let source = Rig::default().store("source");
    for number in 0..1_100 {
        source
            .put_opts(&format!("{number}").into(), PutPayload::new(), all_attributes().into())
            .await
            .unwrap();
    }
    let target = Rig { refuse_attributes: true, ..Rig::default() }.store("target");
    let summary = copy_all(&source, &target).await.unwrap();
    assert_eq!(summary.failed, 1_100);
    assert_eq!(summary.failures.len(), Summary::MOST_FAILURES);
}

#[tokio::test]
async fn listing_that_breaks_is_an_error_after_what_was_listed_is_copied() {
    let source = Rig { break_listing_at: Some(2), ..Rig::default() }.store("source");
    fill(&source, &[("a", 1), ("b", 1), ("c", 1)]).await;
    let target = Rig::default().store("target");
    let error = copy_all(&source, &target).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.backend(), Some("memory/source"));
    assert_eq!(keys(&target).await, ["a", "b"]);
}

#[tokio::test]
async fn memory_stays_within_its_bound_whatever_the_sizes_are() {
    let rig = Rig::default();
    let gauge = Arc::clone(&rig.gauge);
    for number in 0_u64..40 {
        // From nothing to many parts, in a mixed order.
        let size = [0, 1, 700_000, MIB, 3 * MIB, 9 * MIB + 17, 100, 2 * MIB + 1];
        let size = size[usize::try_from(number * 5 % 8).unwrap()];
        // Past the rig, which would count it.
        rig.memory.put(&format!("{number:02}").into(), bytes(size).into()).await.unwrap();
    }
    let source = rig.store("source");
    let target = Rig { slowness: 40, gauge: Arc::clone(&gauge), ..Rig::default() };
    let target = target.store("target");
    let options = CopyOptions { memory: 6 * MIB, part_size: 2 * MIB, ..CopyOptions::default() };
    let root = Path::ROOT;
    let summary = copy_tree(&source, &root, &target, &root, &options, &()).await.unwrap();
    assert!(summary.is_complete());
    assert_eq!(gauge.now(), 0, "everything that was read was written");
    let peak = gauge.peak();
    assert!(peak <= options.memory, "{peak}");
    assert!(peak > 3 * MIB, "objects did go over side by side: {peak}");
    assert!(verify_tree(&source, &root, &target, &root).await.unwrap().is_identical());
}

#[tokio::test]
async fn part_larger_than_all_memory_is_copied_alone() {
    let source = Rig::default().store("source");
    fill(&source, &[("a", 5 * MIB), ("b", 5 * MIB), ("c", 10)]).await;
    let target = Rig::default().store("target");
    let options = CopyOptions { memory: MIB, part_size: 3 * MIB, ..CopyOptions::default() };
    let root = Path::ROOT;
    let summary = copy_tree(&source, &root, &target, &root, &options, &()).await.unwrap();
    assert_eq!(summary.objects, 3);
}

#[tokio::test]
async fn object_that_grew_after_it_was_listed_is_copied_as_it_is() {
    let source = Rig { list: -4, ..Rig::default() }.store("source");
    source.put(&"log".into(), bytes(3 * MIB + 2).into()).await.unwrap();
    let target = Rig::default().store("target");
    // Listed as small enough for one request, found to need parts.
    let options = CopyOptions { part_size: 3 * MIB, ..CopyOptions::default() };
    let root = Path::ROOT;
    copy_tree(&source, &root, &target, &root, &options, &()).await.unwrap();
    assert_eq!(read(&target, "log").await, bytes(3 * MIB + 2));
}

#[tokio::test]
async fn tree_is_not_copied_into_itself() {
    let store = Rig::default().store("one");
    fill(&store, &[("a/b", 1)]).await;
    let options = CopyOptions::default();
    for to in ["a", "a/copy"] {
        let error =
            copy_tree(&store, &path("a"), &store, &path(to), &options, &()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    }
    let beside = copy_tree(&store, &path("a"), &store, &path("a2"), &options, &()).await.unwrap();
    assert_eq!(beside.objects, 1);
    assert_eq!(keys(&store).await, ["a/b", "a2/b"]);
}

#[tokio::test]
async fn verification_finds_every_kind_of_difference_and_nothing_else() {
    let (source, target) = (Rig::default().store("source"), Rig::default().store("target"));
    let all =
        [("attributes", 3), ("content", 300_000), ("missing", 1), ("same", 300_000), ("size", 9)];
    fill(&source, &all).await;
    copy_all(&source, &target).await.unwrap();
    let identical = verify_tree(&source, &Path::ROOT, &target, &Path::ROOT).await.unwrap();
    assert!(identical.is_identical());
    assert_eq!((identical.identical, identical.bytes), (5, 600_013));

    let mut changed = bytes(300_000).to_vec();
    changed[200_001] ^= 1;
    let put = async |key: &str, body: PutPayload, attributes: Attributes| {
        target.put_opts(&path(key), body, attributes.into()).await.unwrap();
    };
    put("content", changed.into(), all_attributes()).await;
    put("size", bytes(8).into(), all_attributes()).await;
    let mut attributes = all_attributes();
    attributes.insert(Attribute::ContentType, "text/html".into());
    put("attributes", bytes(3).into(), attributes).await;
    put("extra", "x".into(), Attributes::new()).await;
    target.delete(&"missing".into()).await.unwrap();

    let report = verify_tree(&source, &Path::ROOT, &target, &Path::ROOT).await.unwrap();
    assert!(!report.is_identical());
    assert_eq!(report.identical, 1);
    assert_eq!(report.missing.first(), ["missing".into()]);
    assert_eq!(report.extra.first(), ["extra".into()]);
    let mut different = report.different.first().to_vec();
    different.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("attributes", Difference::Attributes(vec!["content-type".into()])),
        ("content", Difference::Content { offset: 200_001 }),
        ("size", Difference::Size { source: 9, target: 8 }),
    ];
    assert_eq!(different, expected.map(|(key, difference)| (Path::from(key), difference)));
    assert_eq!(report.failures.count(), 0);
}

#[tokio::test]
async fn verification_of_equal_trees_asks_for_no_heads() {
    let rig = Rig::default();
    let requests = Arc::clone(&rig.requests);
    let (source, target) = (rig.store("source"), Rig::default().store("target"));
    fill(&source, &[("a", 1), ("b", 2)]).await;
    copy_all(&source, &target).await.unwrap();
    verify_tree(&source, &Path::ROOT, &target, &Path::ROOT).await.unwrap();
    assert_eq!(Requests::count(&requests.heads), 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_not_verified() {
    let (source, target) = (Rig::default().store("source"), Rig::default().store("target"));
    fill(&source, &[("a", 300_000)]).await;
    copy_all(&source, &target).await.unwrap();
    let broken = Rig { break_body_at: Some(100_000), ..Rig::default() }.store("broken");
    copy_all(&source, &broken).await.unwrap();
    let report = verify_tree(&source, &Path::ROOT, &broken, &Path::ROOT).await.unwrap();
    assert_eq!(report.failures.count(), 1);
    assert!(!report.is_identical());
}
