//! A multipart upload of a store, traced step by step.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::exchange::Operation;
use super::operating::Operating;
use super::trace::Trace;

/// A multipart upload whose steps are traced one by one.
pub(super) struct TracedUpload {
    pub(super) inner: Box<dyn MultipartUpload>,
    pub(super) operating: Operating,
    pub(super) key: Path,
}

impl fmt::Debug for TracedUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client's own `Debug` shows its configuration, keys included.
        f.debug_struct("TracedUpload").field("key", &self.key).finish_non_exhaustive()
    }
}

impl TracedUpload {
    fn begin(&self, operation: Operation) -> (Arc<Trace>, Operating, Path) {
        (Arc::new(Trace::new(operation)), self.operating.clone(), self.key.clone())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for TracedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (trace, operating, key) = self.begin(Operation::MultipartPart);
        let part = trace.enter(|| self.inner.put_part(data));
        async move {
            let sent = trace.scope(part).await;
            sent.map_err(|error| operating.annotate_key(&trace, Some(&key), error))
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (trace, operating, key) = self.begin(Operation::MultipartComplete);
        let done = trace.scope(self.inner.complete()).await;
        done.map_err(|error| operating.annotate_key(&trace, Some(&key), error))
    }

    async fn abort(&mut self) -> Result<()> {
        let (trace, operating, key) = self.begin(Operation::MultipartAbort);
        let done = trace.scope(self.inner.abort()).await;
        done.map_err(|error| operating.annotate_key(&trace, Some(&key), error))
    }
}
