//! What a long journal costs: how much memory a marker takes in the index, and how long a million of them take to load.
//! The figures stand in the documentation of `lifeboat_failover`.

use std::sync::Arc;
use std::time::Instant;

use lifeboat_core::{AnyStore, Identity};
use lifeboat_failover::Failover;
use lifeboat_tests::show;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

const MARKERS: u64 = 1_000_000;
/// Bytes that a marker of a short key may take in the index.
const MOST: u64 = 1_536;

/// Resident memory of this process in bytes, as Linux counts it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// A marker as an outage leaves it: an overwrite of some key, with the version before.
fn name(number: u64) -> String {
    let time = (1_700_000_000_000_u64 + number) << 16;
    let writer = 7;
    format!(
        ".lifeboat/journal/memory.first/{time:016x}-{writer:016x}_-_{time:016x}-{writer:016x}_{number:016x}_p_400\
         /photos=2F2026=2F{number:012}=2Ejpg"
    )
}

#[cfg(target_os = "linux")]
#[ignore = "a million markers: a minute and two gigabytes"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn million_markers_take_so_much_memory_and_time() {
    let home = Arc::new(InMemory::new());
    for number in 0..MARKERS {
        home.put(&Path::parse(name(number)).unwrap(), PutPayload::default()).await.unwrap();
    }
    let first = AnyStore::new(InMemory::new(), Identity::new("memory", "", "first"));
    let keeper: Arc<dyn ObjectStore> = home;
    let second = AnyStore::new(keeper, Identity::new("memory", "", "second"));
    let failover = Failover::wrap(first).or(second).build().unwrap();
    let (before, began) = (resident(), Instant::now());
    let read = failover.journal().await.unwrap();
    let took = began.elapsed();
    assert_eq!(read.len() as u64, MARKERS);
    drop(read);
    let status = failover.status();
    assert_eq!((status.journal.markers, status.backends[0].dirty_keys), (MARKERS, MARKERS));
    assert_eq!(status.backends[0].dirty_bytes, MARKERS * 0x400);
    let each = resident().saturating_sub(before) / MARKERS;
    show(format_args!("{MARKERS} markers: {each} bytes each, read in {:.1} s", took.as_secs_f64()));
    assert!(each < MOST, "{each} bytes for a marker");
}
