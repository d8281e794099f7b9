//! Puts of whole objects.

use std::sync::Arc;

use futures::FutureExt;
use lifeboat_core::stamp::content_checksum;
use lifeboat_core::{BlobStore, Stamp, VersionTag};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ObjectStore, PutMode, PutOptions, PutPayload, PutResult, Result, TagSet,
};
use tokio::time::Instant;

use super::spoilt::{is_spoilt, put_again};
use super::{Write, leg};
use crate::backend::Mask;
use crate::engine::Engine;
use crate::etag::label;
use crate::events::Operation;
use crate::memory::Held;

/// The name of the user metadata that keeps an object's tags: no store returns tags with an object, and catch-up
/// must carry them.
pub(crate) const TAGS_METADATA: &str = "lifeboattags";

/// The attributes with which a version is written.
pub(crate) fn stamped(mut attributes: Attributes, tag: VersionTag, tags: &TagSet) -> Attributes {
    tag.write(&mut attributes);
    if !tags.encoded().is_empty() {
        let name = Attribute::Metadata(TAGS_METADATA.into());
        attributes.insert(name, tags.encoded().to_owned().into());
    }
    attributes
}

/// Callers see what they wrote: takes everything of ours out of `attributes`.
pub(crate) fn strip(attributes: &mut Attributes) -> Option<VersionTag> {
    if attributes.is_empty() {
        return None;
    }
    let is_tags =
        |name: &Attribute| matches!(name, Attribute::Metadata(name) if *name == TAGS_METADATA);
    if attributes.iter().any(|(name, _)| is_tags(name)) {
        attributes.remove(&Attribute::Metadata(TAGS_METADATA.into()));
    }
    VersionTag::take(attributes)
}

impl Engine {
    /// Puts, whatever the mode.
    pub(crate) async fn put(
        self: &Arc<Self>,
        key: Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let size = u64::try_from(payload.content_length()).unwrap_or(u64::MAX);
        let until = self.write_bound(size);
        let memory = self.wait_for(&key, until, self.memory.take(size)).await?;
        let _guard = self.wait_for(&key, until, self.locks.lock(&key)).await?;
        self.put_locked(key, payload, options, memory, until).await
    }

    /// Puts a key whose lock is held.
    pub(crate) async fn put_locked(
        self: &Arc<Self>,
        key: Path,
        payload: PutPayload,
        options: PutOptions,
        memory: Option<Held>,
        until: Instant,
    ) -> Result<PutResult> {
        let size = u64::try_from(payload.content_length()).unwrap_or(u64::MAX);
        let checksum = content_checksum(payload.iter());
        let (stamp, after) = self.date(&key).await;
        let tag = VersionTag::new(stamp, &key, Some(checksum));
        let mode = options.mode.clone();
        let attributes = stamped(options.attributes.clone(), tag, &options.tags);
        let options = PutOptions { attributes, ..options };
        let body = Body { payload, options };
        let write = write_of(key, (stamp, after), (size, until), memory, body.clone());
        let done = match mode {
            PutMode::Overwrite => self.fan_out(write).await,
            mode => self.put_on_condition(write, body, mode).await,
        };
        let done = done?;
        let backend = &self.backends[done.at];
        Ok(PutResult {
            e_tag: label(&backend.id, backend.is_first(), done.result.e_tag),
            version: label(&backend.id, backend.is_first(), done.result.version),
            extensions: done.result.extensions,
        })
    }
}

/// A body and its options; cloning shares the bytes.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) payload: PutPayload,
    pub(crate) options: PutOptions,
}

impl Body {
    /// Puts at one store; once more if the service says that it stored something else.
    pub(crate) async fn put(
        self,
        store: Arc<dyn BlobStore>,
        key: Path,
        mode: PutMode,
    ) -> Result<PutResult> {
        match self.clone().put_once(Arc::clone(&store), key.clone(), mode).await {
            Err(error) if is_spoilt(&error) => put_again(&store, &key, self, error).await,
            result => result,
        }
    }

    /// Puts at one store.
    pub(crate) async fn put_once(
        self,
        store: Arc<dyn BlobStore>,
        key: Path,
        mode: PutMode,
    ) -> Result<PutResult> {
        store.put_opts(&key, self.payload, PutOptions { mode, ..self.options }).await
    }
}

fn write_of(
    key: Path,
    (stamp, after): (Stamp, Option<Stamp>),
    (size, until): (u64, Instant),
    memory: Option<Held>,
    body: Body,
) -> Write {
    let target = key.clone();
    let send: leg::Send = Arc::new(move |_, store| {
        body.clone().put(store, target.clone(), PutMode::Overwrite).boxed()
    });
    Write {
        key,
        operation: Operation::Put,
        delete: false,
        stamp,
        version: None,
        after,
        without: Mask::NONE,
        may_land: Mask::NONE,
        decided: Vec::new(),
        send,
        size,
        until,
        memory,
    }
}
