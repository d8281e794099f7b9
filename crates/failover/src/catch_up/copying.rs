//! Moving one object between two backends as it is, stamp and attributes included: in one put where it
//! fits, so that a condition can guard it, else part by part.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use lifeboat_core::VersionTag;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, Result, TagSet,
};
use tokio::time::Instant;

use crate::body::{collect, cut_short};
use crate::engine::Engine;
use crate::error::{is_missing, within};
use crate::memory::Held;
use crate::write::condition::precondition;
use crate::write::put::{Body, TAGS_METADATA};

/// Objects up to this size go in one put: 16 MiB, four of a slow line's seconds.
pub(crate) const ONE_PUT: u64 = 16 << 20;
/// Creates that are told of an object which no look finds, before the put goes without the condition: whoever was seen by
/// the first may have deleted it.
const CREATES: usize = 2;
/// Size of a part, before the target's limits are asked.
pub(crate) const PART: u64 = 16 << 20;

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

/// What must lie where an object is sent for it to be sent.
#[derive(Debug, Clone, Copy)]
enum There<'a> {
    /// Whatever it is.
    Whatever,
    /// What was observed. A look says so, as close to the request as it can be: at a backend without conditions, or for an
    /// upload in parts, nothing else does.
    Still(Option<&'a (ObjectMeta, Option<VersionTag>)>),
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
            let (body, _memory) = self.read_whole((source, read), key).await?;
            for _ in 0..CREATES {
                match self.put_whole(body.clone(), (target, key), mode.clone()).await {
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(Error::AlreadyExists { .. }) if before.is_none() => {}
                    Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                }
                if !self.is_unchanged(target, key, None).await? {
                    return Ok(None);
                }
            }
            // What exists for creates and for nobody else: parts of an upload that was never completed, at some services.
            // Waiting would not end; the put goes without the condition.
            return self.put_whole(body, (target, key), PutMode::Overwrite).await.map(Some);
        }
        self.transfer((source, read), key, (target, key), There::Still(before)).await
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
            return Err(precondition(key, "it changed while it was copied"));
        };
        let copied = self.transfer((source, read), key, (target, to), There::Whatever).await?;
        copied.ok_or_else(|| precondition(key, "a write of the key waits for its copy to end"))
    }

    /// Sends what was opened to a backend: in one put, or part by part. None if something else lies there than must, or if a
    /// write of `locked`, the key whose lock is held meanwhile, came to wait.
    async fn transfer(
        &self,
        source: (usize, GetResult),
        locked: &Path,
        target: (usize, &Path),
        there: There<'_>,
    ) -> Result<Option<u64>> {
        if source.1.meta.size > ONE_PUT {
            return self.put_in_parts(source, locked, target, there).await;
        }
        let (body, _memory) = self.read_whole(source, target.1).await?;
        if !self.is_there(target, there).await? {
            return Ok(None);
        }
        self.put_whole(body, target, PutMode::Overwrite).await.map(Some)
    }

    async fn is_there(&self, (at, key): (usize, &Path), there: There<'_>) -> Result<bool> {
        match there {
            There::Whatever => Ok(true),
            There::Still(before) => self.is_unchanged(at, key, before).await,
        }
    }

    /// Whether two backends hold the same bytes. None if it is `late` before that is known: writers of the key wait.
    pub(crate) async fn same_bytes(
        &self,
        key: &Path,
        one: (usize, &ObjectMeta),
        other: (usize, &ObjectMeta),
        late: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<bool>> {
        let Some(a) = self.open_source(key, one.0, one.1).await? else { return Ok(Some(false)) };
        let Some(b) = self.open_source(key, other.0, other.1).await? else {
            return Ok(Some(false));
        };
        let (mut a, mut b) = (a.into_stream(), b.into_stream());
        let (mut left, mut right) = (Bytes::new(), Bytes::new());
        while !late() {
            if left.is_empty() {
                left = self.next_piece(one.0, &mut a).await?;
            }
            if right.is_empty() {
                right = self.next_piece(other.0, &mut b).await?;
            }
            let both = left.len().min(right.len());
            if both == 0 {
                return Ok(Some(left.is_empty() && right.is_empty()));
            }
            if left.split_to(both) != right.split_to(both) {
                return Ok(Some(false));
            }
        }
        Ok(None)
    }

    /// The next bytes of a body; empty at its end.
    async fn next_piece(
        &self,
        source: usize,
        stream: &mut BoxStream<'static, Result<Bytes>>,
    ) -> Result<Bytes> {
        loop {
            match within(self.settings.stall_deadline, stream.try_next()).await {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(piece) => return Ok(piece.unwrap_or_default()),
                Err(error) => return Err(self.blame(source, error).await),
            }
        }
    }

    /// Opens exactly the version that was observed; none if it is no longer there.
    pub(super) async fn open_source(
        &self,
        key: &Path,
        source: usize,
        meta: &ObjectMeta,
    ) -> Result<Option<GetResult>> {
        let options = GetOptions { if_match: meta.e_tag.clone(), ..GetOptions::default() };
        let asked = self.backends[source].store.get_opts(key, options);
        match within(self.settings.attempt_deadline, asked).await {
            Ok(read) if read.meta.size == meta.size => Ok(Some(read)),
            Ok(_) | Err(Error::Precondition { .. }) => Ok(None),
            Err(error) if is_missing(&*self.backends[source].store, &error) => Ok(None),
            Err(error) => Err(self.blame(source, error).await),
        }
    }

    /// Memory for a body, within an attempt: writers of the key wait.
    async fn memory_for(&self, key: &Path, bytes: u64) -> Result<Option<Held>> {
        let until = Instant::now() + self.settings.attempt_deadline;
        self.wait_for(key, until, self.memory_under_lock.take(bytes)).await
    }

    /// The whole of what was opened, to be sent to `to`, and the memory that it takes.
    pub(super) async fn read_whole(
        &self,
        (source, read): (usize, GetResult),
        to: &Path,
    ) -> Result<(Body, Option<Held>)> {
        let (attributes, tags) = attributes_of(&read);
        let size = read.meta.size;
        let memory = self.memory_for(to, size).await?;
        let collected = collect(read, self.settings.stall_deadline);
        let body = match within(self.copy_bound(size), collected).await {
            Ok(body) if u64::try_from(body.len()).ok() == Some(size) => body,
            Ok(_) => return Err(self.blame(source, cut_short()).await),
            Err(error) => return Err(self.blame(source, error).await),
        };
        let options = PutOptions { attributes, tags, ..PutOptions::default() };
        Ok((Body { payload: PutPayload::from_bytes(body), options }, memory))
    }

    async fn put_whole(
        &self,
        body: Body,
        (target, to): (usize, &Path),
        mode: PutMode,
    ) -> Result<u64> {
        let size = u64::try_from(body.payload.content_length()).unwrap_or(u64::MAX);
        let put = body.put(Arc::clone(&self.backends[target].store), to.clone(), mode);
        match within(self.copy_bound(size), put).await {
            Ok(_) => Ok(size),
            // What a condition says is no fault of anybody's.
            Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. })) => Err(error),
            Err(error) => Err(self.blame(target, error).await),
        }
    }

    /// Bound on reading a whole object, and on sending it: no longer than an attempt each, because writers of the key wait.
    fn copy_bound(&self, size: u64) -> Duration {
        self.settings.attempt_deadline + Self::body_time(size)
    }

    async fn put_in_parts(
        &self,
        (source, read): (usize, GetResult),
        locked: &Path,
        (target, to): (usize, &Path),
        there: There<'_>,
    ) -> Result<Option<u64>> {
        let (attributes, tags) = attributes_of(&read);
        let size = read.meta.size;
        let store = &self.backends[target].store;
        let part = store.capabilities().parts.part_size_for(size, PART).unwrap_or(PART);
        let _memory = self.memory_for(to, part).await?;
        let options = PutMultipartOptions { attributes, tags, ..PutMultipartOptions::default() };
        let bound = self.settings.write_deadline;
        let begun = within(bound, store.put_multipart_opts(to, options)).await;
        let mut upload = match begun {
            Ok(upload) => upload,
            Err(error) => return Err(self.blame(target, error).await),
        };
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        let sent = match self.send_parts((target, &mut *upload), (source, read), part, locked).await
        {
            Ok(true) => self.is_there((target, to), there).await,
            sent => sent,
        };
        if let Ok(true) = sent {
            let bound = bound + Self::assembly_time(size);
            return match within(bound, upload.complete()).await {
                Ok(_) => Ok(Some(size)),
                Err(error) => Err(self.blame(target, error).await),
            };
        }
        // The first error is the one to tell; what an abort leaves, the bucket's lifecycle rule removes.
        let _ = within(bound, upload.abort()).await;
        sent.map(|_| None)
    }

    /// Sends a body in parts of equal size. False if a write of `locked` came to wait: it replaces what is sent here.
    async fn send_parts(
        &self,
        (target, upload): (usize, &mut dyn MultipartUpload),
        (source, read): (usize, GetResult),
        part: usize,
        locked: &Path,
    ) -> Result<bool> {
        let size = read.meta.size;
        let bound =
            self.settings.write_deadline + Self::body_time(u64::try_from(part).unwrap_or(u64::MAX));
        let mut stream = read.into_stream();
        let mut parts = Parts::of(part);
        loop {
            let piece = self.next_piece(source, &mut stream).await?;
            let over = piece.is_empty();
            parts.add(piece);
            if over && parts.total() != size {
                return Err(self.blame(source, cut_short()).await);
            }
            while let Some(part) = parts.next(over) {
                if self.locks.is_wanted(locked) {
                    return Ok(false);
                }
                if let Err(error) = within(bound, upload.put_part(part)).await {
                    return Err(self.blame(target, error).await);
                }
            }
            if over {
                return Ok(true);
            }
        }
    }
}

/// A body as parts of one size, of which only the last is shorter. The bytes are shared, not copied.
#[derive(Debug)]
pub(crate) struct Parts {
    part: usize,
    held: VecDeque<Bytes>,
    bytes: usize,
    total: u64,
}

impl Parts {
    /// Parts of so many bytes, one at least.
    pub(crate) fn of(part: usize) -> Self {
        Self { part: part.max(1), held: VecDeque::new(), bytes: 0, total: 0 }
    }

    /// Adds what comes next of the body.
    pub(crate) fn add(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.total += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.held.push_back(piece);
    }

    /// Bytes that were added so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The next whole part, and when the body is `over` what is left of it.
    pub(crate) fn next(&mut self, over: bool) -> Option<PutPayload> {
        if self.bytes == 0 || (self.bytes < self.part && !over) {
            return None;
        }
        let mut wanted = self.part.min(self.bytes);
        self.bytes -= wanted;
        let mut part = Vec::new();
        while wanted > 0 {
            let Some(mut piece) = self.held.pop_front() else { break };
            let now = piece.split_to(piece.len().min(wanted));
            wanted -= now.len();
            part.push(now);
            if !piece.is_empty() {
                self.held.push_front(piece);
            }
        }
        Some(part.into_iter().collect())
    }
}

/// Attributes as they are, stamp included, and the tags that were kept among them.
fn attributes_of(read: &GetResult) -> (Attributes, TagSet) {
    let name = Attribute::Metadata(TAGS_METADATA.into());
    let tags = tag_set(read.attributes.get(&name).map(AsRef::as_ref));
    (read.attributes.clone(), tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(part: usize, pieces: &[usize]) -> Vec<usize> {
        let mut parts = Parts::of(part);
        let mut sizes = Vec::new();
        for (at, piece) in pieces.iter().chain(&[0]).enumerate() {
            parts.add(Bytes::from(vec![7; *piece]));
            let over = at == pieces.len();
            sizes.extend(std::iter::from_fn(|| parts.next(over).map(|part| part.content_length())));
        }
        assert_eq!(parts.total(), pieces.iter().map(|piece| *piece as u64).sum::<u64>());
        sizes
    }

    #[test]
    fn parts_are_of_one_size_but_the_last_however_the_pieces_come() {
        assert_eq!(sizes(4, &[1, 1, 1, 1, 1]), [4, 1]);
        assert_eq!(sizes(4, &[11]), [4, 4, 3]);
        assert_eq!(sizes(4, &[3, 6, 3]), [4, 4, 4]);
        assert_eq!(sizes(4, &[]), [0; 0]);
    }
}
