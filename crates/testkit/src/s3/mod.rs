//! [`TinyS3`]: a small S3 endpoint in this process, over a map in memory.
//!
//! It is meant to be *stricter* than the services it stands for: it verifies signatures, payload hashes and checksums,
//! and answers with AWS's own error codes. What providers do differently is data, in [`Options`]: conditions that are
//! silently ignored, listings in directory order, equal parts, no bulk delete, no checksums.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> lifeboat_testkit::Result<()> {
//! use lifeboat_testkit::s3::{ConditionalWrites, Options, TinyS3};
//!
//! let options = Options::default().bucket("data").conditional_writes(ConditionalWrites::Ignore);
//! let server = TinyS3::start(options).await?;
//! println!("a store that ignores conditions is at {}", server.url());
//! # Ok(())
//! # }
//! ```

mod auth;
mod body;
mod bulk;
mod checksum;
mod chunked;
mod conditions;
mod list;
mod log;
mod multipart;
mod objects;
mod options;
mod store;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

pub use log::LoggedRequest;
pub use options::{Addressing, ConditionalWrites, Listing, Options};

use crate::bed::Credentials;
use crate::call::{Answer, Call};
use crate::error::Result;
use crate::http_client::{Body, full};
use crate::http_server::HttpServer;
use crate::query::{Query, bucket_and_key, decode};
use crate::refusal::{Refusal, answer, header, xml};
use crate::xml::Document;
use body::Received;
use log::Log;
use store::Store;

/// The namespace of S3's documents.
const NAMESPACE: &str = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

/// Parameters that make a request one to some other thing than the bucket or object.
const SUBRESOURCES: [&str; 27] = [
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "replication",
    "restore",
    "retention",
    "select",
    "tagging",
    "uploads",
    "versioning",
    "versions",
    "website",
];

/// A running S3 endpoint. Dropping it closes its port and every connection, and forgets the data.
#[derive(Debug)]
pub struct TinyS3 {
    server: HttpServer,
    shared: Arc<Shared>,
}

/// What every request needs.
#[derive(Debug)]
struct Shared {
    options: Options,
    store: Store,
    log: Log,
}

impl TinyS3 {
    /// Starts an endpoint on a free loopback port.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when no port is to be had.
    pub async fn start(options: Options) -> Result<Self> {
        let store = Store::default();
        for bucket in &options.buckets {
            store.create_bucket(bucket);
        }
        let shared = Arc::new(Shared { options, store, log: Log::default() });
        let serving = Arc::clone(&shared);
        let handler = move |request| serve(Arc::clone(&serving), request);
        Ok(Self { server: HttpServer::start(None, handler).await?, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL that clients take as their endpoint, for path-style requests.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The region that requests must be signed for.
    pub fn region(&self) -> &str {
        &self.shared.options.region
    }

    /// The first of the key pairs that it knows; `None` when it checks no signatures.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.shared.options.credentials.first()
    }

    /// Makes a bucket; one that is already there stays as it is.
    pub fn create_bucket(&self, name: &str) {
        self.shared.store.create_bucket(name);
    }

    /// An object's bytes, looked at from inside.
    pub fn contents(&self, bucket: &str, key: &str) -> Option<Bytes> {
        let object = self.shared.store.object(bucket, key).ok()?;
        Some(object.data.concat().into())
    }

    /// The keys of a bucket in order, looked at from inside.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.shared.store.objects(bucket).unwrap_or_default().into_iter().map(|(k, _)| k).collect()
    }

    /// The requests so far, oldest first. Only the latest hundred thousand are kept.
    pub fn request_log(&self) -> Vec<LoggedRequest> {
        self.shared.log.all()
    }

    /// Forgets the requests so far.
    pub fn clear_request_log(&self) {
        self.shared.log.clear();
    }
}

async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (bucket, key) = locate(&shared.options.addressing, &parts);
    let path = parts.uri.path().to_owned();
    let query = Query::of(&parts.uri);
    let call = Call { method: parts.method, path, query, headers: parts.headers, bucket, key };
    let answer = match shared.answer(&call, body).await {
        Ok(answer) => answer,
        Err(refusal) => refusal.detail("Resource", call.path.as_str()).answer(),
    };
    shared.log.add(&call, parts.uri.query(), answer.status().as_u16());
    answer
}

/// The bucket and key that a request is about.
fn locate(addressing: &Addressing, parts: &hyper::http::request::Parts) -> (String, String) {
    let path = parts.uri.path();
    let Addressing::VirtualHost(domain) = addressing else { return bucket_and_key(path) };
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    let bucket = host.strip_suffix(domain.as_str()).and_then(|rest| rest.strip_suffix('.'));
    (bucket.unwrap_or_default().to_owned(), decode(path.trim_start_matches('/')))
}

impl Shared {
    async fn answer(&self, call: &Call, body: Incoming) -> Answer {
        let payload = match auth::authenticate(call, &self.options) {
            Ok(payload) => payload,
            Err(refusal) => {
                // A client that is still writing would not see the answer.
                body::drain(body).await;
                return Err(refusal);
            }
        };
        let received = body::receive(call, payload, body).await?;
        checksum::refuse_unless(self.options.checksums, call)?;
        self.dispatch(call, &received)
    }

    fn dispatch(&self, call: &Call, received: &Received) -> Answer {
        if let Some(document) = self.prepared(call) {
            let headers = vec![header("content-type", "application/xml")];
            return Ok(answer(200, headers, full(document)));
        }
        Self::known_subresource(call)?;
        match (call.bucket.is_empty(), call.key.is_empty()) {
            (true, true) if call.method == Method::GET => Ok(self.list_buckets()),
            (true, _) => Err(not_allowed()),
            (false, true) => self.dispatch_bucket(call, received),
            (false, false) => self.dispatch_object(call, received),
        }
    }

    /// The document that the options have for this question about a bucket.
    fn prepared(&self, call: &Call) -> Option<String> {
        let about_a_bucket = !call.bucket.is_empty() && call.key.is_empty();
        let mut documents = self.options.documents.iter();
        let asked = documents.find(|(name, _)| call.query.has(name))?;
        (about_a_bucket && call.method == Method::GET).then(|| asked.1.clone())
    }

    /// Turns away what would otherwise be taken for a request to the bucket or object itself.
    fn known_subresource(call: &Call) -> std::result::Result<(), Refusal> {
        let asked = SUBRESOURCES.iter().find(|name| call.query.has(name));
        let known = matches!(
            (call.method.as_str(), call.key.is_empty(), asked.copied()),
            (_, _, None)
                | ("GET", false, Some("tagging"))
                | ("POST", false, Some("uploads"))
                | ("GET", true, Some("location"))
                | ("POST", true, Some("delete"))
        );
        let name = asked.copied().unwrap_or_default();
        if known { Ok(()) } else { Err(not_implemented(name)) }
    }

    fn dispatch_bucket(&self, call: &Call, received: &Received) -> Answer {
        let name = call.bucket.as_str();
        match call.method {
            Method::PUT if self.store.create_bucket(name) => {
                Ok(answer(200, vec![header("location", &format!("/{name}"))], full("")))
            }
            Method::PUT => {
                let text = "Your previous request to create the named bucket succeeded and you already own it.";
                Err(Refusal::new(409, "BucketAlreadyOwnedByYou", text))
            }
            Method::DELETE => {
                self.store.delete_bucket(name)?;
                Ok(answer(204, Vec::new(), full("")))
            }
            Method::HEAD => {
                self.store.objects(name)?;
                let region = header("x-amz-bucket-region", &self.options.region);
                Ok(answer(200, vec![region], full("")))
            }
            Method::POST if call.query.has("delete") => self.delete_many(call, received),
            Method::GET if call.query.has("location") => self.location(name),
            Method::GET => self.list(call),
            _ => Err(not_allowed()),
        }
    }

    fn dispatch_object(&self, call: &Call, received: &Received) -> Answer {
        if call.key.len() > store::LONGEST_KEY {
            return Err(Refusal::new(400, "KeyTooLongError", "Your key is too long"));
        }
        let upload = call.query.value("uploadId");
        let copy = call.headers.contains_key(objects::COPY_SOURCE);
        match (call.method.as_str(), upload) {
            ("GET", None) if call.query.has("tagging") => self.tags(call),
            ("GET" | "HEAD", None) => self.read(call),
            ("PUT", None) if copy => self.copy(call),
            ("PUT", None) => self.put(call, received),
            ("PUT", Some(upload)) if copy => self.copy_part(call, upload),
            ("PUT", Some(upload)) => self.put_part(call, upload, received),
            ("POST", None) if call.query.has("uploads") => self.initiate(call),
            ("POST", Some(upload)) => self.complete(call, upload, received),
            ("DELETE", None) => self.delete(call),
            ("DELETE", Some(upload)) => self.abort(call, upload),
            _ => Err(not_allowed()),
        }
    }

    fn list_buckets(&self) -> Response<Body> {
        let document = Document::new().nest(&format!("ListAllMyBucketsResult {NAMESPACE}"), |d| {
            d.nest("Buckets", |d| {
                d.each(self.store.buckets(), |d, (name, created)| {
                    d.nest("Bucket", |d| {
                        d.text("Name", &name).text("CreationDate", &list::iso_date(created))
                    })
                })
            })
        });
        xml(200, document, Vec::new())
    }

    fn location(&self, bucket: &str) -> Answer {
        self.store.objects(bucket)?;
        // The oldest region goes without saying.
        let region = Some(self.options.region.as_str()).filter(|region| *region != "us-east-1");
        let name = format!("LocationConstraint {NAMESPACE}");
        let document = match region {
            Some(region) => Document::new().text(&name, region),
            None => Document::new().nest(&name, |document| document),
        };
        Ok(xml(200, document, Vec::new()))
    }
}

fn not_allowed() -> Refusal {
    let text = "The specified method is not allowed against this resource.";
    Refusal::new(405, "MethodNotAllowed", text)
}

fn not_implemented(header: &str) -> Refusal {
    let text = "A header you provided implies functionality that is not implemented";
    Refusal::new(501, "NotImplemented", text).detail("Header", header)
}
