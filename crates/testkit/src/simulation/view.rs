//! A client's view of a [`SimBackend`]: the bucket as an `object_store::ObjectStore`.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, Extensions, GetOptions, GetRange, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, RenameTargetMode, Result, UploadPart,
};

use super::backend::{Content, SimBackend, Stored};

/// A [`SimBackend`] as one client sees it. Every request has its effect when it is first polled, without waiting.
#[derive(Clone, Debug)]
pub struct SimView {
    backend: SimBackend,
    client: u64,
}

impl SimView {
    pub(super) fn new(backend: SimBackend, client: u64) -> Self {
        Self { backend, client }
    }

    fn pages(
        &self,
        prefix: Option<&Path>,
        after: Option<Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let state = Some((self.backend.clone(), prefix.cloned(), after));
        let pages = stream::unfold(state, |state| async move {
            let (backend, prefix, after) = state?;
            let (page, more) = backend.page(prefix.as_ref(), after.as_ref());
            let last = page.last().map(|meta| meta.location.clone());
            let next = more.then_some((backend, prefix, last));
            Some((stream::iter(page.into_iter().map(Ok)), next))
        });
        pages.flatten().fuse().boxed()
    }
}

impl fmt::Display for SimView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.backend.name())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for SimView {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let PutOptions { mode, tags, attributes, .. } = options;
        let content = Content { bytes: payload.into(), attributes, tags };
        self.backend.put(self.client, location, content, &mode)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let id = self.backend.begin_upload(location, &options.attributes, &options.tags)?;
        Ok(Box::new(SimUpload { view: self.clone(), id, parts: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let stored = self.backend.read(location)?;
        let meta = stored.meta(location);
        options.check_preconditions(&meta)?;
        let attributes = stored.object_attributes();
        let range = match &options.range {
            Some(range) if !options.head => resolve(range, meta.size)?,
            _ => 0..meta.size,
        };
        let body = if options.head { Bytes::new() } else { slice(&stored, &range) };
        let payload = GetResultPayload::Stream(in_pieces(body, self.backend.settings().chunk));
        Ok(GetResult { payload, meta, range, attributes, extensions: Extensions::new() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let stored = self.backend.read(location)?;
        let size = stored.bytes.len() as u64;
        let bounded = ranges.iter().map(|range| resolve(&GetRange::Bounded(range.clone()), size));
        bounded.map(|range| Ok(slice(&stored, &range?))).collect()
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let view = self.clone();
        let delete = move |location: Path| view.backend.delete(view.client, &location);
        locations.inspect_ok(move |location| delete(location.clone())).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pages(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pages(prefix, Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let depth = prefix.map_or(0, Path::parts_count);
        let mut folders = BTreeSet::new();
        let mut objects = Vec::new();
        for meta in self.backend.everything(prefix) {
            if meta.location.parts_count() == depth + 1 {
                objects.push(meta);
            } else {
                folders.insert(meta.location.parts().take(depth + 1).collect::<Path>());
            }
        }
        let common_prefixes = folders.into_iter().collect();
        Ok(ListResult { common_prefixes, objects, extensions: Extensions::new() })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.backend.copy(self.client, from, to, options.mode)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        self.backend.copy(self.client, from, to, mode)?;
        self.backend.delete(self.client, from);
        Ok(())
    }
}

fn resolve(range: &GetRange, size: u64) -> Result<Range<u64>> {
    let unsatisfiable = |error| Error::Generic { store: "SimBackend", source: Box::new(error) };
    range.as_range(size).map_err(unsatisfiable)
}

fn slice(stored: &Stored, range: &Range<u64>) -> Bytes {
    let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(stored.bytes.len());
    stored.bytes.slice(place(range.start)..place(range.end))
}

fn in_pieces(body: Bytes, size: usize) -> BoxStream<'static, Result<Bytes>> {
    let pieces = stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(size.clamp(1, rest.len()));
        Some((Ok(piece), rest))
    });
    pieces.fuse().boxed()
}

#[derive(Debug)]
struct SimUpload {
    view: SimView,
    id: u64,
    parts: usize,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for SimUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (backend, id, number) = (self.view.backend.clone(), self.id, self.parts);
        self.parts += 1;
        async move { backend.put_part(id, number, data.into()) }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.view.backend.complete_upload(self.view.client, self.id, self.parts)
    }

    async fn abort(&mut self) -> Result<()> {
        self.view.backend.abort_upload(self.id);
        Ok(())
    }
}
