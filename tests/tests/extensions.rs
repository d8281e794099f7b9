//! The last function of `object_store`'s suite: what the HTTP layer attaches to a response reaches
//! the caller. It brings its own connector, so the client is built with that one, and what is
//! tested is that our wrappers pass on what the client gives.

use std::sync::Arc;

use http::{HeaderMap, Uri};
use lifeboat_core::conditions::Trust;
use lifeboat_core::http::{
    Algorithm, Behaviour, Checksum, Dialect, Operation, Traffic, VendorError, WireStore,
};
use lifeboat_core::{Capabilities, Identity, Support, Verdict};
use lifeboat_failover::Failover;
use lifeboat_testkit::{ServerKind, bed};
use lifeboat_tests::{Kind, deviations};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::HttpRequest;
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::integration::{MarkerHttpConnector, response_extensions};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig, StaticCredentialProvider,
};

/// A wire of which nothing is known.
#[derive(Debug)]
struct Plain;

impl Dialect for Plain {
    fn store(&self) -> &'static str {
        "Plain"
    }

    fn traffic(&self, _: &Uri) -> Traffic {
        Traffic::Data
    }

    fn vendor_error(&self, _: &HeaderMap, _: &[u8]) -> VendorError {
        VendorError::default()
    }

    fn verdict_by_code(&self, _: &str) -> Option<Verdict> {
        None
    }

    fn remedy(&self, _: &lifeboat_core::http::Exchange) -> Option<String> {
        None
    }

    fn document_roots(&self, _: Operation) -> &'static [&'static str] {
        &[]
    }

    fn is_sound(&self, _: Operation, _: &HeaderMap) -> bool {
        true
    }

    fn download_checksum(&self, _: &HeaderMap) -> Option<Checksum> {
        None
    }

    fn receipt_algorithm(&self) -> Option<Algorithm> {
        None
    }

    fn upload_receipt(&self, _: &HeaderMap) -> Option<Checksum> {
        None
    }

    fn prepare(&self, _: &mut HttpRequest, _: Operation) {}
}

fn wrapped<S: ObjectStore + Signer + MultipartStore>(name: &str, client: S) -> WireStore<S> {
    let mut declared = Capabilities::CONSERVATIVE;
    declared.create_if_absent = Support::Yes;
    let mut behaviour = Behaviour::new(declared);
    behaviour.trust = Trust::Declared;
    WireStore::new(client, Identity::new("test", "", name), Arc::new(Plain), behaviour)
}

fn options() -> ClientOptions {
    ClientOptions::new().with_allow_http(true)
}

async fn seaweedfs() -> WireStore<AmazonS3> {
    let endpoint = bed::endpoint(ServerKind::SeaweedFs).unwrap();
    let client = AmazonS3Builder::new()
        .with_bucket_name(bed::fresh_bucket(ServerKind::SeaweedFs).await.unwrap())
        .with_region("us-east-1")
        .with_endpoint(&endpoint.url)
        .with_access_key_id(&endpoint.credentials.id)
        .with_secret_access_key(&endpoint.credentials.secret)
        .with_client_options(options())
        .with_http_connector(MarkerHttpConnector::default())
        .build()
        .unwrap();
    wrapped("seaweedfs", client)
}

async fn azurite() -> WireStore<MicrosoftAzure> {
    let endpoint = bed::endpoint(ServerKind::Azurite).unwrap();
    let client = MicrosoftAzureBuilder::new()
        .with_account(&endpoint.credentials.id)
        .with_access_key(&endpoint.credentials.secret)
        .with_container_name(bed::fresh_bucket(ServerKind::Azurite).await.unwrap())
        .with_endpoint(endpoint.url)
        .with_client_options(options())
        .with_http_connector(MarkerHttpConnector::default())
        .build()
        .unwrap();
    wrapped("azurite", client)
}

async fn gcs() -> WireStore<GoogleCloudStorage> {
    let endpoint = bed::endpoint(ServerKind::Gcs).unwrap();
    let bearer = GcpCredential { bearer: "test".into() };
    let client = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bed::fresh_bucket(ServerKind::Gcs).await.unwrap())
        .with_base_url(&endpoint.url)
        .with_credentials(Arc::new(StaticCredentialProvider::new(bearer)))
        .with_client_options(options())
        .with_http_connector(MarkerHttpConnector::default())
        .build()
        .unwrap();
    wrapped("gcs", client)
}

#[tokio::test]
async fn seaweedfs_response_extensions() {
    response_extensions(&seaweedfs().await, true).await;
}

#[tokio::test]
async fn azurite_response_extensions() {
    response_extensions(&azurite().await, true).await;
}

#[tokio::test]
async fn gcs_response_extensions() {
    response_extensions(&gcs().await, true).await;
}

async fn failover_response_extensions(kind: Kind, failover: Failover) {
    let suite = response_extensions(&failover, true);
    deviations::run(kind, "response_extensions", suite).await;
    // What comes after the deviation, and what is read of it.
    let key = Path::from("upload");
    let mut upload = failover.put_multipart(&key).await.unwrap();
    upload.put_part("data".into()).await.unwrap();
    let completed = upload.complete().await.unwrap().extensions;
    let read = failover.get(&key).await.unwrap().extensions;
    assert!(!completed.is_empty() && !read.is_empty(), "{completed:?}, {read:?}");
}

#[tokio::test]
async fn healthy_failover_response_extensions() {
    let builder = Failover::builder().seeded_backend(seaweedfs().await);
    let failover = builder.seeded_backend(azurite().await).build().unwrap();
    failover_response_extensions(Kind::SEAWEEDFS_AZURITE, failover).await;
}

#[tokio::test]
async fn failover_response_extensions_of_the_backend_that_lives() {
    let bearer = GcpCredential { bearer: "test".into() };
    let dead = GoogleCloudStorageBuilder::new()
        .with_bucket_name("bucket")
        // The discard port, on which nobody listens.
        .with_base_url("http://127.0.0.1:9")
        .with_credentials(Arc::new(StaticCredentialProvider::new(bearer)))
        .with_client_options(options())
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(MarkerHttpConnector::default())
        .build()
        .unwrap();
    let builder = Failover::builder().seeded_backend(wrapped("dead", dead));
    let failover = builder.seeded_backend(azurite().await).build().unwrap();
    failover_response_extensions(Kind::DEAD_GCS_AZURITE, failover).await;
}
