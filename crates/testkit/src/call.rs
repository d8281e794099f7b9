//! A request to one of the in-process endpoints, taken apart once and without its body.

use hyper::{HeaderMap, Method};

use crate::http_client::Body;
use crate::query::Query;
use crate::refusal::Refusal;

/// What a handler gives back.
pub(crate) type Answer = std::result::Result<hyper::Response<Body>, Refusal>;

/// A request to an object, or to a bucket when the key is empty.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// As it came, still escaped.
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) bucket: String,
    pub(crate) key: String,
}

impl Call {
    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
