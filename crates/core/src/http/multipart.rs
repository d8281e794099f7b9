//! Stateless multipart uploads of a store.

use async_trait::async_trait;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{MultipartId, ObjectStore, PutMultipartOptions, PutPayload, PutResult, Result};

use super::exchange::Operation;
use super::store::WireStore;
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
