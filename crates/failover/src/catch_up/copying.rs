//! Moving one object between two backends as it is, stamp and attributes included: in one put where it
//! fits, so that a condition can guard it, else part by part.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use lifeboat_core::VersionTag;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, Result, TagSet,
};
use tokio::time::timeout;

use crate::body::collect;
use crate::engine::Engine;
use crate::error::CutOff;
use crate::write::put::TAGS_METADATA;

/// Objects up to this size go in one put: 16 MiB, four of a slow line's seconds.
const ONE_PUT: u64 = 16 << 20;
/// Size of a part, before the target's limits are asked.
const PART: u64 = 16 << 20;

/// The tags that were kept as text.
pub(crate) fn tag_set(encoded: Option<&str>) -> TagSet {
    let mut tags = TagSet::default();
    for pair in encoded.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        tags.push(&decoded(name), &decoded(value));
    }
    tags
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (high, low) = (rest.next(), rest.next());
                let pair = high.zip(low).and_then(|(high, low)| {
                    u8::from_str_radix(std::str::from_utf8(&[high, low]).ok()?, 16).ok()
                });
                bytes.extend(pair);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Engine {
    /// Brings the version `meta` of a key from one backend to another, if that one still holds what was observed.
    /// The number of bytes, or none if somebody else was there first.
    pub(crate) async fn bring(
        self: &Arc<Self>,
        key: &Path,
        source: usize,
        meta: &ObjectMeta,
        target: usize,
        mode: PutMode,
        before: Option<&(ObjectMeta, Option<VersionTag>)>,
    ) -> Result<Option<u64>> {
        let conditional = self.backends[target].enforces_conditions() && meta.size <= ONE_PUT;
        let Some(read) = self.open_source(key, source, meta).await? else { return Ok(None) };
        if conditional {
            match self.put_whole(read, key, target, mode).await {
                Ok(bytes) => return Ok(Some(bytes)),
                // What exists for a create and for nobody else: parts of an upload that was never completed, at some
                // services. Waiting would not end; the put goes without the condition, after a last look.
                Err(Error::AlreadyExists { .. }) if before.is_none() => {}
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => return Ok(None),
                Err(error) => return Err(self.blame(target, error).await),
            }
            return self.bring_unconditionally(key, source, meta, target).await;
        }
        if !self.is_unchanged(target, key, before).await? {
            return Ok(None);
        }
        let written = if meta.size <= ONE_PUT {
            self.put_whole(read, key, target, PutMode::Overwrite).await
        } else {
            self.put_in_parts(read, key, target).await
        };
        match written {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => Err(self.blame(target, error).await),
        }
    }

    /// Brings a version to a backend that says it exists there already, if there still is nothing to be seen.
    async fn bring_unconditionally(
        self: &Arc<Self>,
        key: &Path,
        source: usize,
        meta: &ObjectMeta,
        target: usize,
    ) -> Result<Option<u64>> {
        if !self.is_unchanged(target, key, None).await? {
            return Ok(None);
        }
        let Some(read) = self.open_source(key, source, meta).await? else { return Ok(None) };
        match self.put_whole(read, key, target, PutMode::Overwrite).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => Err(self.blame(target, error).await),
        }
    }

    /// Copies an object to another key, at any backend, over whatever is there.
    pub(crate) async fn copy_object(
        self: &Arc<Self>,
        key: &Path,
        source: usize,
        meta: &ObjectMeta,
        target: usize,
        to: &Path,
    ) -> Result<u64> {
        let Some(read) = self.open_source(key, source, meta).await? else {
            let source = "it changed while it was copied".into();
            return Err(Error::Precondition { path: key.to_string(), source });
        };
        let written = if meta.size <= ONE_PUT {
            self.put_whole(read, to, target, PutMode::Overwrite).await
        } else {
            self.put_in_parts(read, to, target).await
        };
        match written {
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(self.blame(target, error).await),
        }
    }

    /// Whether two backends hold the same bytes; too large ones are taken for different.
    pub(crate) async fn same_bytes(
        &self,
        key: &Path,
        one: (usize, &ObjectMeta),
        other: (usize, &ObjectMeta),
    ) -> Result<bool> {
        if one.1.size > ONE_PUT {
            return Ok(false);
        }
        let mut bodies = Vec::new();
        for (at, meta) in [one, other] {
            let Some(read) = self.open_source(key, at, meta).await? else { return Ok(false) };
            bodies.push(collect(read, self.settings.stall_deadline).await?);
        }
        Ok(bodies[0] == bodies[1])
    }

    /// Opens exactly the version that was observed; none if it is no longer there.
    async fn open_source(
        &self,
        key: &Path,
        source: usize,
        meta: &ObjectMeta,
    ) -> Result<Option<GetResult>> {
        let options = GetOptions { if_match: meta.e_tag.clone(), ..GetOptions::default() };
        let bound = self.settings.attempt_deadline;
        let asked = timeout(bound, self.backends[source].store.get_opts(key, options)).await;
        match asked.unwrap_or_else(|_| Err(CutOff(bound).into_error())) {
            Ok(read) if read.meta.size == meta.size => Ok(Some(read)),
            Ok(_) | Err(Error::NotFound { .. } | Error::Precondition { .. }) => Ok(None),
            Err(error) => Err(self.blame(source, error).await),
        }
    }

    async fn put_whole(
        &self,
        read: GetResult,
        to: &Path,
        target: usize,
        mode: PutMode,
    ) -> Result<u64> {
        let (attributes, tags) = attributes_of(&read);
        let size = read.meta.size;
        let _memory = self.take_memory_under_lock(size).await;
        let body = collect(read, self.settings.stall_deadline).await?;
        if u64::try_from(body.len()).ok() != Some(size) {
            return Err(short());
        }
        let options = PutOptions { mode, attributes, tags, ..PutOptions::default() };
        let put = self.backends[target].store.put_opts(to, PutPayload::from_bytes(body), options);
        let bound = self.settings.write_deadline;
        timeout(bound, put).await.unwrap_or_else(|_| Err(CutOff(bound).into_error()))?;
        Ok(size)
    }

    async fn put_in_parts(&self, read: GetResult, to: &Path, target: usize) -> Result<u64> {
        let (attributes, tags) = attributes_of(&read);
        let size = read.meta.size;
        let store = &self.backends[target].store;
        let limits = store.capabilities().parts;
        let part = limits.part_size_for(size, PART).unwrap_or(PART);
        let _memory = self.take_memory_under_lock(part).await;
        let options = PutMultipartOptions { attributes, tags, ..PutMultipartOptions::default() };
        let mut upload = store.put_multipart_opts(to, options).await?;
        let sent = self.send_parts(&mut *upload, read, part, size).await;
        let bound = self.settings.write_deadline;
        match sent {
            Ok(()) => {
                let completed = timeout(bound, upload.complete()).await;
                completed.unwrap_or_else(|_| Err(CutOff(bound).into_error()))?;
                Ok(size)
            }
            Err(error) => {
                // The first error is the one to tell; what an abort leaves, the bucket's lifecycle rule removes.
                let _ = timeout(bound, upload.abort()).await;
                Err(error)
            }
        }
    }

    async fn send_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        read: GetResult,
        part: u64,
        size: u64,
    ) -> Result<()> {
        let stall = self.settings.stall_deadline;
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        let mut stream = read.into_stream();
        let mut pending: Vec<Bytes> = Vec::new();
        let (mut held, mut total) = (0, 0);
        loop {
            let next = timeout(stall, stream.try_next()).await;
            let next = next.unwrap_or_else(|_| Err(CutOff(stall).into_error()))?;
            let over = next.is_none();
            let mut rest = next.unwrap_or_default();
            total += u64::try_from(rest.len()).unwrap_or(u64::MAX);
            if over && total != size {
                return Err(short());
            }
            while held + rest.len() >= part || (over && held > 0) {
                let take = rest.split_to(rest.len().min(part - held));
                held = 0;
                pending.push(take);
                let bound = self.settings.write_deadline * 2;
                let put = upload.put_part(pending.drain(..).collect());
                timeout(bound, put).await.unwrap_or_else(|_| Err(CutOff(bound).into_error()))?;
            }
            if over {
                return Ok(());
            }
            held += rest.len();
            pending.push(rest);
        }
    }
}

/// Attributes as they are, stamp included, and the tags that were kept among them.
fn attributes_of(read: &GetResult) -> (Attributes, TagSet) {
    let name = Attribute::Metadata(TAGS_METADATA.into());
    let tags = tag_set(read.attributes.get(&name).map(AsRef::as_ref));
    (read.attributes.clone(), tags)
}

fn short() -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the body ended early");
    Error::Generic { store: "Failover", source: Box::new(source) }
}
