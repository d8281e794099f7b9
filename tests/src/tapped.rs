//! A store that tells of every request before it is sent and after it was answered, and that can be exchanged for
//! another one while it is in use. What is done with the tidings is the caller's business.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use lifeboat::BlobStore;
use lifeboat_core::{BucketRules, Capabilities, CapabilityReport, Identity, Probe, Verdict};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};

/// What is asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A put without a condition.
    Put,
    /// A put on a condition.
    ConditionalPut,
    /// A part of an upload.
    Part,
    /// The completion of an upload.
    Complete,
    /// A server-side copy.
    Copy,
    /// A delete.
    Delete,
}

/// On which side of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Nothing has been sent.
    Before,
    /// The answer is there, and the caller has not seen it.
    After,
}

type Tap = Arc<dyn Fn(Moment, Step, &Path) + Send + Sync>;

/// The store that requests go to now.
#[derive(Clone)]
struct Current(Arc<RwLock<Arc<dyn BlobStore>>>);

impl Current {
    fn get(&self) -> Arc<dyn BlobStore> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The store.
pub struct Tapped {
    inner: Current,
    identity: Identity,
    tap: Tap,
}

impl Tapped {
    /// Tells `tap` of every write that goes to `inner`.
    pub fn new(
        inner: Arc<dyn BlobStore>,
        tap: impl Fn(Moment, Step, &Path) + Send + Sync + 'static,
    ) -> Self {
        let identity = inner.identity().clone();
        Self { inner: Current(Arc::new(RwLock::new(inner))), identity, tap: Arc::new(tap) }
    }

    /// Sends everything to another store from now on. The identity stays. Uploads that have begun go on where they are, if
    /// the other store answers.
    pub fn switch(&self, inner: Arc<dyn BlobStore>) {
        *self.inner.0.write().unwrap_or_else(PoisonError::into_inner) = inner;
    }

    fn inner(&self) -> Arc<dyn BlobStore> {
        self.inner.get()
    }

    async fn told<T>(
        &self,
        step: Step,
        key: &Path,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        (self.tap)(Moment::Before, step, key);
        let result = work.await;
        (self.tap)(Moment::After, step, key);
        result
    }
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tapped").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl fmt::Display for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tapped({})", self.identity)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Tapped {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let step = match options.mode {
            PutMode::Overwrite => Step::Put,
            PutMode::Create | PutMode::Update(_) => Step::ConditionalPut,
        };
        let inner = self.inner();
        self.told(step, location, inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begun_at = self.inner();
        let inner = begun_at.put_multipart_opts(location, options).await?;
        let way = Way { key: location.clone(), begun_at, current: self.inner.clone() };
        Ok(Box::new(TappedUpload { inner, way, tap: Arc::clone(&self.tap) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner().get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner().get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (before, after) = (Arc::clone(&self.tap), Arc::clone(&self.tap));
        let told = move |tap: &Tap, moment, key: &Result<Path>| {
            if let Ok(key) = key {
                tap(moment, Step::Delete, key);
            }
        };
        let locations = locations.inspect(move |key| told(&before, Moment::Before, key)).boxed();
        self.inner()
            .delete_stream(locations)
            .inspect(move |key| told(&after, Moment::After, key))
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner().list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner().list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner().list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let inner = self.inner();
        self.told(Step::Copy, to, inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let inner = self.inner();
        self.told(Step::Copy, to, inner.rename_opts(from, to, options)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Tapped {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }

    async fn confirm_capabilities(&self) -> Result<CapabilityReport> {
        self.inner().confirm_capabilities().await
    }

    async fn bucket_rules(&self, prefix: &Path) -> BucketRules {
        self.inner().bucket_rules(prefix).await
    }

    async fn probe(&self) -> Result<Probe> {
        self.inner().probe().await
    }

    fn classify(&self, error: &object_store::Error) -> Verdict {
        self.inner().classify(error)
    }

    fn signer(&self) -> Option<Arc<dyn Signer>> {
        self.inner().signer()
    }

    fn multipart_store(&self) -> Option<Arc<dyn MultipartStore>> {
        self.inner().multipart_store()
    }
}

struct TappedUpload {
    inner: Box<dyn MultipartUpload>,
    way: Way,
    tap: Tap,
}

/// The way of an upload to where it was begun.
#[derive(Clone)]
struct Way {
    key: Path,
    begun_at: Arc<dyn BlobStore>,
    current: Current,
}

impl Way {
    /// Fails as the store does that was put in place of the upload's own.
    async fn is_open(&self) -> Result<()> {
        let current = self.current.get();
        if Arc::ptr_eq(&current, &self.begun_at) {
            return Ok(());
        }
        match current.head(&self.key).await {
            Err(error) if current.classify(&error).is_fault() => Err(error),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for TappedUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TappedUpload").field("key", &self.way.key).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for TappedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (tap, way) = (Arc::clone(&self.tap), self.way.clone());
        let part = self.inner.put_part(data);
        Box::pin(async move {
            way.is_open().await?;
            tap(Moment::Before, Step::Part, &way.key);
            let result = part.await;
            tap(Moment::After, Step::Part, &way.key);
            result
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.way.is_open().await?;
        (self.tap)(Moment::Before, Step::Complete, &self.way.key);
        let result = self.inner.complete().await;
        (self.tap)(Moment::After, Step::Complete, &self.way.key);
        result
    }

    async fn abort(&mut self) -> Result<()> {
        self.way.is_open().await?;
        self.inner.abort().await
    }
}
