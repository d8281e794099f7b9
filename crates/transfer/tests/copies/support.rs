//! An in-memory store that misbehaves as told, and counts what is in flight.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use lifeboat_core::{AnyStore, Capabilities, Identity, PartLimits};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Attribute, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

pub(crate) const MIB: u64 = 1 << 20;

/// Bytes that are read from one store and not yet taken by another.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    now: AtomicI64,
    peak: AtomicI64,
}

impl Gauge {
    fn add(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap();
        let now = self.now.fetch_add(bytes, SeqCst) + bytes;
        self.peak.fetch_max(now, SeqCst);
    }

    fn remove(&self, bytes: usize) {
        self.now.fetch_sub(i64::try_from(bytes).unwrap(), SeqCst);
    }

    pub(crate) fn peak(&self) -> u64 {
        u64::try_from(self.peak.load(SeqCst)).unwrap()
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(SeqCst)
    }
}

/// What goes wrong, and what was asked.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) memory: InMemory,
    /// Bytes per piece of a body.
    pub(crate) piece: usize,
    /// Bodies break with an error once they have given that many bytes.
    pub(crate) break_body_at: Option<u64>,
    /// Added to every announced size; the body stays as it is.
    pub(crate) announce: i64,
    /// Added to every size in listings.
    pub(crate) list: i64,
    /// Added to every size that a HEAD tells.
    pub(crate) head: i64,
    /// This part, counted from zero, fails.
    pub(crate) fail_part: Option<usize>,
    /// Aborting fails too.
    pub(crate) fail_abort: bool,
    /// Puts with attributes are not implemented.
    pub(crate) refuse_attributes: bool,
    /// Puts of these keys, and gets of them, fail.
    pub(crate) broken_keys: HashSet<Path>,
    /// The listing breaks after that many objects.
    pub(crate) break_listing_at: Option<usize>,
    /// How often a put or a part lets others run before it is done.
    pub(crate) slowness: usize,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) requests: Arc<Requests>,
}

#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) gets: AtomicU64,
    pub(crate) heads: AtomicU64,
    pub(crate) puts: AtomicU64,
    pub(crate) uploads: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) aborted: AtomicU64,
    pub(crate) copies: AtomicU64,
    pub(crate) parts: Mutex<Vec<u64>>,
    pub(crate) parts_at_once: AtomicUsize,
    pub(crate) most_parts_at_once: AtomicUsize,
}

impl Requests {
    pub(crate) fn count(counter: &AtomicU64) -> u64 {
        counter.load(SeqCst)
    }
}

impl Default for Rig {
    fn default() -> Self {
        Self {
            memory: InMemory::new(),
            piece: 64 << 10,
            break_body_at: None,
            announce: 0,
            list: 0,
            head: 0,
            fail_part: None,
            fail_abort: false,
            refuse_attributes: false,
            broken_keys: HashSet::new(),
            break_listing_at: None,
            slowness: 0,
            gauge: Arc::default(),
            requests: Arc::default(),
        }
    }
}

impl Rig {
    /// As a backend without limits.
    pub(crate) fn store(self, name: &str) -> AnyStore {
        self.store_with(name, PartLimits::NONE)
    }

    pub(crate) fn store_with(self, name: &str, parts: PartLimits) -> AnyStore {
        let mut capabilities = Capabilities::CONSERVATIVE;
        capabilities.parts = parts;
        AnyStore::new(self, Identity::new("memory", "", name)).with_capabilities(capabilities)
    }

    fn check(&self, key: &Path) -> Result<()> {
        if self.broken_keys.contains(key) { Err(broken("key")) } else { Ok(()) }
    }

    fn body(&self, bytes: Bytes) -> BoxStream<'static, Result<Bytes>> {
        let piece = self.piece;
        let mut pieces = Vec::new();
        let mut rest = bytes;
        let mut given = 0;
        while !rest.is_empty() {
            let next = rest.split_to(piece.min(rest.len()));
            given += next.len() as u64;
            if self.break_body_at.is_some_and(|at| given > at) {
                pieces.push(Err(broken("body")));
                break;
            }
            pieces.push(Ok(next));
        }
        let gauge = Arc::clone(&self.gauge);
        let counted = stream::iter(pieces).then(move |piece| {
            let gauge = Arc::clone(&gauge);
            async move {
                // Lets others run, as a network would.
                tokio::task::yield_now().await;
                if let Ok(piece) = &piece {
                    gauge.add(piece.len());
                }
                piece
            }
        });
        counted.boxed()
    }
}

pub(crate) fn shifted(size: u64, by: i64) -> u64 {
    size.checked_add_signed(by).unwrap()
}

pub(crate) fn broken(what: &str) -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::ConnectionReset, what.to_owned());
    Error::Generic { store: "Rig", source: Box::new(source) }
}

impl fmt::Display for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rig")
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Rig {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.requests.puts.fetch_add(1, SeqCst);
        self.check(location)?;
        if self.refuse_attributes && !options.attributes.is_empty() {
            return Err(not_implemented());
        }
        for _ in 0..self.slowness {
            tokio::task::yield_now().await;
        }
        let length = payload.content_length();
        let result = self.memory.put_opts(location, payload, options).await;
        self.gauge.remove(length);
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check(location)?;
        if self.refuse_attributes && !options.attributes.is_empty() {
            return Err(not_implemented());
        }
        self.requests.uploads.fetch_add(1, SeqCst);
        Ok(Box::new(RiggedUpload {
            inner: self.memory.put_multipart_opts(location, options).await?,
            fail_part: self.fail_part,
            fail_abort: self.fail_abort,
            slowness: self.slowness,
            number: 0,
            gauge: Arc::clone(&self.gauge),
            requests: Arc::clone(&self.requests),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(location)?;
        if options.head {
            self.requests.heads.fetch_add(1, SeqCst);
            let mut result = self.memory.get_opts(location, options).await?;
            result.meta.size = shifted(result.meta.size, self.head);
            return Ok(result);
        }
        self.requests.gets.fetch_add(1, SeqCst);
        let result = self.memory.get_opts(location, options).await?;
        let (mut meta, attributes) = (result.meta.clone(), result.attributes.clone());
        let extensions = result.extensions.clone();
        let body = self.body(result.bytes().await?);
        meta.size = shifted(meta.size, self.announce);
        let range = 0..meta.size;
        Ok(GetResult {
            payload: GetResultPayload::Stream(body),
            meta,
            range,
            attributes,
            extensions,
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.memory.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.memory.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let by = self.list;
        let listed = self.memory.list(prefix).map(move |object| {
            object.map(|object| ObjectMeta { size: shifted(object.size, by), ..object })
        });
        match self.break_listing_at {
            Some(at) => listed.take(at).chain(stream::iter([Err(broken("listing"))])).boxed(),
            None => listed.boxed(),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.memory.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.requests.copies.fetch_add(1, SeqCst);
        self.memory.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.memory.rename_opts(from, to, options).await
    }
}

fn not_implemented() -> Error {
    Error::NotImplemented { operation: "attributes".into(), implementer: "Rig".into() }
}

#[derive(Debug)]
struct RiggedUpload {
    inner: Box<dyn MultipartUpload>,
    fail_part: Option<usize>,
    fail_abort: bool,
    slowness: usize,
    number: usize,
    gauge: Arc<Gauge>,
    requests: Arc<Requests>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for RiggedUpload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let length = part.content_length();
        self.requests.parts.lock().unwrap().push(length as u64);
        let now = self.requests.parts_at_once.fetch_add(1, SeqCst) + 1;
        self.requests.most_parts_at_once.fetch_max(now, SeqCst);
        let fails = self.fail_part == Some(self.number);
        self.number += 1;
        let slowness = self.slowness;
        let (gauge, requests) = (Arc::clone(&self.gauge), Arc::clone(&self.requests));
        let inner = self.inner.put_part(part);
        Box::pin(async move {
            for _ in 0..slowness {
                tokio::task::yield_now().await;
            }
            let result = if fails { Err(broken("part")) } else { inner.await };
            gauge.remove(length);
            requests.parts_at_once.fetch_sub(1, SeqCst);
            result
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.requests.completed.fetch_add(1, SeqCst);
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.requests.aborted.fetch_add(1, SeqCst);
        if self.fail_abort { Err(broken("abort")) } else { self.inner.abort().await }
    }
}

/// Bytes of which no two ranges look alike.
pub(crate) fn bytes(length: u64) -> Bytes {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

pub(crate) async fn read(store: &dyn ObjectStore, key: &str) -> Bytes {
    store.get(&Path::parse(key).unwrap()).await.unwrap().bytes().await.unwrap()
}

pub(crate) fn all_attributes() -> object_store::Attributes {
    object_store::Attributes::from_iter([
        (Attribute::ContentType, "text/plain"),
        (Attribute::CacheControl, "no-store"),
        (Attribute::ContentDisposition, "attachment"),
        (Attribute::ContentLanguage, "de"),
        (Attribute::ContentEncoding, "identity"),
        (Attribute::StorageClass, "GLACIER"),
        (Attribute::Metadata("owner".into()), "ann"),
    ])
}
