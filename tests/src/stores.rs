//! A fresh, empty store of each kind.

use std::fmt;
use std::sync::Arc;

use lifeboat::BlobStore;
use lifeboat_azure::AzureBuilder;
use lifeboat_core::http::HttpSettings;
use lifeboat_eu::S3Compatible;
use lifeboat_gcs::GcsBuilder;
use lifeboat_s3::{Credentials, StaticKey};
use lifeboat_testkit::s3::{Options, TinyS3};
use lifeboat_testkit::{ServerKind, bed};
use object_store::StaticCredentialProvider;
use object_store::gcp::{GcpCredential, GcpSigningCredential, ServiceAccountKey};
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;

/// A backend, and the server behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `lifeboat-s3` on SeaweedFS.
    SeaweedFs,
    /// `lifeboat-s3` on moto.
    Moto,
    /// `lifeboat-azure` on Azurite.
    Azurite,
    /// `lifeboat-gcs` on fake-gcs-server behind the XML shim.
    Gcs,
    /// `lifeboat-s3` on the test kit's own small S3.
    TinyS3,
    /// A local folder.
    Folder,
    /// Memory.
    Memory,
}

impl Kind {
    /// Those on servers that are not ours.
    pub const REAL: [Self; 4] = [Self::SeaweedFs, Self::Moto, Self::Azurite, Self::Gcs];
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SeaweedFs,
        Self::Moto,
        Self::Azurite,
        Self::Gcs,
        Self::TinyS3,
        Self::Folder,
        Self::Memory,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A store, and what must live as long as it does.
pub struct TestStore {
    /// The backend.
    pub store: Arc<dyn BlobStore>,
    /// The same as page-wise lister, where it is one.
    pub pages: Option<Arc<dyn PaginatedListStore>>,
    /// The endpoint, for those who speak to the server directly.
    pub url: String,
    /// The bucket.
    pub bucket: String,
    _guard: Guard,
}

enum Guard {
    Nothing,
    Folder { _folder: tempfile::TempDir },
    TinyS3 { _server: TinyS3 },
}

impl TestStore {
    /// Stateless multipart uploads.
    pub fn multipart(&self) -> Option<Arc<dyn MultipartStore>> {
        self.store.multipart_store()
    }
}

/// Makes a fresh store in a bucket of its own.
///
/// # Panics
/// If the test bed does not run, or a server refuses.
pub async fn fresh(kind: Kind) -> TestStore {
    match kind {
        Kind::SeaweedFs => on_s3(ServerKind::SeaweedFs, "seaweedfs").await,
        Kind::Moto => on_s3(ServerKind::Moto, "minio").await,
        Kind::Azurite => on_azurite().await,
        Kind::Gcs => on_gcs().await,
        Kind::TinyS3 => on_tiny_s3().await,
        Kind::Folder => in_folder(),
        Kind::Memory => in_memory(),
    }
}

/// The HTTP settings of tests: plain HTTP to loopback, else the defaults.
pub fn http() -> HttpSettings {
    let mut http = HttpSettings::default();
    http.allow_http = true;
    http
}

fn wrap<S>(store: S, url: String, bucket: String, guard: Guard) -> TestStore
where
    S: BlobStore + PaginatedListStore + Clone,
{
    let pages: Arc<dyn PaginatedListStore> = Arc::new(store.clone());
    TestStore { store: Arc::new(store), pages: Some(pages), url, bucket, _guard: guard }
}

async fn on_s3(kind: ServerKind, provider: &str) -> TestStore {
    let endpoint = bed::endpoint(kind).unwrap();
    let bucket = bed::fresh_bucket(kind).await.unwrap();
    let key = StaticKey::new(&endpoint.credentials.id, &endpoint.credentials.secret);
    let store = S3Compatible::new(provider, &bucket)
        .with_region("us-east-1")
        .with_endpoint(&endpoint.url)
        .with_credentials(Credentials::Static(key))
        .with_http(http())
        .build()
        .unwrap();
    wrap(store, endpoint.url, bucket, Guard::Nothing)
}

async fn on_azurite() -> TestStore {
    let endpoint = bed::endpoint(ServerKind::Azurite).unwrap();
    let bucket = bed::fresh_bucket(ServerKind::Azurite).await.unwrap();
    let store = AzureBuilder::emulator(&endpoint.url, &bucket).build().unwrap();
    wrap(store, endpoint.url, bucket, Guard::Nothing)
}

async fn on_gcs() -> TestStore {
    let endpoint = bed::endpoint(ServerKind::Gcs).unwrap();
    // Versioned, so that old generations can be read, as some integration functions do.
    let bucket = bed::fresh_versioned_gcs_bucket().await.unwrap();
    let key = ServiceAccountKey::from_pem(endpoint.credentials.secret.as_bytes()).unwrap();
    let signing =
        GcpSigningCredential { email: endpoint.credentials.id.clone(), private_key: Some(key) };
    let credentials = lifeboat_gcs::Credentials::Provider {
        requests: Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: "test".into() })),
        signing: Some(Arc::new(StaticCredentialProvider::new(signing))),
    };
    let store = GcsBuilder::new(&bucket)
        .with_endpoint(&endpoint.url)
        .with_credentials(credentials)
        .with_http(http())
        .build()
        .unwrap();
    wrap(store, endpoint.url, bucket, Guard::Nothing)
}

async fn on_tiny_s3() -> TestStore {
    let server = TinyS3::start(Options::default().bucket("bucket")).await.unwrap();
    let credentials = server.credentials().unwrap().clone();
    let store = S3Compatible::new("minio", "bucket")
        .with_region(server.region())
        .with_endpoint(server.url())
        .with_credentials(Credentials::Static(StaticKey::new(credentials.id, credentials.secret)))
        .with_http(http())
        .build()
        .unwrap();
    wrap(store, server.url(), "bucket".into(), Guard::TinyS3 { _server: server })
}

fn in_folder() -> TestStore {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let store = lifeboat::store_from_url(&url).unwrap();
    let guard = Guard::Folder { _folder: folder };
    TestStore { store, pages: None, url, bucket: String::new(), _guard: guard }
}

fn in_memory() -> TestStore {
    let url = format!("memory://{:016x}", rand::random::<u64>());
    let store = lifeboat::store_from_url(&url).unwrap();
    TestStore { store, pages: None, url, bucket: String::new(), _guard: Guard::Nothing }
}
