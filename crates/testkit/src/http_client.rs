//! The crate's own small HTTP client: plain HTTP/1.1 to servers on this machine, nothing else.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::error::{BoxError, Error, Result};

/// A body that streams, in either direction.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The largest answer that is read into memory whole: a listing page of a thousand 1 KiB keys with room to spare.
const LARGEST_ANSWER: usize = 64 << 20;

/// A body of bytes that are already there.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A pooled client. It belongs to the runtime that first used it.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient(Legacy<HttpConnector, Body>);

impl HttpClient {
    /// Makes a client with no connection yet.
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Legacy::builder(TokioExecutor::new()).build(connector))
    }

    /// Sends a request and hands back the answer with its body still to come.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>> {
        let url = request.uri().to_string();
        self.0
            .request(request)
            .await
            .map_err(|source| Error::Request { url, source: source.into() })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn fetch(&self, request: Request<Body>) -> Result<Response<Bytes>> {
        let url = request.uri().to_string();
        let (parts, body) = self.send(request).await?.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await;
        let body = body.map_err(|source| Error::Request { url, source })?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }
}
