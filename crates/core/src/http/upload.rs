//! Sees how far the upload of a request body has come.
//!
//! A deadline for the answer to an upload cannot begin before the body is out, and a 5 GiB part at
//! 10 MiB/s takes minutes. The body notes each slice that the HTTP client takes from it, which it
//! does as the socket drains: no copy, no second task.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use object_store::client::HttpRequestBody;
use tokio::time::Instant;

use super::Deadlines;

/// Size of a slice: small enough that one takes less than a second at 2 Mbit/s.
const SLICE: usize = 256 << 10;
/// Linux's default largest send buffer (`tcp_wmem`): what may still lie in the kernel when the last
/// slice was handed over.
const KERNEL_BUFFER: usize = 4 << 20;
/// Slowest path that is still of use, for draining [`KERNEL_BUFFER`].
const SLOWEST_BYTES_PER_SECOND: usize = 512 << 10;

/// How far an upload has come.
#[derive(Debug)]
pub(super) struct Progress {
    state: Mutex<State>,
    total: usize,
}

#[derive(Debug)]
struct State {
    remaining: usize,
    last: Instant,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self { state: Mutex::new(State { remaining: total, last: Instant::now() }), total }
    }

    fn note(&self, sent: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.remaining = state.remaining.saturating_sub(sent);
        state.last = Instant::now();
    }

    /// When the attempt has failed if nothing more happens. `first_byte` is the bound on the answer
    /// once the body is out.
    pub(super) fn deadline(&self, deadlines: &Deadlines, first_byte: Duration) -> Instant {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.remaining > 0 {
            // The first slice waits for the connection, which has a bound of its own.
            let connecting =
                if state.remaining == self.total { deadlines.connect } else { Duration::ZERO };
            return state.last + deadlines.stall + connecting;
        }
        let in_kernel = self.total.min(KERNEL_BUFFER) / SLOWEST_BYTES_PER_SECOND;
        state.last + first_byte + Duration::from_secs(in_kernel as u64)
    }
}

/// A request body that notes what was taken from it. Shares the memory of the original.
#[derive(Debug)]
pub(super) struct WatchedBody {
    chunks: VecDeque<Bytes>,
    remaining: u64,
    progress: Arc<Progress>,
}

impl WatchedBody {
    pub(super) fn new(body: &HttpRequestBody) -> (Self, Arc<Progress>) {
        let total = body.content_length();
        let progress = Arc::new(Progress::new(total));
        let chunks = chunks(body).into();
        (Self { chunks, remaining: total as u64, progress: Arc::clone(&progress) }, progress)
    }
}

/// The chunks of a body; they share its memory.
pub(super) fn chunks(body: &HttpRequestBody) -> Vec<Bytes> {
    let mut rest = body.clone();
    let mut chunks = Vec::new();
    // A request body is in memory: its frames are always ready.
    while let Some(Some(Ok(frame))) = rest.frame().now_or_never() {
        chunks.extend(frame.into_data().ok().filter(|chunk| !chunk.is_empty()));
    }
    chunks
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(mut chunk) = self.chunks.pop_front() else { return Poll::Ready(None) };
        if chunk.len() > SLICE {
            let rest = chunk.split_off(SLICE);
            self.chunks.push_front(rest);
        }
        self.remaining -= chunk.len() as u64;
        self.progress.note(chunk.len());
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deadline_moves_with_each_slice_and_ends_with_the_first_byte_bound() {
        let content = Bytes::from(vec![7; 2 * SLICE + 17]);
        let (mut body, progress) = WatchedBody::new(&content.clone().into());
        let deadlines = Deadlines::default();
        let left = || progress.deadline(&deadlines, deadlines.first_byte) - Instant::now();
        assert_eq!(left(), deadlines.stall + deadlines.connect);
        let mut seen = body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(left(), deadlines.stall.checked_sub(Duration::from_secs(3)).unwrap());
        while let Some(frame) = body.frame().await {
            seen.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        assert_eq!(left(), deadlines.first_byte + Duration::from_secs(1), "512 KiB in the kernel");
        assert_eq!(seen, content);
    }
}
