//! Google Cloud Storage's XML API, as `object_store` and other clients send it, in front of a server that speaks only
//! Google's JSON API (fake-gcs-server).
//!
//! Generations, preconditions, metadata, listings and unconditional copies are the backend's own. This endpoint
//! translates, keeps the parts of multipart uploads in files until they are completed, evaluates conditional reads,
//! checks `x-goog-hash` and `Content-MD5`, and verifies V4 signed URLs against a [`TestKey`]. Requests to the JSON
//! API itself are passed on.

mod backend;
mod digest;
mod key;
mod listing;
mod multipart;
mod objects;

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, Response};

pub use key::TestKey;

use crate::call::{Answer, Call};
use crate::error::{Result, io};
use crate::http_client::Body;
use crate::http_server::HttpServer;
use crate::query::{Query, bucket_and_key};
use crate::refusal::Refusal;
use backend::Backend;
use multipart::Uploads;

/// A bearer token that is answered with 401, for tests of expired credentials. Every other token, or none, is accepted.
pub const REFUSED_TOKEN: &str = "refused";

/// A running XML endpoint. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct GcsXml {
    server: HttpServer,
}

/// What every request needs.
struct Shared {
    backend: Backend,
    uploads: Uploads,
    key: Option<key::Verifier>,
}

impl GcsXml {
    /// Starts on a free loopback port in front of `backend`, an URL such as `http://127.0.0.1:4443`. With a key,
    /// signed URLs must carry its signature; without one they are accepted as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when no port or temporary folder is to be had.
    pub async fn start(backend: &str, key: Option<&TestKey>) -> Result<Self> {
        Self::start_at(backend, key, None).await
    }

    /// As [`start`](Self::start), on a given address.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when the address is taken or no temporary folder is to be had.
    pub async fn start_at(
        backend: &str,
        key: Option<&TestKey>,
        address: Option<SocketAddr>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("lifeboat-gcs-").tempdir();
        let shared = Arc::new(Shared {
            backend: Backend::new(backend),
            uploads: Uploads::new(folder.map_err(io("make a folder for uploaded parts"))?),
            key: key.map(TestKey::verifier),
        });
        let handler = move |request| serve(Arc::clone(&shared), request);
        Ok(Self { server: HttpServer::start(address, handler).await? })
    }

    /// The URL that clients take as the base of the XML API.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }
}

async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    if path.starts_with("/storage/") || path.starts_with("/upload/") {
        let passed = shared.backend.pass(request).await;
        return passed.unwrap_or_else(|refusal| refusal.answer());
    }
    let (bucket, key) = bucket_and_key(path);
    let (path, query) = (path.to_owned(), Query::of(request.uri()));
    let (parts, body) = request.into_parts();
    let call = Call { method: parts.method, path, query, headers: parts.headers, bucket, key };
    let answer = match shared.authenticate(&call) {
        Ok(()) => shared.dispatch(&call, body).await,
        Err(refusal) => Err(refusal),
    };
    answer.unwrap_or_else(|refusal| refusal.answer())
}

impl Shared {
    fn authenticate(&self, call: &Call) -> std::result::Result<(), Refusal> {
        if let (Some(key), true) = (&self.key, call.query.has("X-Goog-Signature")) {
            key.verify(call)?;
        }
        let bearer = call.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        match bearer.and_then(|text| text.strip_prefix("Bearer ")) {
            Some(REFUSED_TOKEN) => {
                Err(Refusal::new(401, "AuthenticationRequired", "Authentication required."))
            }
            _ => Ok(()),
        }
    }

    async fn dispatch(&self, call: &Call, body: Incoming) -> Answer {
        let upload = call.query.value("uploadId");
        match (&call.method, upload) {
            (&Method::GET, _) if call.key.is_empty() => self.list(call).await,
            _ if call.key.is_empty() => Err(not_allowed()),
            (&Method::GET | &Method::HEAD, _) => self.read(call).await,
            (&Method::DELETE, Some(upload)) => self.abort(upload).await,
            (&Method::DELETE, None) => self.delete(call).await,
            (&Method::POST, Some(upload)) => self.complete(call, upload, body).await,
            (&Method::POST, None) if call.query.has("uploads") => self.initiate(call).await,
            (&Method::PUT, Some(upload)) => self.put_part(call, upload, body).await,
            (&Method::PUT, None) if call.headers.contains_key(objects::COPY_SOURCE) => {
                self.copy(call).await
            }
            (&Method::PUT, None) => self.put(call, body).await,
            _ => Err(not_allowed()),
        }
    }
}

fn not_allowed() -> Refusal {
    Refusal::new(405, "MethodNotAllowed", "The specified method is not allowed.")
}
