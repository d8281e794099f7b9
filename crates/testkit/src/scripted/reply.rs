//! A canned answer and the manner in which it is given.

use std::time::Duration;

use bytes::Bytes;
use hyper::Response;

use crate::http_client::{Body, full};
use crate::xml::Document;

/// How an answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// As it should be.
    Properly,
    /// `Content-Length` promises this many bytes more than come before the connection is closed.
    Truncated(usize),
    /// The connection is reset after this many bytes of the body.
    ResetAfter(usize),
    /// Nothing more comes after this many bytes of the body, and the connection stays open.
    StallAfter(usize),
    /// The body comes byte by byte, this far apart.
    Drip(Duration),
    /// The request is read and never answered.
    Silence,
    /// The request is read and the connection closed.
    HangUp,
    /// The request is read and the connection reset.
    Reset,
}

/// A canned answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) manner: Manner,
    pub(super) delay: Duration,
}

impl Reply {
    /// An answer without a body.
    pub fn new(status: u16) -> Self {
        let (headers, body) = (Vec::new(), Bytes::new());
        Self { status, headers, body, manner: Manner::Properly, delay: Duration::ZERO }
    }

    /// Adds a header. `Content-Length` is added by itself where it is not given.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// An XML document.
    pub fn xml(status: u16, document: impl Into<Bytes>) -> Self {
        Self::new(status).header("content-type", "application/xml").body(document)
    }

    /// An error document as S3 and GCS word it. With status 200 it is the error that hides behind a success.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let document = Document::new().nest("Error", |document| {
            document.text("Code", code).text("Message", message).text("RequestId", "SCRIPTED")
        });
        Self::xml(status, document.finish())
    }

    /// An error document as Azure words it, with the code in `x-ms-error-code` too.
    pub fn azure_error(status: u16, code: &str, message: &str) -> Self {
        let document = Document::new()
            .nest("Error", |document| document.text("Code", code).text("Message", message));
        Self::xml(status, document.finish()).header("x-ms-error-code", code)
    }

    /// An XML document that breaks off in the middle, with a `Content-Length` that fits.
    pub fn malformed_xml(status: u16) -> Self {
        Self::xml(status, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>da")
    }

    /// A web page, as a load balancer or a captive portal answers.
    pub fn html(status: u16) -> Self {
        let page = "<!DOCTYPE html><html><head><title>Service</title></head><body><h1>Welcome</h1></body></html>";
        Self::new(status).header("content-type", "text/html; charset=utf-8").body(page)
    }

    /// Reads the request and never answers; the connection stays open.
    pub fn silence() -> Self {
        Self { manner: Manner::Silence, ..Self::new(200) }
    }

    /// Reads the request and closes the connection without an answer.
    pub fn hang_up() -> Self {
        Self { manner: Manner::HangUp, ..Self::new(200) }
    }

    /// Reads the request and resets the connection without an answer.
    pub fn reset() -> Self {
        Self { manner: Manner::Reset, ..Self::new(200) }
    }

    /// Promises this many bytes more than there are, and closes the connection after the body.
    pub fn truncated(mut self, missing: usize) -> Self {
        self.manner = Manner::Truncated(missing);
        self
    }

    /// Resets the connection after this many bytes of the body. Keep it under the client's receive window (some ten
    /// thousand bytes), else fewer may arrive: a reset discards what is still on its way.
    pub fn reset_after(mut self, bytes: usize) -> Self {
        self.manner = Manner::ResetAfter(bytes);
        self
    }

    /// Sends nothing more after this many bytes of the body, and keeps the connection open.
    pub fn stall_after(mut self, bytes: usize) -> Self {
        self.manner = Manner::StallAfter(bytes);
        self
    }

    /// Sends the body byte by byte, this far apart.
    pub fn drip(mut self, pause: Duration) -> Self {
        self.manner = Manner::Drip(pause);
        self
    }

    /// Waits before the first byte of the answer.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The reply as a correct server gives it: its manner is left out.
    pub(crate) async fn respond(self) -> Response<Body> {
        tokio::time::sleep(self.delay).await;
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        // A status or header that cannot be sent is a mistake in the script.
        response.body(full(self.body)).unwrap_or_else(|_| Response::new(full("")))
    }
}
