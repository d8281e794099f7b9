//! Copies one object.

use lifeboat_core::{BlobStore, Error, ErrorKind, Support};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyOptions as ServerCopy, GetOptions, GetResult, MultipartUpload,
    ObjectMeta, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use crate::attributes::{carried, has_metadata};
use crate::body::Body;
use crate::budget::{Budget, Reserved};
use crate::job::{Job, Plan, error_at, read_failed};
use crate::upload::{Bounds, Failure, send_parts};
use crate::{CopyOptions, Progress, describe};

/// What a copy did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Bytes of the object.
    pub size: u64,
    /// The copy's `ETag`, where the target gave one.
    pub e_tag: Option<String>,
    /// Parts that were sent; none if it went over whole.
    pub parts: u32,
    /// Whether the store copied it by itself.
    pub server_side: bool,
}

/// How often an object may change its size between looking at it and reading it.
const ATTEMPTS_ON_A_CHANGING_OBJECT: usize = 3;

/// What S3 copies by itself: objects up to 5 GiB (Amazon S3 API reference, `CopyObject`). The
/// smallest such limit of all providers.
const LARGEST_SERVER_SIDE_COPY: u64 = 5 << 30;

/// Copies `from` in `source` to `to` in `target`, overwriting what is there.
///
/// Where both are the same instance (the same `&*store`), the store copies by itself. Otherwise the
/// object is read with one streaming GET, so that the checksum that the source announces is checked
/// before anything becomes visible, and written in one PUT or in parts. The size that the target
/// reports is compared afterwards where the provider put the object together (parts, copies).
///
/// # Errors
/// Fails if either store fails, the body has another length or checksum than announced, the object
/// is too large for the target, or the target does not keep its attributes. An upload that was
/// begun is aborted.
///
/// # Cancel safety
/// Dropping the future leaves the target as it was, but for an unfinished multipart upload that the
/// provider keeps until its lifecycle rules, or somebody, remove it.
pub async fn copy_object(
    source: &dyn BlobStore,
    from: &Path,
    target: &dyn BlobStore,
    to: &Path,
    options: &CopyOptions,
    progress: &dyn Progress,
) -> Result<Copied, Error> {
    let budget = Budget::new(options.memory);
    let job = Job { source, target, options, progress, budget: &budget };
    let copied = job.copy(from, to, None).await;
    match &copied {
        Ok(_) => progress.finished(from),
        Err(error) => progress.failed(from, error),
    }
    copied
}

impl Job<'_> {
    /// Copies one object; the caller tells the watcher how it ended.
    ///
    /// `listed` is the size that a listing showed; without it this object is also announced.
    pub(crate) async fn copy(
        &self,
        from: &Path,
        to: &Path,
        listed: Option<u64>,
    ) -> Result<Copied, Error> {
        if self.is_one_store() {
            if from == to {
                let message = "source and target are the same object";
                return Err(error_at(self.target, to, ErrorKind::Configuration, message));
            }
            if let Some(copied) = self.copy_within(from, to, listed).await? {
                return Ok(copied);
            }
        }
        let (memory, plan, object) = self.open(from, to, listed).await?;
        let size = object.meta.size;
        self.announce(from, size, listed);
        let attributes = self.attributes_for_target(to, &object.attributes)?;
        let transfer = Transfer { job: self, from, to, size, attributes };
        match plan {
            Plan::Whole => transfer.whole(Body::new(object), memory).await,
            Plan::Parts(part_size) => transfer.parts(Body::new(object), memory, part_size).await,
        }
    }

    fn announce(&self, from: &Path, size: u64, listed: Option<u64>) {
        if listed.is_none() {
            self.progress.discovered(1, size);
        }
        self.progress.started(from, size);
    }

    /// Takes the memory that the object needs, then asks for it.
    ///
    /// Memory comes first: a body that nobody reads would run into its stall deadline.
    async fn open(
        &self,
        from: &Path,
        to: &Path,
        listed: Option<u64>,
    ) -> Result<(Reserved<'_>, Plan, GetResult), Error> {
        let mut expected = listed.unwrap_or(self.options.part_size);
        for _ in 0..ATTEMPTS_ON_A_CHANGING_OBJECT {
            let granted = self.plan(expected, to)?.memory(expected);
            let memory = self.budget.reserve(granted).await;
            let object = self.source.get_opts(from, GetOptions::default()).await;
            let object = object.map_err(|error| describe(self.source, from, error))?;
            let plan = self.plan(object.meta.size, to)?;
            if plan.memory(object.meta.size) <= granted {
                return Ok((memory, plan, object));
            }
            expected = object.meta.size;
        }
        Err(error_at(self.source, from, ErrorKind::Integrity, "the object keeps growing")
            .with_remedy("copy it again when nobody writes to it"))
    }

    /// Lets the store copy by itself; `None` where it cannot, and the bytes have to go through here.
    async fn copy_within(
        &self,
        from: &Path,
        to: &Path,
        listed: Option<u64>,
    ) -> Result<Option<Copied>, Error> {
        let store = self.source;
        let size = match listed {
            Some(size) => size,
            None => store.head(from).await.map_err(|error| describe(store, from, error))?.size,
        };
        if size > LARGEST_SERVER_SIDE_COPY.min(store.capabilities().parts.max_part_size) {
            return Ok(None);
        }
        match store.copy_opts(from, to, ServerCopy::default()).await {
            Ok(()) => {}
            Err(
                object_store::Error::NotSupported { .. }
                | object_store::Error::NotImplemented { .. },
            ) => {
                return Ok(None);
            }
            Err(error) => return Err(describe(store, from, error)),
        }
        self.announce(from, size, listed);
        let meta = self.confirm(to, size).await?;
        self.progress.bytes(size);
        Ok(Some(Copied { size, e_tag: meta.e_tag, parts: 0, server_side: true }))
    }

    /// Compares the size that the target reports.
    async fn confirm(&self, to: &Path, size: u64) -> Result<ObjectMeta, Error> {
        let meta = self.target.head(to).await;
        let meta = meta.map_err(|error| describe(self.target, to, error))?;
        if meta.size == size {
            return Ok(meta);
        }
        let message = format!("the copy has {} bytes, but {size} were sent", meta.size);
        Err(error_at(self.target, to, ErrorKind::Integrity, message)
            .with_remedy("copy it again; if nobody else writes this key, tell the provider"))
    }

    fn attributes_for_target(&self, to: &Path, source: &Attributes) -> Result<Attributes, Error> {
        let attributes = carried(source);
        if self.target.capabilities().user_metadata != Support::No || !has_metadata(&attributes) {
            return Ok(attributes);
        }
        if !self.options.drop_attributes {
            return Err(self.attributes_refused(to));
        }
        let standard =
            attributes.iter().filter(|(name, _)| !matches!(name, Attribute::Metadata(_)));
        Ok(standard.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn attributes_refused(&self, to: &Path) -> Error {
        let message = "the target does not keep the attributes of this object";
        error_at(self.target, to, ErrorKind::NotSupported, message)
            .with_remedy("copy to another store, or allow attributes to be dropped")
    }
}

/// One object on its way.
struct Transfer<'a> {
    job: &'a Job<'a>,
    from: &'a Path,
    to: &'a Path,
    size: u64,
    attributes: Attributes,
}

impl<'a> Transfer<'a> {
    async fn whole(self, mut body: Body, memory: Reserved<'_>) -> Result<Copied, Error> {
        let mut pieces = Vec::new();
        while let Some(piece) = body
            .read(u64::MAX)
            .await
            .map_err(|error| read_failed(self.job.source, self.from, error))?
        {
            self.job.progress.bytes(piece.len() as u64);
            pieces.push(piece);
        }
        let payload = PutPayload::from_iter(pieces);
        let result = self.put(payload).await?;
        drop(memory);
        Ok(Copied { size: self.size, e_tag: result.e_tag, parts: 0, server_side: false })
    }

    async fn put(&self, payload: PutPayload) -> Result<PutResult, Error> {
        let target = self.job.target;
        let attributes = self.attributes.clone();
        let options = PutOptions { attributes, ..PutOptions::default() };
        match target.put_opts(self.to, payload.clone(), options).await {
            Err(error) if self.is_refusal_of_attributes(&error) => {
                self.may_drop_attributes(error)?;
                target.put_opts(self.to, payload, PutOptions::default()).await
            }
            other => other,
        }
        .map_err(|error| describe(target, self.to, error))
    }

    async fn parts(
        self,
        mut body: Body,
        memory: Reserved<'a>,
        part_size: u64,
    ) -> Result<Copied, Error> {
        let mut upload = self.begin().await?;
        match self.send(&mut *upload, &mut body, memory, part_size).await {
            Ok((parts, result)) => {
                let meta = self.job.confirm(self.to, self.size).await?;
                let e_tag = result.e_tag.or(meta.e_tag);
                Ok(Copied { size: self.size, e_tag, parts, server_side: false })
            }
            Err(error) => match upload.abort().await {
                Ok(()) => Err(error),
                Err(_) => Err(with_leftover(error)),
            },
        }
    }

    async fn begin(&self) -> Result<Box<dyn MultipartUpload>, Error> {
        let target = self.job.target;
        let attributes = self.attributes.clone();
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        match target.put_multipart_opts(self.to, options).await {
            Err(error) if self.is_refusal_of_attributes(&error) => {
                self.may_drop_attributes(error)?;
                target.put_multipart_opts(self.to, PutMultipartOptions::default()).await
            }
            other => other,
        }
        .map_err(|error| describe(target, self.to, error))
    }

    async fn send(
        &self,
        upload: &mut dyn MultipartUpload,
        body: &mut Body,
        memory: Reserved<'a>,
        part_size: u64,
    ) -> Result<(u32, PutResult), Error> {
        let parts_in_flight = self.job.options.parts_in_flight;
        let bounds = Bounds { part_size, parts_in_flight, budget: self.job.budget };
        let sent = send_parts(upload, body, &bounds, memory, self.job.progress).await;
        let parts = sent.map_err(|failure| match failure {
            Failure::Source(error) => read_failed(self.job.source, self.from, error),
            Failure::Target(error) => describe(self.job.target, self.to, error),
        })?;
        let result = upload.complete().await;
        Ok((parts, result.map_err(|error| describe(self.job.target, self.to, error))?))
    }

    fn is_refusal_of_attributes(&self, error: &object_store::Error) -> bool {
        let refused = matches!(error, object_store::Error::NotImplemented { .. });
        refused && !self.attributes.is_empty()
    }

    fn may_drop_attributes(&self, error: object_store::Error) -> Result<(), Error> {
        if self.job.options.drop_attributes {
            return Ok(());
        }
        Err(self.job.attributes_refused(self.to).with_source(error))
    }
}

/// Aborting failed too, which usually has the same reason as what failed first.
fn with_leftover(error: Error) -> Error {
    let leftover = "the upload could not be aborted: remove unfinished uploads at the target";
    let remedy = match error.remedy() {
        Some(remedy) => format!("{remedy}; {leftover}"),
        None => leftover.to_owned(),
    };
    error.with_remedy(remedy)
}
