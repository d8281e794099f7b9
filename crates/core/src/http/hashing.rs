//! Hashes a stream as it passes, beside the reader where the algorithm is slow.
//!
//! A CRC runs at tens of gigabytes a second and is computed in passing. MD5 and SHA-256 run at
//! less than a network can deliver; for large bodies they are computed in batches on the runtime's
//! blocking threads while the reader goes on, and only what is left at the end is waited for.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::checksum::{Algorithm, Checksum, Digest};

/// Bodies below this are hashed in passing: handing them over costs more than it saves.
pub(super) const WORTH_A_THREAD: u64 = 1 << 20;
/// Bytes handed over at once.
const BATCH: usize = 512 << 10;
/// Most bytes that wait to be hashed; a reader that is faster than that is held back.
const MOST_WAITING: usize = 4 << 20;

/// Whether `algorithm` over `size` bytes is better computed on another thread.
pub(super) fn worth_a_thread(algorithm: Algorithm, size: u64) -> bool {
    let slow = matches!(algorithm, Algorithm::Md5 | Algorithm::Sha256);
    slow && size >= WORTH_A_THREAD && Handle::try_current().is_ok()
}

/// A running hash of a stream.
pub(super) struct Hashing {
    state: State,
    beside: bool,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
}

#[allow(
    clippy::large_enum_variant,
    reason = "one per body; a box would cost each read an allocation"
)]
enum State {
    Idle(Digest),
    Busy(JoinHandle<Digest>),
    /// The blocking thread was lost: the runtime shuts down, or it panicked.
    Lost,
}

/// The hash could not be computed.
#[derive(Debug, thiserror::Error)]
#[error("the runtime shut down before the body could be checked")]
pub(super) struct HashingLost;

impl Hashing {
    /// Begins to hash a body of `size` bytes.
    pub(super) fn new(algorithm: Algorithm, size: u64) -> Self {
        Self {
            state: State::Idle(Digest::new(algorithm)),
            beside: worth_a_thread(algorithm, size),
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    /// Takes the next chunk; its memory is shared.
    pub(super) fn push(&mut self, chunk: &Bytes) {
        match &mut self.state {
            State::Idle(digest) if !self.beside => digest.update(chunk),
            _ => {
                self.waiting_bytes += chunk.len();
                self.waiting.push(chunk.clone());
            }
        }
    }

    /// Moves the work on; pending only while too much waits.
    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.waiting_bytes < BATCH {
            return Poll::Ready(());
        }
        match self.poll_idle(context) {
            Poll::Pending if self.waiting_bytes >= MOST_WAITING => Poll::Pending,
            Poll::Pending => Poll::Ready(()),
            Poll::Ready(()) => {
                self.hand_over();
                Poll::Ready(())
            }
        }
    }

    /// Waits for everything to be hashed.
    pub(super) fn poll_finish(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Checksum, HashingLost>> {
        loop {
            ready!(self.poll_idle(context));
            if self.waiting.is_empty() {
                break;
            }
            self.hand_over();
        }
        Poll::Ready(match mem::replace(&mut self.state, State::Lost) {
            State::Idle(digest) => Ok(digest.finish()),
            _ => Err(HashingLost),
        })
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let State::Busy(thread) = &mut self.state {
            let done = ready!(Pin::new(thread).poll(context));
            self.state = done.map_or(State::Lost, State::Idle);
        }
        Poll::Ready(())
    }

    fn hand_over(&mut self) {
        let batch = mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.state = match mem::replace(&mut self.state, State::Lost) {
            State::Idle(mut digest) => State::Busy(tokio::task::spawn_blocking(move || {
                for chunk in &batch {
                    digest.update(chunk);
                }
                digest
            })),
            other => other,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn hash_beside_the_reader_is_the_same() {
        let chunk = Bytes::from(vec![9_u8; 100_003]);
        for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Crc32c] {
            for chunks in [0, 1, 60] {
                let whole = vec![chunk.clone(); chunks];
                let size = whole.iter().map(|chunk| chunk.len() as u64).sum();
                let mut hashing = Hashing::new(algorithm, size);
                for chunk in &whole {
                    poll_fn(|context| hashing.poll_ready(context)).await;
                    hashing.push(chunk);
                }
                let hash = poll_fn(|context| hashing.poll_finish(context)).await.unwrap();
                let expected = Checksum::of(algorithm, whole.iter().map(AsRef::as_ref));
                assert!(hash.matches(&expected), "{algorithm} of {chunks} chunks");
            }
        }
    }

    #[tokio::test]
    async fn reader_that_is_too_fast_is_held_back() {
        let chunk = Bytes::from(vec![9_u8; 1 << 20]);
        let mut hashing = Hashing::new(Algorithm::Md5, 64 << 20);
        for _ in 0..64 {
            poll_fn(|context| hashing.poll_ready(context)).await;
            hashing.push(&chunk);
            assert!(hashing.waiting_bytes <= MOST_WAITING + chunk.len());
        }
    }
}
