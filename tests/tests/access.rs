//! Who may do what: presigned URLs, wrong credentials, missing buckets, on real servers.

use std::time::Duration;

use lifeboat_core::{Class, Fault};
use lifeboat_testkit::Credentials;
use lifeboat_testkit::s3::Options;
use lifeboat_tests::{Kind, Site, fresh, tiny_s3};
use object_store::path::Path;
use object_store::signer::Method;
use object_store::{Error, ObjectStore, ObjectStoreExt};

const HOUR: Duration = Duration::from_hours(1);

/// Presigned URLs work with any client, for any key.
async fn presigned_urls_read_and_write_odd_keys(kind: Kind) {
    let t = fresh(kind).await;
    let signer = t.store.signer().expect("the backend signs");
    let client = reqwest::Client::new();
    for key in ["plain", "with space", "a+b%20c", "é日本語/🚀", "quote'(1)"] {
        let key = Path::parse(key).unwrap();
        let url =
            reachable(kind, signer.signed_url(Method::PUT, &key, HOUR).await.unwrap(), &t.site);
        let mut put = client.put(url).body("presigned");
        if kind == Kind::Azurite {
            put = put.header("x-ms-blob-type", "BlockBlob");
        }
        let answer = put.send().await.unwrap();
        assert!(answer.status().is_success(), "PUT {key}: {}", answer.status());
        assert_eq!(t.store.get(&key).await.unwrap().bytes().await.unwrap(), "presigned", "{key}");
        let url =
            reachable(kind, signer.signed_url(Method::GET, &key, HOUR).await.unwrap(), &t.site);
        let answer = client.get(url.clone()).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "presigned", "GET {key}");
        if kind == Kind::Moto {
            continue; // moto checks no signature at all
        }
        let mut tampered = url;
        tampered.set_path(&format!("{}x", tampered.path()));
        let refused = client.get(tampered).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 403, "tampered {key}");
    }
}

/// `object_store` signs Google's URLs for Google's host whatever the endpoint is.
fn reachable(kind: Kind, mut url: reqwest::Url, site: &Site) -> reqwest::Url {
    if kind == Kind::Gcs {
        let shim = reqwest::Url::parse(&site.url).unwrap();
        url.set_scheme("http").unwrap();
        url.set_host(shim.host_str()).unwrap();
        url.set_port(shim.port()).unwrap();
    }
    url
}

async fn wrong_key_is_a_lost_identity(kind: Kind) {
    let t = fresh(kind).await;
    let wrong = match kind {
        Kind::Azurite => Credentials::new("devstoreaccount1", "d3Jvbmcga2V5"),
        _ => Credentials::new(&t.site.credentials.id, "wrong-secret"),
    };
    let site = Site { credentials: wrong, ..t.site.clone() };
    let store = site.connect().unwrap().0;
    let error = store.put(&Path::from("k"), "x".into()).await.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
    let verdict = store.classify(&error);
    // Azurite calls a wrong signature `AuthorizationFailure`, where Azure says `AuthenticationFailed`.
    let expected = match kind {
        Kind::Azurite => Class::Denied,
        _ => Class::Fault(Fault::IdentityLost),
    };
    assert_eq!(verdict.class, expected, "{error}");
    assert!(!error.to_string().contains("wrong-secret"), "{error}");
}

async fn missing_bucket_is_a_fault_and_no_missing_key(kind: Kind) {
    let t = fresh(kind).await;
    let site = Site { bucket: "no-such-bucket-here".into(), ..t.site.clone() };
    let store = site.connect().unwrap().0;
    let error = store.get(&Path::from("k")).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert_eq!(store.classify(&error).class, Class::Fault(Fault::Down), "{error}");
    assert!(error.to_string().contains("check its name"), "the remedy is named: {error}");
    let error = store.list_with_delimiter(None).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "a listing says so too: {error}");
    let error = store.put(&Path::from("k"), "x".into()).await.unwrap_err();
    assert!(store.classify(&error).is_fault(), "{error}");
    let missing = t.store.get(&Path::from("k")).await.unwrap_err();
    assert_eq!(t.store.classify(&missing).class, Class::Answer, "{missing}");
}

async fn range_beyond_the_end_is_an_answer(kind: Kind) {
    let t = fresh(kind).await;
    let key = Path::from("k");
    t.store.put(&key, "0123456789".into()).await.unwrap();
    let error = t.store.get_range(&key, 100..110).await.unwrap_err();
    assert_eq!(t.store.classify(&error).class, Class::Answer, "{error}");
    assert_eq!(t.store.get_range(&key, 8..20).await.unwrap(), "89", "clipped at the end");
}

async fn probe_finds_latency_and_clock(kind: Kind) {
    let t = fresh(kind).await;
    let probe = t.store.probe().await.unwrap();
    assert!(probe.latency > Duration::ZERO);
    let skew = probe.clock_skew_seconds.expect("the server sends a date");
    assert!(skew.abs() <= 2, "the server is on this machine: {skew} s");
}

macro_rules! on {
    ($($module:ident => $kind:expr => [$($test:ident),*];)*) => {$(
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test($kind).await;
                }
            )*
        }
    )*};
}

on! {
    seaweedfs => Kind::SeaweedFs => [
        presigned_urls_read_and_write_odd_keys, wrong_key_is_a_lost_identity,
        missing_bucket_is_a_fault_and_no_missing_key, range_beyond_the_end_is_an_answer,
        probe_finds_latency_and_clock
    ];
    moto => Kind::Moto => [
        presigned_urls_read_and_write_odd_keys, missing_bucket_is_a_fault_and_no_missing_key,
        range_beyond_the_end_is_an_answer, probe_finds_latency_and_clock
    ];
    azurite => Kind::Azurite => [
        presigned_urls_read_and_write_odd_keys, wrong_key_is_a_lost_identity,
        missing_bucket_is_a_fault_and_no_missing_key, range_beyond_the_end_is_an_answer,
        probe_finds_latency_and_clock
    ];
    gcs => Kind::Gcs => [
        presigned_urls_read_and_write_odd_keys, missing_bucket_is_a_fault_and_no_missing_key,
        range_beyond_the_end_is_an_answer, probe_finds_latency_and_clock
    ];
    tiny_s3 => Kind::TinyS3 => [
        presigned_urls_read_and_write_odd_keys, wrong_key_is_a_lost_identity,
        missing_bucket_is_a_fault_and_no_missing_key, range_beyond_the_end_is_an_answer,
        probe_finds_latency_and_clock
    ];
}

#[tokio::test]
async fn read_only_key_is_denied_and_not_a_lost_identity() {
    let t = fresh(Kind::SeaweedFs).await;
    t.store.put(&Path::from("k"), "x".into()).await.unwrap();
    let reader = Credentials::new("reader", "reader-secret");
    let store = Site { credentials: reader, ..t.site.clone() }.connect().unwrap().0;
    assert_eq!(store.get(&Path::from("k")).await.unwrap().bytes().await.unwrap(), "x");
    let error = store.put(&Path::from("k"), "y".into()).await.unwrap_err();
    assert_eq!(store.classify(&error).class, Class::Denied, "{error}");
}

#[tokio::test]
async fn expired_presigned_url_is_refused() {
    let t = fresh(Kind::SeaweedFs).await;
    let key = Path::from("k");
    t.store.put(&key, "x".into()).await.unwrap();
    let signer = t.store.signer().unwrap();
    let url = signer.signed_url(Method::GET, &key, Duration::from_secs(1)).await.unwrap();
    // Waiting for the expiry is the test; it is bounded.
    let client = reqwest::Client::new();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while client.get(url.clone()).send().await.unwrap().status().is_success() {
        assert!(std::time::Instant::now() < deadline, "still valid after ten seconds");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn signature_for_another_region_names_the_right_one() {
    let t = tiny_s3(Options::default().region("eu-north-1")).await;
    let error = t.store.get(&Path::from("k")).await.unwrap_err();
    assert_eq!(t.store.classify(&error).class, Class::Fault(Fault::IdentityLost), "{error}");
    assert!(error.to_string().contains("set region = \"eu-north-1\""), "{error}");
}
