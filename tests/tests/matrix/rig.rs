//! A primary that can be broken in every way, and a replica of another kind that stays healthy.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use lifeboat::BlobStore;
use lifeboat_core::http::{Resolve, Resolver};
use lifeboat_testkit::ServerKind;
use lifeboat_testkit::bed::create_bucket;
use lifeboat_testkit::interposer::Interposer;
use lifeboat_testkit::proxy::FaultProxy;
use lifeboat_testkit::servers::Server;
use lifeboat_tests::tapped::Tapped;
use lifeboat_tests::{Kind, Site, TestStore, fresh, http};

const BUCKET: &str = "matrix";
/// The primary's name. Azurite takes other names for those of accounts.
const NAME: &str = "localhost";

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
        through.resolver = Some(Resolver::new(names.clone()));
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

/// The name service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<AtomicBool>);

impl Names {
    pub(crate) fn remember(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    pub(crate) fn forget(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let answer = if self.0.load(Ordering::SeqCst) {
            Err(io::Error::other(format!("{host}: name or service not known")))
        } else {
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        };
        async move { answer }.boxed()
    }
}
