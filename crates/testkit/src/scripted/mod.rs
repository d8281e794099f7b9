//! [`Scripted`]: an HTTP server that answers what it is told to, malformed and misbehaving answers included, and
//! remembers what it was asked. It sits on bare TCP, so that it can do what a correct server cannot.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> lifeboat_testkit::Result<()> {
//! use lifeboat_testkit::scripted::{Reply, Scripted};
//!
//! let server = Scripted::in_order([
//!     Reply::error(503, "SlowDown", "Please reduce your request rate.").header("retry-after", "1"),
//!     Reply::new(200).body("hello").truncated(5),
//!     Reply::silence(),
//! ])
//! .await?;
//! println!("ask {} three times", server.url());
//! # Ok(())
//! # }
//! ```

mod connection;
mod presets;
mod reply;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use reply::Reply;

use crate::error::{Result, io};
use crate::http_server::listen_at;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// `GET`, `PUT` and so on.
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without chunk framing.
    pub body: Bytes,
}

impl Request {
    /// The first value of a header; `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Decides on the answer to a request; the number counts the requests from 0.
type Script = Box<dyn FnMut(usize, &Request) -> Reply + Send>;

struct Shared {
    script: Mutex<Script>,
    requests: Mutex<Vec<Request>>,
}

/// A running scripted server. Dropping it closes its port and every connection.
pub struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripted").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Scripted {
    /// Answers requests with these replies, one after the other; what comes later is answered with 400 and the code
    /// `ScriptExhausted`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when no port is to be had.
    pub async fn in_order(replies: impl IntoIterator<Item = Reply>) -> Result<Self> {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        Self::matching(move |_, _| {
            let text = "the script has no answer for this request";
            replies.pop_front().unwrap_or_else(|| Reply::error(400, "ScriptExhausted", text))
        })
        .await
    }

    /// Answers every request with the same reply.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when no port is to be had.
    pub async fn always(reply: Reply) -> Result<Self> {
        Self::matching(move |_, _| reply.clone()).await
    }

    /// Answers requests with what a function says; it is given the number of the request, from 0, and the request.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when no port is to be had.
    pub async fn matching(
        script: impl FnMut(usize, &Request) -> Reply + Send + 'static,
    ) -> Result<Self> {
        let listener = listen_at(None).await?;
        let address = listener.local_addr().map_err(io("read a listener's address"))?;
        let script = Mutex::new(Box::new(script) as Script);
        let shared = Arc::new(Shared { script, requests: Mutex::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that clients take as their endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a request and decides on its answer.
    fn answer(&self, request: Request) -> Reply {
        let mut requests = self.requests();
        let number = requests.len();
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = script(number, &request);
        requests.push(request);
        reply
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection::serve(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
