//! Where the bytes of a write come from: a client, verified as they stream by, or another object.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::HeaderMap;
use lifeboat_core::BlobStore;
use object_store::{PutPayload, PutPayloadMut};
use s3s::dto::StreamingBlob;
use s3s::stream::ByteStream;
use s3s::{S3Error, S3Result, TrailingHeaders, s3_error};

use super::checksums::{Digests, Verified, Wanted};
use super::failure;
use crate::guard::Refusal;

/// The bytes of a write. That it has [ended](Self::ended) is known only once all of them are right.
pub(super) struct Source {
    from: Origin,
    digests: Option<Digests>,
    /// What was read and did not fit into a part.
    rest: Bytes,
    /// What is still to come, by what was announced.
    left: u64,
    verified: Option<Verified>,
}

enum Origin {
    Client { body: StreamingBlob, trailers: Option<TrailingHeaders>, payload: Payload },
    Store { store: Arc<dyn BlobStore>, stream: BoxStream<'static, object_store::Result<Bytes>> },
}

/// What a request says of its payload; it decides what a body that breaks off means.
#[derive(Debug, Clone, Copy)]
enum Payload {
    Hashed,
    SignedChunks,
    Other,
}

impl Payload {
    fn of(headers: &HeaderMap) -> Self {
        match headers.get("x-amz-content-sha256").map(http::HeaderValue::as_bytes) {
            Some(value) if value.starts_with(b"STREAMING-AWS4") => Self::SignedChunks,
            Some(value) if value.len() == 64 => Self::Hashed,
            _ => Self::Other,
        }
    }

    /// A client whose connection broke sees no answer, so this is for those that are still there.
    fn broken(self) -> S3Error {
        match self {
            Self::Hashed => failure::refusal(Refusal::bad(
                "XAmzContentSHA256Mismatch",
                "the body does not match its x-amz-content-sha256",
            )),
            Self::SignedChunks => {
                s3_error!(SignatureDoesNotMatch, "a chunk of the body does not match its signature")
            }
            Self::Other => s3_error!(IncompleteBody, "the body broke off"),
        }
    }
}

impl Source {
    /// The body of a request, and its length, which must have been announced.
    pub(super) fn client(
        body: Option<StreamingBlob>,
        length: Option<i64>,
        headers: &HeaderMap,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<(Self, u64)> {
        let body = body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
        let announced = length.and_then(|length| u64::try_from(length).ok());
        let framed = || body.remaining_length().exact().map(|length| length as u64);
        let length = announced.or_else(framed).ok_or_else(|| {
            s3_error!(MissingContentLength, "the length of the body must be announced")
        })?;
        let from = Origin::Client { body, trailers, payload: Payload::of(headers) };
        Ok((Self::new(from, length, Wanted::from_headers(headers, true)), length))
    }

    /// The bytes of an object.
    pub(super) fn store(
        store: Arc<dyn BlobStore>,
        stream: BoxStream<'static, object_store::Result<Bytes>>,
        length: u64,
    ) -> Self {
        Self::new(Origin::Store { store, stream }, length, Wanted::default())
    }

    fn new(from: Origin, left: u64, wanted: Wanted) -> Self {
        let digests = Some(Digests::new(wanted));
        Self { from, digests, rest: Bytes::new(), left, verified: None }
    }

    /// Computes the MD5 too, for an ETag.
    pub(super) fn with_md5(mut self) -> Self {
        self.digests = self.digests.map(Digests::with_md5);
        self
    }

    /// Reads up to `size` bytes, and fewer only at the end.
    pub(super) async fn part(&mut self, size: u64) -> S3Result<PutPayload> {
        let mut pieces = PutPayloadMut::new();
        let mut room = size;
        loop {
            if self.rest.is_empty() {
                // The end is looked for as soon as it is due, not when another part is asked for.
                if room == 0 && self.left > 0 {
                    break;
                }
                match self.next().await? {
                    Some(piece) => self.rest = piece,
                    None => break,
                }
            }
            if room == 0 {
                break;
            }
            let length = usize::try_from(room).unwrap_or(usize::MAX).min(self.rest.len());
            room -= length as u64;
            pieces.push(self.rest.split_to(length));
        }
        Ok(pieces.freeze())
    }

    /// Reads all there is.
    pub(super) async fn whole(mut self) -> S3Result<(PutPayload, Verified)> {
        let payload = self.part(u64::MAX).await?;
        Ok((payload, self.verified.unwrap_or_default()))
    }

    /// What was verified, once all bytes were read.
    pub(super) fn ended(&self) -> Option<&Verified> {
        self.verified.as_ref().filter(|_| self.rest.is_empty())
    }

    async fn next(&mut self) -> S3Result<Option<Bytes>> {
        if self.verified.is_some() {
            return Ok(None);
        }
        let piece = match &mut self.from {
            Origin::Client { body, payload, .. } => {
                body.next().await.transpose().map_err(|_| payload.broken())?
            }
            Origin::Store { store, stream } => {
                let piece = stream.next().await.transpose();
                piece.map_err(|error| failure::backend(&**store, &error))?
            }
        };
        match piece {
            Some(piece) => {
                self.left = self.left.checked_sub(piece.len() as u64).ok_or_else(|| {
                    s3_error!(IncompleteBody, "the body is longer than was announced")
                })?;
                if let Some(digests) = &mut self.digests {
                    digests.update(&piece);
                }
                Ok(Some(piece))
            }
            None => self.end().map(|()| None),
        }
    }

    fn end(&mut self) -> S3Result<()> {
        match &self.from {
            Origin::Client { .. } if self.left > 0 => {
                return Err(s3_error!(IncompleteBody, "the body is shorter than was announced"));
            }
            Origin::Store { .. } if self.left > 0 => {
                return Err(s3_error!(InternalError, "the source broke off; try again"));
            }
            _ => {}
        }
        let trailers = match &self.from {
            Origin::Client { trailers, .. } => trailers.as_ref().and_then(TrailingHeaders::take),
            Origin::Store { .. } => None,
        };
        let verified = self.digests.take().map(|digests| digests.verify(trailers.as_ref()));
        self.verified = Some(verified.transpose().map_err(failure::refusal)?.unwrap_or_default());
        Ok(())
    }
}
