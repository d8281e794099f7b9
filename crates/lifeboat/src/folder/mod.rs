//! A local folder as a backend: what a tree is copied from and to, and a store for tests and demos.
//!
//! ```
//! use lifeboat::{BlobStore, folder::FolderStore};
//! use object_store::ObjectStoreExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let root = scratch.path();
//! let store = FolderStore::open(root, true)?;
//! store.put(&"2026/report.pdf".into(), "contents".into()).await?;
//! assert_eq!(std::fs::read(root.join("2026/report.pdf"))?, b"contents");
//! # Ok(())
//! # }
//! ```
//!
//! # Why not `object_store::local::LocalFileSystem`
//!
//! It refuses attributes, so that a content type is lost on the way through a folder. It keeps
//! unfinished uploads beside the objects under names like `x#1`, and therefore refuses such keys
//! and silently leaves such files out of its listings. And its listings come in no order.
//!
//! # How keys and files correspond
//!
//! A key is the path below the root, byte for byte; nothing is percent-encoded. What a file system
//! cannot hold is refused with an error that says so: a segment over 255 bytes, and `x` beside
//! `x/y`. A file whose name is no valid key (not UTF-8, control characters) makes listings yield an
//! error that names it, and the listing goes on after it. Symbolic links are followed, loops are
//! errors; overwriting or deleting a key that is a link replaces or removes the link. Folders
//! without a file in them do not exist for a listing, and vanish with the last object in them.
//!
//! # Guarantees
//!
//! - A write is a new file in `.lifeboat/staging`, synced, and then renamed into place: a reader sees
//!   the old object or the new one, and after a crash there is one of the two.
//! - `PutMode::Create` has one winner, also between processes.
//! - Listings come in the byte order of keys.
//! - Attributes live in the file's extended attributes (`user.lifeboat.*`); where the file system
//!   has none, storing them is refused, not forgotten.
//! - A file that changes while it is read makes the read fail.
//!
//! # Non-guarantees
//!
//! - No compare-and-swap: another process could write between the comparison and the rename.
//! - The `ETag` is made of inode, modification time and size. Two writes of the same size within
//!   one tick of the file system's clock (some milliseconds) may share one.
//! - An upload that was idle for an hour counts as left over by a crash, and is removed when the
//!   folder is opened next.

mod attributes;
mod errors;
mod listing;
mod reading;
mod root;
#[cfg(test)]
mod tests;
mod upload;

use std::fmt;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use lifeboat_core::{
    BlobStore, BucketRules, Capabilities, CapabilityReport, Effect, Error, Fault, Identity,
    Jurisdiction, PartLimits, Probe, Support, Verdict, classify_default, conditions,
};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result,
};

use errors::{FolderGone, unsupported};
use listing::Walk;
use root::{Collision, Root};
use upload::FolderUpload;

/// A local folder as a [`BlobStore`]. See the [module](self) for what it promises.
///
/// All file work runs on tokio's blocking threads.
///
/// # Cancel safety
/// Work that has begun on a blocking thread is finished: a dropped write may still happen.
pub struct FolderStore {
    root: Arc<Root>,
    identity: Identity,
    probed: OnceLock<CapabilityReport>,
}

impl FolderStore {
    /// Opens the folder `root`, and makes it first if it is missing and `create` is set.
    ///
    /// Also removes what writers left in `.lifeboat/staging` an hour ago or earlier.
    ///
    /// # Errors
    /// Fails if the folder is missing, is not a folder, or cannot be made.
    pub fn open(root: impl AsRef<FilePath>, create: bool) -> Result<Self, Error> {
        let root = Root::open(root.as_ref(), create)?;
        let identity = Identity::new("file", "", root.path().to_string_lossy())
            .with_jurisdiction(Jurisdiction::SelfHosted);
        Ok(Self { root: Arc::new(root), identity, probed: OnceLock::new() })
    }

    /// Gives the store a name of the user's choice as its [id](Identity::id).
    pub fn with_id(mut self, id: impl AsRef<str>) -> Self {
        self.identity = self.identity.with_id(id);
        self
    }

    /// The folder.
    pub fn root(&self) -> &FilePath {
        self.root.path()
    }

    /// Runs `work` on a blocking thread.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Root) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = Arc::clone(&self.root);
        blocking(move || work(&root)).await
    }
}

/// Runs `work` where it may block: on tokio's blocking threads, or here where there is no runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

/// Deletes in flight of one `delete_stream`: enough to keep a disk busy.
const DELETES_IN_FLIGHT: usize = 8;

impl fmt::Debug for FolderStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderStore").field("root", &self.root.path()).finish_non_exhaustive()
    }
}

impl fmt::Display for FolderStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file://{}", self.root.path().display())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for FolderStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let collision = match options.mode {
            PutMode::Overwrite => Collision::Overwrite,
            PutMode::Create => Collision::Refuse,
            PutMode::Update(_) => {
                let message =
                    "a folder has no compare-and-swap: another process could write in between";
                return Err(unsupported(
                    location,
                    message,
                    "use `PutMode::Create` or another backend",
                ));
            }
        };
        let key = location.clone();
        self.run(move |root| {
            let staged = root.stage(&key, collision, &options.attributes, &options.tags)?;
            Root::write(&key, &staged, &payload)?;
            root.commit(&key, staged, collision)
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let key = location.clone();
        let root = Arc::clone(&self.root);
        let upload = blocking(move || FolderUpload::begin(root, key, &options)).await?;
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.version.is_some() {
            return Err(unsupported(
                location,
                "a folder keeps no versions",
                "ask without a version",
            ));
        }
        let key = location.clone();
        let opened = self.run(move |root| reading::open(root, &key)).await?;
        opened.into_result(&options)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (key, ranges) = (location.clone(), ranges.to_vec());
        self.run(move |root| reading::open(root, &key)?.ranges(&ranges)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let root = Arc::clone(&self.root);
        let deletes = locations.map(move |location| {
            let root = Arc::clone(&root);
            async move {
                let key = location?;
                blocking(move || root.remove(&key).map(|()| key)).await
            }
        });
        deletes.buffered(DELETES_IN_FLIGHT).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        listing::stream(Walk::new(&self.root, prefix, None))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        listing::stream(Walk::new(&self.root, prefix, Some(offset)))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (root, prefix) = (Arc::clone(&self.root), prefix.cloned());
        blocking(move || listing::level(&root, prefix.as_ref())).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let collision = match options.mode {
            CopyMode::Overwrite => Collision::Overwrite,
            CopyMode::Create => Collision::Refuse,
        };
        let (from, to) = (from.clone(), to.clone());
        self.run(move |root| root.copy(&from, &to, collision)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let collision = match options.target_mode {
            RenameTargetMode::Overwrite => Collision::Overwrite,
            RenameTargetMode::Create => Collision::Refuse,
        };
        let (from, to) = (from.clone(), to.clone());
        self.run(move |root| root.rename(&from, &to, collision)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for FolderStore {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::CONSERVATIVE;
        capabilities.create_if_absent = Support::Yes;
        capabilities.compare_and_swap = Support::No;
        capabilities.user_metadata = Support::Yes;
        capabilities.ordered_listing = Support::Yes;
        capabilities.presigned_urls = Support::No;
        capabilities.parts = PartLimits::NONE;
        if let Some(report) = self.probed.get() {
            capabilities.create_if_absent = report.conditions.create_if_absent.support;
            capabilities.user_metadata = report.conditions.user_metadata.support;
            capabilities.ordered_listing = report.ordered_listing.support;
        }
        capabilities
    }

    async fn confirm_capabilities(&self) -> Result<CapabilityReport> {
        let report = conditions::probe_capabilities(self, &classify_default).await?;
        Ok(*self.probed.get_or_init(|| report))
    }

    async fn bucket_rules(&self, _: &Path) -> BucketRules {
        BucketRules::unknown("a file system is not asked")
    }

    async fn probe(&self) -> Result<Probe> {
        let started = Instant::now();
        self.run(Root::check).await?;
        let mut probe = Probe::default();
        probe.latency = started.elapsed();
        Ok(probe)
    }

    fn classify(&self, error: &object_store::Error) -> Verdict {
        if FolderGone::is_in(error) {
            return Verdict::fault(Fault::Down, Effect::None);
        }
        classify_default(error)
    }

    fn signer(&self) -> Option<Arc<dyn Signer>> {
        None
    }

    fn multipart_store(&self) -> Option<Arc<dyn MultipartStore>> {
        None
    }
}
