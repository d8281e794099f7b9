//! Checks a body against the checksum and the length that came with it, as it streams by.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::{BoxStream, Stream};
use object_store::Result;

use super::checksum::{Checksum, Digest};
use super::operating::Operating;
use super::trace::Trace;

/// What was transferred is not what was meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrityError {
    /// The body that was read does not have the checksum that came with it.
    #[error("the body has {actual}, but {expected} was announced with it")]
    Read {
        /// What the provider announced.
        expected: Checksum,
        /// What came.
        actual: Checksum,
    },
    /// The provider stored something else than what was sent.
    #[error("the provider stored {expected}, but what was sent has {actual}")]
    Stored {
        /// What the provider says it has.
        expected: Checksum,
        /// What was sent.
        actual: Checksum,
    },
    /// The body is shorter or longer than announced.
    #[error("the body has {actual} bytes, but {expected} were announced")]
    Length {
        /// Bytes announced.
        expected: u64,
        /// Bytes that came, as far as they were counted.
        actual: u64,
    },
}

impl IntegrityError {
    pub(super) fn stored(expected: Checksum, actual: Checksum) -> Self {
        Self::Stored { expected, actual }
    }
}

/// Whether the plain `ETag` of an object is the MD5 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EtagDigest {
    /// It is not; it says nothing about the bytes.
    Never,
    /// Nobody knows. The first match proves it (an MD5 does not match by chance); until then a
    /// mismatch proves nothing, and the first one ends the attempt.
    #[default]
    Learn,
    /// It is, as documented by the provider.
    Always,
}

/// What has been learnt about `ETag`s in the life of a store.
#[derive(Debug)]
pub(super) struct EtagKnowledge(AtomicU8);

impl EtagKnowledge {
    pub(super) fn new(start: EtagDigest) -> Self {
        Self(AtomicU8::new(start as u8))
    }

    pub(super) fn get(&self) -> EtagDigest {
        match self.0.load(Ordering::Relaxed) {
            0 => EtagDigest::Never,
            1 => EtagDigest::Learn,
            _ => EtagDigest::Always,
        }
    }

    fn set(&self, learnt: EtagDigest) {
        self.0.store(learnt as u8, Ordering::Relaxed);
    }
}

/// A body that is counted and, where a checksum came with it, checked. The last chunk is only
/// handed out if everything is right, so a reader of the whole body never sees a corrupt one.
pub(super) struct CheckedBody {
    inner: BoxStream<'static, Result<Bytes>>,
    operating: Operating,
    trace: Arc<Trace>,
    expected: u64,
    seen: u64,
    check: Option<(Checksum, Digest)>,
    ended: bool,
}

impl CheckedBody {
    pub(super) fn new(
        inner: BoxStream<'static, Result<Bytes>>,
        operating: Operating,
        trace: Arc<Trace>,
        expected: u64,
        checksum: Option<Checksum>,
    ) -> Self {
        let check = checksum.map(|checksum| {
            let digest = Digest::new(checksum.algorithm());
            (checksum, digest)
        });
        Self { inner, operating, trace, expected, seen: 0, check, ended: false }
    }

    fn take(&mut self, chunk: Bytes) -> Result<Bytes> {
        self.seen += chunk.len() as u64;
        if self.seen > self.expected {
            return Err(self.wrong_length());
        }
        if let Some((_, digest)) = &mut self.check {
            digest.update(&chunk);
        }
        if self.seen == self.expected {
            self.verify()?;
        }
        Ok(chunk)
    }

    fn end(&mut self) -> Result<()> {
        if self.seen == self.expected { self.verify() } else { Err(self.wrong_length()) }
    }

    /// Compares once; later calls have nothing left to compare.
    fn verify(&mut self) -> Result<()> {
        let Some((expected, digest)) = self.check.take() else { return Ok(()) };
        let actual = digest.finish();
        let right = actual.matches(&expected);
        let knowledge = self.operating.etags();
        match (expected.is_from_etag(), right, knowledge.get()) {
            (true, true, EtagDigest::Learn) => knowledge.set(EtagDigest::Always),
            (true, false, EtagDigest::Learn) => knowledge.set(EtagDigest::Never),
            (_, false, _) => {
                let mismatch = IntegrityError::Read { expected, actual };
                return Err(self.operating.corrupt(&self.trace, mismatch));
            }
            _ => {}
        }
        Ok(())
    }

    fn wrong_length(&self) -> object_store::Error {
        let mismatch = IntegrityError::Length { expected: self.expected, actual: self.seen };
        self.operating.corrupt(&self.trace, mismatch)
    }
}

impl Stream for CheckedBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        // `object_store` may ask for the rest of the body here: that attempt belongs to this trace.
        let next = ready!(this.trace.enter(|| this.inner.as_mut().poll_next(context)));
        let item = match next {
            Some(Ok(chunk)) => Some(this.take(chunk)),
            Some(Err(error)) => Some(Err(this.operating.annotate(&this.trace, error))),
            None => this.end().err().map(Err),
        };
        this.ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}
