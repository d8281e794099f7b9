//! [`Interposer`]: an HTTP proxy in front of a server that answers some requests itself, as a script says, and passes the
//! others on. Together with a [`FaultProxy`](crate::proxy::FaultProxy) in front it covers what can go wrong above TCP and below.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> lifeboat_testkit::Result<()> {
//! use lifeboat_testkit::interposer::Interposer;
//! use lifeboat_testkit::s3::{Options, TinyS3};
//! use lifeboat_testkit::scripted::Reply;
//!
//! let server = TinyS3::start(Options::default().bucket("data")).await?;
//! let interposer = Interposer::start(server.address()).await?;
//! println!("give {} to the application", interposer.url());
//! // Writes are throttled, reads go on.
//! interposer.script(|request| {
//!     let slow_down = Reply::error(503, "SlowDown", "Please reduce your request rate.");
//!     (request.method != "GET").then_some(slow_down)
//! });
//! interposer.pass();
//! # Ok(())
//! # }
//! ```

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response};

use crate::error::{Error, Result};
use crate::http_client::{Body, HttpClient, full};
use crate::http_server::HttpServer;
use crate::scripted::{self, Reply};

/// Decides on a request; `None` passes it on.
type Script = Arc<dyn Fn(&scripted::Request) -> Option<Reply> + Send + Sync>;

struct Shared {
    upstream: SocketAddr,
    client: HttpClient,
    script: RwLock<Option<Script>>,
    passed: AtomicU64,
    answered: AtomicU64,
}

/// A running interposer. Dropping it closes its port and every connection.
pub struct Interposer {
    server: HttpServer,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Interposer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = self.server.address();
        f.debug_struct("Interposer").field("address", &address).finish_non_exhaustive()
    }
}

impl Interposer {
    /// Starts an interposer on a free loopback port, which passes everything on.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when no port is to be had.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let shared = Arc::new(Shared {
            upstream,
            client: HttpClient::new(),
            script: RwLock::new(None),
            passed: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        let handler = move |request| serve(Arc::clone(&serving), request);
        Ok(Self { server: HttpServer::start(None, handler).await?, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL that clients take as their endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Answers requests as a function says from now on; `None` passes a request on. The function is given the request
    /// without its body. Of a reply status, headers, body and delay are used; what breaks connections is the business
    /// of a [`FaultProxy`](crate::proxy::FaultProxy).
    pub fn script(
        &self,
        script: impl Fn(&scripted::Request) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.set(Some(Arc::new(script)));
    }

    /// Passes everything on from now on.
    pub fn pass(&self) {
        self.set(None);
    }

    fn set(&self, script: Option<Script>) {
        *self.shared.script.write().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// How many requests were passed on so far.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::Relaxed)
    }

    /// How many requests were answered in place of the server so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }
}

async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let script = shared.script.read().unwrap_or_else(PoisonError::into_inner).clone();
    let reply = script.and_then(|script| script(&described(&parts)));
    if let Some(reply) = reply {
        shared.answered.fetch_add(1, Ordering::Relaxed);
        drain(body).await;
        return reply.respond().await;
    }
    shared.passed.fetch_add(1, Ordering::Relaxed);
    match shared.pass_on(parts, body).await {
        Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
        Err(error) => Reply::error(502, "BadGateway", &error.to_string()).respond().await,
    }
}

/// A client that is still writing would not see the answer.
async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

fn described(parts: &Parts) -> scripted::Request {
    let value =
        |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    scripted::Request {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers.iter().map(|(n, v)| (n.as_str().to_owned(), value(v))).collect(),
        body: Bytes::new(),
    }
}

impl Shared {
    /// Sends a request on as it came, `Host` included: it is signed.
    async fn pass_on(&self, mut parts: Parts, body: Incoming) -> Result<Response<Incoming>> {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let url = format!("http://{}{target}", self.upstream);
        parts.uri = url.parse().map_err(|_| Error::Invalid(format!("`{target}` is no target")))?;
        parts.headers.remove(hyper::header::CONNECTION);
        let empty = hyper::body::Body::is_end_stream(&body);
        let body = if empty { full("") } else { body.map_err(Into::into).boxed_unsync() };
        self.client.send(Request::from_parts(parts, body)).await
    }
}
