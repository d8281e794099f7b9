//! Memory does not depend on the size of what is copied.

use lifeboat::transfer::{CopyOptions, copy_object, verify_tree};
use lifeboat_tests::{Kind, fresh, show};
use object_store::path::Path;

const SIZE: u64 = 2 << 30;
/// The budget of a copy is 64 MiB; the rest is the runtime, connections and the allocator.
const MOST: u64 = 256 << 20;

/// Peak resident memory of this process in bytes, as Linux counts it.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[cfg(target_os = "linux")]
#[ignore = "moves 8 GiB through real servers: about two minutes"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gibibytes_fit_into_a_fixed_budget() {
    let origin = fresh(Kind::Folder).await;
    let folder = origin.site.url.strip_prefix("file://").unwrap();
    // A sparse file: what matters is how much passes through, not what.
    std::fs::File::create(format!("{folder}/big")).unwrap().set_len(SIZE).unwrap();
    let key = Path::from("big");
    let mut stops = vec![origin];
    for kind in [Kind::SeaweedFs, Kind::Azurite, Kind::Folder] {
        let stop = fresh(kind).await;
        let from = &stops.last().unwrap().store;
        let options = CopyOptions::default();
        let copied = copy_object(from, &key, &stop.store, &key, &options, &()).await.unwrap();
        assert_eq!(copied.size, SIZE);
        show(format_args!("after the copy to {kind}: peak {} MiB", peak() >> 20));
        stops.push(stop);
    }
    let root = Path::default();
    let report = verify_tree(&stops[0].store, &root, &stops[3].store, &root).await.unwrap();
    assert!(report.is_identical(), "{report:?}");
    assert!(peak() < MOST, "peak {} MiB", peak() >> 20);
}
