//! Keys, listings and attributes that the standard suite leaves out, on every backend and through `Failover`, healthy and
//! with its first backend dead.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use lifeboat_tests::{Kind, TestStore, fresh};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
};

/// Keys that some server, proxy or client somewhere gets wrong.
fn odd_keys() -> Vec<Path> {
    let mut keys: Vec<Path> = [
        "with space",
        "plus+plus",
        "percent%percent",
        "percent%20encoded",
        "percent%2Fslash",
        "é日本語🚀",
        "amp&=?#hash",
        "'single'\"double\"",
        "[square]{curly}",
        "~!*()",
        ";:,@$",
        "<angle>|^`",
        "dot.dot..dot",
        "-dash/-dash",
        "x",
        "UPPER/lower",
    ]
    .into_iter()
    .map(|key| Path::parse(key).unwrap())
    .collect();
    // 900 bytes in four segments, in letters that take two bytes each.
    keys.push(Path::parse(vec!["ü".repeat(112); 4].join("/")).unwrap());
    keys
}

async fn odd_keys_round_trip(t: &TestStore) {
    let keys = odd_keys();
    for key in &keys {
        let body = Bytes::from(format!("body of {key}"));
        t.store.put(key, body.clone().into()).await.unwrap_or_else(|e| panic!("{key}: {e}"));
        let got = t.store.get(key).await.unwrap_or_else(|e| panic!("{key}: {e}"));
        assert_eq!(got.meta.location, *key);
        assert_eq!(got.bytes().await.unwrap(), body, "{key}");
        assert_eq!(t.store.get_range(key, 5..7).await.unwrap(), body.slice(5..7), "{key}");
        assert_eq!(t.store.head(key).await.unwrap().size, body.len() as u64, "{key}");
    }
    let listed: BTreeSet<Path> = locations(t, None).await.into_iter().collect();
    assert_eq!(listed, keys.iter().cloned().collect(), "the listing shows each key as it is");
    let copy = Path::from("copied");
    for key in &keys {
        t.store.copy(key, &copy).await.unwrap_or_else(|e| panic!("{key}: {e}"));
    }
    let doomed = stream::iter(keys.clone()).map(Ok).boxed();
    let deleted: Vec<Path> = t.store.delete_stream(doomed).try_collect().await.unwrap();
    assert_eq!(deleted, keys);
    assert_eq!(locations(t, None).await, [copy]);
}

async fn key_and_key_below_it_are_two_objects(t: &TestStore) {
    let (above, below) = (Path::from("x"), Path::from("x/y"));
    t.store.put(&above, "above".into()).await.unwrap();
    t.store.put(&below, "below".into()).await.unwrap();
    assert_eq!(t.store.get(&above).await.unwrap().bytes().await.unwrap(), "above");
    assert_eq!(t.store.get(&below).await.unwrap().bytes().await.unwrap(), "below");
    assert_eq!(locations(t, Some("x")).await, std::slice::from_ref(&below));
    t.store.delete(&above).await.unwrap();
    assert_eq!(t.store.get(&below).await.unwrap().bytes().await.unwrap(), "below");
}

async fn empty_object_is_an_object(t: &TestStore) {
    let key = Path::from("empty");
    t.store.put(&key, PutPayload::default()).await.unwrap();
    assert_eq!(t.store.head(&key).await.unwrap().size, 0);
    assert_eq!(t.store.get(&key).await.unwrap().bytes().await.unwrap(), "");
}

async fn two_thousand_keys_are_listed_whole_and_from_any_offset(t: &TestStore) {
    let keys: Vec<Path> = (0..2_200).map(|i| Path::from(format!("d{}/k{i:05}", i % 3))).collect();
    stream::iter(&keys)
        .map(|key| t.store.put(key, "x".into()))
        .buffer_unordered(16)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await
        .unwrap();
    let mut sorted = keys.clone();
    sorted.sort();
    let mut listed = locations(t, None).await;
    if t.store.capabilities().ordered_listing.is_yes() {
        assert_eq!(listed, sorted, "a store that is said to list in order does");
    }
    listed.sort();
    assert_eq!(listed, sorted);
    for at in [0, 999, 1_000, 2_198, 2_199] {
        let offset = &sorted[at];
        let mut after: Vec<Path> = t
            .store
            .list_with_offset(None, offset)
            .map_ok(|meta| meta.location)
            .try_collect()
            .await
            .unwrap();
        after.sort();
        assert_eq!(after, sorted[at + 1..], "everything after {offset}, and nothing else");
    }
    let top = t.store.list_with_delimiter(None).await.unwrap();
    assert_eq!(top.common_prefixes.len(), 3);
    let folder = t.store.list_with_delimiter(Some(&Path::from("d1"))).await.unwrap();
    assert_eq!(folder.objects.len(), 733);
    let results: Vec<_> =
        t.store.delete_stream(stream::iter(keys.clone()).map(Ok).boxed()).collect().await;
    let deleted: Vec<Path> = results.into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(deleted, keys, "one result for each key, in order");
    assert_eq!(locations(t, None).await, []);
}

/// Folder order differs from key order here, and "after this key" skips `a/…` on SeaweedFS.
async fn offset_skips_nothing_whatever_the_order(t: &TestStore) {
    let keys = ["a!", "a-/x", "a/b", "a/c", "a0"].map(|key| Path::parse(key).unwrap());
    for key in &keys {
        t.store.put(key, "x".into()).await.unwrap();
    }
    for (at, offset) in keys.iter().enumerate() {
        let listing = t.store.list_with_offset(None, offset);
        let mut after: Vec<Path> =
            listing.map_ok(|meta| meta.location).try_collect().await.unwrap();
        after.sort();
        assert_eq!(after, keys[at + 1..], "after {offset}");
    }
}

fn attributes() -> Attributes {
    Attributes::from_iter([
        (Attribute::ContentType, "application/x-test"),
        (Attribute::CacheControl, "max-age=60"),
        (Attribute::ContentDisposition, "attachment; filename=\"x y.bin\""),
        (Attribute::ContentLanguage, "de"),
        (Attribute::ContentEncoding, "identity"),
        (Attribute::Metadata("plain".into()), "value with spaces"),
        (Attribute::Metadata("with-hyphen".into()), "kept"),
        (Attribute::Metadata("with_underscore".into()), "kept too"),
    ])
}

async fn attributes_and_user_metadata_are_kept(t: &TestStore) {
    let put = Path::from("put");
    let options = PutOptions { attributes: attributes(), ..PutOptions::default() };
    t.store.put_opts(&put, "x".into(), options).await.unwrap();
    let upload = Path::from("upload");
    let options = PutMultipartOptions { attributes: attributes(), ..Default::default() };
    let mut parts = t.store.put_multipart_opts(&upload, options).await.unwrap();
    parts.put_part("x".into()).await.unwrap();
    parts.complete().await.unwrap();
    let copy = Path::from("copy");
    t.store.copy(&put, &copy).await.unwrap();
    for key in [put, upload, copy] {
        let kept = t.store.get(&key).await.unwrap().attributes;
        for (attribute, value) in &attributes() {
            assert_eq!(kept.get(attribute), Some(value), "{attribute:?} of {key}");
        }
    }
}

async fn multipart_of_odd_sizes_is_put_together_right(t: &TestStore) {
    const MIN: usize = 5 << 20;
    for (n, sizes) in [vec![17], vec![MIN, 1], vec![MIN + 1, MIN + 17, 3]].into_iter().enumerate() {
        let key = Path::from(format!("parts-{n}"));
        let mut upload = t.store.put_multipart(&key).await.unwrap();
        let mut whole = Vec::new();
        let mut sending = Vec::new();
        for (i, size) in sizes.iter().enumerate() {
            let part: Vec<u8> =
                (0..*size).map(|at| u8::try_from((at * 31 + i * 7) % 251).unwrap()).collect();
            whole.extend_from_slice(&part);
            sending.push(upload.put_part(part.into()));
        }
        futures::future::try_join_all(sending).await.unwrap();
        assert!(t.store.head(&key).await.is_err(), "invisible until it is complete");
        upload.complete().await.unwrap();
        assert!(t.store.get(&key).await.unwrap().bytes().await.unwrap() == whole, "{sizes:?}");
    }
}

async fn aborted_upload_leaves_nothing(t: &TestStore) {
    let key = Path::from("aborted");
    let mut upload = t.store.put_multipart(&key).await.unwrap();
    upload.put_part(vec![1; 5 << 20].into()).await.unwrap();
    upload.abort().await.unwrap();
    assert!(matches!(t.store.head(&key).await, Err(object_store::Error::NotFound { .. })));
    assert_eq!(locations(t, None).await, []);
}

/// What is gone is deleted, at every provider alike.
async fn deleting_a_missing_key_is_no_error(t: &TestStore) {
    t.store.delete(&Path::from("never-there")).await.unwrap();
}

async fn renaming_a_key_to_itself_keeps_it(t: &TestStore) {
    let key = Path::from("self");
    t.store.put(&key, "x".into()).await.unwrap();
    let _ = t.store.rename(&key, &key).await;
    assert_eq!(t.store.get(&key).await.unwrap().bytes().await.unwrap(), "x");
}

async fn locations(t: &TestStore, prefix: Option<&str>) -> Vec<Path> {
    let prefix = prefix.map(Path::from);
    t.store.list(prefix.as_ref()).map_ok(|meta| meta.location).try_collect().await.unwrap()
}

macro_rules! on {
    ($($module:ident => $kind:expr => $($test:ident),*;)*) => {$(
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(&fresh($kind).await).await;
                }
            )*
        }
    )*};
    (all: $tests:tt, $($module:ident => $kind:expr),*) => {
        $(on!(@one $module => $kind => $tests);)*
    };
    (@one $module:ident => $kind:expr => [$($test:ident),*]) => {
        on!($module => $kind => $($test),*;);
    };
}

on!(all: [
        odd_keys_round_trip, empty_object_is_an_object,
        two_thousand_keys_are_listed_whole_and_from_any_offset,
        offset_skips_nothing_whatever_the_order, attributes_and_user_metadata_are_kept,
        multipart_of_odd_sizes_is_put_together_right, aborted_upload_leaves_nothing,
        deleting_a_missing_key_is_no_error
    ],
    seaweedfs => Kind::SeaweedFs, moto => Kind::Moto, azurite => Kind::Azurite, gcs => Kind::Gcs,
    tiny_s3 => Kind::TinyS3, folder => Kind::Folder, memory => Kind::Memory,
    failover_seaweedfs_azurite => Kind::SEAWEEDFS_AZURITE, failover_azurite_gcs => Kind::AZURITE_GCS
);

// Two thousand keys are some minutes of markers where the first backend is dead: `hot_keys` and `listing` among the traps
// have long journals.
on!(all: [
        odd_keys_round_trip, empty_object_is_an_object, offset_skips_nothing_whatever_the_order,
        attributes_and_user_metadata_are_kept, multipart_of_odd_sizes_is_put_together_right,
        aborted_upload_leaves_nothing, deleting_a_missing_key_is_no_error
    ],
    failover_dead_seaweedfs_gcs => Kind::DEAD_SEAWEEDFS_GCS,
    failover_dead_azurite_seaweedfs => Kind::DEAD_AZURITE_SEAWEEDFS
);

/// A file system cannot hold `x` and `x/y`: a folder is not part of this.
mod nested {
    use super::*;

    on! {
        seaweedfs => Kind::SeaweedFs => key_and_key_below_it_are_two_objects, renaming_a_key_to_itself_keeps_it;
        moto => Kind::Moto => key_and_key_below_it_are_two_objects, renaming_a_key_to_itself_keeps_it;
        azurite => Kind::Azurite => key_and_key_below_it_are_two_objects, renaming_a_key_to_itself_keeps_it;
        gcs => Kind::Gcs => key_and_key_below_it_are_two_objects, renaming_a_key_to_itself_keeps_it;
        tiny_s3 => Kind::TinyS3 => key_and_key_below_it_are_two_objects, renaming_a_key_to_itself_keeps_it;
        failover_seaweedfs_azurite => Kind::SEAWEEDFS_AZURITE =>
            key_and_key_below_it_are_two_objects, renaming_a_key_to_itself_keeps_it;
        failover_azurite_gcs => Kind::AZURITE_GCS =>
            key_and_key_below_it_are_two_objects, renaming_a_key_to_itself_keeps_it;
        failover_dead_seaweedfs_gcs => Kind::DEAD_SEAWEEDFS_GCS =>
            key_and_key_below_it_are_two_objects, renaming_a_key_to_itself_keeps_it;
        failover_dead_azurite_seaweedfs => Kind::DEAD_AZURITE_SEAWEEDFS =>
            key_and_key_below_it_are_two_objects, renaming_a_key_to_itself_keeps_it;
    }
}
