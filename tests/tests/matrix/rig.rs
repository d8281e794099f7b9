//! A primary that can be broken in every way, and a replica of another kind that stays healthy.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use lifeboat::BlobStore;
use lifeboat_core::http::{Resolve, Resolver};
use lifeboat_testkit::ServerKind;
use lifeboat_testkit::bed::create_bucket;
use lifeboat_testkit::interposer::Interposer;
use lifeboat_testkit::names::Names;
use lifeboat_testkit::proxy::FaultProxy;
use lifeboat_testkit::servers::Server;
use lifeboat_tests::tapped::Tapped;
use lifeboat_tests::{Kind, Site, TestStore, fresh, http};

const BUCKET: &str = "matrix";
/// The primary's name. Azurite takes other names for those of accounts.
pub(crate) const NAME: &str = "localhost";

pub(crate) struct Rig {
    pub(crate) kind: Kind,
    pub(crate) server: Server,
    pub(crate) interposer: Interposer,
    pub(crate) proxy: FaultProxy,
    pub(crate) names: Names,
    pub(crate) primary: Arc<Tapped>,
    pub(crate) replica: TestStore,
    /// The primary without anything in between.
    pub(crate) direct: Arc<dyn BlobStore>,
    site: Site,
}

impl Rig {
    pub(crate) async fn new(kind: Kind, server: ServerKind, replica: Kind) -> Self {
        let server = Server::start(server).await.unwrap();
        create_bucket(server.endpoint(), BUCKET).await.unwrap();
        let upstream = server.endpoint().address().unwrap();
        let interposer = Interposer::start(upstream).await.unwrap();
        let proxy = FaultProxy::start(interposer.address()).await.unwrap();
        let port = proxy.address().port();
        let names = Names::default();
        let mut through = http();
        through.resolver = Some(Resolver::new(Asked(names.clone())));
        let (url, credentials) =
            (server.endpoint().url.clone(), server.endpoint().credentials.clone());
        let direct = Site {
            kind,
            url: url.clone(),
            bucket: BUCKET.into(),
            credentials: credentials.clone(),
            http: http(),
        };
        let url = url.replace(&upstream.to_string(), &format!("{NAME}:{port}"));
        let site = Site { kind, url, bucket: BUCKET.into(), credentials, http: through };
        let primary = Arc::new(Tapped::new(site.connect().unwrap().0, |_, _, _| {}));
        Self {
            kind,
            server,
            interposer,
            proxy,
            names,
            primary,
            replica: fresh(replica).await,
            direct: direct.connect().unwrap().0,
            site,
        }
    }

    /// The primary as it should be reached.
    pub(crate) fn over_http(&self) -> Arc<dyn BlobStore> {
        self.site.connect().unwrap().0
    }

    /// The primary by a protocol that it does not speak.
    pub(crate) fn over_tls(&self) -> Arc<dyn BlobStore> {
        let url = self.site.url.replacen("http://", "https://", 1);
        Site { url, ..self.site.clone() }.connect().unwrap().0
    }

    /// Starts a killed primary again. The GCS server has forgotten even the bucket.
    pub(crate) async fn restart(&mut self) {
        self.server.restart().await.unwrap();
        create_bucket(self.server.endpoint(), BUCKET).await.unwrap();
    }

    /// Whether the primary loses what it has acknowledged when it is killed.
    pub(crate) fn forgets(&self) -> bool {
        self.kind != Kind::SeaweedFs
    }
}

/// The name service, as the HTTP backends ask for it.
#[derive(Debug)]
struct Asked(Names);

impl Resolve for Asked {
    fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        std::future::ready(self.0.lookup(host)).boxed()
    }
}
