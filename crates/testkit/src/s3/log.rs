//! The memory of what was asked, so that a test can count requests and look at their headers. Credentials and
//! signatures are left out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::call::Call;

/// How many requests are remembered; some 50 MB at worst.
const KEPT: usize = 100_000;

/// Headers that are remembered, beside all of `x-amz-*` and `if-*`.
const HEADERS: [&str; 7] = [
    "host",
    "range",
    "content-type",
    "content-length",
    "content-md5",
    "content-encoding",
    "user-agent",
];

/// Headers and parameters that say who somebody is.
const SECRET: [&str; 2] = ["x-amz-security-token", "x-amz-signature"];

/// A request and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedRequest {
    /// `GET`, `PUT` and so on.
    pub method: String,
    /// The path as it came, still escaped.
    pub path: String,
    /// The query as it came, without signatures and tokens; empty when there was none.
    pub query: String,
    /// The bucket, decoded.
    pub bucket: String,
    /// The key, decoded; empty for requests to a bucket.
    pub key: String,
    /// The headers that matter here, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The status that it was answered with.
    pub status: u16,
}

#[derive(Debug, Default)]
pub(super) struct Log(Mutex<VecDeque<LoggedRequest>>);

impl Log {
    fn requests(&self) -> MutexGuard<'_, VecDeque<LoggedRequest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, call: &Call, query: Option<&str>, status: u16) {
        let interesting = |name: &str| {
            let family = name.starts_with("x-amz-") || name.starts_with("if-");
            (family || HEADERS.contains(&name)) && !SECRET.contains(&name)
        };
        let headers = call.headers.iter().filter(|(name, _)| interesting(name.as_str()));
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let request = LoggedRequest {
            method: call.method.to_string(),
            path: call.path.clone(),
            query: without_secrets(query.unwrap_or_default()),
            bucket: call.bucket.clone(),
            key: call.key.clone(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
            status,
        };
        let mut requests = self.requests();
        if requests.len() == KEPT {
            requests.pop_front();
        }
        requests.push_back(request);
    }

    pub(super) fn all(&self) -> Vec<LoggedRequest> {
        self.requests().iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        self.requests().clear();
    }
}

fn without_secrets(query: &str) -> String {
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_lowercase();
    let kept: Vec<&str> =
        query.split('&').filter(|pair| !SECRET.contains(&name(pair).as_str())).collect();
    kept.join("&")
}
