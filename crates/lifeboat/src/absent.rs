//! Stands in for a backend that could not be built: its credentials are missing, say. To a failover it is a backend
//! that is down, and every write leaves a marker for it; without a stand-in nobody would know what it lacks.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use lifeboat_core::{
    BlobStore, BucketRules, Capabilities, CapabilityReport, Effect, Error, Fault, Identity, Probe,
    Verdict,
};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// A backend that fails every request with the reason for which it could not be built.
#[derive(Debug)]
pub(crate) struct Absent {
    identity: Identity,
    reason: Arc<Error>,
}

impl Absent {
    /// Under the name that the configuration gives it, which is what markers call it.
    pub(crate) fn new(name: &str, reason: Arc<Error>) -> Self {
        Self { identity: Identity::new("absent", "", name).with_id(name), reason }
    }

    fn error(&self) -> object_store::Error {
        object_store::Error::Unauthenticated {
            path: self.identity.id().to_owned(),
            source: Box::new(Arc::clone(&self.reason)),
        }
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (not built)", self.identity.id())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Absent {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(self.error())
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(self.error())
    }

    async fn get_opts(&self, _: &Path, _: GetOptions) -> Result<GetResult> {
        Err(self.error())
    }

    async fn get_ranges(&self, _: &Path, _: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        Err(self.error())
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let reason = Self { identity: self.identity.clone(), reason: Arc::clone(&self.reason) };
        keys.map(move |key| key.and_then(|_| Err(reason.error()))).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter([Err(self.error())]).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        _: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list(prefix)
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(self.error())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(self.error())
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(self.error())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Absent {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CONSERVATIVE
    }

    async fn confirm_capabilities(&self) -> Result<CapabilityReport> {
        Err(self.error())
    }

    async fn bucket_rules(&self, _: &Path) -> BucketRules {
        BucketRules::unknown("the backend is not there")
    }

    async fn probe(&self) -> Result<Probe> {
        Err(self.error())
    }

    /// Nothing was sent.
    fn classify(&self, _: &object_store::Error) -> Verdict {
        Verdict::fault(Fault::IdentityLost, Effect::None)
    }

    fn signer(&self) -> Option<Arc<dyn Signer>> {
        None
    }

    fn multipart_store(&self) -> Option<Arc<dyn MultipartStore>> {
        None
    }
}
