//! Traps of listings: what a backend lists is not all there is while keys are dirty.

use std::time::Duration;

use lifeboat_testkit::fault_store::{Failure, Faults, Operation, Rule, Strike};
use object_store::path::Path;
use object_store::{ListResult, ObjectStore, ObjectStoreExt};

use crate::lab::{Lab, Process};

/// Writes below this do not reach the first backend.
const MISSED: &str = "missed/";

/// Objects that nobody asks for.
const OTHERS: usize = 10_000;

async fn level(process: &Process, prefix: Option<&str>) -> (Vec<String>, Vec<String>) {
    let prefix = prefix.map(Path::from);
    let ListResult { common_prefixes, objects, .. } =
        process.store.list_with_delimiter(prefix.as_ref()).await.unwrap();
    let folders = common_prefixes.into_iter().map(String::from).collect();
    let objects = objects.into_iter().map(|object| object.location.into()).collect();
    (folders, objects)
}

/// Writes and deletes below `prefix` fail at the first backend, which serves all the same.
fn miss(process: &Process, prefix: &str) {
    let writes = Rule::new(Strike::Fail(Failure::Refused)).on(Operation::WRITES);
    process.ways[0].add(writes.prefix(prefix));
}

/// The replica does not list, apart from journals.
fn list_at_first(process: &Process, prefixes: &[&str]) {
    for prefix in prefixes {
        let lists = Rule::new(Strike::Fail(Failure::Refused)).on(&[Operation::List]);
        process.ways[1].add(lists.key(*prefix));
    }
}

async fn put(process: &Process, key: &str) {
    process.store.put(&Path::from(key), "x".into()).await.unwrap();
    stay(process).await;
}

async fn delete(process: &Process, key: &str) {
    process.store.delete(&Path::from(key)).await.unwrap();
    stay(process).await;
}

/// The first backend answers something, so that no row of failures ejects it.
async fn stay(process: &Process) {
    let _ = process.store.head(&Path::from("stay")).await;
}

fn requests(process: &Process) -> u64 {
    process.ways.iter().map(Faults::requests).sum()
}

fn fill(lab: &Lab, backend: usize) {
    for number in 0..OTHERS {
        let key = Path::from(format!("others/{:02}/{number}", number % 100));
        lab.backends[backend].write_directly(&key, "old");
    }
}

#[tokio::test(start_paused = true)]
async fn one_dirty_key_makes_no_level_a_listing_of_the_whole_bucket() {
    let lab = Lab::new(2);
    (0..2).for_each(|backend| fill(&lab, backend));
    let process = lab.process(1);
    put(&process, "missed/known").await;
    miss(&process, MISSED);
    put(&process, "missed/new").await;
    assert!(process.store.status().backends[0].dirty_keys > 0);
    for at_first in [false, true] {
        if at_first {
            list_at_first(&process, &[""]);
        }
        let before = requests(&process);
        let (folders, objects) = level(&process, None).await;
        assert_eq!(folders, ["missed", "others"]);
        assert!(objects.is_empty(), "{objects:?}");
        // The level, and a look or two; listing everything takes more than ten pages.
        let took = requests(&process) - before;
        assert!(took <= 6, "{took} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn a_level_of_an_incomplete_backend_is_joined_with_the_others_without_listing_everything() {
    let mut lab = Lab::new(2);
    lab.seeded = vec![false; 2];
    fill(&lab, 0);
    for (backend, key) in [(0, "first/a"), (0, "top-0"), (1, "second/b"), (1, "top-1")] {
        lab.backends[backend].write_directly(&Path::from(key), "old");
    }
    let process = lab.process(1);
    process.store.loaded().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = requests(&process);
    let (folders, objects) = level(&process, None).await;
    assert_eq!(folders, ["first", "others", "second"]);
    assert_eq!(objects, ["top-0", "top-1"]);
    let took = requests(&process) - before;
    assert!(took <= 6, "{took} requests");
}

#[tokio::test(start_paused = true)]
async fn folders_that_dirty_keys_make_or_end_are_listed_as_they_are() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    for key in ["missed/end/a", "missed/end/b", "missed/mixed/a", "missed/mixed/b", "missed/top"] {
        put(&process, key).await;
    }
    miss(&process, MISSED);
    delete(&process, "missed/end/a").await;
    delete(&process, "missed/end/b").await;
    delete(&process, "missed/mixed/a").await;
    delete(&process, "missed/top").await;
    put(&process, "missed/begin/deep/a").await;
    put(&process, "missed/other").await;
    put(&process, "missed/passing/a").await;
    delete(&process, "missed/passing/a").await;
    for at_first in [false, true] {
        if at_first {
            list_at_first(&process, &["", "missed", "missed/begin", "missed/end", "missed/mixed"]);
        }
        let (folders, objects) = level(&process, Some("missed")).await;
        assert_eq!(folders, ["missed/begin", "missed/mixed"], "at_first: {at_first}");
        assert_eq!(objects, ["missed/other"], "at_first: {at_first}");
        let (folders, objects) = level(&process, None).await;
        assert_eq!(folders, ["missed"]);
        assert!(objects.is_empty(), "{objects:?}");
        let (folders, objects) = level(&process, Some("missed/end")).await;
        assert!(folders.is_empty() && objects.is_empty(), "{folders:?} {objects:?}");
    }
}
