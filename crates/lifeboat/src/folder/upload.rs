//! A multipart upload into a folder: each part is written where it belongs in one staged file.

use std::io::{self, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{
    MultipartUpload, PutMultipartOptions, PutPayload, PutResult, Result, UploadPart,
};
use tempfile::NamedTempFile;

use super::blocking;
use super::errors::failed;
use super::root::{Collision, Root};

/// Parts may be written in any order and at the same time; their place is the order of the calls.
#[derive(Debug)]
pub(super) struct FolderUpload {
    root: Arc<Root>,
    key: Path,
    staged: Arc<Staged>,
    /// Where the next part begins.
    end: u64,
}

#[derive(Debug)]
struct Staged {
    /// `None` once the upload was completed or aborted.
    file: Mutex<Option<NamedTempFile>>,
    written: AtomicU64,
}

impl FolderUpload {
    pub(super) fn begin(root: Arc<Root>, key: Path, options: &PutMultipartOptions) -> Result<Self> {
        let file = root.stage(&key, Collision::Overwrite, &options.attributes, &options.tags)?;
        let staged = Staged { file: Mutex::new(Some(file)), written: AtomicU64::new(0) };
        Ok(Self { root, key, staged: Arc::new(staged), end: 0 })
    }
}

impl Staged {
    fn write(&self, key: &Path, offset: u64, part: &PutPayload) -> Result<()> {
        // A panic elsewhere does not make the file less of a file.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = file.as_mut() else { return Err(over(key)) };
        let mut file = file.as_file();
        let written = file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| part.iter().try_for_each(|piece| file.write_all(piece)));
        written.map_err(|error| failed(key, "write", error))?;
        self.written.fetch_add(part.content_length() as u64, Ordering::AcqRel);
        Ok(())
    }

    fn take(&self) -> Option<NamedTempFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for FolderUpload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let offset = self.end;
        self.end += part.content_length() as u64;
        let (key, staged) = (self.key.clone(), Arc::clone(&self.staged));
        Box::pin(blocking(move || staged.write(&key, offset, &part)))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.staged.written.load(Ordering::Acquire) != self.end {
            let message = "a part of the upload failed or did not finish";
            let error = io::Error::new(io::ErrorKind::InvalidInput, message);
            return Err(failed(&self.key, "complete", error));
        }
        let (root, key) = (Arc::clone(&self.root), self.key.clone());
        let Some(file) = self.staged.take() else { return Err(over(&key)) };
        blocking(move || root.commit(&key, file, Collision::Overwrite)).await
    }

    async fn abort(&mut self) -> Result<()> {
        let (key, staged) = (self.key.clone(), Arc::clone(&self.staged));
        blocking(move || match staged.take() {
            Some(file) => file.close().map_err(|error| failed(&key, "remove", error)),
            None => Ok(()),
        })
        .await
    }
}

fn over(key: &Path) -> object_store::Error {
    let message = "the upload was completed or aborted before";
    failed(key, "write", io::Error::new(io::ErrorKind::InvalidInput, message))
}
