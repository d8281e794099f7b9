//! The store with faults.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::faults::Fate;
use super::journey::Journey;
use super::upload::FaultUpload;
use super::{Faults, Operation, body};

/// Entries after which a listing asks its faults again: a page of Amazon's, Azure's and Google's listings is 1,000 by
/// default.
const PAGE: usize = 1000;

/// Deletes of one bulk delete that are under way at once; `object_store`'s own clients use 10 to 20.
const DELETES_AT_ONCE: usize = 10;

/// A store whose requests meet the faults of a [`Faults`].
///
/// # Cancel safety
///
/// A dropped future drops the inner store's future with it. With [`detached`](Self::detached) a write that was sent
/// goes on, as at a real server.
pub struct FaultStore<S> {
    inner: Arc<S>,
    faults: Faults,
    page: usize,
    detached: bool,
}

impl<S: ObjectStore> FaultStore<S> {
    /// Puts `faults` in front of `inner`.
    pub fn new(inner: S, faults: Faults) -> Self {
        Self { inner: Arc::new(inner), faults, page: PAGE, detached: false }
    }

    /// Carries writes out in tasks of their own: once sent, they happen even if the caller stops waiting. Real
    /// servers do so, and it is what makes a timed-out write land over a newer one.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Sets after how many entries a listing meets the faults again.
    pub fn page_size(mut self, entries: usize) -> Self {
        self.page = entries.max(1);
        self
    }

    /// The store behind the faults, for looking at what is really there.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    fn journey(&self, operation: Operation, key: &Path) -> Journey {
        let faults = self.faults.clone();
        Journey { faults, operation, key: key.clone(), detached: self.detached }
    }

    async fn send<T, F, W>(&self, operation: Operation, key: &Path, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<S>) -> W,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        self.send_for(operation, key, work).await.map(|(answer, _)| answer)
    }

    /// Sends a request whose answer may be struck as well: the answer, and what is to become of it.
    async fn send_for<T, F, W>(
        &self,
        operation: Operation,
        key: &Path,
        work: F,
    ) -> Result<(T, Fate)>
    where
        T: Send + 'static,
        F: FnOnce(Arc<S>) -> W,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let fate = self.faults.decide(operation, key);
        let work = work(Arc::clone(&self.inner));
        let answer = self.journey(operation, key).travel(&fate, work).await?;
        Ok((answer, fate))
    }

    fn lister(&self, prefix: Option<&Path>) -> Lister {
        let prefix = prefix.cloned().unwrap_or_default();
        Lister { journey: self.journey(Operation::List, &prefix), prefix }
    }
}

impl<S: fmt::Debug> fmt::Debug for FaultStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S: fmt::Display> fmt::Display for FaultStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultStore({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore> ObjectStore for FaultStore<S> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let operation = match options.mode {
            PutMode::Overwrite => Operation::Put,
            PutMode::Create => Operation::Create,
            PutMode::Update(_) => Operation::Update,
        };
        let key = location.clone();
        let put = |inner: Arc<S>| async move { inner.put_opts(&key, payload, options).await };
        self.send(operation, location, put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let key = location.clone();
        let begin = |inner: Arc<S>| async move { inner.put_multipart_opts(&key, options).await };
        let upload = self.send(Operation::MultipartBegin, location, begin).await?;
        let (faults, key) = (self.faults.clone(), location.clone());
        Ok(Box::new(FaultUpload::new(upload, faults, key, self.detached)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = match &options {
            GetOptions { head: true, .. } => Operation::Head,
            GetOptions { range: Some(_), .. } => Operation::GetRange,
            _ => Operation::Get,
        };
        let key = location.clone();
        let get = |inner: Arc<S>| async move { inner.get_opts(&key, options).await };
        let (answer, fate) = self.send_for(operation, location, get).await?;
        Ok(body::strike(answer, &fate, location))
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (key, ranges) = (location.clone(), ranges.to_vec());
        let get = |inner: Arc<S>| async move { inner.get_ranges(&key, &ranges).await };
        let (answer, fate) = self.send_for(Operation::GetRange, location, get).await?;
        body::strike_ranges(answer, &fate, location).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, faults, detached) =
            (Arc::clone(&self.inner), self.faults.clone(), self.detached);
        let delete = move |location: Result<Path>| {
            let (inner, faults) = (Arc::clone(&inner), faults.clone());
            async move {
                let key = location?;
                let operation = Operation::Delete;
                let fate = faults.decide(operation, &key);
                let journey = Journey { faults, operation, key: key.clone(), detached };
                let one = stream::once(std::future::ready(Ok(key.clone()))).boxed();
                let gone = async move { inner.delete_stream(one).try_collect::<Vec<_>>().await };
                journey.travel(&fate, gone).await.map(|_| key)
            }
        };
        locations.map(delete).buffered(DELETES_AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lister(prefix).pages(self.inner.list(prefix), self.page)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lister(prefix).pages(self.inner.list_with_offset(prefix, offset), self.page)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let wanted = prefix.cloned();
        let list = |inner: Arc<S>| async move { inner.list_with_delimiter(wanted.as_ref()).await };
        let prefix = prefix.cloned().unwrap_or_default();
        let (mut level, fate) = self.send_for(Operation::List, &prefix, list).await?;
        level.objects = body::strike_page(level.objects, &fate, &prefix).try_collect().await?;
        Ok(level)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (source, target) = (from.clone(), to.clone());
        let copy = |inner: Arc<S>| async move { inner.copy_opts(&source, &target, options).await };
        self.send(Operation::Copy, to, copy).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let (source, target) = (from.clone(), to.clone());
        let rename =
            |inner: Arc<S>| async move { inner.rename_opts(&source, &target, options).await };
        self.send(Operation::Rename, to, rename).await
    }
}

/// Cuts a listing into pages, each a request of its own.
struct Lister {
    journey: Journey,
    prefix: Path,
}

type Entries = BoxStream<'static, Result<ObjectMeta>>;

impl Lister {
    fn pages(self, entries: Entries, size: usize) -> Entries {
        let state = (self, Some(entries));
        let pages = stream::try_unfold(state, move |(lister, entries)| async move {
            lister.next(entries, size).await
        });
        pages.try_flatten().fuse().boxed()
    }

    /// Fetches the next page; with it comes what is needed for the one after it.
    async fn next(
        self,
        entries: Option<Entries>,
        size: usize,
    ) -> Result<Option<(Entries, (Self, Option<Entries>))>> {
        let Some(mut entries) = entries else { return Ok(None) };
        let fate = self.journey.faults.decide(Operation::List, &self.prefix);
        let fetch = async move {
            let mut page = Vec::new();
            while page.len() < size
                && let Some(entry) = entries.try_next().await?
            {
                page.push(entry);
            }
            Ok((page, entries))
        };
        let (page, rest) = self.journey.clone().travel(&fate, fetch).await?;
        let rest = (page.len() == size).then_some(rest);
        let page = body::strike_page(page, &fate, &self.prefix);
        Ok(Some((page, (self, rest))))
    }
}
