//! The gateway as Lifeboat's own S3 client sees it, and with it `object_store`'s: the whole public
//! suite of `object_store`, over a store with stateless uploads and over one without.

mod common;

use std::sync::Arc;

use common::{ACCESS_KEY, BUCKET, SECRET_KEY, builder, memory};
use lifeboat_core::http::{HttpSettings, WireFailure};
use lifeboat_core::{AnyStore, BlobStore, Identity};
use lifeboat_gateway::Gateway;
use lifeboat_s3::{Credentials, Quirks, S3Builder, S3Store, StaticKey, UploadChecksum};
use object_store::memory::InMemory;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    integration,
};

fn client(gateway: &Gateway, checksum: Option<UploadChecksum>) -> S3Store {
    let mut http = HttpSettings::default();
    http.allow_http = true;
    S3Builder::compatible("gateway", gateway.url(), BUCKET, "us-east-1")
        .with_credentials(Credentials::Static(StaticKey::new(ACCESS_KEY, SECRET_KEY)))
        .with_quirks(Quirks { checksum, ..Quirks::COMPATIBLE })
        .with_http(http)
        .build()
        .unwrap()
}

/// With stateless uploads.
fn memory_with_parts() -> Arc<dyn BlobStore> {
    let inner = Arc::new(InMemory::new());
    let store = AnyStore::new(Arc::clone(&inner), Identity::new("memory", "", BUCKET));
    Arc::new(store.with_multipart_store(inner))
}

macro_rules! suite {
    ($($module:ident: $store:expr, $checksum:expr;)*) => {$(
        mod $module {
            use super::*;

            async fn start() -> (Gateway, S3Store) {
                let gateway = builder(&$store).start().await.unwrap();
                let client = client(&gateway, $checksum);
                (gateway, client)
            }

            suite!(@plain put_get_delete_list, put_get_attributes, get_opts, stream_get,
                list_uses_directories_correctly, list_with_delimiter, rename_and_copy,
                copy_if_not_exists, copy_rename_nonexistent_object, multipart_out_of_order,
                list_with_offset_exclusivity);
            suite!(@parts multipart, multipart_put_part_out_of_order, multipart_with_opts);

            #[tokio::test]
            async fn put_opts() {
                let (_gateway, client) = start().await;
                integration::put_opts(&client, true).await;
            }

            #[tokio::test]
            async fn get_nonexistent_object() {
                let (_gateway, client) = start().await;
                let error = integration::get_nonexistent_object(&client, None).await.unwrap_err();
                assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
            }

            #[tokio::test]
            async fn multipart_race_condition() {
                let (_gateway, client) = start().await;
                integration::multipart_race_condition(&client, true).await;
            }

            #[tokio::test]
            async fn list_paginated() {
                let (_gateway, client) = start().await;
                integration::list_paginated(&client, &client).await;
            }
        }
    )*};
    (@plain $($function:ident),*) => {$(
        #[tokio::test]
        async fn $function() {
            let (_gateway, client) = start().await;
            integration::$function(&client).await;
        }
    )*};
    (@parts $($function:ident),*) => {$(
        #[tokio::test]
        async fn $function() {
            let (_gateway, client) = start().await;
            integration::$function(&client, &client).await;
        }
    )*};
}

suite! {
    streams: memory(), None;
    streams_with_crc64: memory(), Some(UploadChecksum::Crc64Nvme);
    stateless_parts_with_sha256: memory_with_parts(), Some(UploadChecksum::Sha256);
}

#[tokio::test]
async fn etags_come_back_in_conditions() {
    let gateway = builder(&memory()).start().await.unwrap();
    let client = client(&gateway, None);
    let key = "k".into();
    let put = client.put(&key, "1".into()).await.unwrap();
    let head = client.head(&key).await.unwrap();
    assert_eq!(put.e_tag, head.e_tag);
    let etag = head.e_tag.clone().unwrap();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    let listed = client.list_with_delimiter(None).await.unwrap();
    assert_eq!(listed.objects[0].e_tag, head.e_tag);

    let update = |etag: &str| PutOptions {
        mode: PutMode::Update(object_store::UpdateVersion {
            e_tag: Some(etag.to_owned()),
            version: None,
        }),
        ..PutOptions::default()
    };
    let stale = client.put_opts(&key, "2".into(), update("\"other\"")).await.unwrap_err();
    assert!(matches!(stale, object_store::Error::Precondition { .. }), "{stale}");
    client.put_opts(&key, "2".into(), update(&etag)).await.unwrap();
    let get = |if_match: Option<&str>, if_none_match: Option<&str>| GetOptions {
        if_match: if_match.map(Into::into),
        if_none_match: if_none_match.map(Into::into),
        ..GetOptions::default()
    };
    let old = client.get_opts(&key, get(Some(&etag), None)).await.unwrap_err();
    assert!(matches!(old, object_store::Error::Precondition { .. }), "{old}");
    let now = client.head(&key).await.unwrap().e_tag.unwrap();
    let same = client.get_opts(&key, get(None, Some(&now))).await.unwrap_err();
    assert!(matches!(same, object_store::Error::NotModified { .. }), "{same}");
    assert!(client.get_opts(&key, get(Some(&now), None)).await.is_ok());
}

#[tokio::test]
async fn ranges_are_answered_like_s3() {
    let gateway = builder(&memory()).start().await.unwrap();
    let client = client(&gateway, None);
    let key = "k".into();
    client.put(&key, "0123456789".into()).await.unwrap();
    client.put(&"empty".into(), "".into()).await.unwrap();
    let read = async |key: &str, range: GetRange| {
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        client.get_opts(&key.into(), options).await?.bytes().await
    };
    assert_eq!(read("k", GetRange::Bounded(2..4)).await.unwrap(), "23");
    assert_eq!(read("k", GetRange::Bounded(8..40)).await.unwrap(), "89");
    assert_eq!(read("k", GetRange::Offset(7)).await.unwrap(), "789");
    assert_eq!(read("k", GetRange::Suffix(3)).await.unwrap(), "789");
    assert_eq!(read("k", GetRange::Suffix(30)).await.unwrap(), "0123456789");
    for (key, range) in [("k", GetRange::Bounded(10..12)), ("empty", GetRange::Suffix(1))] {
        let error = read(key, range).await.unwrap_err();
        let exchange = WireFailure::find(&error).and_then(WireFailure::exchange);
        let status = exchange.and_then(lifeboat_core::http::Exchange::status);
        assert_eq!(status.map(|status| status.as_u16()), Some(416), "{error}");
    }
}

#[tokio::test]
async fn a_put_over_the_single_limit_keeps_its_attributes() {
    let gateway = builder(&memory()).start().await.unwrap();
    let client = client(&gateway, Some(UploadChecksum::Crc64Nvme));
    let attributes = Attributes::from_iter([
        (Attribute::ContentType, "text/plain"),
        (Attribute::CacheControl, "no-store"),
        (Attribute::Metadata("colour".into()), "green"),
    ]);
    let body = bytes::Bytes::from(vec![b'x'; 40 << 20]);
    let options = PutOptions { attributes: attributes.clone(), ..PutOptions::default() };
    client.put_opts(&"k".into(), body.clone().into(), options).await.unwrap();
    let found = client.get(&"k".into()).await.unwrap();
    assert_eq!(found.attributes, attributes);
    assert_eq!(found.bytes().await.unwrap(), body);
}

#[tokio::test]
async fn bulk_deletes_answer_for_each_key() {
    use futures::StreamExt;
    let store = memory();
    let gateway = builder(&store).start().await.unwrap();
    let client = client(&gateway, None);
    let keys: Vec<object_store::path::Path> = (0..1500).map(|n| format!("k/{n}").into()).collect();
    for key in keys.iter().step_by(2) {
        store.put(key, "x".into()).await.unwrap();
    }
    let locations = futures::stream::iter(keys.clone()).map(Ok).boxed();
    let deleted: Vec<_> = client.delete_stream(locations).map(Result::unwrap).collect().await;
    assert_eq!(deleted, keys);
    assert_eq!(store.list(None).count().await, 0);
}

#[tokio::test]
async fn the_client_probes_and_trusts_what_it_finds() {
    let gateway = builder(&memory()).start().await.unwrap();
    let client = client(&gateway, None);
    let report = client.confirm_capabilities().await.unwrap();
    assert!(client.capabilities().create_if_absent.is_yes(), "{report:?}");
    assert!(client.capabilities().compare_and_swap.is_yes(), "{report:?}");
    assert!(client.capabilities().ordered_listing.is_yes(), "{report:?}");
    client.probe().await.unwrap();
}
