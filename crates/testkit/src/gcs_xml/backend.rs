//! The requests to the JSON API behind the XML endpoint, and the object metadata that it answers with.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, RANGE};
use hyper::{Request, Response};
use serde_json::Value;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::error::BoxError;
use crate::http_client::{Body, HttpClient, full};
use crate::refusal::Refusal;
use crate::signing::{escape, hex};

/// How much of the backend's error text is passed on.
const QUOTED: usize = 200;

type Result<T> = std::result::Result<T, Refusal>;

/// What the JSON API says about an object.
#[derive(Debug)]
pub(super) struct Metadata(pub(super) Value);

impl Metadata {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    /// The XML API's entity tag: the MD5 in hexadecimal, quoted.
    pub(super) fn etag(&self) -> String {
        match BASE64_STANDARD.decode(self.text("md5Hash")) {
            Ok(md5) if !md5.is_empty() => format!("\"{}\"", hex(&md5)),
            _ => format!("\"{}\"", self.text("etag").trim_matches('"')),
        }
    }

    pub(super) fn generation(&self) -> &str {
        self.text("generation")
    }

    pub(super) fn size(&self) -> u64 {
        self.text("size").parse().unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        self.text("name")
    }

    /// The time of the last change, as the JSON API words it.
    pub(super) fn updated(&self) -> &str {
        self.text("updated")
    }

    pub(super) fn modified(&self) -> DateTime<Utc> {
        let time = DateTime::parse_from_rfc3339(self.updated());
        time.map(|time| time.to_utc()).unwrap_or_default()
    }

    /// The value of `x-goog-hash`.
    pub(super) fn hashes(&self) -> String {
        let one = |name, field| {
            Some(self.text(field)).filter(|v| !v.is_empty()).map(|value| format!("{name}={value}"))
        };
        let hashes = [one("crc32c", "crc32c"), one("md5", "md5Hash")];
        hashes.into_iter().flatten().collect::<Vec<_>>().join(",")
    }

    /// A plain attribute, where it is set.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|value| !value.is_empty())
    }

    /// The user's metadata.
    pub(super) fn custom(&self) -> impl Iterator<Item = (&String, &str)> {
        let pairs = self.0["metadata"].as_object().into_iter().flatten();
        pairs.filter_map(|(name, value)| value.as_str().map(|value| (name, value)))
    }
}

/// Where the JSON API is.
#[derive(Debug)]
pub(super) struct Backend {
    url: String,
    client: HttpClient,
}

impl Backend {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), client: HttpClient::new() }
    }

    /// The URL of an object's metadata.
    pub(super) fn object_url(&self, bucket: &str, object: &str) -> String {
        format!("{}/{}", self.objects_url(bucket), escape(object))
    }

    /// The URL of a bucket's listing.
    pub(super) fn objects_url(&self, bucket: &str) -> String {
        format!("{}/storage/v1/b/{}/o", self.url, escape(bucket))
    }

    /// Sends a JSON API request of a client through as it is.
    pub(super) async fn pass(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        parts.uri = format!("{}{target}", self.url).parse().map_err(internal)?;
        parts.headers.remove("host");
        let body = body.map_err(BoxError::from).boxed_unsync();
        let answer = self.client.send(Request::from_parts(parts, body)).await.map_err(internal)?;
        Ok(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
    }

    /// Sends a request without a body and reads the JSON answer.
    pub(super) async fn json(&self, method: &str, url: &str) -> Result<Value> {
        let request = Request::builder().method(method).uri(url).body(full(""));
        let answer = self.client.fetch(request.map_err(internal)?).await.map_err(internal)?;
        read_json(&answer)
    }

    /// Whether a bucket is there.
    pub(super) async fn bucket(&self, bucket: &str) -> Result<()> {
        let url = format!("{}/storage/v1/b/{}", self.url, escape(bucket));
        self.json("GET", &url)
            .await
            .map(drop)
            .map_err(|_| Refusal::new(404, "NoSuchBucket", "The specified bucket does not exist."))
    }

    /// An object's metadata, of one generation or of the live one.
    pub(super) async fn metadata(
        &self,
        bucket: &str,
        object: &str,
        generation: Option<&str>,
    ) -> Result<Metadata> {
        let mut url = self.object_url(bucket, object);
        if let Some(generation) = generation {
            url.extend(["?generation=", &escape(generation)]);
        }
        let found = self.json("GET", &url).await;
        // fake-gcs-server says the same of a missing object and of a missing bucket.
        if found.as_ref().is_err_and(|refusal| refusal.status == 404) {
            self.bucket(bucket).await?;
        }
        found.map(Metadata)
    }

    /// An object's bytes, still to come, with the generation that they are of.
    pub(super) async fn media(
        &self,
        url: &str,
        range: Option<(u64, u64)>,
    ) -> Result<(Option<String>, Body)> {
        let mut request = Request::get(url).header("accept-encoding", "gzip");
        if let Some((start, end)) = range.filter(|(start, end)| start < end) {
            request = request.header(RANGE, format!("bytes={start}-{}", end - 1));
        }
        let request = request.body(full("")).map_err(internal)?;
        let answer = self.client.send(request).await.map_err(internal)?;
        let (parts, body) = answer.into_parts();
        if !parts.status.is_success() {
            let body = body.collect().await.map_err(internal)?.to_bytes();
            return Err(refusal_of(parts.status.as_u16(), &body));
        }
        let generation = parts.headers.get("x-goog-generation");
        let generation = generation.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok((generation, body.map_err(BoxError::from).boxed_unsync()))
    }

    /// Stores an object from a stream. A stream that ends with an error stores nothing.
    pub(super) async fn upload(
        &self,
        (bucket, object): (&str, &str),
        attributes: &Value,
        condition: Option<&str>,
        data: impl Stream<Item = std::result::Result<Bytes, BoxError>> + Send + 'static,
    ) -> Result<Metadata> {
        let mut url = format!(
            "{}/upload/storage/v1/b/{}/o?uploadType=multipart&name={}",
            self.url,
            escape(bucket),
            escape(object)
        );
        if let Some(generation) = condition {
            url.extend(["&ifGenerationMatch=", &escape(generation)]);
        }
        let boundary = format!("lifeboat-{:032x}", rand::random::<u128>());
        let request = Request::post(url)
            .header(CONTENT_TYPE, format!("multipart/related; boundary={boundary}"))
            .body(related(&boundary, object, attributes, data))
            .map_err(internal)?;
        let answer = self.client.fetch(request).await.map_err(internal)?;
        let stored = read_json(&answer);
        if stored.as_ref().is_err_and(|refusal| refusal.status == 404) {
            self.bucket(bucket).await?;
        }
        stored.map(Metadata)
    }
}

/// A `multipart/related` body: the metadata, then the data as it comes.
fn related(
    boundary: &str,
    object: &str,
    attributes: &Value,
    data: impl Stream<Item = std::result::Result<Bytes, BoxError>> + Send + 'static,
) -> Body {
    let mut metadata = attributes.clone();
    metadata["name"] = object.into();
    let media = attributes["contentType"].as_str().unwrap_or("application/octet-stream");
    let start = format!(
        "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{metadata}\r\n\
         --{boundary}\r\nContent-Type: {media}\r\n\r\n"
    );
    let end = format!("\r\n--{boundary}--\r\n");
    let piece = |text: String| stream::once(async move { Ok(Bytes::from(text)) });
    let all = piece(start).chain(data).chain(piece(end));
    StreamBody::new(all.map_ok(Frame::data)).boxed_unsync()
}

fn read_json(answer: &Response<Bytes>) -> Result<Value> {
    if !answer.status().is_success() {
        return Err(refusal_of(answer.status().as_u16(), answer.body()));
    }
    if answer.body().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(answer.body()).map_err(internal)
}

/// Translates an error of the JSON API.
fn refusal_of(status: u16, body: &[u8]) -> Refusal {
    let text = String::from_utf8_lossy(body);
    let message: String = text.chars().take(QUOTED).collect();
    let code = match status {
        404 if text.contains("ucket") => "NoSuchBucket",
        404 => "NoSuchKey",
        409 => "Conflict",
        412 => "PreconditionFailed",
        416 => "InvalidRange",
        400 => "InvalidArgument",
        _ => return Refusal::new(500, "InternalError", message),
    };
    Refusal::new(status, code, message)
}

/// For what should not happen; the text is the cause's.
pub(super) fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(500, "InternalError", error.to_string())
}
