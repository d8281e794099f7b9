//! Questions about the bucket itself, which an `object_store` client cannot ask.

use std::fmt;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::signer::Signer;

use crate::BucketRules;

/// Asks a provider what its bucket does by itself.
#[async_trait]
pub trait BucketInquiry: fmt::Debug + Send + Sync {
    /// Asks, with requests that `signer` signs, about objects under `prefix`.
    async fn ask(&self, signer: &dyn Signer, prefix: &Path) -> BucketRules;
}
