//! Multipart uploads: parts wait in files until they are completed, so that an upload of gigabytes costs no memory
//! here, and the object becomes visible in one step.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use md5::{Digest, Md5};
use serde_json::Value;
use tempfile::TempDir;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Shared;
use super::digest::{Expected, checked};
use super::objects::{attributes, broken, written};
use crate::call::{Answer, Call};
use crate::conditions::names;
use crate::error::BoxError;
use crate::http_client::full;
use crate::refusal::{Refusal, answer, header, xml};
use crate::signing::hex;
use crate::xml::{Document, records};

/// The least that every part but the last must hold.
const SMALLEST_PART: u64 = 5 << 20;

/// The highest part number.
const MOST_PARTS: u32 = 10_000;

/// The largest completion document: 10,000 parts of some 120 bytes, with room to spare.
const LARGEST_COMPLETION: usize = 4 << 20;

/// How much of a part is read from its file at once.
const CHUNK: usize = 256 << 10;

/// A part that has arrived whole.
#[derive(Clone, Debug)]
struct Part {
    path: PathBuf,
    size: u64,
    etag: String,
    /// What the client is told that was received.
    receipt: String,
}

#[derive(Clone, Debug)]
struct Upload {
    target: (String, String),
    attributes: Value,
    parts: BTreeMap<u32, Part>,
    folder: PathBuf,
}

/// The uploads in progress.
#[derive(Debug)]
pub(super) struct Uploads {
    folder: TempDir,
    open: Mutex<HashMap<String, Upload>>,
}

impl Uploads {
    pub(super) fn new(folder: TempDir) -> Self {
        Self { folder, open: Mutex::default() }
    }

    fn with<T>(&self, use_them: impl FnOnce(&mut HashMap<String, Upload>) -> T) -> T {
        use_them(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The upload, when it is open and for this object.
    fn find(&self, id: &str, call: &Call) -> Result<Upload, Refusal> {
        let found = self.with(|open| open.get(id).cloned());
        let target = (&call.bucket, &call.key);
        found.filter(|upload| (&upload.target.0, &upload.target.1) == target).ok_or_else(no_upload)
    }
}

fn no_upload() -> Refusal {
    Refusal::new(404, "NoSuchUpload", "The requested upload was not found.")
}

impl Shared {
    pub(super) async fn initiate(&self, call: &Call) -> Answer {
        self.backend.bucket(&call.bucket).await?;
        let id = format!("{:032x}", rand::random::<u128>());
        let folder = self.uploads.folder.path().join(&id);
        tokio::fs::create_dir(&folder).await.map_err(broken)?;
        let target = (call.bucket.clone(), call.key.clone());
        let attributes = attributes(&call.headers);
        let upload = Upload { target, attributes, parts: BTreeMap::new(), folder };
        self.uploads.with(|open| open.insert(id.clone(), upload));
        let document = Document::new().nest("InitiateMultipartUploadResult", |document| {
            document.text("Bucket", &call.bucket).text("Key", &call.key).text("UploadId", &id)
        });
        Ok(xml(200, document, Vec::new()))
    }

    pub(super) async fn put_part(&self, call: &Call, id: &str, body: Incoming) -> Answer {
        let upload = self.uploads.find(id, call)?;
        let number = call.query.text("partNumber").and_then(|text| text.parse().ok());
        let number = number.filter(|number| (1..=MOST_PARTS).contains(number));
        let number = number.ok_or_else(|| {
            Refusal::new(400, "InvalidArgument", "The part number is out of range.")
        })?;
        let bad = Arc::default();
        let data = checked(body, Expected::of(&call.headers), Arc::clone(&bad));
        let name = format!("{number}-{:016x}", rand::random::<u64>());
        let path = upload.folder.join(name);
        let part = save(&path, data).await.map_err(|error| {
            let was_bad = bad.load(std::sync::atomic::Ordering::SeqCst);
            if was_bad { Refusal::new(400, "BadDigest", error.to_string()) } else { broken(error) }
        })?;
        let headers = vec![header("etag", &part.etag), header("x-goog-hash", &part.receipt)];
        let kept = self
            .uploads
            .with(|open| open.get_mut(id).map(|upload| upload.parts.insert(number, part)));
        let replaced = kept.ok_or_else(no_upload)?;
        if let Some(replaced) = replaced {
            tokio::fs::remove_file(replaced.path).await.map_err(broken)?;
        }
        Ok(answer(200, headers, full("")))
    }

    pub(super) async fn complete(&self, call: &Call, id: &str, body: Incoming) -> Answer {
        let upload = self.uploads.find(id, call)?;
        let body = Limited::new(body, LARGEST_COMPLETION).collect().await.map_err(broken)?;
        let parts = chosen(&upload, &body.to_bytes())?;
        let stored = self.store(call, &upload.attributes, contents(parts)).await?;
        self.forget(id).await?;
        let document = Document::new().nest("CompleteMultipartUploadResult", |document| {
            document
                .text("Bucket", &call.bucket)
                .text("Key", &call.key)
                .text("ETag", &stored.etag())
        });
        Ok(xml(200, document, written(&stored)))
    }

    pub(super) async fn abort(&self, id: &str) -> Answer {
        self.forget(id).await?;
        Ok(answer(204, Vec::new(), full("")))
    }

    async fn forget(&self, id: &str) -> Result<(), Refusal> {
        let upload = self.uploads.with(|open| open.remove(id)).ok_or_else(no_upload)?;
        tokio::fs::remove_dir_all(upload.folder).await.map_err(broken)
    }
}

/// The parts that a completion names, in its order, checked against what has arrived.
fn chosen(upload: &Upload, document: &[u8]) -> Result<Vec<Part>, Refusal> {
    let malformed =
        || Refusal::new(400, "MalformedCompleteMultipartUploadRequest", "The XML is malformed.");
    let named = records(document, "Part").filter(|named| !named.is_empty());
    let mut parts = Vec::new();
    let mut last = 0;
    for record in named.ok_or_else(malformed)? {
        let number: u32 =
            record.get("PartNumber").and_then(|n| n.trim().parse().ok()).ok_or_else(malformed)?;
        let etag = record.get("ETag").ok_or_else(malformed)?;
        let part = upload.parts.get(&number).filter(|part| names(etag, &part.etag));
        let part = part.ok_or_else(|| {
            Refusal::new(
                400,
                "InvalidPart",
                format!("Part {number} was not found or has another ETag."),
            )
        })?;
        if number <= last {
            return Err(Refusal::new(400, "InvalidPartOrder", "Parts must be in ascending order."));
        }
        last = number;
        parts.push(part.clone());
    }
    let (_, all_but_last) = parts.split_last().ok_or_else(malformed)?;
    if all_but_last.iter().any(|part| part.size < SMALLEST_PART) {
        return Err(Refusal::new(
            400,
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size.",
        ));
    }
    Ok(parts)
}

/// Writes a part to its file; what does not arrive whole is removed again.
async fn save(
    path: &Path,
    data: impl Stream<Item = Result<Bytes, BoxError>>,
) -> Result<Part, BoxError> {
    let written = write(path, data).await;
    if written.is_err() {
        tokio::fs::remove_file(path).await?;
    }
    written
}

async fn write(
    path: &Path,
    data: impl Stream<Item = Result<Bytes, BoxError>>,
) -> Result<Part, BoxError> {
    let mut file = File::create(path).await?;
    let (mut md5, mut size) = (Md5::new(), 0);
    let mut data = std::pin::pin!(data);
    while let Some(bytes) = data.next().await {
        let bytes = bytes?;
        md5.update(&bytes);
        size += bytes.len() as u64;
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    let md5 = md5.finalize();
    let etag = format!("\"{}\"", hex(&md5));
    let receipt = format!("md5={}", BASE64_STANDARD.encode(md5));
    Ok(Part { path: path.to_owned(), size, etag, receipt })
}

/// The bytes of the parts, one after the other.
fn contents(parts: Vec<Part>) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
    stream::iter(parts).flat_map(|part| {
        stream::unfold(Reading::Closed(part.path), |reading| async move {
            let opened = match reading {
                Reading::Closed(path) => File::open(path).await,
                Reading::Open(file) => Ok(file),
                Reading::Failed => return None,
            };
            match read_chunk(opened).await {
                Ok(Some((chunk, file))) => Some((Ok(chunk), Reading::Open(file))),
                Ok(None) => None,
                Err(error) => Some((Err(error.into()), Reading::Failed)),
            }
        })
    })
}

enum Reading {
    Closed(PathBuf),
    Open(File),
    Failed,
}

async fn read_chunk(file: std::io::Result<File>) -> std::io::Result<Option<(Bytes, File)>> {
    let mut file = file?;
    let mut chunk = BytesMut::with_capacity(CHUNK);
    let read = file.read_buf(&mut chunk).await?;
    Ok((read > 0).then(|| (chunk.freeze(), file)))
}
