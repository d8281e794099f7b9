//! The body on its way in: counted, timed, its chunks watched, documents verified.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::checks::{Plan, too_large};
use super::chunks::Framing;
use super::refusal::Refusal;
use crate::service::Digests;

/// Without a byte for so long, a client is gone. Amazon S3 gives up after some 20 s; a client behind a bad line
/// gets more.
const IDLE: Duration = Duration::from_mins(1);

/// So much of a refused body is still read: a client that is writing sees the answer, not a reset.
const DRAINED_BYTES: u64 = 16 << 20;

/// And for no longer than this.
const DRAINED_TIME: Duration = Duration::from_secs(5);

/// Whether a client is still sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    Some,
}

/// The body, shared by the library, which reads it, and the guard, which asks what became of it.
#[derive(Clone)]
pub(super) struct Inlet(Arc<Mutex<State>>);

struct State {
    incoming: Incoming,
    idle: Pin<Box<Sleep>>,
    limit: u64,
    counted: u64,
    drained: u64,
    framing: Option<Framing>,
    digests: Option<Digests>,
    refusal: Option<Refusal>,
    ended: bool,
}

impl Inlet {
    pub(super) fn new(incoming: Incoming, plan: Plan) -> Self {
        Self(Arc::new(Mutex::new(State {
            incoming,
            idle: Box::pin(tokio::time::sleep(IDLE)),
            limit: plan.limit,
            counted: 0,
            drained: 0,
            framing: plan.chunks.map(Framing::new),
            digests: plan.document.map(Digests::new),
            refusal: None,
            ended: false,
        })))
    }

    /// For a body that is only drained.
    pub(super) fn unchecked(incoming: Incoming) -> Self {
        Self::new(incoming, Plan { limit: u64::MAX, ..Plan::default() })
    }

    /// What the library reads.
    pub(super) fn body(&self) -> InletBody {
        InletBody(self.clone())
    }

    /// Why the body was cut off, if it was.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.with(|state| state.refusal.clone())
    }

    /// Reads what a client is still sending, within bounds.
    pub(super) async fn drain(&self) -> Left {
        let read_on = std::future::poll_fn(|context| self.with(|state| state.poll_drain(context)));
        tokio::time::timeout(DRAINED_TIME, read_on).await.unwrap_or(Left::Some)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // What a panic elsewhere left is only read on or dropped.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<Left> {
        while !self.ended {
            if self.drained >= DRAINED_BYTES {
                return Poll::Ready(Left::Some);
            }
            match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
                Some(Ok(frame)) => {
                    self.drained += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Some(Err(_)) => return Poll::Ready(Left::Some),
                None => self.ended = true,
            }
        }
        Poll::Ready(Left::Nothing)
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            if let Some(piece) = self.framing.as_mut().and_then(Framing::next) {
                return Poll::Ready(Some(Ok(piece)));
            }
            if self.refusal.is_some() {
                return Poll::Ready(Some(Err(Broken)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let frame = match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    ready!(self.idle.as_mut().poll(context));
                    let message = "the body did not come within the timeout; send it again";
                    self.refusal = Some(Refusal::bad("RequestTimeout", message));
                    continue;
                }
            };
            self.idle.as_mut().reset(Instant::now() + IDLE);
            match frame {
                Some(Err(_)) => return Poll::Ready(Some(Err(Broken))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        match self.take(data) {
                            Ok(Some(data)) => return Poll::Ready(Some(Ok(data))),
                            Ok(None) => {}
                            Err(refusal) => self.refusal = Some(refusal),
                        }
                    }
                }
                None => {
                    self.ended = true;
                    self.refusal = self.end().err();
                }
            }
        }
    }

    /// Takes data, and gives back what is not framing.
    fn take(&mut self, data: Bytes) -> Result<Option<Bytes>, Refusal> {
        self.counted += data.len() as u64;
        if self.counted > self.limit {
            return Err(too_large(self.limit));
        }
        if let Some(digests) = &mut self.digests {
            digests.update(&data);
        }
        match &mut self.framing {
            Some(framing) => framing.feed(data).map(|()| None),
            None => Ok(Some(data)),
        }
    }

    /// The body has ended; is it all there, and right?
    fn end(&mut self) -> Result<(), Refusal> {
        if self.framing.as_ref().is_some_and(|framing| !framing.is_complete()) {
            // The library takes an end between two chunks for the end of the body.
            return Err(Refusal::bad("IncompleteBody", "the last chunk of the body is missing"));
        }
        match self.digests.take() {
            Some(digests) => digests.verify(None).map(drop),
            None => Ok(()),
        }
    }
}

/// The library's end of the body.
pub(super) struct InletBody(Inlet);

/// Ends what reads the body; the guard knows why.
#[derive(Debug, thiserror::Error)]
#[error("the request's body broke off")]
pub(crate) struct Broken;

impl Body for InletBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let data = ready!(self.0.with(|state| state.poll_data(context)));
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    /// The library asks for it where a request without a body has no length either.
    fn size_hint(&self) -> SizeHint {
        self.0.with(|state| match state.framing {
            Some(_) => SizeHint::default(),
            None => state.incoming.size_hint(),
        })
    }
}
