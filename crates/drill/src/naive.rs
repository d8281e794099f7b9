//! What one writes in an afternoon: two clients with the defaults of `object_store`, every write to
//! both, reads from the second where the first fails. Drills against it show what the difference is,
//! and that the oracle finds what such a store does to data.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::{FutureExt, join_all};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};

use crate::subject::{BackendGlance, Glance, Subject};

/// Two stores, the second for when the first fails.
#[derive(Debug, Clone)]
pub struct NaiveFallback {
    primary: Arc<dyn ObjectStore>,
    replica: Arc<dyn ObjectStore>,
    served: Arc<[AtomicU64; 2]>,
}

impl NaiveFallback {
    /// Puts one store behind another.
    pub fn new(primary: Arc<dyn ObjectStore>, replica: Arc<dyn ObjectStore>) -> Self {
        Self { primary, replica, served: Arc::default() }
    }

    /// The primary's answer, unless it failed.
    fn settle<T>(&self, result: Result<T>) -> std::result::Result<Result<T>, StoreError> {
        match result {
            Err(error) if !is_answer(&error) => Err(error),
            result => {
                self.served[0].fetch_add(1, Ordering::Relaxed);
                Ok(result)
            }
        }
    }

    fn second<T>(&self, result: Result<T>) -> Result<T> {
        self.served[1].fetch_add(1, Ordering::Relaxed);
        result
    }
}

/// Whether the store is alive and has said what it knows.
fn is_answer(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotFound { .. }
            | StoreError::AlreadyExists { .. }
            | StoreError::Precondition { .. }
            | StoreError::NotModified { .. }
    )
}

impl fmt::Display for NaiveFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NaiveFallback({}, {})", self.primary, self.replica)
    }
}

impl Subject for NaiveFallback {
    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.clone())
    }

    fn glance(&self) -> Glance {
        let served = |number: usize| self.served[number].load(Ordering::Relaxed);
        let names = ["primary", "replica"].into_iter().enumerate();
        let backends = names.map(|(number, name)| BackendGlance {
            name: name.into(),
            health: "unknown".into(),
            served: served(number),
        });
        Glance { backends: backends.collect(), journal: 0 }
    }

    fn is_level(&self) -> bool {
        self.is_settled()
    }

    /// It knows of nothing that it has left undone.
    fn is_settled(&self) -> bool {
        true
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for NaiveFallback {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let first = self.primary.put_opts(location, payload.clone(), options.clone()).await;
        let second = self.replica.put_opts(location, payload, options).await;
        match self.settle(first) {
            Ok(first) => first,
            Err(_) => self.second(second),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let first = self.primary.put_multipart_opts(location, options.clone()).await;
        let second = self.replica.put_multipart_opts(location, options).await;
        match (self.settle(first), second) {
            (Ok(Ok(first)), Ok(second)) => Ok(Box::new(BothUploads(vec![first, second]))),
            (Ok(first), _) => first,
            (Err(_), second) => self.second(second),
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.settle(self.primary.get_opts(location, options.clone()).await) {
            Ok(first) => first,
            Err(_) => self.second(self.replica.get_opts(location, options).await),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.settle(self.primary.get_ranges(location, ranges).await) {
            Ok(first) => first,
            Err(_) => self.second(self.replica.get_ranges(location, ranges).await),
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |path: Path| {
            let this = this.clone();
            async move {
                let one = |store: &Arc<dyn ObjectStore>| {
                    store.delete_stream(stream::iter([Ok(path.clone())]).boxed())
                };
                let first = one(&this.primary).try_collect::<Vec<_>>().await;
                let second = one(&this.replica).try_collect::<Vec<_>>().await;
                match this.settle(first) {
                    Ok(first) => first,
                    Err(_) => this.second(second),
                }
                .map(|_| path.clone())
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let first = this.primary.list(prefix.as_ref()).try_collect::<Vec<_>>().await;
            let listed = match this.settle(first) {
                Ok(first) => first?,
                Err(_) => this.second(this.replica.list(prefix.as_ref()).try_collect().await)?,
            };
            Ok::<_, StoreError>(stream::iter(listed.into_iter().map(Ok)))
        };
        stream::once(listed).try_flatten().boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        let after = move |meta: &ObjectMeta| futures::future::ready(meta.location > offset);
        self.list(prefix).try_filter(after).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        match self.settle(self.primary.list_with_delimiter(prefix).await) {
            Ok(first) => first,
            Err(_) => self.second(self.replica.list_with_delimiter(prefix).await),
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let first = self.primary.copy_opts(from, to, options.clone()).await;
        let second = self.replica.copy_opts(from, to, options).await;
        match self.settle(first) {
            Ok(first) => first,
            Err(_) => self.second(second),
        }
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let first = self.primary.rename_opts(from, to, options.clone()).await;
        let second = self.replica.rename_opts(from, to, options).await;
        match self.settle(first) {
            Ok(first) => first,
            Err(_) => self.second(second),
        }
    }
}

/// An upload to both stores. It counts as done when one of them has it.
#[derive(Debug)]
struct BothUploads(Vec<Box<dyn MultipartUpload>>);

/// The first success, else the first error.
fn any<T>(results: Vec<Result<T>>) -> Result<T> {
    let mut first = None;
    for result in results {
        match result {
            Ok(value) => return Ok(value),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(StoreError::NotImplemented {
        operation: "a multipart upload to no store".into(),
        implementer: "NaiveFallback".into(),
    }))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for BothUploads {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let parts: Vec<_> = self.0.iter_mut().map(|upload| upload.put_part(data.clone())).collect();
        async move { any(join_all(parts).await) }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        any(join_all(self.0.iter_mut().map(MultipartUpload::complete)).await)
    }

    async fn abort(&mut self) -> Result<()> {
        any(join_all(self.0.iter_mut().map(MultipartUpload::abort)).await)
    }
}
