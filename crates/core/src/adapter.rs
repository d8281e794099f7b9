//! Makes any `ObjectStore` a `BlobStore`.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Error, GetOptions, ObjectStore, PutOptions, PutPayload, PutResult, Result};

use crate::conditions::{self, ConditionGate, Trust};
use crate::reserved::RESERVED_PREFIX;
use crate::{
    BlobStore, BucketRules, Capabilities, CapabilityReport, Identity, Probe, Support, Verdict,
    classify_default, forward_object_store,
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

forward_object_store! {
    AnyStore => inner:
    put_multipart_opts get_opts get_ranges delete_stream list list_with_offset list_with_delimiter copy_opts
    rename_opts;

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.gate.admit(&self.inner, &classify_default, &options.mode).await?;
        self.inner.put_opts(location, payload, options).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
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

    async fn bucket_rules(&self, _: &Path) -> BucketRules {
        BucketRules::unknown("the store cannot be asked")
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
