//! The accept loop that the in-process endpoints share: hyper's HTTP/1.1 on a loopback port, gone when dropped.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::error::{Result, io};
use crate::http_client::Body;

/// Ports are drawn from here: above the well-known ones and below Linux's range for outgoing connections (it starts
/// at 32768), so that a client which keeps dialling a stopped server cannot take the server's port or reach itself.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// How many ports are tried before giving up; with a thousand servers running, 64 misses in a row do not happen.
const PORT_TRIES: usize = 64;

/// Opens a listener on a free loopback port.
pub(crate) fn listen() -> Result<std::net::TcpListener> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        match std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, rand::random_range(PORTS))) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    let last = last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
    Err(io("find a free loopback port")(last))
}

/// Opens an asynchronous listener on the given address, or on a free loopback port.
pub(crate) async fn listen_at(address: Option<SocketAddr>) -> Result<TcpListener> {
    let Some(address) = address else {
        let listener = listen()?;
        listener.set_nonblocking(true).map_err(io("make a listener asynchronous"))?;
        return TcpListener::from_std(listener).map_err(io("register a listener"));
    };
    TcpListener::bind(address).await.map_err(io(format!("listen on {address}")))
}

/// A running HTTP server. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub(crate) struct HttpServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Starts to serve on `address`, or on a free loopback port.
    pub(crate) async fn start<H, F>(address: Option<SocketAddr>, handler: H) -> Result<Self>
    where
        H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = listen_at(address).await?;
        let address = listener.local_addr().map_err(io("read a listener's address"))?;
        let task = tokio::spawn(accept(listener, Arc::new(handler)));
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts until aborted; the connections live in the task's own set and end with it.
async fn accept<H, F>(listener: TcpListener, handler: Arc<H>)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&handler)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve<H, F>(stream: TcpStream, handler: Arc<H>)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // A connection that breaks is the client's business; it sees the break itself.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
