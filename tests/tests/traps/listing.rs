//! Traps of listings: what a backend lists is not all there is while keys are dirty.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat_testkit::fault_store::{Failure, Faults, Operation, Rule, Strike};
use object_store::path::Path;
use object_store::{ListResult, ObjectStore, ObjectStoreExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::lab::{Lab, Process, come_to_rest};

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
    come_to_rest().await;
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

/// What there is in a level, from all keys there are.
fn level_of(keys: &BTreeSet<String>, prefix: Option<&str>) -> (Vec<String>, Vec<String>) {
    let (mut folders, mut objects) = (BTreeSet::new(), BTreeSet::new());
    let within = prefix.map_or_else(String::new, |prefix| format!("{prefix}/"));
    for rest in keys.iter().filter_map(|key| key.strip_prefix(&within)) {
        match rest.split_once('/') {
            Some((folder, _)) => folders.insert(format!("{within}{folder}")),
            None => objects.insert(format!("{within}{rest}")),
        };
    }
    (folders.into_iter().collect(), objects.into_iter().collect())
}

/// Writes and deletes at random in a small tree while one backend or the other misses some; every level is compared
/// with what must be there.
async fn levels_of_a_random_history(seed: u64, seeded: bool) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut lab = Lab::new(2 + usize::from(seed.is_multiple_of(3)));
    lab.seeded = vec![seeded; lab.backends.len()];
    let process = lab.process(seed);
    let mut keys = BTreeSet::new();
    for step in 0..40 {
        if random.random_ratio(1, 6) {
            let missing = random.random_range(0..=process.ways.len());
            for (at, way) in process.ways.iter().enumerate() {
                let rule = Rule::new(Strike::Fail(Failure::Refused)).on(Operation::WRITES);
                way.set((at == missing).then(|| rule.prefix("t/")));
            }
        }
        let depth = random.random_range(1..=3);
        let names = (0..depth).map(|_| ["a", "b", "c"][random.random_range(0..3)]);
        // A folder and an object may have one name.
        let key = format!("t/{}", names.collect::<Vec<_>>().join("/"));
        let path = Path::from(key.as_str());
        if random.random_ratio(2, 5) {
            eventually(async || process.store.delete(&path).await).await;
            keys.remove(&key);
        } else {
            eventually(async || process.store.put(&path, "x".into()).await).await;
            keys.insert(key);
        }
        for prefix in [None, Some("t"), Some("t/a"), Some("t/b"), Some("t/a/c")] {
            let found = level(&process, prefix).await;
            assert_eq!(found, level_of(&keys, prefix), "seed {seed}, step {step}, {prefix:?}");
        }
    }
}

/// Writes until it is acknowledged: a backend that is back has to be probed first.
async fn eventually<T>(write: impl AsyncFn() -> object_store::Result<T>) {
    const TRIES: u32 = 120;
    for tried in 0..TRIES {
        match write().await {
            Ok(_) => return,
            Err(error) if tried + 1 == TRIES => panic!("no backend takes a write: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_level_shows_what_there_is_whatever_each_backend_has_missed() {
    for seed in 0..8 {
        levels_of_a_random_history(seed, true).await;
        levels_of_a_random_history(seed, false).await;
    }
}
