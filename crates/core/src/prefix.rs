//! A part of a bucket as a backend of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::signer::{Method, SignedUrlOptions, Signer, Url};
use object_store::{Error, MultipartId, PutMultipartOptions, PutPayload, PutResult, Result};

use crate::{
    BlobStore, BucketRules, Capabilities, CapabilityReport, Identity, Probe, Verdict,
    forward_object_store,
};

/// Everything under one prefix of a [`BlobStore`], as a [`BlobStore`] whose keys lack the prefix.
///
/// Keys are mapped by [`PrefixStore`]; presigned URLs and stateless uploads are mapped here.
#[derive(Debug, Clone)]
pub struct Prefixed {
    store: Arc<PrefixStore<Arc<dyn BlobStore>>>,
    whole: Arc<dyn BlobStore>,
    prefix: Path,
    identity: Identity,
}

impl Prefixed {
    /// Narrows `store` to what lies under `prefix`.
    ///
    /// The id gets the prefix appended, so that two parts of one bucket have two names.
    pub fn new(store: Arc<dyn BlobStore>, prefix: Path) -> Self {
        let identity = store.identity().clone();
        let id = format!("{}.{prefix}", identity.id());
        Self {
            store: Arc::new(PrefixStore::new(Arc::clone(&store), prefix.clone())),
            whole: store,
            prefix,
            identity: identity.with_id(id),
        }
    }
}

impl fmt::Display for Prefixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.whole, self.prefix)
    }
}

forward_object_store!(Prefixed => store);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Prefixed {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        self.whole.capabilities()
    }

    async fn confirm_capabilities(&self) -> Result<CapabilityReport> {
        self.whole.confirm_capabilities().await
    }

    async fn bucket_rules(&self, prefix: &Path) -> BucketRules {
        self.whole.bucket_rules(&full_path(&self.prefix, prefix)).await
    }

    async fn probe(&self) -> Result<Probe> {
        self.whole.probe().await
    }

    fn classify(&self, error: &Error) -> Verdict {
        self.whole.classify(error)
    }

    fn signer(&self) -> Option<Arc<dyn Signer>> {
        let inner = self.whole.signer()?;
        Some(Arc::new(PrefixedSigner { inner, prefix: self.prefix.clone() }))
    }

    fn multipart_store(&self) -> Option<Arc<dyn MultipartStore>> {
        let inner = self.whole.multipart_store()?;
        Some(Arc::new(PrefixedMultipart { inner, prefix: self.prefix.clone() }))
    }
}

fn full_path(prefix: &Path, path: &Path) -> Path {
    prefix.parts().chain(path.parts()).collect()
}

#[derive(Debug)]
struct PrefixedSigner {
    inner: Arc<dyn Signer>,
    prefix: Path,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Signer for PrefixedSigner {
    async fn signed_url(&self, method: Method, path: &Path, expires_in: Duration) -> Result<Url> {
        self.inner.signed_url(method, &full_path(&self.prefix, path), expires_in).await
    }

    async fn signed_url_opts(
        &self,
        method: Method,
        path: &Path,
        expires_in: Duration,
        options: &SignedUrlOptions,
    ) -> Result<Url> {
        let path = full_path(&self.prefix, path);
        self.inner.signed_url_opts(method, &path, expires_in, options).await
    }

    async fn signed_urls(
        &self,
        method: Method,
        paths: &[Path],
        expires_in: Duration,
    ) -> Result<Vec<Url>> {
        let paths: Vec<_> = paths.iter().map(|path| full_path(&self.prefix, path)).collect();
        self.inner.signed_urls(method, &paths, expires_in).await
    }
}

struct PrefixedMultipart {
    inner: Arc<dyn MultipartStore>,
    prefix: Path,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartStore for PrefixedMultipart {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.inner.create_multipart(&full_path(&self.prefix, path)).await
    }

    async fn create_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<MultipartId> {
        self.inner.create_multipart_opts(&full_path(&self.prefix, path), options).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        self.inner.put_part(&full_path(&self.prefix, path), id, part_idx, data).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        self.inner.complete_multipart(&full_path(&self.prefix, path), id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.inner.abort_multipart(&full_path(&self.prefix, path), id).await
    }
}
