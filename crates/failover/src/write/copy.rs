//! Copies and renames: through memory, so that the copy has a stamp of its own; large objects server-side where a
//! backend has the source's latest version, and by catch-up elsewhere.

use std::sync::Arc;

use futures::FutureExt;
use lifeboat_core::{Effect, VersionTag};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, ObjectStore, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, RenameOptions, RenameTargetMode, Result,
};

use tokio::time::{Instant, timeout};

use super::Write;
use super::conditional::{head, result_of};
use super::leg;
use super::put::{TAGS_METADATA, strip};
use crate::backend::Mask;
use crate::engine::Engine;
use crate::error::{FailoverError, Reason};
use crate::events::Operation;
use crate::read::KeyLock;

/// Objects up to this size are copied through memory: the copy gets a stamp of its own, which orders it among all
/// versions of its key wherever it is seen. A server-side copy carries its source's stamp; only its marker orders it.
const BY_HAND: u64 = 64 << 20;

impl Engine {
    /// Copies `from` to `to`.
    pub(crate) async fn copy(
        self: &Arc<Self>,
        from: Path,
        to: Path,
        options: CopyOptions,
    ) -> Result<()> {
        let until = self.write_bound(0);
        let keys = [from.clone(), to.clone()];
        let _guards = self.wait_for(&to, until, self.locks.lock_all(&keys)).await?;
        self.copy_locked(from, to, options, until).await
    }

    /// Copies, while both keys' locks are held.
    async fn copy_locked(
        self: &Arc<Self>,
        from: Path,
        to: Path,
        options: CopyOptions,
        until: Instant,
    ) -> Result<()> {
        let head = GetOptions { head: true, ..GetOptions::default() };
        let source = self.get_raw(&from, head, KeyLock::Ours).await?;
        let tag = VersionTag::of(&source.result.attributes);
        match (options.mode, tag) {
            _ if from == to => match options.mode {
                CopyMode::Overwrite => Ok(()),
                CopyMode::Create => Err(Error::AlreadyExists {
                    path: to.to_string(),
                    source: "a copy onto itself".into(),
                }),
            },
            (CopyMode::Overwrite, Some(tag)) if source.result.meta.size > BY_HAND => {
                let size = source.result.meta.size;
                self.copy_server_side((&from, &to), (tag, size), source.at, until).await
            }
            (mode, _) => {
                let mode = match mode {
                    CopyMode::Overwrite => PutMode::Overwrite,
                    CopyMode::Create => PutMode::Create,
                };
                self.copy_by_hand(from, to, mode, until).await
            }
        }
    }

    /// Renames: a copy, then a delete. Not atomic, as at every provider.
    pub(crate) async fn rename(
        self: &Arc<Self>,
        from: Path,
        to: Path,
        options: RenameOptions,
    ) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        let copy = CopyOptions { mode, extensions: options.extensions };
        let until = self.write_bound(0);
        let keys = [from.clone(), to.clone()];
        // For both steps: what this process writes to either key later comes after them, even if nobody waits any more.
        let _guards = self.wait_for(&to, until, self.locks.lock_all(&keys)).await?;
        self.copy_locked(from.clone(), to.clone(), copy, until).await?;
        if from != to {
            self.delete_locked(from, self.write_bound(0)).await?;
        }
        Ok(())
    }

    /// Every backend that has the source's latest version copies for itself; the copies carry the source's stamp.
    async fn copy_server_side(
        self: &Arc<Self>,
        (from, to): (&Path, &Path),
        (tag, size): (VersionTag, u64),
        holder: usize,
        until: Instant,
    ) -> Result<()> {
        let without = self.index.dirt(from).map_or(Mask::NONE, |dirt| {
            let mut lagging = dirt.behind;
            lagging |= dirt.unsure;
            lagging.without(Mask::only(holder))
        });
        let (source, target) = (from.clone(), to.clone());
        let send: leg::Send = Arc::new(move |at, store| {
            let (from, to) = (source.clone(), target.clone());
            async move {
                match store.copy_opts(&from, &to, CopyOptions::default()).await {
                    // The source may have had another version here, and nobody knew.
                    Ok(()) => match head(&*store, &to).await {
                        Ok(Some((meta, Some(copied)))) if copied == tag => Ok(result_of(meta)),
                        Ok(_) => Err(leg::NotHere::Version.into_error()),
                        Err(_) => Err(leg::NotHere::Unseen.into_error()),
                    },
                    // It is there, but not here: an unseeded backend. Not the caller's error.
                    Err(Error::NotFound { .. }) if at != holder => {
                        Err(leg::NotHere::Source.into_error())
                    }
                    Err(error) => Err(error),
                }
            }
            .boxed()
        });
        let (stamp, after) = self.date(to).await;
        self.fan_out(Write {
            stamp,
            after,
            key: to.clone(),
            operation: Operation::Copy,
            delete: false,
            version: Some(tag.stamp),
            without,
            may_land: Mask::NONE,
            decided: Vec::new(),
            send,
            size,
            until: until + Self::assembly_time(size),
            memory: None,
        })
        .await
        .map(|_| ())
    }

    /// Reads and writes: for conditions, and for sources that carry no stamp of ours. Both keys' locks are held, so
    /// that a later write of the target comes after it even if nobody waits for the copy any more.
    async fn copy_by_hand(
        self: &Arc<Self>,
        from: Path,
        to: Path,
        mode: PutMode,
        until: Instant,
    ) -> Result<()> {
        let read = self.get_raw(&from, GetOptions::default(), KeyLock::Ours).await?;
        let mut result = read.result;
        let size = result.meta.size;
        // A condition needs one put.
        let in_parts = mode == PutMode::Overwrite && size > BY_HAND.min(self.settings.memory);
        if !in_parts && size > self.settings.memory {
            let error = FailoverError::new(Reason::TooLarge, Some(&from), Effect::None);
            return Err(error.into());
        }
        let mut attributes = std::mem::take(&mut result.attributes);
        let name = object_store::Attribute::Metadata(TAGS_METADATA.into());
        let tags = attributes.get(&name).map(|tags| tags.as_ref().to_owned());
        let tag = strip(&mut attributes);
        // A body that breaks goes on elsewhere, as for any reader.
        let result = crate::body::guard(self, &from, read.at, tag, result);
        let tags = crate::catch_up::copying::tag_set(tags.as_deref());
        if in_parts {
            let extensions = object_store::Extensions::default();
            let options = PutMultipartOptions { attributes, tags, extensions };
            let body = result.into_stream();
            return self.upload_locked(to, options, (body, size)).await;
        }
        let memory = self.wait_for(&to, until, self.memory_under_lock.take(size)).await?;
        // The guard has its own bound between two pieces, and then goes on at another backend. The keys are locked: what
        // trickles is given up.
        let bound = self.settings.read_deadline + Self::body_time(size);
        let body = crate::body::collect(result, self.settings.read_deadline);
        let Ok(body) = timeout(bound, body).await else {
            let error = FailoverError::new(Reason::Unavailable, Some(&from), Effect::None);
            let text = "sends it too slowly to be copied";
            return Err(error.answered(&self.backends[read.at].id, text).into());
        };
        let body = body?;
        if u64::try_from(body.len()).ok() != Some(size) {
            return Err(FailoverError::new(Reason::BodyLost, Some(&from), Effect::None).into());
        }
        let options = PutOptions { mode, attributes, tags, ..PutOptions::default() };
        let until = until + Self::body_time(size) * 2;
        self.put_locked(to, PutPayload::from_bytes(body), options, memory, until).await.map(|_| ())
    }
}
