//! Answers of the in-process endpoints: plain ones, XML ones, and errors as S3 and GCS word them.

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::http_client::{Body, full};
use crate::xml::Document;

/// An error that is answered as an XML document.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Further elements of the document, such as the region that would have been right.
    pub(crate) details: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Vec::new() }
    }

    pub(crate) fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// The answer. To a `HEAD` hyper sends the headers only.
    pub(crate) fn answer(&self) -> Response<Body> {
        if self.status == 304 {
            return answer(304, Vec::new(), full(""));
        }
        let document = Document::new().nest("Error", |document| {
            document
                .text("Code", self.code)
                .text("Message", &self.message)
                .each(&self.details, |document, (name, value)| document.text(name, value))
                .text("RequestId", &format!("{:016X}", rand::random::<u64>()))
        });
        xml(self.status, document, Vec::new())
    }
}

/// Response headers on their way out.
pub(crate) type Headers = Vec<(String, String)>;

/// Puts an answer together. Values that cannot be header values are left out.
pub(crate) fn answer(status: u16, headers: Headers, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        let name = HeaderName::try_from(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// An XML answer.
pub(crate) fn xml(status: u16, document: Document, headers: Headers) -> Response<Body> {
    let mut response = answer(status, headers, full(document.finish()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// A header pair.
pub(crate) fn header(name: &str, value: &(impl ToString + ?Sized)) -> (String, String) {
    (name.to_owned(), value.to_string())
}
