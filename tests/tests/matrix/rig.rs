//! A primary that can be broken in every way, and a replica of another kind that stays healthy.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const BUCKET: &str = "matrix";
/// The primary's name. Azurite takes other names for those of accounts.
const NAME: &str = "localhost";
/// Where nobody answers, not even the kernel.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Connections that fill the queue of a listener with the shortest one.
const QUEUE: usize = 4;

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
    _black_hole: BlackHole,
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
            _black_hole: BlackHole::at(SocketAddr::new(NOWHERE.into(), port)).await,
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
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<AtomicU8>);

impl Names {
    pub(crate) fn remember(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    pub(crate) fn forget(&self) {
        self.0.store(1, Ordering::SeqCst);
    }

    pub(crate) fn point_to_black_hole(&self) {
        self.0.store(2, Ordering::SeqCst);
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let answer = match self.0.load(Ordering::SeqCst) {
            0 => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
            1 => Err(io::Error::other(format!("{host}: name or service not known"))),
            _ => Ok(vec![NOWHERE.into()]),
        };
        async move { answer }.boxed()
    }
}

/// A port whose queue is full: the kernel drops what comes, as a firewall does.
struct BlackHole {
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    async fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut queued = Vec::new();
        for _ in 0..QUEUE {
            let connect = TcpStream::connect(address);
            match tokio::time::timeout(std::time::Duration::from_millis(200), connect).await {
                Ok(stream) => queued.push(stream.unwrap()),
                Err(_) => return Self { _listener: listener, _queued: queued },
            }
        }
        panic!("the queue of {address} does not fill up");
    }
}
