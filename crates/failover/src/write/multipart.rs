//! Large uploads: every part goes to every member at once, and completion is a write like any other. A
//! backend that fails on the way leaves the upload, which goes on at the others.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt, StreamExt, TryStreamExt};
use lifeboat_core::{Class, Effect, Stamp, VersionTag};
use object_store::path::Path;
use object_store::{
    MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio::time::Instant;
use tracing::Instrument;

use super::conditional::{head, result_of};
use super::course::reached;
use super::put::stamped;
use super::{Write, leg};
use crate::backend::Mask;
use crate::body::cut_short;
use crate::catch_up::copying::{PART, Parts};
use crate::engine::{Engine, Task};
use crate::error::{FailoverError, Reason, within};
use crate::etag::label;
use crate::events::Operation;
use crate::memory::Memory;
use crate::observe::{Outcome, span};

/// One step of an upload at several backends, and what each of them answers.
type Steps<T> = FuturesUnordered<Task<(usize, Result<T>)>>;
type Inner = Arc<tokio::sync::Mutex<Box<dyn MultipartUpload>>>;

/// An upload into all backends that were up when it began.
pub(crate) struct Upload {
    engine: Arc<Engine>,
    key: Path,
    /// The stamp that the copies carry.
    version: Stamp,
    members: Arc<Members>,
    /// What the parts under way count against.
    memory: Arc<Memory>,
}

/// The backends that take part, and how much went there.
struct Members {
    uploads: Vec<(usize, Inner)>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Those that failed on the way.
    out: Mask,
    /// Those that would not complete what they have.
    refused: Mask,
    /// Those that were asked to complete it.
    asked: Mask,
    bytes: u64,
}

impl Members {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that have all parts so far.
    fn whole(&self) -> Mask {
        let all: Mask = self.uploads.iter().map(|(at, _)| *at).collect();
        all.without(self.state().out)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("key", &self.key)
            .field("members", &self.members.whole())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Collects what backends answer to one step of an upload, until all are in, or enough of them and the rest is slow.
    /// An error if none succeeded.
    async fn gather_enough<T>(&self, key: &Path, mut steps: Steps<T>) -> Result<Vec<(usize, T)>> {
        let mut error = FailoverError::new(Reason::Unavailable, Some(key), Effect::None);
        let began = Instant::now();
        let mut done = Vec::new();
        let mut refusal = None;
        let mut patience = None;
        loop {
            if patience.is_none() && done.len() >= self.settings.min_copies {
                // Who does not take part lacks the whole object: that is more than being late with one write.
                patience = Some(Instant::now() + self.marker_patience());
            }
            let slow = reached(patience);
            tokio::select! {
                biased;
                step = steps.next() => match step {
                    Some((at, Ok(result))) => {
                        let backend = &self.backends[at];
                        backend.answered();
                        let took = began.elapsed();
                        self.observers.answered(at, &backend.id, Operation::Multipart, took, Outcome::Ok);
                        done.push((at, result));
                    }
                    Some((at, Err(cause))) => {
                        let (id, took) = (&self.backends[at].id, began.elapsed());
                        let verdict = self.judge(at, Operation::Multipart, &cause).await;
                        let outcome = Outcome::of(&verdict);
                        self.observers.answered(at, id, Operation::Multipart, took, outcome);
                        error = error.failed(&self.backends[at].id, &cause);
                        // An upload that a backend has forgotten is that backend's failure.
                        let forgotten = matches!(cause, object_store::Error::NotFound { .. });
                        if !verdict.is_fault() && !forgotten && refusal.is_none() {
                            refusal = Some(cause);
                        }
                    }
                    None => break,
                },
                () = slow => break,
            }
        }
        if done.is_empty() {
            return Err(refusal.unwrap_or_else(|| error.into()));
        }
        Ok(done)
    }

    /// Uploads a body part by part to a key whose lock is held.
    pub(crate) async fn upload_locked(
        self: &Arc<Self>,
        key: Path,
        options: PutMultipartOptions,
        (mut body, size): (BoxStream<'static, Result<Bytes>>, u64),
    ) -> Result<()> {
        let mut upload = self.begin_upload(key.clone(), options).await?;
        upload.memory = Arc::clone(&self.memory_under_lock);
        // The reader bounds the silence between two pieces only, and the keys are locked.
        let crate::Settings { read_deadline, write_deadline, .. } = self.settings;
        let bound = read_deadline + write_deadline + Self::body_time(size) * 2;
        let sent = within(bound, self.send_body(&mut upload, &mut body, size)).await;
        if let Err(error) = sent {
            // The first error is the one to tell.
            let _ = upload.abort().await;
            return Err(error);
        }
        let (members, version) = (Arc::clone(&upload.members), upload.version);
        let until = self.write_bound(0) + Self::assembly_time(size);
        let completed = self.complete_locked(key, members, version, until).await;
        if let Err(error) = &completed
            && FailoverError::find(error).is_none_or(|error| error.effect() == Effect::None)
        {
            // Nobody else can. The first error is the one to tell.
            let _ = upload.abort().await;
        }
        completed.map(|_| ())
    }

    /// Sends a body in parts that suit every member. Errors if it is not as long as it was said to be.
    async fn send_body(
        &self,
        upload: &mut Upload,
        body: &mut BoxStream<'static, Result<Bytes>>,
        size: u64,
    ) -> Result<()> {
        let mut part = PART;
        for (at, _) in &upload.members.uploads {
            let limits = self.backends[*at].store.capabilities().parts;
            part = part.max(limits.part_size_for(size, PART).unwrap_or(PART));
        }
        let mut parts = Parts::of(usize::try_from(part).unwrap_or(usize::MAX));
        loop {
            // The reader bounds its own silence, and goes on elsewhere first.
            let piece = body.try_next().await?.unwrap_or_default();
            let over = piece.is_empty();
            parts.add(piece);
            if over && parts.total() != size {
                return Err(cut_short());
            }
            while let Some(part) = parts.next(over) {
                upload.put_part(part).await?;
            }
            if over {
                return Ok(());
            }
        }
    }

    /// Begins an upload at every backend that is up. Where those are too few, those that are avoided are asked, as with any
    /// write.
    ///
    /// # Errors
    /// Fewer take part than must have the object: it could never be completed.
    pub(crate) async fn begin_upload(
        self: &Arc<Self>,
        key: Path,
        options: PutMultipartOptions,
    ) -> Result<Upload> {
        let version = self.stamp(&key);
        let tag = VersionTag::new(version, &key, None);
        let attributes = stamped(options.attributes.clone(), tag, &options.tags);
        let options = PutMultipartOptions { attributes, ..options };
        let takers = self.takers().await;
        let mut begun = match self.begin_at(takers, &key, &options).await {
            // That nobody could take it is not the caller's fault.
            Err(error) if FailoverError::find(&error).is_none() => return Err(error),
            begun => begun,
        };
        if begun.as_ref().map_or(0, Vec::len) < self.settings.min_copies {
            let spare = self.answering().await.without(takers);
            let more = self.begin_at(spare, &key, &options).await.unwrap_or_default();
            if !more.is_empty() {
                begun = Ok(begun.into_iter().flatten().chain(more).collect());
            }
        }
        let mut uploads: Vec<(usize, Inner)> = begun?
            .into_iter()
            .map(|(at, upload)| (at, Arc::new(tokio::sync::Mutex::new(upload))))
            .collect();
        uploads.sort_by_key(|(at, _)| *at);
        let members = Arc::new(Members { uploads, state: Mutex::default() });
        self.require_copies(&key, &members)?;
        let (engine, memory) = (Arc::clone(self), Arc::clone(&self.memory));
        Ok(Upload { engine, key, version, members, memory })
    }

    async fn begin_at(
        &self,
        takers: Mask,
        key: &Path,
        options: &PutMultipartOptions,
    ) -> Result<Vec<(usize, Box<dyn MultipartUpload>)>> {
        let bound = self.settings.write_deadline;
        let begin = |at: usize| {
            let (store, key, options) =
                (Arc::clone(&self.backends[at].store), key.clone(), options.clone());
            async move { (at, within(bound, store.put_multipart_opts(&key, options)).await) }
                .boxed()
        };
        self.gather_enough(key, takers.iter().map(begin).collect()).await
    }

    /// Ends an upload in which too few take part.
    fn require_copies(self: &Arc<Self>, key: &Path, members: &Arc<Members>) -> Result<()> {
        let whole = members.whole();
        if whole.len() >= self.settings.min_copies {
            return Ok(());
        }
        members.state().out |= whole;
        leave(self, members, whole);
        let mut error = FailoverError::new(Reason::TooFewCopies, Some(key), Effect::None);
        for backend in &self.backends {
            let text = match () {
                () if whole.has(backend.at) => "takes the upload",
                () if backend.is_in_use() => "does not take the upload",
                () => backend.state().as_str(),
            };
            error = error.answered(&backend.id, text);
        }
        Err(error.into())
    }
}

impl Upload {
    /// Sends a part to every member. It is done when all have it, or enough of them and the rest is slow: those
    /// leave the upload.
    fn send_part(&self, data: &PutPayload) -> UploadPart {
        let size = u64::try_from(data.content_length()).unwrap_or(u64::MAX);
        self.members.state().bytes += size;
        let whole = self.members.whole();
        let parts: Steps<()> = FuturesUnordered::new();
        let bound = self.engine.settings.write_deadline + Engine::body_time(size);
        for (at, upload) in self.members.uploads.iter().filter(|(at, _)| whole.has(*at)) {
            // Parts are numbered by the order of these calls, so they are made now.
            let part = match upload.try_lock() {
                Ok(mut upload) => upload.put_part(data.clone()),
                Err(_) => async { Err(in_use()) }.boxed(),
            };
            let at = *at;
            parts.push(async move { (at, within(bound, part).await) }.boxed());
        }
        let (engine, members, key) =
            (Arc::clone(&self.engine), Arc::clone(&self.members), self.key.clone());
        let memory = Arc::clone(&self.memory);
        async move {
            // Nothing is sent before it is polled: parts that do not fit the memory wait their turn.
            let until = engine.write_bound(size);
            let _memory = engine.wait_for(&key, until, memory.take(size)).await?;
            gather_part(&engine, &members, &key, parts).await
        }
        .boxed()
    }
}

async fn gather_part(
    engine: &Arc<Engine>,
    members: &Arc<Members>,
    key: &Path,
    parts: Steps<()>,
) -> Result<()> {
    let sent = engine.gather_enough(key, parts).await;
    let have = sent.iter().flatten().map(|(at, ())| *at).collect();
    let left = members.whole().without(have);
    members.state().out |= left;
    leave(engine, members, left);
    sent?;
    engine.require_copies(key, members)
}

/// Aborts the uploads of those that left, in the background.
fn leave(engine: &Arc<Engine>, members: &Arc<Members>, left: Mask) {
    let (engine, mut aborts) = (Arc::clone(engine), aborts(engine, members, left));
    let task = Arc::clone(&engine);
    engine.spawn(async move {
        while let Some((at, aborted)) = aborts.next().await {
            if aborted.is_err() {
                task.stays_behind(at);
            }
        }
    });
}

/// The aborts of some members' uploads.
fn aborts(engine: &Engine, members: &Members, of: Mask) -> Steps<()> {
    let bound = engine.settings.write_deadline;
    let uploads = members.uploads.iter().filter(|(at, _)| of.has(*at)).cloned();
    let abort = |(at, upload): (usize, Inner)| {
        let abort = async move { upload.lock().await.abort().await };
        async move { (at, within(bound, abort).await) }.boxed()
    };
    uploads.map(abort).collect()
}

fn in_use() -> object_store::Error {
    object_store::Error::Generic { store: "Failover", source: "the upload is being ended".into() }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.send_part(&data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let engine = Arc::clone(&self.engine);
        let (key, members, version) = (self.key.clone(), Arc::clone(&self.members), self.version);
        let task = Arc::clone(&engine);
        let span = span(Operation::Multipart, Some(&key));
        let complete = async move { task.complete(key, members, version).await };
        let done = engine.detached(complete.instrument(span)).await?;
        let backend = &engine.backends[done.at];
        Ok(PutResult {
            e_tag: label(&backend.id, backend.is_first(), done.result.e_tag),
            version: label(&backend.id, backend.is_first(), done.result.version),
            extensions: done.result.extensions,
        })
    }

    /// Succeeds when one backend has aborted; the others are cleaned up in the background.
    async fn abort(&mut self) -> Result<()> {
        let whole = self.members.whole();
        self.members.state().out |= whole;
        let mut aborts = aborts(&self.engine, &self.members, whole);
        let mut failed = None;
        while let Some((at, aborted)) = aborts.next().await {
            match aborted {
                Ok(()) => {
                    let engine = Arc::clone(&self.engine);
                    let task = Arc::clone(&engine);
                    engine.spawn(async move { tidy(&task, aborts).await });
                    return Ok(());
                }
                Err(error) => {
                    self.engine.judge(at, Operation::Multipart, &error).await;
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Waits for the aborts that are left.
async fn tidy(engine: &Engine, mut aborts: Steps<()>) {
    while let Some((at, aborted)) = aborts.next().await {
        if let Err(error) = aborted {
            engine.judge(at, Operation::Multipart, &error).await;
            engine.stays_behind(at);
        }
    }
}

impl Engine {
    fn stays_behind(&self, at: usize) {
        let backend = &self.backends[at].id;
        tracing::info!(%backend, "an unfinished multipart upload stays behind");
    }

    async fn complete(
        self: &Arc<Self>,
        key: Path,
        members: Arc<Members>,
        version: Stamp,
    ) -> Result<super::Done> {
        let until = self.write_bound(0) + Self::assembly_time(members.state().bytes);
        let _guard = self.wait_for(&key, until, self.locks.lock(&key)).await?;
        self.complete_locked(key, members, version, until).await
    }

    /// Completes an upload of a key whose lock is held.
    async fn complete_locked(
        self: &Arc<Self>,
        key: Path,
        members: Arc<Members>,
        version: Stamp,
        until: Instant,
    ) -> Result<super::Done> {
        let size = members.state().bytes;
        let whole = members.whole();
        let tag = VersionTag::new(version, &key, None);
        let (target, joined) = (key.clone(), Arc::clone(&members));
        let send: leg::Send = Arc::new(move |at, store| {
            let members = Arc::clone(&joined);
            let upload = members.uploads.iter().find(|(member, _)| *member == at);
            let upload = upload.map(|(_, upload)| Arc::clone(upload));
            let key = target.clone();
            async move {
                let Some(upload) = upload else { return Err(in_use()) };
                members.state().asked.set(at);
                let error = match upload.lock().await.complete().await {
                    Ok(done) => return Ok(done),
                    Err(error) => error,
                };
                // A lost answer: the version that is there says whether it was done.
                match head(&*store, &key).await {
                    Ok(Some((meta, Some(there)))) if there == tag => Ok(result_of(meta)),
                    _ => {
                        if store.classify(&error).class == Class::Answer {
                            members.state().refused.set(at);
                        }
                        Err(error)
                    }
                }
            }
            .boxed()
        });
        // Orders after everything that was written to the key since the upload began.
        let (stamp, after) = self.date(&key).await;
        let done = self
            .fan_out(Write {
                stamp,
                after,
                key: key.clone(),
                operation: Operation::Multipart,
                delete: false,
                version: Some(version),
                without: self.all().without(whole),
                may_land: Mask::NONE,
                decided: Vec::new(),
                send,
                size,
                until,
                memory: None,
            })
            .await?;
        // Nobody completes or aborts those any more.
        let State { refused, asked, .. } = *members.state();
        let mut left = whole.without(asked);
        left |= refused;
        leave(self, &members, left);
        Ok(done)
    }
}
