//! A real tree across four kinds of store and back to disk, through one trait.

use std::sync::Arc;

use lifeboat::transfer::{CopyOptions, copy_tree, verify_tree};
use lifeboat_core::BlobStore;
use lifeboat_tests::{Kind, fresh};
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore, PutOptions};

/// Names that a file system can hold and that somebody's tools get wrong.
const ODD: [&str; 8] =
    ["with space", "plus+", "100%", "a%20b", "é日本語🚀", "amp&=?#", "quote'(1)", "x#1"];

/// 2,000 files from 0 B to 64 MiB, most of them small, as trees are.
fn size(n: usize) -> usize {
    match n {
        0 => 0,
        1 => 64 << 20,
        2 => (8 << 20) + 1,
        3 => 8 << 20,
        4 => (16 << 20) - 1,
        n if n.is_multiple_of(200) => 1 << 20,
        n => (n * 37) % 5_000,
    }
}

fn body(n: usize) -> Vec<u8> {
    let seed = n.wrapping_mul(2_654_435_761);
    (0..size(n))
        .map(|at| u8::try_from((seed.wrapping_add(at.wrapping_mul(131)) >> 3) % 256).unwrap())
        .collect()
}

fn attributes(n: usize) -> Attributes {
    let mut attributes =
        Attributes::from_iter([(Attribute::ContentType, "application/octet-stream")]);
    if n.is_multiple_of(10) {
        attributes.insert(Attribute::ContentType, "text/x-odd".into());
        attributes.insert(Attribute::CacheControl, "max-age=60".into());
        attributes.insert(Attribute::Metadata("made-by".into()), format!("file {n}").into());
    }
    attributes
}

async fn plant(store: &Arc<dyn BlobStore>, files: usize) {
    for n in 0..files {
        let name = ODD[n % ODD.len()];
        let key = Path::parse(format!("{}/{name}/{n} {name}", n % 7)).unwrap();
        let options = PutOptions { attributes: attributes(n), ..PutOptions::default() };
        store.put_opts(&key, body(n).into(), options).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tree_goes_from_seaweedfs_to_azurite_to_gcs_to_a_folder_unchanged() {
    const FILES: usize = 2_000;
    let origin = fresh(Kind::Folder).await;
    plant(&origin.store, FILES).await;
    let mut stops = vec![origin];
    for kind in [Kind::SeaweedFs, Kind::Azurite, Kind::Gcs, Kind::Folder] {
        let stop = fresh(kind).await;
        let from = &stops.last().unwrap().store;
        let root = Path::default();
        let options = CopyOptions::default();
        let summary = copy_tree(from, &root, &stop.store, &root, &options, &()).await.unwrap();
        assert!(summary.is_complete(), "to {kind}: {:?}", summary.failures);
        assert_eq!(summary.objects, FILES as u64, "to {kind}");
        stops.push(stop);
    }
    let (first, last) = (&stops[0].store, &stops[4].store);
    let root = Path::default();
    let report = verify_tree(first, &root, last, &root).await.unwrap();
    assert!(report.is_identical(), "{report:?}");
    assert_eq!(report.identical, FILES as u64);
}
