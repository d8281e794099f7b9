//! Two S3 endpoints on loopback, on threads of their own and behind fault proxies, and the ways to them.

use std::sync::Arc;

use lifeboat_core::BlobStore;
use lifeboat_core::http::HttpSettings;
use lifeboat_eu::S3Compatible;
use lifeboat_failover::{Failover, FailoverBuilder, Observer};
use lifeboat_s3::{Credentials, StaticKey};
use lifeboat_testkit as testkit;
use lifeboat_testkit::proxy::FaultProxy;
use lifeboat_testkit::s3::{Options, TinyS3};
use object_store::ClientOptions;
use object_store::aws::AmazonS3Builder;
use tokio::runtime::Runtime;

use crate::work::Store;

/// An endpoint with one bucket, and the proxy in front of it.
pub(crate) struct Site {
    bucket: &'static str,
    pub(crate) server: TinyS3,
    pub(crate) proxy: FaultProxy,
}

impl Site {
    pub(crate) async fn start(bucket: &'static str) -> Self {
        let server = TinyS3::start(Options::default().bucket(bucket)).await.unwrap();
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        Self { bucket, server, proxy }
    }

    /// Lifeboat's backend, past the proxy.
    pub(crate) fn direct(&self) -> Arc<dyn BlobStore> {
        self.at(&self.server.url())
    }

    /// Lifeboat's backend, through the proxy.
    pub(crate) fn proxied(&self) -> Arc<dyn BlobStore> {
        self.at(&self.proxy.url())
    }

    fn at(&self, url: &str) -> Arc<dyn BlobStore> {
        let known = self.server.credentials().unwrap();
        connect("minio", self.bucket, url, self.server.region(), known)
    }

    /// The client that `object_store` brings, with its defaults, through the proxy.
    pub(crate) fn foreign(&self) -> Store {
        let known = self.server.credentials().unwrap();
        let store = AmazonS3Builder::new()
            .with_bucket_name(self.bucket)
            .with_region(self.server.region())
            .with_endpoint(self.proxy.url())
            .with_access_key_id(&known.id)
            .with_secret_access_key(&known.secret)
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .build();
        Arc::new(store.unwrap())
    }

    /// How many requests for `key` have come in.
    pub(crate) fn requests(&self, key: &str) -> usize {
        self.server.request_log().iter().filter(|request| request.key == key).count()
    }
}

/// Lifeboat's S3 backend with its defaults.
pub(crate) fn connect(
    provider: &str,
    bucket: &str,
    url: &str,
    region: &str,
    known: &testkit::Credentials,
) -> Arc<dyn BlobStore> {
    let mut http = HttpSettings::default();
    http.allow_http = true;
    let store = S3Compatible::new(provider, bucket)
        .with_region(region)
        .with_endpoint(url)
        .with_credentials(Credentials::Static(StaticKey::new(&known.id, &known.secret)))
        .with_http(http)
        .build();
    Arc::new(store.unwrap())
}

/// A primary and a replica.
pub(crate) struct Sites {
    pub(crate) primary: Site,
    pub(crate) replica: Site,
}

impl Sites {
    pub(crate) fn start(servers: &Runtime) -> Self {
        let both = async {
            Self { primary: Site::start("first").await, replica: Site::start("second").await }
        };
        servers.block_on(both)
    }
}

/// A failover with default settings.
pub(crate) fn failover(
    first: Arc<dyn BlobStore>,
    second: Arc<dyn BlobStore>,
    observer: Option<Arc<dyn Observer>>,
) -> Store {
    let builder = Failover::builder().seeded_backend(first).seeded_backend(second);
    let builder = observer.into_iter().fold(builder, FailoverBuilder::observer);
    Arc::new(builder.build().unwrap())
}
