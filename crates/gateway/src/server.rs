//! The listener and its connections: how many, how long a head may take, and how they end.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::guard::Guard;
use crate::{Error, GatewayBuilder};

/// How long a connection may be idle, or take for a request's head. Longer than clients keep idle
/// connections (hyper and reqwest: 90 s; Amazon's SDKs: 20 to 60 s), so that the client closes first and never
/// sends a request into a closing connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(100);

/// Amazon S3 takes 8 KiB of headers, of which 2 KiB are user metadata; the rest is room for a
/// presigned query.
const HEAD_BYTES: usize = 64 << 10;

/// Metadata may come as many short headers.
const HEADERS: usize = 256;

/// How long requests under way may take after a shutdown was asked for.
const FAREWELL: Duration = Duration::from_secs(20);

/// After an accept that failed (usually: out of file descriptors), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running S3 endpoint. Dropping it closes the listener and cuts every connection;
/// [`shutdown`](Self::shutdown) lets requests end first.
pub struct Gateway {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Gateway {
    /// Begins to describe a gateway.
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::new()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for S3 clients, with path-style addressing: `http://ADDRESS:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops to accept, lets requests under way end (for at most 20 seconds), and closes.
    ///
    /// # Cancel safety
    /// Dropping the future cuts what is still open.
    pub async fn shutdown(mut self) {
        // Nobody listens any more only if the task is gone already.
        let _ = self.stop.send(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What serves the connections.
pub(crate) struct Server {
    pub(crate) guard: Arc<Guard>,
    pub(crate) connections: usize,
}

impl Server {
    pub(crate) async fn start(self, address: SocketAddr) -> Result<Gateway, Error> {
        let failed = |cause| Error::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(self.accept(listener, stopping));
        Ok(Gateway { address, stop, task })
    }

    /// Accepts until it is stopped. The connections live in this task's set and end with it.
    async fn accept(self, listener: TcpListener, stopping: watch::Receiver<bool>) {
        let room = Arc::new(Semaphore::new(self.connections.min(Semaphore::MAX_PERMITS)));
        let mut open = JoinSet::new();
        let mut stopped = pin!(wait_for_stop(stopping.clone()));
        loop {
            let accepting = async {
                // The semaphore is never closed, so this is always a permit.
                let permit = Arc::clone(&room).acquire_owned().await.ok();
                (permit, listener.accept().await)
            };
            tokio::select! {
                () = &mut stopped => break,
                Some(_) = open.join_next() => {}
                (permit, accepted) = accepting => match accepted {
                    Ok((stream, _)) => {
                        let guard = Arc::clone(&self.guard);
                        let stopping = stopping.clone();
                        open.spawn(async move {
                            serve(stream, guard, stopping).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        drop(listener);
        let ended = async { while open.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!("requests were still under way when the gateway closed");
        }
    }
}

/// Returns when the stop is asked for; never if the gateway is dropped, because then the task is
/// aborted.
async fn wait_for_stop(mut stopping: watch::Receiver<bool>) {
    if stopping.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn serve(stream: TcpStream, guard: Arc<Guard>, stopping: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let guard = Arc::clone(&guard);
        async move { Ok::<_, Infallible>(guard.answer(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = wait_for_stop(stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        // The client sees the break itself; who runs the gateway may want to know.
        tracing::debug!(%error, "a connection broke");
    }
}
