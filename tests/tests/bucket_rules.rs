//! What buckets do by themselves, as their services tell it: object lock and lifecycle rules.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue};
use lifeboat_core::{BlobStore, BucketRule, Prefixed, RESERVED_PREFIX};
use lifeboat_testkit::s3::Options;
use lifeboat_tests::{Kind, Site, TestStore, fresh, tiny_s3};
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions};

/// Deletes what is under a prefix after a week.
fn lifecycle(prefix: &str) -> String {
    format!(
        "<LifecycleConfiguration><Rule><ID>tidy</ID><Filter><Prefix>{prefix}</Prefix></Filter>\
         <Status>Enabled</Status><Expiration><Days>7</Days></Expiration></Rule></LifecycleConfiguration>"
    )
}

const LOCK: &str = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>\
    <DefaultRetention><Mode>GOVERNANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>";

/// Sends a signed PUT about the bucket itself; an empty name is the bucket.
async fn put(
    store: &dyn BlobStore,
    name: &str,
    body: String,
    header: Option<(HeaderName, &'static str)>,
) {
    let mut options = SignedUrlOptions::new();
    if !name.is_empty() {
        options = options.with_query([(name, "")]);
    }
    if let Some((name, value)) = header {
        options = options.with_signed_header(name, HeaderValue::from_static(value));
    }
    let signer = store.signer().unwrap();
    let valid = Duration::from_mins(1);
    let url = signer.signed_url_opts(Method::PUT, &Path::ROOT, valid, &options).await.unwrap();
    let length = body.len().to_string();
    let request = reqwest::Client::new().put(url).headers(options.signed_headers).body(body);
    // Not sent for an empty body otherwise, and asked for by one of the services.
    let request = request.header(CONTENT_LENGTH, length);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    assert!(status.is_success(), "{name}: {status} {}", answer.text().await.unwrap());
}

/// A bucket of the same service with object lock, which is decided when a bucket is made.
async fn locked(site: &Site) -> Arc<dyn BlobStore> {
    let bucket = format!("locked-{:016x}", rand::random::<u64>());
    let store = Site { bucket, ..site.clone() }.connect().unwrap().0;
    let lock = (HeaderName::from_static("x-amz-bucket-object-lock-enabled"), "true");
    put(&*store, "", String::new(), Some(lock)).await;
    store
}

async fn expiry(store: &dyn BlobStore) -> BucketRule {
    store.bucket_rules(&Path::from(RESERVED_PREFIX)).await.expiry
}

async fn object_lock(store: &dyn BlobStore) -> BucketRule {
    store.bucket_rules(&Path::from(RESERVED_PREFIX)).await.object_lock
}

#[tokio::test]
async fn t29_lifecycle_rule_that_reaches_the_journal_is_found_and_no_other() {
    for kind in [Kind::Moto, Kind::SeaweedFs] {
        let TestStore { store, .. } = &fresh(kind).await;
        assert_eq!(expiry(&**store).await, BucketRule::Absent, "{kind}");
        put(&**store, "lifecycle", lifecycle("logs/"), None).await;
        assert_eq!(expiry(&**store).await, BucketRule::Absent, "{kind}");
        let prefixed = Prefixed::new(Arc::clone(store), Path::from("logs"));
        assert!(matches!(expiry(&prefixed).await, BucketRule::Present(_)), "{kind}");
        put(&**store, "lifecycle", lifecycle(""), None).await;
        let found = expiry(&**store).await;
        let told = matches!(&found, BucketRule::Present(text) if text.ends_with("after 7 days"));
        assert!(told, "{kind}: {found:?}");
    }
}

#[tokio::test]
async fn t29_retention_that_every_new_object_gets_is_found() {
    for kind in [Kind::Moto, Kind::SeaweedFs] {
        let plain = fresh(kind).await;
        assert_eq!(object_lock(&*plain.store).await, BucketRule::Absent, "{kind}");
        let store = locked(&plain.site).await;
        assert_eq!(object_lock(&*store).await, BucketRule::Absent, "{kind}: nothing by default");
        put(&*store, "object-lock", LOCK.into(), None).await;
        let found = object_lock(&*store).await;
        let told = matches!(&found, BucketRule::Present(text) if text.contains("30 days"));
        assert!(told, "{kind}: {found:?}");
    }
}

#[tokio::test]
async fn service_that_does_not_know_the_question_leaves_it_unknown() {
    let plain = tiny_s3(Options::default()).await;
    let rules = plain.store.bucket_rules(&Path::from(RESERVED_PREFIX)).await;
    for rule in [rules.object_lock, rules.expiry] {
        assert!(matches!(&rule, BucketRule::Unknown(why) if why.contains("501")), "{rule:?}");
    }
}
