//! A fresh, empty store of each kind, and the same store reached another way.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lifeboat::{BlobStore, Error, ErrorKind};
use lifeboat_azure::AzureBuilder;
use lifeboat_core::http::HttpSettings;
use lifeboat_eu::S3Compatible;
use lifeboat_gcs::GcsBuilder;
use lifeboat_s3::StaticKey;
use lifeboat_testkit::proxy::FaultProxy;
use lifeboat_testkit::s3::{Options, TinyS3};
use lifeboat_testkit::{Credentials, Endpoint, ServerKind, bed};
use object_store::StaticCredentialProvider;
use object_store::gcp::{GcpCredential, GcpSigningCredential, ServiceAccountKey};
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;

use crate::pairs::{Behind, Pair};

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
    /// `Failover` over two of the others.
    Pair(&'static Pair),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Where a store is, who to be there, and how to behave.
#[derive(Debug, Clone)]
pub struct Site {
    /// Which backend.
    pub kind: Kind,
    /// Its endpoint.
    pub url: String,
    /// Its bucket.
    pub bucket: String,
    /// Who to be.
    pub credentials: Credentials,
    /// Deadlines and retries.
    pub http: HttpSettings,
}

/// A store, and what must live as long as it does.
pub struct TestStore {
    /// The backend.
    pub store: Arc<dyn BlobStore>,
    /// The same as page-wise lister, where it is one.
    pub pages: Option<Arc<dyn PaginatedListStore>>,
    /// Where it is, for those who come another way.
    pub site: Site,
    guard: Guard,
}

/// What keeps the store's place alive.
enum Guard {
    Nothing,
    Folder { _folder: tempfile::TempDir },
    TinyS3(TinyS3),
    Pair(Box<Behind>),
}

impl TestStore {
    /// Stateless multipart uploads.
    pub fn multipart(&self) -> Option<Arc<dyn MultipartStore>> {
        self.store.multipart_store()
    }

    /// The embedded server.
    ///
    /// # Panics
    /// If the store is of another kind.
    pub fn tiny_s3(&self) -> &TinyS3 {
        match &self.guard {
            Guard::TinyS3(server) => server,
            _ => panic!("{} has no embedded server", self.site.kind),
        }
    }

    /// A fault proxy in front of the server, and the store as it is seen through it. Behind a failover that is the first
    /// server that lives, and the store is one process more.
    ///
    /// # Panics
    /// If the proxy cannot be started.
    pub async fn through_proxy(&self, http: HttpSettings) -> (FaultProxy, Arc<dyn BlobStore>) {
        if let Guard::Pair(behind) = &self.guard {
            let (proxy, failover) = Box::pin(behind.through_proxy(http)).await;
            return (proxy, Arc::new(failover));
        }
        let authority = self.site.url.split('/').nth(2).unwrap();
        let upstream: SocketAddr = authority.parse().unwrap();
        let proxy = FaultProxy::start(upstream).await.unwrap();
        let url = self.site.url.replace(authority, &proxy.address().to_string());
        let site = Site { url, http, ..self.site.clone() };
        let store = site.connect().unwrap().0;
        (proxy, store)
    }
}

type Connected = (Arc<dyn BlobStore>, Option<Arc<dyn PaginatedListStore>>);

fn both<S: BlobStore + PaginatedListStore + Clone>(store: S) -> Connected {
    (Arc::new(store.clone()), Some(Arc::new(store)))
}

impl Site {
    /// Builds the backend.
    ///
    /// # Errors
    /// What its builder refuses.
    pub fn connect(&self) -> Result<Connected, Error> {
        match self.kind {
            Kind::SeaweedFs => self.s3("seaweedfs"),
            Kind::Moto | Kind::TinyS3 => self.s3("minio"),
            Kind::Azurite => self.azure(),
            Kind::Gcs => self.gcs(),
            Kind::Folder | Kind::Memory => Ok((lifeboat::store_from_url(&self.url)?, None)),
            Kind::Pair(_) => {
                Err(Error::new(ErrorKind::Configuration, "a pair of stores has no one place"))
            }
        }
    }

    fn s3(&self, provider: &str) -> Result<Connected, Error> {
        let key = StaticKey::new(&self.credentials.id, &self.credentials.secret);
        let store = S3Compatible::new(provider, &self.bucket)
            .with_region("us-east-1")
            .with_endpoint(&self.url)
            .with_credentials(lifeboat_s3::Credentials::Static(key))
            .with_http(self.http.clone())
            .build()?;
        Ok(both(store))
    }

    fn azure(&self) -> Result<Connected, Error> {
        let key = lifeboat_azure::Credentials::AccessKey(self.credentials.secret.clone());
        let store = AzureBuilder::emulator(&self.url, &self.bucket)
            .with_credentials(key)
            .with_http(self.http.clone())
            .build()?;
        Ok(both(store))
    }

    fn gcs(&self) -> Result<Connected, Error> {
        let key = ServiceAccountKey::from_pem(self.credentials.secret.as_bytes()).unwrap();
        let signing =
            GcpSigningCredential { email: self.credentials.id.clone(), private_key: Some(key) };
        let bearer = GcpCredential { bearer: "test".into() };
        let credentials = lifeboat_gcs::Credentials::Provider {
            requests: Arc::new(StaticCredentialProvider::new(bearer)),
            signing: Some(Arc::new(StaticCredentialProvider::new(signing))),
        };
        let store = GcsBuilder::new(&self.bucket)
            .with_endpoint(&self.url)
            .with_credentials(credentials)
            .with_http(self.http.clone())
            .build()?;
        Ok(both(store))
    }
}

/// The HTTP settings of tests: plain HTTP to loopback, else the defaults.
pub fn http() -> HttpSettings {
    let mut http = HttpSettings::default();
    http.allow_http = true;
    http
}

/// Makes a fresh store in a bucket of its own.
///
/// # Panics
/// If the test bed does not run, or a server refuses.
pub async fn fresh(kind: Kind) -> TestStore {
    match kind {
        Kind::SeaweedFs => on_server(kind, ServerKind::SeaweedFs).await,
        Kind::Moto => on_server(kind, ServerKind::Moto).await,
        Kind::Azurite => on_server(kind, ServerKind::Azurite).await,
        Kind::Gcs => on_server(kind, ServerKind::Gcs).await,
        Kind::TinyS3 => tiny_s3(Options::default()).await,
        Kind::Folder => in_folder(),
        Kind::Memory => {
            let url = format!("memory://{:016x}", rand::random::<u64>());
            local(kind, url, Guard::Nothing)
        }
        Kind::Pair(pair) => {
            let (behind, failover) = Box::pin(Behind::start(pair)).await;
            let site = nowhere(kind, String::new());
            let guard = Guard::Pair(Box::new(behind));
            TestStore { store: Arc::new(failover), pages: None, site, guard }
        }
    }
}

/// A fresh store on an embedded server with these options.
///
/// # Panics
/// If the server cannot be started.
pub async fn tiny_s3(options: Options) -> TestStore {
    let server = TinyS3::start(options.bucket("bucket")).await.unwrap();
    let site = Site {
        kind: Kind::TinyS3,
        url: server.url(),
        bucket: "bucket".into(),
        credentials: server.credentials().unwrap().clone(),
        http: http(),
    };
    open(site, Guard::TinyS3(server))
}

async fn on_server(kind: Kind, server: ServerKind) -> TestStore {
    let Endpoint { url, credentials, .. } = bed::endpoint(server).unwrap();
    let bucket = match server {
        // Versioned, so that old generations can be read, as some functions of the suite do.
        ServerKind::Gcs => bed::fresh_versioned_gcs_bucket().await.unwrap(),
        server => bed::fresh_bucket(server).await.unwrap(),
    };
    let mut http = http();
    if server == ServerKind::Azurite {
        // One process that writes file after file: a batch of 256 deletes takes it a quarter of a minute on a busy disk.
        http.deadlines.first_byte = Duration::from_mins(1);
    }
    open(Site { kind, url, bucket, credentials, http }, Guard::Nothing)
}

fn in_folder() -> TestStore {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    local(Kind::Folder, url, Guard::Folder { _folder: folder })
}

fn local(kind: Kind, url: String, guard: Guard) -> TestStore {
    open(nowhere(kind, url), guard)
}

/// A site without a bucket, where nobody asks who comes.
fn nowhere(kind: Kind, url: String) -> Site {
    let credentials = Credentials::new("", "");
    Site { kind, url, bucket: String::new(), credentials, http: http() }
}

fn open(site: Site, guard: Guard) -> TestStore {
    let (store, pages) = site.connect().unwrap();
    TestStore { store, pages, site, guard }
}
