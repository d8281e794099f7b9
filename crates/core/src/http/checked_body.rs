//! Checks a body against the checksum and the length that came with it, as it streams by.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::{BoxStream, Stream};
use object_store::Result;

use super::checksum::Checksum;
use super::etag::EtagDigest;
use super::hashing::Hashing;
use super::integrity::IntegrityError;
use super::operating::Operating;
use super::trace::Trace;

/// A body that is counted and, where a checksum came with it, checked. The last chunk is only
/// handed out if everything is right, so a reader of the whole body never sees a corrupt one.
pub(super) struct CheckedBody {
    inner: BoxStream<'static, Result<Bytes>>,
    operating: Operating,
    trace: Arc<Trace>,
    expected: u64,
    seen: u64,
    check: Option<(Checksum, Hashing)>,
    /// The last chunk, while its hash is still being computed.
    last: Option<Bytes>,
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
            let hashing = Hashing::new(checksum.algorithm(), expected);
            (checksum, hashing)
        });
        Self { inner, operating, trace, expected, seen: 0, check, last: None, ended: false }
    }

    /// The next chunk of the body, or its end, or what is wrong with it.
    fn poll_checked(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.last.is_none() {
            if let Some((_, hashing)) = &mut self.check {
                ready!(hashing.poll_ready(context));
            }
            // `object_store` may ask for the rest of the body here: that attempt belongs to this
            // trace.
            match ready!(self.trace.enter(|| self.inner.as_mut().poll_next(context))) {
                Some(Ok(chunk)) => match self.take(chunk) {
                    Ok(Some(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                Some(Err(error)) => {
                    let error = self.operating.annotate(&self.trace, error);
                    return Poll::Ready(Some(Err(error)));
                }
                None if self.seen != self.expected => {
                    return Poll::Ready(Some(Err(self.wrong_length())));
                }
                None => {}
            }
        }
        let verified = ready!(self.poll_verify(context));
        Poll::Ready(verified.map(|()| self.last.take()).transpose())
    }

    /// Counts and hashes a chunk; keeps it back if it is the last one.
    fn take(&mut self, chunk: Bytes) -> Result<Option<Bytes>> {
        self.seen += chunk.len() as u64;
        if self.seen > self.expected {
            return Err(self.wrong_length());
        }
        if let Some((_, hashing)) = &mut self.check {
            hashing.push(&chunk);
        }
        if self.seen == self.expected {
            self.last = Some(chunk);
            return Ok(None);
        }
        Ok(Some(chunk))
    }

    /// Compares once; later calls have nothing left to compare.
    fn poll_verify(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some((expected, hashing)) = &mut self.check else { return Poll::Ready(Ok(())) };
        let actual = ready!(hashing.poll_finish(context));
        let expected = expected.clone();
        self.check = None;
        Poll::Ready(match actual {
            Ok(actual) => self.compare(expected, actual),
            Err(lost) => {
                let store = self.operating.0.dialect.store();
                Err(object_store::Error::Generic { store, source: Box::new(lost) })
            }
        })
    }

    fn compare(&self, expected: Checksum, actual: Checksum) -> Result<()> {
        let right = actual.matches(&expected);
        let knowledge = self.operating.etags();
        match (expected.is_from_etag(), right, knowledge.get()) {
            (true, true, EtagDigest::Learn) => knowledge.settle(EtagDigest::Always),
            (true, false, EtagDigest::Learn) => knowledge.settle(EtagDigest::Never),
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
        if self.ended {
            return Poll::Ready(None);
        }
        let item = ready!(self.poll_checked(context));
        self.ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}
