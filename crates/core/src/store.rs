//! The trait of a backend: `ObjectStore`, plus what switching between stores needs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ObjectStore, Result};

use crate::{BucketRules, Capabilities, CapabilityReport, Identity, Verdict, forward_blob_store};

/// What a successful [`BlobStore::probe`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Probe {
    /// Time from sending the request to its answer.
    pub latency: Duration,
    /// Server's clock minus ours in seconds, if the server sent a `Date`. The header has whole
    /// seconds and the answer travels, so values within two seconds mean nothing.
    pub clock_skew_seconds: Option<i64>,
    /// What the server calls itself.
    pub server: Option<String>,
}

/// A backend: an [`ObjectStore`] that can say who it is, what it can do, and whose fault a
/// failure was.
///
/// The trait has no default bodies on purpose: an implementer decides each answer. Stores that know
/// nothing of Lifeboat are adapted by [`AnyStore`](crate::AnyStore).
#[async_trait]
pub trait BlobStore: ObjectStore {
    /// Who this is; stable for the life of the store.
    fn identity(&self) -> &Identity;

    /// What it can do, as far as is known now: declared, overlaid by what was probed.
    fn capabilities(&self) -> Capabilities;

    /// Finds out by trying, on random keys under [`RESERVED_PREFIX`](crate::RESERVED_PREFIX), which
    /// conditions the backend enforces and how it lists, and remembers the findings.
    ///
    /// Costs about fifteen small requests and needs permission to write, list and delete.
    ///
    /// # Errors
    /// Fails if the backend fails; a condition that is ignored is a finding, not an error.
    ///
    /// # Cancel safety
    /// A dropped future may leave up to five tiny objects under the reserved prefix.
    async fn confirm_capabilities(&self) -> Result<CapabilityReport>;

    /// Asks what the bucket by itself does to objects under `prefix`. Reads only; what the provider is not asked, does not
    /// say, or keeps from these credentials is unknown.
    async fn bucket_rules(&self, prefix: &Path) -> BucketRules;

    /// Sends the cheapest request that proves that the data path serves: a GET of one key.
    ///
    /// A missing key is a proof; a missing bucket is not.
    ///
    /// # Errors
    /// Fails with what the backend answered; [`classify`](Self::classify) tells whose fault it is.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn probe(&self) -> Result<Probe>;

    /// Whose fault `error`, returned by this store, is.
    fn classify(&self, error: &object_store::Error) -> Verdict;

    /// Makes presigned URLs, where the store can.
    fn signer(&self) -> Option<Arc<dyn Signer>>;

    /// Stateless multipart uploads, where the store has them.
    fn multipart_store(&self) -> Option<Arc<dyn MultipartStore>>;
}

forward_blob_store!([<T: BlobStore + ?Sized>] Arc<T>, this => this.as_ref());
forward_blob_store!([<T: BlobStore + ?Sized>] Box<T>, this => this.as_ref());
