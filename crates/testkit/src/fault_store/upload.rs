//! A multipart upload whose requests meet faults.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use tokio::sync::Mutex;

use super::journey::Journey;
use super::{Faults, Operation};

/// An upload in progress.
#[derive(Debug)]
pub(super) struct FaultUpload {
    /// Locked for as long as it takes to hand a part over, and by completion and abortion.
    inner: Arc<Mutex<Box<dyn MultipartUpload>>>,
    faults: Faults,
    key: Path,
    detached: bool,
}

impl FaultUpload {
    pub(super) fn new(
        upload: Box<dyn MultipartUpload>,
        faults: Faults,
        key: Path,
        detached: bool,
    ) -> Self {
        Self { inner: Arc::new(Mutex::new(upload)), faults, key, detached }
    }

    fn journey(&self, operation: Operation) -> Journey {
        let (faults, key) = (self.faults.clone(), self.key.clone());
        Journey { faults, operation, key, detached: self.detached }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let fate = self.faults.decide(Operation::MultipartPart, &self.key);
        let journey = self.journey(Operation::MultipartPart);
        // Parts are numbered in the order in which they are handed over, so that is done here and now; a lost
        // request is a part that is never sent.
        let Ok(mut upload) = self.inner.try_lock() else {
            let source = "a part was added while the upload was being completed".into();
            let error = object_store::Error::Generic { store: "FaultStore", source };
            return std::future::ready(Err(error)).boxed();
        };
        let part = upload.put_part(data);
        drop(upload);
        async move { journey.travel(&fate, part).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fate = self.faults.decide(Operation::MultipartComplete, &self.key);
        let inner = Arc::clone(&self.inner);
        let complete = async move { inner.lock().await.complete().await };
        self.journey(Operation::MultipartComplete).travel(&fate, complete).await
    }

    async fn abort(&mut self) -> Result<()> {
        let fate = self.faults.decide(Operation::MultipartAbort, &self.key);
        let inner = Arc::clone(&self.inner);
        let abort = async move { inner.lock().await.abort().await };
        self.journey(Operation::MultipartAbort).travel(&fate, abort).await
    }
}
