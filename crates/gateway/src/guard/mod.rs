//! The layer in front of the S3 protocol library: it refuses what that library lets through.
//!
//! `s3s` 0.14.1 verifies signatures, but takes `x-amz-` headers that no signature covers (so that a
//! presigned PUT can be turned into a copy of another object), Signature Version 2, presigned URLs for
//! years, any region, session tokens that nobody looked at, and bodies and chunks of any size into memory. Here
//! is what closes each of these, before a request reaches it. What requests *do* is not here.

mod body;
mod checks;
mod chunks;
mod refusal;

pub(crate) use checks::{LARGEST_DOCUMENT, Rules};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, SERVER};
use http::{Request, Response};
use hyper::body::Incoming;
use s3s::Body;

use self::body::Inlet;
pub(crate) use self::refusal::Refusal;
use crate::service::Service;

/// Answers requests: refuses, or passes on and watches the body.
pub(crate) struct Guard {
    service: Service,
    rules: Rules,
}

impl Guard {
    pub(crate) fn new(service: Service, rules: Rules) -> Self {
        Self { service, rules }
    }

    /// The answer, whatever the request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let id = format!("{:016X}", rand::random::<u64>());
        let mut response = self.respond(request, &id).await;
        let headers = response.headers_mut();
        headers.insert(SERVER, HeaderValue::from_static("lifeboat-gateway"));
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert("x-amz-request-id", id);
        }
        response
    }

    async fn respond(&self, request: Request<Incoming>, id: &str) -> Response<Body> {
        let (head, incoming) = request.into_parts();
        let plan = match checks::check(&head, &self.rules) {
            Ok(plan) => plan,
            Err(refusal) => {
                let inlet = Inlet::unchecked(incoming);
                let left = inlet.drain().await;
                return finish(refusal.response(id), left);
            }
        };
        let inlet = Inlet::new(incoming, plan);
        let body = Body::http_body_unsync(inlet.body());
        let response = self.service.call(Request::from_parts(head, body), id).await;
        // The library's answer to a body that we cut off would be "internal error".
        match inlet.refusal() {
            Some(refusal) => finish(refusal.response(id), inlet.drain().await),
            None if response.status().is_success() => response,
            None => finish(response, inlet.drain().await),
        }
    }
}

/// A client that is still sending must be told that nobody will read the rest.
fn finish(mut response: Response<Body>, left: body::Left) -> Response<Body> {
    if left == body::Left::Some {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A whole body for the library's types.
fn full(text: String) -> Body {
    Body::from(Bytes::from(text))
}
