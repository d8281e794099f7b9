//! Bodies that survive their backend: one that breaks or stalls goes on at another backend, from the byte
//! that was reached, if the other proves that it has the same version.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use lifeboat_core::http::IntegrityError;
use lifeboat_core::{Effect, VersionTag, causes};
use object_store::path::Path;
use object_store::{
    Attributes, Error, GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, Result,
};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::backend::Mask;
use crate::engine::Engine;
use crate::error::{CutOff, FailoverError, Reason, within};
use crate::events::{Event, Operation};

/// How often one body may be taken up again.
const MOST_RESUMES: u32 = 8;

/// A body under way.
struct Body {
    engine: Arc<Engine>,
    key: Path,
    at: usize,
    tag: Option<VersionTag>,
    e_tag: Option<String>,
    size: u64,
    start: u64,
    next: u64,
    end: u64,
    resumes: u32,
    failed: Mask,
    /// When it broke, if nothing has come since.
    broken: Option<Instant>,
    stream: BoxStream<'static, Result<Bytes>>,
    /// Since when a piece is waited for, and for how long.
    silent: Option<(Instant, Duration)>,
    /// Bounds the silence between two pieces. It is moved only when it fires, so that a body of a thousand pieces does not
    /// set a thousand timers.
    timer: Option<Pin<Box<Sleep>>>,
}

/// A body, as its reader has it.
enum Guarded {
    Flowing(Body),
    Broken(BoxFuture<'static, Result<Body>>),
    Over,
}

/// Puts the payload of `result`, read from the backend `at`, under our care.
pub(crate) fn guard(
    engine: &Arc<Engine>,
    key: &Path,
    at: usize,
    tag: Option<VersionTag>,
    result: GetResult,
) -> GetResult {
    if result.range.is_empty() {
        return result;
    }
    let GetResult { payload, meta, range, attributes, extensions } = result;
    let stream = match payload {
        GetResultPayload::Stream(stream) => stream,
        // A file, which is read piece by piece.
        #[allow(
            unreachable_patterns,
            reason = "files exist only with a feature of object_store that another crate may switch on"
        )]
        payload => {
            let (meta, range, none) = (meta.clone(), range.clone(), Attributes::default());
            let extensions = object_store::Extensions::default();
            GetResult { payload, meta, range, attributes: none, extensions }.into_stream()
        }
    };
    let body = Body {
        engine: Arc::clone(engine),
        key: key.clone(),
        at,
        tag,
        e_tag: meta.e_tag.clone(),
        size: meta.size,
        start: range.start,
        next: range.start,
        end: range.end,
        resumes: 0,
        failed: Mask::NONE,
        broken: None,
        stream,
        silent: None,
        timer: None,
    };
    let payload = GetResultPayload::Stream(Guarded::Flowing(body).boxed());
    GetResult { payload, meta, range, attributes, extensions }
}

/// Whether the bytes that came are not those that were announced.
fn is_corrupt(error: &Error) -> bool {
    causes(error).any(<dyn std::error::Error>::is::<IntegrityError>)
}

impl Stream for Guarded {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = self.get_mut();
        loop {
            let piece = match this {
                Self::Flowing(body) => ready!(body.poll_piece(context)),
                Self::Broken(repair) => match ready!(repair.as_mut().poll(context)) {
                    Ok(body) => {
                        *this = Self::Flowing(body);
                        continue;
                    }
                    Err(error) => Piece::Lost(error),
                },
                Self::Over => return Poll::Ready(None),
            };
            let last = match piece {
                Piece::Next(bytes) => return Poll::Ready(Some(Ok(bytes))),
                Piece::End => None,
                Piece::Lost(error) => Some(Err(error)),
                Piece::Failed(error) => {
                    if let Self::Flowing(body) = std::mem::replace(this, Self::Over) {
                        *this = Self::Broken(body.go_on(error).boxed());
                    }
                    continue;
                }
            };
            *this = Self::Over;
            return Poll::Ready(last);
        }
    }
}

/// What comes next of a body.
enum Piece {
    Next(Bytes),
    End,
    /// Another backend may go on.
    Failed(Error),
    /// Nobody can.
    Lost(Error),
}

impl Body {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Piece> {
        let error = loop {
            match self.stream.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.silent = None;
                    if bytes.is_empty() {
                        continue;
                    }
                    self.broken = None;
                    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    self.next = self.next.saturating_add(length);
                    if self.next > self.end {
                        return Poll::Ready(Piece::Lost(
                            self.lost("it sent more than it announced"),
                        ));
                    }
                    return Poll::Ready(Piece::Next(bytes));
                }
                Poll::Ready(None) if self.next == self.end => return Poll::Ready(Piece::End),
                Poll::Ready(None) => break cut_short(),
                Poll::Ready(Some(Err(error))) => break error,
                Poll::Pending => break ready!(self.poll_silence(context)),
            }
        };
        // Whole already: what failed is what comes after the last byte, a checksum.
        Poll::Ready(if self.next == self.end { Piece::Lost(error) } else { Piece::Failed(error) })
    }

    /// Ready when nothing has come for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        let (since, stall) = self.silent.unwrap_or_else(|| {
            (Instant::now(), self.engine.settings.stall_deadline.min(self.patience()))
        });
        self.silent = Some((since, stall));
        let ends = since + stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(ends)));
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= ends {
                return Poll::Ready(CutOff(stall).into_error());
            }
            timer.as_mut().reset(ends);
        }
        Poll::Pending
    }

    /// Finds somebody who goes on.
    async fn go_on(mut self, error: Error) -> Result<Self> {
        self.silent = None;
        // What was passed on already is wrong: another backend cannot take that back.
        if self.next > self.start && is_corrupt(&error) {
            self.engine.judge(self.at, Operation::Get, &error).await;
            let lost = FailoverError::new(Reason::BodyLost, Some(&self.key), Effect::None);
            return Err(lost.failed(&self.engine.backends[self.at].id, &error).into());
        }
        self.resume(error).await?;
        Ok(self)
    }

    /// What is left of the time in which a reader hears something again, once it has broken.
    fn patience(&self) -> Duration {
        let left =
            |broken: Instant| self.engine.settings.read_deadline.saturating_sub(broken.elapsed());
        self.broken.map_or(Duration::MAX, left)
    }

    /// Finds a backend that goes on with the same version.
    async fn resume(&mut self, error: Error) -> Result<()> {
        self.engine.judge(self.at, Operation::Get, &error).await;
        // Something has come since those failed: they may serve again.
        if self.broken.is_none() {
            self.failed = Mask::NONE;
        }
        self.failed.set(self.at);
        self.resumes += 1;
        self.broken.get_or_insert_with(Instant::now);
        let mut lost = FailoverError::new(Reason::BodyLost, Some(&self.key), Effect::None)
            .failed(&self.engine.backends[self.at].id, &error);
        if self.resumes > MOST_RESUMES || self.patience().is_zero() {
            return Err(lost.into());
        }
        // The others first, then the same one again.
        let all = self.engine.in_use();
        let order = all.without(self.failed).iter().chain(std::iter::once(self.at));
        for at in order.collect::<Vec<_>>() {
            match self.open(at).await {
                Ok(stream) => {
                    let backends = &self.engine.backends;
                    self.engine.observers.tell(|| Event::BodyContinued {
                        key: self.key.clone(),
                        from: backends[self.at].id.clone(),
                        to: backends[at].id.clone(),
                        offset: self.next,
                    });
                    (self.at, self.stream, self.timer) = (at, stream, None);
                    return Ok(());
                }
                Err(error) => lost = lost.failed(&self.engine.backends[at].id, &error),
            }
        }
        Err(lost.into())
    }

    async fn open(&mut self, at: usize) -> Result<BoxStream<'static, Result<Bytes>>> {
        let backend = &self.engine.backends[at];
        let same = at == self.at;
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.next..self.end)),
            if_match: if same { self.e_tag.clone() } else { None },
            ..GetOptions::default()
        };
        let asked = backend.store.get_opts(&self.key, options);
        let bound = self.engine.settings.attempt_deadline.min(self.patience());
        let found = match within(bound, asked).await {
            Ok(found) => found,
            Err(error) => {
                self.engine.judge(at, Operation::Get, &error).await;
                return Err(error);
            }
        };
        backend.answered();
        let proven = match (self.tag, VersionTag::of(&found.attributes)) {
            (Some(ours), Some(theirs)) => ours == theirs,
            // The same backend under the same `ETag`, which the request demanded.
            (None, None) => same && self.e_tag.is_some() && self.e_tag == found.meta.e_tag,
            _ => false,
        };
        let fits = found.meta.size == self.size && found.range == (self.next..self.end);
        if proven && fits {
            // Each backend has an `ETag` of its own.
            self.e_tag.clone_from(&found.meta.e_tag);
            Ok(found.into_stream())
        } else {
            Err(self.lost("it has another version"))
        }
    }

    fn lost(&self, why: &str) -> Error {
        FailoverError::new(Reason::BodyLost, Some(&self.key), Effect::None)
            .answered(&self.engine.backends[self.at].id, why)
            .into()
    }
}

/// A body that ended before its size was reached.
pub(crate) fn cut_short() -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the body ended early");
    Error::Generic { store: "Failover", source: Box::new(source) }
}

/// Reads a body into memory, within the stall bound.
pub(crate) async fn collect(result: GetResult, stall: Duration) -> Result<Bytes> {
    let mut stream = result.into_stream();
    let mut first = Bytes::new();
    let mut whole: Option<BytesMut> = None;
    loop {
        let Some(bytes) = within(stall, stream.try_next()).await? else { break };
        match &mut whole {
            None if first.is_empty() => first = bytes,
            None => {
                let mut joined = BytesMut::from(&*first);
                joined.extend_from_slice(&bytes);
                whole = Some(joined);
            }
            Some(joined) => joined.extend_from_slice(&bytes),
        }
    }
    Ok(whole.map_or(first, BytesMut::freeze))
}
