//! What the tests share: a gateway over memory, and requests signed by hand, so that they can also
//! be signed wrongly.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use http_body::Frame;
use http_body_util::StreamBody;
use lifeboat_core::{AnyStore, BlobStore, Identity};
use lifeboat_gateway::{Gateway, GatewayBuilder};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

pub(crate) const ACCESS_KEY: &str = "access-key";
pub(crate) const SECRET_KEY: &str = "secret-key";
pub(crate) const BUCKET: &str = "bucket";

/// RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(crate) fn memory() -> Arc<dyn BlobStore> {
    Arc::new(AnyStore::new(InMemory::new(), Identity::new("memory", "", BUCKET)))
}

pub(crate) fn builder(store: &Arc<dyn BlobStore>) -> GatewayBuilder {
    Gateway::builder().bucket(BUCKET, Arc::clone(store)).credentials(ACCESS_KEY, SECRET_KEY)
}

/// A gateway over an empty store in memory, and the store.
pub(crate) async fn start() -> (Gateway, Arc<dyn BlobStore>) {
    let store = memory();
    (builder(&store).start().await.unwrap(), store)
}

pub(crate) async fn stored(store: &Arc<dyn BlobStore>, key: &str) -> Option<Bytes> {
    match store.get(&key.into()).await {
        Ok(found) => Some(found.bytes().await.unwrap()),
        Err(object_store::Error::NotFound { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hmac_sha256(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// S3's code of an error.
    pub(crate) fn code(&self) -> &str {
        self.element("Code").unwrap_or_default()
    }

    /// The text of the first element of this name.
    pub(crate) fn element(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{self:?}");
        self
    }
}

/// A request to be signed, rightly or wrongly.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    url: String,
    method: &'static str,
    path: String,
    query: Vec<(String, String)>,
    signed: Vec<(String, String)>,
    unsigned: Vec<(String, String)>,
    payload: Option<String>,
    body: Bytes,
    stream: Option<Vec<Bytes>>,
    region: &'static str,
    service: &'static str,
    keys: (&'static str, &'static str),
    time: DateTime<Utc>,
    sign_host: bool,
}

impl Request {
    pub(crate) fn new(gateway: &Gateway, method: &'static str, path: &str) -> Self {
        Self {
            url: gateway.url(),
            method,
            path: path.to_owned(),
            query: Vec::new(),
            signed: Vec::new(),
            unsigned: Vec::new(),
            payload: None,
            body: Bytes::new(),
            stream: None,
            region: "us-east-1",
            service: "s3",
            keys: (ACCESS_KEY, SECRET_KEY),
            time: Utc::now(),
            sign_host: true,
        }
    }

    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header that the signature covers.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.signed.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header behind the signature's back.
    pub(crate) fn unsigned_header(mut self, name: &str, value: &str) -> Self {
        self.unsigned.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the body without its length.
    pub(crate) fn streamed(mut self, pieces: Vec<Bytes>) -> Self {
        self.stream = Some(pieces);
        self
    }

    /// Says this of the payload, in place of its hash.
    pub(crate) fn payload(mut self, payload: &str) -> Self {
        self.payload = Some(payload.to_owned());
        self
    }

    pub(crate) fn region(mut self, region: &'static str) -> Self {
        self.region = region;
        self
    }

    pub(crate) fn service(mut self, service: &'static str) -> Self {
        self.service = service;
        self
    }

    pub(crate) fn keys(mut self, access_key: &'static str, secret_key: &'static str) -> Self {
        self.keys = (access_key, secret_key);
        self
    }

    pub(crate) fn time(mut self, time: DateTime<Utc>) -> Self {
        self.time = time;
        self
    }

    pub(crate) fn without_host(mut self) -> Self {
        self.sign_host = false;
        self
    }

    fn stamp(&self) -> String {
        self.time.format("%Y%m%dT%H%M%SZ").to_string()
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", &self.stamp()[..8], self.region, self.service)
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        let start = format!("AWS4{}", self.keys.1).into_bytes();
        [&self.stamp()[..8], self.region, self.service, "aws4_request"]
            .iter()
            .fold(start, |key, part| hmac_sha256(&key, part))
    }

    fn query_text(query: &[(String, String)]) -> String {
        let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let mut pairs: Vec<_> =
            query.iter().map(|(name, value)| (escape(name), escape(value))).collect();
        pairs.sort();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }

    /// The headers that are signed, sorted, and their names.
    fn canonical(&self) -> (String, String) {
        let mut headers = self.signed.clone();
        if self.sign_host {
            headers.push(("host".into(), self.url.trim_start_matches("http://").into()));
        }
        headers.sort();
        let lines = headers
            .iter()
            .fold(String::new(), |lines, (name, value)| format!("{lines}{name}:{value}\n"));
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        (lines, names.join(";"))
    }

    fn signature(&self, payload: &str) -> String {
        let (lines, names) = self.canonical();
        let query = Self::query_text(&self.query);
        let canonical =
            format!("{}\n{}\n{query}\n{lines}\n{names}\n{payload}", self.method, self.path);
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            self.stamp(),
            self.scope(),
            sha256(canonical.as_bytes())
        );
        hex(&hmac_sha256(&self.key(), &to_sign))
    }

    /// Signs in the header. The second value is the signature, from which chunks go on.
    pub(crate) fn sign(mut self) -> (Self, String) {
        let payload = self.payload.clone().unwrap_or_else(|| sha256(&self.body));
        self.signed.push(("x-amz-content-sha256".into(), payload.clone()));
        self.signed.push(("x-amz-date".into(), self.stamp()));
        let signature = self.signature(&payload);
        let (_, names) = self.canonical();
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={signature}",
            self.keys.0,
            self.scope()
        );
        self.unsigned.push(("authorization".into(), authorization));
        (self, signature)
    }

    /// Signs in the URL.
    pub(crate) fn presign(mut self, seconds: u64) -> Self {
        let (_, names) = self.canonical();
        let credential = format!("{}/{}", self.keys.0, self.scope());
        let stamp = self.stamp();
        self = self
            .query("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
            .query("X-Amz-Credential", &credential)
            .query("X-Amz-Date", &stamp)
            .query("X-Amz-Expires", &seconds.to_string())
            .query("X-Amz-SignedHeaders", &names);
        let signature = self.signature("UNSIGNED-PAYLOAD");
        self.query("X-Amz-Signature", &signature)
    }

    /// Signs in the header and sends.
    pub(crate) async fn send(self) -> Answer {
        self.sign().0.send_as_is().await
    }

    /// Sends as it is.
    pub(crate) async fn send_as_is(self) -> Answer {
        let answer = self.open().await;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let body = answer.text().await.unwrap();
        Answer { status, headers, body }
    }

    /// Sends as it is, and leaves the body of the answer to the caller.
    pub(crate) async fn open(self) -> reqwest::Response {
        let url = format!("{}{}", self.url, self.target());
        let method = reqwest::Method::from_bytes(self.method.as_bytes()).unwrap();
        let mut request = client().request(method, url);
        for (name, value) in self.signed.iter().chain(&self.unsigned) {
            request = request.header(name, value);
        }
        let request = match self.stream {
            Some(pieces) => {
                let frames =
                    pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
                let frames = StreamBody::new(futures::stream::iter(frames));
                request.body(reqwest::Body::wrap(frames))
            }
            None => request.body(self.body),
        };
        request.send().await.unwrap()
    }

    fn target(&self) -> String {
        let query = Self::query_text(&self.query);
        if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) }
    }

    /// The head as it goes over the wire, with more lines in it.
    pub(crate) fn head(&self, more: &str) -> String {
        let host = self.url.trim_start_matches("http://");
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", self.method, self.target());
        for (name, value) in self.signed.iter().chain(&self.unsigned) {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head + more + "\r\n"
    }
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}
