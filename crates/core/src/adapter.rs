//! Makes any `ObjectStore` a `BlobStore`.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::conditions::{self, ConditionGate, Trust};
use crate::reserved::RESERVED_PREFIX;
use crate::{
    BlobStore, Capabilities, CapabilityReport, Identity, Probe, Support, Verdict, classify_default,
};

/// Any [`ObjectStore`], an `Arc<dyn ObjectStore>` included, as a [`BlobStore`].
///
/// What a foreign store can do is unknown, so everything is conservative until it is told or
/// probed: the first `PutMode::Create` or `Update` tries out whether conditions are enforced, and
/// a store that ignores them answers `NotSupported` from then on. Failures are classified by
/// [`classify_default`].
///
/// ```
/// # use std::sync::Arc;
/// use lifeboat_core::{AnyStore, BlobStore, Identity};
/// use object_store::{ObjectStore, memory::InMemory};
///
/// let existing: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
/// let store = AnyStore::new(existing, Identity::new("memory", "", "cache"));
/// assert_eq!(store.to_string(), "memory/cache (InMemory)");
/// ```
pub struct AnyStore {
    inner: Arc<dyn ObjectStore>,
    identity: Identity,
    declared: Capabilities,
    gate: ConditionGate,
    signer: Option<Arc<dyn Signer>>,
    multipart: Option<Arc<dyn MultipartStore>>,
}

impl AnyStore {
    /// Adapts `store`, under the name of `identity`.
    pub fn new(store: impl ObjectStore, identity: Identity) -> Self {
        let gate = ConditionGate::new(Support::Unknown, Support::Unknown, Trust::Probed);
        let declared = Capabilities::CONSERVATIVE;
        Self { inner: Arc::new(store), identity, declared, gate, signer: None, multipart: None }
    }

    /// Declares what the store can do. A declared `Yes` for conditions is believed.
    pub fn with_capabilities(mut self, declared: Capabilities) -> Self {
        self.gate = ConditionGate::new(
            declared.create_if_absent,
            declared.compare_and_swap,
            Trust::Declared,
        );
        self.declared = declared;
        self
    }

    /// Adds what makes presigned URLs for the same store.
    pub fn with_signer(mut self, signer: Arc<dyn Signer>) -> Self {
        self.signer = Some(signer);
        self.declared.presigned_urls = Support::Yes;
        self
    }

    /// Adds stateless multipart uploads into the same store.
    pub fn with_multipart_store(mut self, multipart: Arc<dyn MultipartStore>) -> Self {
        self.multipart = Some(multipart);
        self
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyStore").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl fmt::Display for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.identity, self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for AnyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.gate.admit(&self.inner, &classify_default, &options.mode).await?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[async_trait]
impl BlobStore for AnyStore {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            create_if_absent: self.gate.create_if_absent(),
            compare_and_swap: self.gate.compare_and_swap(),
            ..self.declared
        }
    }

    async fn confirm_capabilities(&self) -> Result<CapabilityReport> {
        let report = conditions::probe_capabilities(&self.inner, &classify_default).await?;
        self.gate.remember(report.conditions);
        Ok(report)
    }

    async fn probe(&self) -> Result<Probe> {
        let started = Instant::now();
        let beacon = Path::from_iter([RESERVED_PREFIX, "beacon"]);
        match self.inner.get_opts(&beacon, GetOptions::default()).await {
            Err(error) if classify_default(&error).is_fault() => Err(error),
            Ok(_) | Err(Error::NotFound { .. }) => {
                Ok(Probe { latency: started.elapsed(), ..Probe::default() })
            }
            Err(error) => Err(error),
        }
    }

    fn classify(&self, error: &Error) -> Verdict {
        classify_default(error)
    }

    fn signer(&self) -> Option<Arc<dyn Signer>> {
        self.signer.clone()
    }

    fn multipart_store(&self) -> Option<Arc<dyn MultipartStore>> {
        self.multipart.clone()
    }
}
