//! What a Lifeboat backend costs over the bare `object_store` client, on the same server in the
//! same run: get, put, head and list, at 4 KiB and 16 MiB.
//!
//! `cargo bench -p lifeboat-benches` installs and starts the servers. Arguments filter by name:
//! `cargo bench -p lifeboat-benches -- seaweedfs/get`. With `LIFEBOAT_BENCH_ROUNDS` more rounds are
//! made; the default of 40 takes about five minutes.
//!
//! Each operation is measured twice against the bare client: as built by default, with every
//! whole read checked against a checksum, and with that switched off. The bare client checks
//! nothing, so the first ratio contains the price of the check.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, TryStreamExt};
use lifeboat_azure::AzureBuilder;
use lifeboat_benches::{Operation, Pair, paired};
use lifeboat_core::http::HttpSettings;
use lifeboat_eu::S3Compatible;
use lifeboat_gcs::GcsBuilder;
use lifeboat_s3::{Credentials, StaticKey};
use lifeboat_testkit::bed;
use lifeboat_testkit::servers::Server;
use lifeboat_testkit::{Endpoint, ServerKind};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, StaticCredentialProvider};

const BUCKET: &str = "bench";
const SMALL: usize = 4 << 10;
const LARGE: usize = 16 << 20;
/// Objects that a listing finds.
const LISTED: usize = 200;

type Store = Arc<dyn ObjectStore>;

fn bare(endpoint: &Endpoint) -> Store {
    let options = ClientOptions::new().with_allow_http(true);
    let (id, secret) = (&endpoint.credentials.id, &endpoint.credentials.secret);
    match endpoint.kind {
        ServerKind::Azurite => Arc::new(
            MicrosoftAzureBuilder::new()
                .with_account(id)
                .with_access_key(secret)
                .with_container_name(BUCKET)
                .with_endpoint(endpoint.url.clone())
                .with_client_options(options)
                .build()
                .unwrap(),
        ),
        ServerKind::Gcs => Arc::new(
            GoogleCloudStorageBuilder::new()
                .with_bucket_name(BUCKET)
                .with_base_url(&endpoint.url)
                .with_credentials(bearer())
                .with_client_options(options)
                .build()
                .unwrap(),
        ),
        ServerKind::SeaweedFs | ServerKind::Moto => Arc::new(
            AmazonS3Builder::new()
                .with_bucket_name(BUCKET)
                .with_region("us-east-1")
                .with_endpoint(&endpoint.url)
                .with_access_key_id(id)
                .with_secret_access_key(secret)
                .with_client_options(options)
                .build()
                .unwrap(),
        ),
    }
}

fn bearer() -> Arc<StaticCredentialProvider<GcpCredential>> {
    Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: "bench".into() }))
}

fn ours(endpoint: &Endpoint, verify: bool) -> Store {
    let mut http = HttpSettings::default();
    http.allow_http = true;
    match endpoint.kind {
        ServerKind::Azurite => Arc::new(
            AzureBuilder::emulator(&endpoint.url, BUCKET)
                .with_verify_reads(verify)
                .build()
                .unwrap(),
        ),
        ServerKind::Gcs => Arc::new(
            GcsBuilder::new(BUCKET)
                .with_endpoint(&endpoint.url)
                .with_credentials(lifeboat_gcs::Credentials::Provider {
                    requests: bearer(),
                    signing: None,
                })
                .with_http(http)
                .with_verify_reads(verify)
                .build()
                .unwrap(),
        ),
        ServerKind::SeaweedFs | ServerKind::Moto => {
            let key = StaticKey::new(&endpoint.credentials.id, &endpoint.credentials.secret);
            let store = S3Compatible::new("seaweedfs", BUCKET)
                .with_region("us-east-1")
                .with_endpoint(&endpoint.url)
                .with_credentials(Credentials::Static(key))
                .with_http(http)
                .with_verify_reads(verify)
                .build()
                .unwrap();
            Arc::new(store)
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum What {
    Get,
    Put,
    Head,
    List,
}

fn operation(store: &Store, what: What, size: usize) -> Operation<'_> {
    let key = Path::from(format!("object-{size}"));
    let body = Bytes::from(vec![7; size]);
    Box::new(move || {
        let (store, key, body) = (Arc::clone(store), key.clone(), body.clone());
        async move {
            match what {
                What::Get => {
                    // As a stream: neither side copies the chunks together.
                    let stream = store.get(&key).await.unwrap().into_stream();
                    let sum = stream.try_fold(0, |sum, chunk| async move { Ok(sum + chunk.len()) });
                    assert_eq!(sum.await.unwrap(), size);
                }
                What::Put => drop(store.put(&key, body.into()).await.unwrap()),
                What::Head => drop(store.head(&key).await.unwrap()),
                What::List => {
                    let folder = Path::from("listed");
                    let listing: Vec<_> = store.list(Some(&folder)).try_collect().await.unwrap();
                    assert_eq!(listing.len(), LISTED);
                }
            }
        }
        .boxed()
    })
}

struct Bench {
    filters: Vec<String>,
    rounds: usize,
}

impl Bench {
    fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter))
    }

    async fn compare(&self, name: &str, endpoint: &Endpoint, what: What, size: usize) {
        if !self.wants(name) {
            return;
        }
        let batch = if size == LARGE { 1 } else { 20 };
        let bare = bare(endpoint);
        for (label, verify) in [("verified", true), ("unverified", false)] {
            if !verify && !matches!(what, What::Get) {
                continue;
            }
            let ours = ours(endpoint, verify);
            let (a, b) = (operation(&bare, what, size), operation(&ours, what, size));
            let Pair { first, second, ratio: [low, median, high] } =
                paired(a, b, self.rounds, batch).await;
            let label = if matches!(what, What::Get) { label } else { "" };
            println!(
                "{name:<28} {label:<10} bare {:>9.1} µs  ours {:>9.1} µs  \
                 ratio {median:.3} ({low:.3} – {high:.3})",
                micros(first),
                micros(second),
            );
        }
    }

    async fn on(&self, kind: ServerKind) {
        let names = ["get/4KiB", "get/16MiB", "put/4KiB", "put/16MiB", "head", "list"];
        if !names.iter().any(|name| self.wants(&format!("{kind}/{name}"))) {
            return;
        }
        let server = Server::start(kind).await.unwrap();
        let endpoint = server.endpoint().clone();
        bed::create_bucket(&endpoint, BUCKET).await.unwrap();
        prepare(&ours(&endpoint, false)).await;
        for (what, name) in [(What::Get, "get"), (What::Put, "put")] {
            for (size, shown) in [(SMALL, "4KiB"), (LARGE, "16MiB")] {
                self.compare(&format!("{kind}/{name}/{shown}"), &endpoint, what, size).await;
            }
        }
        self.compare(&format!("{kind}/head"), &endpoint, What::Head, SMALL).await;
        self.compare(&format!("{kind}/list"), &endpoint, What::List, 0).await;
        server.stop().await.unwrap();
    }
}

async fn prepare(store: &Store) {
    for size in [SMALL, LARGE] {
        operation(store, What::Put, size)().await;
    }
    for n in 0..LISTED {
        store.put(&Path::from(format!("listed/{n:04}")), "x".into()).await.unwrap();
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    // Cargo passes `--bench`; what else comes is a filter.
    let filters = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let rounds = std::env::var("LIFEBOAT_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
    let bench = Bench { filters, rounds: rounds.unwrap_or(40) };
    for kind in [ServerKind::SeaweedFs, ServerKind::Azurite, ServerKind::Gcs] {
        bench.on(kind).await;
    }
}
