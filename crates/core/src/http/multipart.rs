//! Multipart uploads of a store: the stateful kind, traced step by step, and the stateless kind.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    MultipartId, MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload, PutResult, Result,
    UploadPart,
};

use super::exchange::Operation;
use super::operating::Operating;
use super::store::WireStore;
use super::trace::Trace;
use super::validate;
use crate::ErrorKind;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore + Signer + MultipartStore> MultipartStore for WireStore<S> {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let create = self.inner.create_multipart(path);
        self.run(Operation::MultipartCreate, Some(path), create).await
    }

    async fn create_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<MultipartId> {
        validate::attributes(&options.attributes)?;
        let create = self.inner.create_multipart_opts(path, options);
        self.run(Operation::MultipartCreate, Some(path), create).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        let limit = self.shared().behaviour.declared.parts.max_parts;
        if part_idx >= limit as usize {
            let message = format!("part {} is one too many", part_idx + 1);
            return Err(crate::Error::new(ErrorKind::NotSupported, message)
                .with_backend(&self.shared().name)
                .with_key(path)
                .with_remedy(format!("send larger parts; this provider takes {limit}"))
                .into());
        }
        let put = self.inner.put_part(path, id, part_idx, data);
        self.run(Operation::MultipartPart, Some(path), put).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let complete = self.inner.complete_multipart(path, id, parts);
        self.run(Operation::MultipartComplete, Some(path), complete).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let abort = self.inner.abort_multipart(path, id);
        self.run(Operation::MultipartAbort, Some(path), abort).await
    }
}

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
