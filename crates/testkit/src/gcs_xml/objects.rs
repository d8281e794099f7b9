//! Single objects: read, write, delete and copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use http_body_util::BodyStream;
use hyper::body::Incoming;
use hyper::{HeaderMap, Method};
use serde_json::{Map, Value};

use super::Shared;
use super::backend::{Metadata, internal};
use super::digest::{Expected, checked};
use crate::call::{Answer, Call};
use crate::conditions::{self, Bytes, Verdict, http_date};
use crate::http_client::full;
use crate::query::bucket_and_key;
use crate::refusal::{Headers, Refusal, answer, header, xml};
use crate::xml::Document;

/// The header that makes a `PUT` a copy.
pub(super) const COPY_SOURCE: &str = "x-goog-copy-source";

/// The header with the generation that a write must find; 0 means none.
const CONDITION: &str = "x-goog-if-generation-match";

/// How often a read starts over because the object changed between its metadata and its bytes. Each time somebody
/// else completed a write, so this ends unless writers are faster than the backend answers.
const READ_TRIES: usize = 16;

/// Headers that are stored and returned as they are, with their names in the JSON API.
const ATTRIBUTES: [(&str, &str); 6] = [
    ("content-type", "contentType"),
    ("content-encoding", "contentEncoding"),
    ("cache-control", "cacheControl"),
    ("content-disposition", "contentDisposition"),
    ("content-language", "contentLanguage"),
    ("x-goog-storage-class", "storageClass"),
];

/// The prefix of user metadata in headers.
const CUSTOM: &str = "x-goog-meta-";

impl Shared {
    pub(super) async fn put(&self, call: &Call, body: Incoming) -> Answer {
        let bad = Arc::new(AtomicBool::new(false));
        let data = checked(body, Expected::of(&call.headers), Arc::clone(&bad));
        let target = (call.bucket.as_str(), call.key.as_str());
        let attributes = attributes(&call.headers);
        let stored = self.backend.upload(target, &attributes, call.header(CONDITION), data).await;
        if bad.load(Ordering::SeqCst) {
            let text = "The hash you specified did not match what we received.";
            return Err(Refusal::new(400, "BadDigest", text));
        }
        Ok(answer(200, written(&stored?), full("")))
    }

    pub(super) async fn delete(&self, call: &Call) -> Answer {
        let url = self.backend.object_url(&call.bucket, &call.key);
        self.backend.json("DELETE", &url).await?;
        Ok(answer(204, Vec::new(), full("")))
    }

    pub(super) async fn read(&self, call: &Call) -> Answer {
        let generation = call.query.text("generation");
        for _ in 0..READ_TRIES {
            let metadata = self.backend.metadata(&call.bucket, &call.key, generation).await?;
            if let Some(answer) = self.read_this(call, &metadata).await? {
                return Ok(answer);
            }
        }
        Err(Refusal::new(503, "ServiceUnavailable", "the object changes faster than it is read"))
    }

    /// Answers a read from one state of the object; `None` when that state is gone.
    async fn read_this(
        &self,
        call: &Call,
        metadata: &Metadata,
    ) -> Result<Option<hyper::Response<crate::http_client::Body>>, Refusal> {
        let etag = metadata.etag();
        match conditions::evaluate(&call.headers, &etag, metadata.modified()) {
            Verdict::Failed => return Err(precondition_failed()),
            Verdict::NotModified => {
                return Ok(Some(answer(304, vec![header("etag", &etag)], full(""))));
            }
            Verdict::Proceed => {}
        }
        let size = metadata.size();
        let mut headers = read_headers(metadata);
        let (status, start, end) = match conditions::range(&call.headers, size) {
            Bytes::All => {
                headers.push(header("x-goog-hash", &metadata.hashes()));
                (200, 0, size)
            }
            Bytes::Some(start, end) => {
                let range = format!("bytes {start}-{}/{size}", end - 1);
                headers.push(header("content-range", &range));
                (206, start, end)
            }
            Bytes::Unsatisfiable => {
                let text = "The requested range cannot be satisfied.";
                return Err(Refusal::new(416, "InvalidRange", text));
            }
        };
        headers.push(header("content-length", &(end - start)));
        if call.method == Method::HEAD || size == 0 {
            return Ok(Some(answer(status, headers, full(""))));
        }
        let url = self.media_url(call);
        let range = (status == 206).then_some((start, end));
        let (generation, body) = match self.backend.media(&url, range).await {
            // Deleted or cut short in between: look again.
            Err(refusal) if matches!(refusal.status, 404 | 416) => return Ok(None),
            other => other?,
        };
        let current = generation.is_none_or(|found| found == metadata.generation());
        Ok(current.then(|| answer(status, headers, body)))
    }

    fn media_url(&self, call: &Call) -> String {
        let url = self.backend.object_url(&call.bucket, &call.key);
        match call.query.text("generation") {
            Some(generation) => format!("{url}?alt=media&generation={generation}"),
            None => format!("{url}?alt=media"),
        }
    }

    pub(super) async fn copy(&self, call: &Call) -> Answer {
        let source = call.header(COPY_SOURCE).unwrap_or_default();
        let (from_bucket, from) = bucket_and_key(source);
        let copied = if let Some(condition) = call.header(CONDITION) {
            // The backend's own copy ignores the condition, so this one reads and writes.
            self.copy_if(call, (&from_bucket, &from), condition).await?
        } else {
            let url = self.backend.object_url(&from_bucket, &from);
            let to = self.backend.object_url(&call.bucket, &call.key);
            let to = to.split_once("/storage/v1/").map_or("", |(_, to)| to);
            let mut answer = self.backend.json("POST", &format!("{url}/rewriteTo/{to}")).await?;
            Metadata(answer["resource"].take())
        };
        let document = Document::new().nest("CopyObjectResult", |document| {
            document.text("LastModified", copied.updated()).text("ETag", &copied.etag())
        });
        Ok(xml(200, document, vec![header("x-goog-generation", copied.generation())]))
    }

    async fn copy_if(
        &self,
        call: &Call,
        (from_bucket, from): (&str, &str),
        condition: &str,
    ) -> Result<Metadata, Refusal> {
        let source = self.backend.metadata(from_bucket, from, None).await?;
        let url = format!("{}?alt=media", self.backend.object_url(from_bucket, from));
        let (_, body) = self.backend.media(&url, None).await?;
        let data = BodyStream::new(body).filter_map(|frame| async move {
            frame.map(|frame| frame.into_data().ok()).transpose()
        });
        let mut attributes = Map::new();
        for name in ATTRIBUTES.map(|(_, name)| name).into_iter().chain(["metadata"]) {
            if !source.0[name].is_null() {
                attributes.insert(name.to_owned(), source.0[name].clone());
            }
        }
        let target = (call.bucket.as_str(), call.key.as_str());
        self.backend.upload(target, &attributes.into(), Some(condition), data).await
    }

    /// Stores a completed multipart upload.
    pub(super) async fn store(
        &self,
        call: &Call,
        attributes: &Value,
        data: impl futures::Stream<Item = Result<bytes::Bytes, crate::BoxError>> + Send + 'static,
    ) -> Result<Metadata, Refusal> {
        let target = (call.bucket.as_str(), call.key.as_str());
        let condition = call.header(CONDITION);
        self.backend.upload(target, attributes, condition, data).await
    }
}

pub(super) fn precondition_failed() -> Refusal {
    let text = "At least one of the pre-conditions you specified did not hold.";
    Refusal::new(412, "PreconditionFailed", text)
}

/// The headers of a successful write.
pub(super) fn written(stored: &Metadata) -> Headers {
    vec![
        header("etag", &stored.etag()),
        header("x-goog-generation", stored.generation()),
        header("x-goog-hash", &stored.hashes()),
        header("x-goog-stored-content-length", &stored.size()),
    ]
}

fn read_headers(metadata: &Metadata) -> Headers {
    let mut headers = vec![
        header("etag", &metadata.etag()),
        header("last-modified", &http_date(metadata.modified())),
        header("x-goog-generation", metadata.generation()),
        header("x-goog-stored-content-length", &metadata.size()),
        header("accept-ranges", "bytes"),
    ];
    for (name, field) in ATTRIBUTES {
        headers.extend(metadata.attribute(field).map(|value| header(name, value)));
    }
    if metadata.attribute("contentType").is_none() {
        headers.push(header("content-type", "application/octet-stream"));
    }
    headers
        .extend(metadata.custom().map(|(name, value)| header(&format!("{CUSTOM}{name}"), value)));
    headers
}

/// What an upload's headers say about the object, in the JSON API's words.
pub(super) fn attributes(headers: &HeaderMap) -> Value {
    let text =
        |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut attributes = Map::new();
    for (name, field) in ATTRIBUTES {
        if let Some(value) = text(name).filter(|value| !value.is_empty()) {
            attributes.insert(field.to_owned(), value.into());
        }
    }
    let custom: Map<String, Value> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix(CUSTOM)?, value)))
        .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    if !custom.is_empty() {
        attributes.insert("metadata".to_owned(), custom.into());
    }
    attributes.into()
}

/// An internal error for the other halves of this endpoint.
pub(super) fn broken(error: impl std::fmt::Display) -> Refusal {
    internal(error)
}
