//! Multipart uploads under way: which parts there are, and the way their bytes take to the backend.
//!
//! The state is the gateway's own and ends with it: an upload that it does not know is `NoSuchUpload`, and
//! clients begin anew. Where the backend has stateless uploads, parts pass through in any order. Where it has only
//! streams, parts must reach it in order: one that comes early is held, in half of the gateway's
//! memory at most, until its predecessors are there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attributes, Error, MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload, PutResult,
};
use s3s::dto::{Checksum as Sums, ETag};
use s3s::{S3Error, S3Result, s3_error};
use tokio::time::Instant;

use super::{Bucket, failure, put};
use crate::memory::{Full, Granted, Memory};

/// Ten times what a busy client has open; each costs a few hundred bytes for each part.
const MOST: usize = 1000;

/// An upload that nobody touched for so long is aborted when another begins. Amazon advises a lifecycle rule of
/// days; here the parts are in reach of one process only.
const FORGOTTEN: Duration = Duration::from_hours(24);

/// A completion whose answer was lost is asked for again within minutes.
const REMEMBERED: Duration = Duration::from_mins(10);

/// All uploads of a gateway.
pub(super) struct Uploads {
    memory: Arc<Memory>,
    known: Mutex<HashMap<String, Arc<Upload>>>,
}

/// One upload.
pub(super) struct Upload {
    bucket: Bucket,
    path: Path,
    touched: Mutex<Instant>,
    memory: Arc<Memory>,
    state: tokio::sync::Mutex<State>,
}

enum State {
    Open {
        sink: Sink,
        parts: BTreeMap<u32, Part>,
    },
    /// The answer, for a client that did not get it.
    Done(Option<ETag>),
    Ended,
}

/// A part that is stored, or held until it can be.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) etag: String,
    pub(super) size: u64,
    pub(super) sums: Sums,
    pub(super) modified: std::time::SystemTime,
}

/// The way to the backend.
enum Sink {
    Store {
        store: Arc<dyn MultipartStore>,
        id: String,
        ids: BTreeMap<u32, PartId>,
    },
    Stream {
        upload: Box<dyn MultipartUpload>,
        next: u32,
        early: BTreeMap<u32, (PutPayload, Granted)>,
    },
}

pub(super) fn unknown() -> S3Error {
    s3_error!(NoSuchUpload, "the gateway knows no such upload; it may have ended with a restart")
}

impl Uploads {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { memory, known: Mutex::default() }
    }

    /// Begins an upload and gives its id.
    pub(super) async fn begin(
        &self,
        bucket: &Bucket,
        path: Path,
        attributes: Attributes,
    ) -> S3Result<String> {
        self.sweep();
        if self.with(|known| known.len()) >= MOST {
            return Err(s3_error!(
                SlowDown,
                "too many uploads are under way; complete or abort some"
            ));
        }
        let sink = Sink::open(bucket, &path, attributes).await;
        let sink = sink.map_err(|error| failure::backend(&*bucket.store, &error))?;
        let id = format!("{:032x}", rand::random::<u128>());
        let upload = Upload {
            bucket: bucket.clone(),
            path,
            touched: Mutex::new(Instant::now()),
            memory: Arc::clone(&self.memory),
            state: tokio::sync::Mutex::new(State::Open { sink, parts: BTreeMap::new() }),
        };
        self.with(|known| known.insert(id.clone(), Arc::new(upload)));
        Ok(id)
    }

    /// The upload of this id, if it is of this object.
    pub(super) fn find(&self, bucket: &Bucket, key: &str, id: &str) -> S3Result<Arc<Upload>> {
        let upload = self.with(|known| known.get(id).cloned()).ok_or_else(unknown)?;
        if upload.bucket.name != bucket.name || upload.path.as_ref() != key {
            return Err(unknown());
        }
        *upload.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(upload)
    }

    /// Forgets an upload.
    pub(super) fn forget(&self, id: &str) {
        self.with(|known| known.remove(id));
    }

    /// Forgets what ended long ago, and aborts what nobody continues.
    fn sweep(&self) {
        self.with(|known| {
            known.retain(|_, upload| {
                let touched = *upload.touched.lock().unwrap_or_else(PoisonError::into_inner);
                let idle = touched.elapsed();
                // A state that is locked is in use.
                match upload.state.try_lock().as_deref_mut() {
                    Ok(State::Done(_)) => idle < REMEMBERED,
                    Ok(State::Ended) => false,
                    Ok(state) if idle >= FORGOTTEN => {
                        if let State::Open { sink, .. } = std::mem::replace(state, State::Ended) {
                            let path = upload.path.clone();
                            tokio::spawn(async move {
                                if let Err(error) = sink.abort(&path).await {
                                    tracing::warn!(%error, "a forgotten upload was not aborted");
                                }
                            });
                        }
                        false
                    }
                    _ => true,
                }
            });
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, Arc<Upload>>) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Upload {
    /// Stores a part whose bytes were found right. Runs to its end even if the client goes away:
    /// half a step would leave the upload in disorder.
    pub(super) async fn put(
        self: Arc<Self>,
        number: u32,
        part: Part,
        bytes: PutPayload,
        memory: Granted,
    ) -> S3Result<()> {
        finish(async move {
            let outcome = self.put_now(number, part, bytes, memory).await;
            if outcome.as_ref().is_err_and(|refused| matches!(refused, Refused::Broken(_))) {
                self.end().await;
            }
            outcome.map_err(|refused| match refused {
                Refused::Failed(Error::NotFound { .. }) => unknown(),
                Refused::Broken(error) | Refused::Failed(error) => {
                    failure::backend(&*self.bucket.store, &error)
                }
                Refused::Said(error) => error,
            })
        })
        .await
    }

    async fn put_now(
        &self,
        number: u32,
        part: Part,
        bytes: PutPayload,
        memory: Granted,
    ) -> Result<(), Refused> {
        let mut state = self.state.lock().await;
        let State::Open { sink, parts } = &mut *state else { return Err(unknown().into()) };
        let pass = match sink {
            Sink::Store { store, id, .. } => {
                let (store, id) = (Arc::clone(store), id.clone());
                drop(state);
                let index = number as usize - 1;
                let stored = store.put_part(&self.path, &id, index, bytes).await;
                let part_id = stored.map_err(Refused::Failed)?;
                return self.record(number, part, part_id).await.map_err(Refused::from);
            }
            Sink::Stream { upload, next, early } => {
                if number < *next {
                    return same(parts.get(&number), &part).map_err(Refused::from);
                }
                if number > *next {
                    let room = self.memory.grant_early(bytes.content_length() as u64);
                    early.insert(number, (bytes, room.map_err(out_of_order)?));
                    parts.insert(number, part);
                    return Ok(());
                }
                let mut passing = vec![(upload.put_part(bytes), memory)];
                *next += 1;
                while let Some((bytes, memory)) = early.remove(next) {
                    passing.push((upload.put_part(bytes), memory));
                    *next += 1;
                }
                passing
            }
        };
        parts.insert(number, part);
        drop(state);
        let pass = pass.into_iter().map(|(sending, memory)| async move {
            let sent = sending.await;
            drop(memory);
            sent
        });
        try_join_all(pass).await.map(drop).map_err(Refused::Broken)
    }

    async fn record(&self, number: u32, part: Part, part_id: PartId) -> S3Result<()> {
        match &mut *self.state.lock().await {
            State::Open { sink: Sink::Store { ids, .. }, parts } => {
                ids.insert(number, part_id);
                parts.insert(number, part);
                Ok(())
            }
            _ => Err(unknown()),
        }
    }

    /// The parts so far.
    pub(super) async fn parts(&self) -> S3Result<BTreeMap<u32, Part>> {
        match &*self.state.lock().await {
            State::Open { parts, .. } => Ok(parts.clone()),
            _ => Err(unknown()),
        }
    }

    /// Makes the object of all parts, if `check` finds them to be what the client means.
    pub(super) async fn complete(
        self: Arc<Self>,
        check: impl FnOnce(&BTreeMap<u32, Part>) -> S3Result<()> + Send + 'static,
    ) -> S3Result<Option<ETag>> {
        finish(async move {
            let mut state = self.state.lock().await;
            let done = match &mut *state {
                State::Open { sink, parts } => {
                    check(parts)?;
                    sink.complete(&self.path).await
                }
                State::Done(etag) => return Ok(etag.clone()),
                State::Ended => return Err(unknown()),
            };
            let result = done.map_err(|error| match error {
                Error::NotFound { .. } => unknown(),
                error => failure::backend(&*self.bucket.store, &error),
            })?;
            let etag = put::etag(&self.bucket, &self.path, result).await?;
            *state = State::Done(etag.clone());
            Ok(etag)
        })
        .await
    }

    /// Throws the parts away.
    pub(super) async fn abort(self: Arc<Self>) -> S3Result<()> {
        finish(async move {
            let mut state = self.state.lock().await;
            if !matches!(*state, State::Open { .. }) {
                return Err(unknown());
            }
            if let State::Open { sink, .. } = std::mem::replace(&mut *state, State::Ended) {
                let aborted = sink.abort(&self.path).await;
                return aborted.map_err(|error| failure::backend(&*self.bucket.store, &error));
            }
            Ok(())
        })
        .await
    }

    /// Gives up after a part was lost that cannot be sent again.
    async fn end(&self) {
        let state = std::mem::replace(&mut *self.state.lock().await, State::Ended);
        if let State::Open { sink, .. } = state
            && let Err(error) = sink.abort(&self.path).await
        {
            tracing::warn!(%error, "a broken upload was not aborted");
        }
    }
}

/// Why a part was not stored.
enum Refused {
    /// The stream has a hole now; the upload is over.
    Broken(Error),
    /// It may be sent again.
    Failed(Error),
    Said(S3Error),
}

impl From<S3Error> for Refused {
    fn from(error: S3Error) -> Self {
        Self::Said(error)
    }
}

fn out_of_order(_: Full) -> S3Error {
    s3_error!(
        SlowDown,
        "too many parts came before their predecessors; try again, with fewer parts at a time"
    )
}

/// A part that is sent again is fine if it is the same: a stream cannot take it back.
fn same(stored: Option<&Part>, again: &Part) -> S3Result<()> {
    match stored {
        Some(stored) if stored.etag == again.etag => Ok(()),
        _ => Err(s3_error!(
            NotImplemented,
            "the backend of this bucket cannot replace a part; abort the upload and begin anew"
        )),
    }
}

/// Runs a step to its end, whether or not somebody still waits for it.
async fn finish<T: Send + 'static>(
    step: impl Future<Output = S3Result<T>> + Send + 'static,
) -> S3Result<T> {
    let span = tracing::Span::current();
    tokio::spawn(tracing::Instrument::instrument(step, span))
        .await
        .unwrap_or_else(|_| Err(s3_error!(InternalError, "the gateway failed; try again")))
}

impl Sink {
    async fn open(
        bucket: &Bucket,
        path: &Path,
        attributes: Attributes,
    ) -> object_store::Result<Self> {
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        if let Some(store) = bucket.store.multipart_store() {
            match store.create_multipart_opts(path, options.clone()).await {
                Ok(id) => return Ok(Self::Store { store, id, ids: BTreeMap::new() }),
                // It cannot carry the attributes; a stream can.
                Err(Error::NotSupported { .. } | Error::NotImplemented { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let upload = bucket.store.put_multipart_opts(path, options).await?;
        Ok(Self::Stream { upload, next: 1, early: BTreeMap::new() })
    }

    async fn complete(&mut self, path: &Path) -> object_store::Result<PutResult> {
        match self {
            Self::Store { store, id, ids } => {
                store.complete_multipart(path, id, ids.values().cloned().collect()).await
            }
            Self::Stream { upload, .. } => upload.complete().await,
        }
    }

    async fn abort(self, path: &Path) -> object_store::Result<()> {
        match self {
            Self::Store { store, id, .. } => store.abort_multipart(path, &id).await,
            Self::Stream { mut upload, .. } => upload.abort().await,
        }
    }
}
