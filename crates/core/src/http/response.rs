//! The body of an answer, with a bound on how long it may pause.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use object_store::client::{HttpError, HttpErrorKind};
use tokio::time::{Instant, Sleep, sleep};

use super::attempt::Attempt;
use super::exchange::Outcome;

/// A body that errors when the server pauses for longer than the deadline. Time in which nobody
/// reads does not count.
pub(super) struct GuardedBody {
    inner: reqwest::Body,
    attempt: Arc<Attempt>,
    status: http::StatusCode,
    stall: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

/// The server paused for longer than the deadline.
#[derive(Debug, thiserror::Error)]
#[error("no progress within {0:?}")]
struct Stalled(Duration);

/// An answer that should be small is not.
#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {0} bytes")]
struct TooLong(usize);

impl GuardedBody {
    pub(super) fn new(
        inner: reqwest::Body,
        attempt: Arc<Attempt>,
        status: http::StatusCode,
        stall: Duration,
    ) -> Self {
        Self { inner, attempt, status, stall, timer: None, armed: false }
    }

    /// Reads the whole body, which must not be longer than `limit` bytes.
    pub(super) async fn collect_up_to(mut self, limit: usize) -> Result<Bytes, HttpError> {
        let mut whole = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(chunk) = frame?.into_data() else { continue };
            if whole.len() + chunk.len() > limit {
                return Err(HttpError::new(HttpErrorKind::Decode, TooLong(limit)));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Whether the server has paused for too long; arms the timer at the beginning of a pause.
    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| {
            self.armed = true;
            Box::pin(sleep(self.stall))
        });
        if !self.armed {
            timer.as_mut().reset(Instant::now() + self.stall);
            self.armed = true;
        }
        timer.as_mut().poll(context)
    }
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(Some(Err(error))) => {
                this.attempt.amend(Outcome::BodyBroken(this.status));
                let source = error.without_url();
                Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Interrupted, source))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.armed = false;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(this.poll_stalled(context));
                this.armed = false;
                this.attempt.amend(Outcome::BodyStalled(this.status));
                Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, Stalled(this.stall)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
