//! Proves the GCS endpoint with `object_store`'s own client and its own integration functions, and what that client
//! leaves out with plain requests. Needs the running test bed.

use std::sync::Arc;
use std::time::Duration;

use crate::plain::{Answer, request};
use lifeboat_testkit::{ServerKind, bed};
use object_store::gcp::{GcpSigningCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::gcp::{GoogleConfigKey, ServiceAccountKey};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    ObjectStore, ObjectStoreExt, PutPayload, StaticCredentialProvider, integration,
};

/// A client on a bucket, with the testbed's signing key.
fn client(bucket: &str) -> GoogleCloudStorage {
    let endpoint = bed::endpoint(ServerKind::Gcs).expect("a running GCS server");
    let key = ServiceAccountKey::from_pem(endpoint.credentials.secret.as_bytes()).expect("a key");
    let email = endpoint.credentials.id;
    let signing = GcpSigningCredential { email, private_key: Some(key) };
    GoogleCloudStorageBuilder::new()
        .with_base_url(&endpoint.url)
        .with_bucket_name(bucket)
        .with_bearer_token("any")
        .with_signing_credentials(Arc::new(StaticCredentialProvider::new(signing)))
        .with_config(GoogleConfigKey::Client("allow_http".parse().expect("a key")), "true")
        .with_http_connector(integration::MarkerHttpConnector::default())
        .build()
        .expect("a client")
}

async fn fresh() -> (String, GoogleCloudStorage) {
    let bucket = bed::fresh_bucket(ServerKind::Gcs).await.expect("a bucket");
    let client = client(&bucket);
    (bucket, client)
}

fn url(bucket: &str, rest: &str) -> String {
    let endpoint = bed::endpoint(ServerKind::Gcs).expect("a running GCS server");
    format!("{}/{bucket}/{rest}", endpoint.url)
}

macro_rules! integration {
    ($($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (_, store) = fresh().await;
            integration::$name(&store).await;
        }
    )*};
}

integration! {
    put_get_delete_list put_get_attributes list_uses_directories_correctly list_with_delimiter
    rename_and_copy copy_if_not_exists copy_rename_nonexistent_object stream_get multipart_out_of_order
    list_with_offset_exclusivity
}

#[tokio::test]
async fn get_opts_on_a_versioned_bucket() {
    let bucket = bed::fresh_versioned_gcs_bucket().await.expect("a bucket");
    integration::get_opts(&client(&bucket)).await;
}

#[tokio::test]
async fn put_opts() {
    let (_, store) = fresh().await;
    integration::put_opts(&store, true).await;
}

#[tokio::test]
async fn multipart() {
    let (_, store) = fresh().await;
    integration::multipart(&store, &store).await;
    integration::multipart_with_opts(&store, &store).await;
    integration::multipart_put_part_out_of_order(&store, &store).await;
}

#[tokio::test]
async fn multipart_race_condition() {
    let (_, store) = fresh().await;
    integration::multipart_race_condition(&store, true).await;
}

#[tokio::test]
async fn list_paginated() {
    let (_, store) = fresh().await;
    integration::list_paginated(&store, &store).await;
}

#[tokio::test]
async fn response_extensions() {
    let (_, store) = fresh().await;
    integration::response_extensions(&store, true).await;
}

#[tokio::test]
async fn a_missing_object_and_a_missing_bucket_are_not_found() {
    let (_, store) = fresh().await;
    let missing = Some(Path::from("missing"));
    let error = integration::get_nonexistent_object(&store, missing.clone()).await;
    assert!(matches!(error, Err(object_store::Error::NotFound { .. })), "{error:?}");
    let error = integration::get_nonexistent_object(&client("no-such-bucket"), missing).await;
    assert!(matches!(error, Err(object_store::Error::NotFound { .. })), "{error:?}");
    let listed = request("GET", &url("no-such-bucket", "?list-type=2"), &[], "").await;
    assert_eq!((listed.status, listed.code().as_str()), (404, "NoSuchBucket"));
}

async fn signed(store: &GoogleCloudStorage, method: &str, expires: Duration) -> String {
    let method = method.parse().expect("a method");
    let path = Path::from("signed é +%");
    store.signed_url(method, &path, expires).await.expect("a signed URL").to_string()
}

#[tokio::test]
async fn signed_urls_work_and_tampered_or_expired_ones_do_not() {
    let (_, store) = fresh().await;
    let hour = Duration::from_hours(1);
    let put = signed(&store, "PUT", hour).await;
    assert_eq!(request("PUT", &put, &[], "data").await.status, 200);
    let get = signed(&store, "GET", hour).await;
    assert_eq!(request("GET", &get, &[], "").await.body, "data");
    let part = request("GET", &get, &[("range", "bytes=1-2")], "").await;
    assert_eq!((part.status, part.body.as_str()), (206, "at"));
    let wrong_method = request("PUT", &get, &[], "other").await;
    assert_eq!((wrong_method.status, wrong_method.code().as_str()), (403, "SignatureDoesNotMatch"));
    let tampered = get.replace("X-Goog-Expires=3600", "X-Goog-Expires=3601");
    assert_eq!(request("GET", &tampered, &[], "").await.code(), "SignatureDoesNotMatch");
    let expired = get.replace("X-Goog-Date=20", "X-Goog-Date=19");
    let expired = request("GET", &expired, &[], "").await;
    assert_eq!((expired.status, expired.code().as_str()), (400, "ExpiredToken"));
}

/// The CRC-32C and MD5 of `hello`.
const HASHES: &str = "crc32c=mnG7TA==,md5=XUFAKrxLKna5cZ2REBfFkg==";

#[tokio::test]
async fn hashes_are_returned_for_whole_objects_and_checked_on_upload() {
    let (bucket, _) = fresh().await;
    let url = url(&bucket, "hello");
    let hash = |answer: &Answer| answer.headers.get("x-goog-hash").cloned();
    let put = request("PUT", &url, &[("x-goog-hash", HASHES)], "hello").await;
    assert_eq!((put.status, hash(&put).as_deref()), (200, Some(HASHES)));
    for method in ["GET", "HEAD"] {
        assert_eq!(hash(&request(method, &url, &[], "").await).as_deref(), Some(HASHES));
    }
    let range = request("GET", &url, &[("range", "bytes=0-1")], "").await;
    assert_eq!((range.status, hash(&range)), (206, None));
    for wrong in [("x-goog-hash", "crc32c=AAAAAA=="), ("content-md5", "XUFAKrxLKna5cZ2REBfFkA==")] {
        let put = request("PUT", &url, &[wrong], "jello").await;
        assert_eq!((put.status, put.code().as_str()), (400, "BadDigest"), "{wrong:?}");
    }
    assert_eq!(request("GET", &url, &[], "").await.body, "hello");
}

#[tokio::test]
async fn a_refused_token_is_answered_with_401() {
    let (bucket, _) = fresh().await;
    let token = format!("Bearer {}", lifeboat_testkit::gcs_xml::REFUSED_TOKEN);
    let answer = request("GET", &url(&bucket, "x"), &[("authorization", &token)], "").await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "AuthenticationRequired"));
}

#[tokio::test]
async fn ten_racing_creates_have_one_winner() {
    let (_, store) = fresh().await;
    let store = Arc::new(store);
    let racers = (0..10).map(|number: u8| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mode = object_store::PutMode::Create.into();
            let payload = PutPayload::from(vec![number; 1000]);
            store.put_opts(&Path::from("race"), payload, mode).await.is_ok()
        })
    });
    let mut winners = 0;
    for racer in racers.collect::<Vec<_>>() {
        winners += usize::from(racer.await.expect("no panic"));
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn small_parts_before_the_last_are_refused() {
    let (_, store) = fresh().await;
    let mut upload = store.put_multipart(&Path::from("small")).await.expect("an upload");
    for _ in 0..2 {
        upload.put_part(PutPayload::from_static(b"tiny")).await.expect("a part");
    }
    let error = upload.complete().await.expect_err("too small");
    assert!(format!("{error:?}").contains("EntityTooSmall"), "{error:?}");
}
