//! GET and HEAD of an object.

use std::ops::Range as Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore};
use s3s::dto::{
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range, StorageClass,
    StreamingBlob,
};
use s3s::{Body, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::attributes::Carried;
use super::conditions::{Conditions, Outcome};
use super::keys::{self, etag_of, length, modified};
use super::{Bucket, Gate, failure};

pub(super) async fn get_object(
    gate: &Gate,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let S3Request { input, headers, .. } = request;
    refuse_part_number(input.part_number)?;
    let bucket = gate.bucket(&input.bucket)?;
    let conditions = Conditions::of_object(&headers);
    let result = open(bucket, &input.key, input.range, &conditions).await?;
    let carried = Carried::from(&result.attributes);
    let (meta, range) = (result.meta.clone(), result.range.clone());
    let size = range.end - range.start;
    let body = Exact { stream: result.into_stream(), left: size };
    Ok(S3Response::new(GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        body: Some(StreamingBlob::from(Body::http_body_unsync(body))),
        cache_control: carried.cache_control,
        content_disposition: carried.content_disposition,
        content_encoding: carried.content_encoding,
        content_language: carried.content_language,
        content_length: Some(length(size)),
        content_range: input.range.map(|_| content_range(&range, meta.size)),
        content_type: carried.content_type,
        e_tag: etag_of(&meta),
        last_modified: Some(modified(&meta)),
        metadata: carried.metadata,
        storage_class: carried.storage_class.map(StorageClass::from),
        ..GetObjectOutput::default()
    }))
}

pub(super) async fn head_object(
    gate: &Gate,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let S3Request { input, headers, .. } = request;
    refuse_part_number(input.part_number)?;
    let bucket = gate.bucket(&input.bucket)?;
    let result = head(bucket, &input.key).await?;
    let meta = &result.meta;
    judge(&Conditions::of_object(&headers), meta)?;
    let range = input.range.map(|range| satisfy(range, meta)).transpose()?;
    let carried = Carried::from(&result.attributes);
    let size = range.as_ref().map_or(meta.size, |range| range.end - range.start);
    let output = HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        cache_control: carried.cache_control,
        content_disposition: carried.content_disposition,
        content_encoding: carried.content_encoding,
        content_language: carried.content_language,
        content_length: Some(length(size)),
        content_range: range.as_ref().map(|range| content_range(range, meta.size)),
        content_type: carried.content_type,
        e_tag: etag_of(meta),
        last_modified: Some(modified(meta)),
        metadata: carried.metadata,
        storage_class: carried.storage_class.map(StorageClass::from),
        ..HeadObjectOutput::default()
    };
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    Ok(S3Response::with_status(output, status))
}

fn refuse_part_number(part_number: Option<i32>) -> S3Result<()> {
    match part_number {
        Some(_) => Err(s3_error!(NotImplemented, "reading by partNumber is not implemented")),
        None => Ok(()),
    }
}

/// Opens an object for reading, if the conditions hold.
///
/// The backend is not given the conditions: it may write ETags with or without quotes, and what it
/// answers says which version it is, so that the comparison is exact.
pub(super) async fn open(
    bucket: &Bucket,
    key: &str,
    range: Option<Range>,
    conditions: &Conditions,
) -> S3Result<GetResult> {
    let path = keys::path(key)?;
    let options = GetOptions { range: range.map(wanted), ..GetOptions::default() };
    let result = match (bucket.store.get_opts(&path, options).await, range) {
        (Ok(result), _) => result,
        (Err(error @ object_store::Error::NotFound { .. }), _) | (Err(error), None) => {
            return Err(failure::backend(&*bucket.store, &error));
        }
        // Stores have no error for it: whether the range is to blame, the object's size says.
        (Err(error), Some(range)) => {
            let meta = head(bucket, key).await?.meta;
            judge(conditions, &meta)?;
            satisfy(range, &meta)?;
            return Err(failure::backend(&*bucket.store, &error));
        }
    };
    judge(conditions, &result.meta)?;
    if let Some(range) = range {
        satisfy(range, &result.meta)?;
    }
    Ok(result)
}

/// Looks an object up.
pub(super) async fn head(bucket: &Bucket, key: &str) -> S3Result<GetResult> {
    let path = keys::path(key)?;
    let options = GetOptions { head: true, ..GetOptions::default() };
    let result = bucket.store.get_opts(&path, options).await;
    result.map_err(|error| failure::backend(&*bucket.store, &error))
}

fn wanted(range: Range) -> GetRange {
    match range {
        Range::Int { first, last: Some(last) } => GetRange::Bounded(first..last.saturating_add(1)),
        Range::Int { first, last: None } => GetRange::Offset(first),
        Range::Suffix { length } => GetRange::Suffix(length),
    }
}

/// The bytes that a range means, or 416.
pub(super) fn satisfy(range: Range, meta: &ObjectMeta) -> S3Result<Bytes<u64>> {
    match range.check(meta.size) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => {
            let mut error = s3_error!(InvalidRange, "the object has no bytes in this range");
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{}", meta.size)) {
                error.set_headers(HeaderMap::from_iter([(header::CONTENT_RANGE, value)]));
            }
            Err(error)
        }
    }
}

fn content_range(range: &Bytes<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1))
}

/// Turns conditions that do not hold into their answers.
pub(super) fn judge(conditions: &Conditions, meta: &ObjectMeta) -> S3Result<()> {
    match conditions.evaluate(meta) {
        Outcome::Met => Ok(()),
        Outcome::Failed => Err(failure::precondition()),
        Outcome::NotModified => Err(not_modified(meta)),
    }
}

/// A 304 names the version that the client has.
fn not_modified(meta: &ObjectMeta) -> S3Error {
    let mut error = s3_error!(NotModified);
    let mut headers = HeaderMap::new();
    if let Some(etag) = etag_of(meta).and_then(|etag| etag.to_http_header().ok()) {
        headers.insert(header::ETAG, etag);
    }
    let date = meta.last_modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::from_str(&date) {
        headers.insert(header::LAST_MODIFIED, date);
    }
    error.set_headers(headers);
    error
}

/// A body of exactly the length that was announced: what ends early or runs over is an error, upon which
/// the connection is cut.
struct Exact<S> {
    stream: S,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the backend's body broke off")]
    Failed(#[source] object_store::Error),
    #[error("the backend's body is shorter than it announced, by {0} bytes")]
    Short(u64),
    #[error("the backend's body is longer than it announced")]
    Long,
}

impl<S> HttpBody for Exact<S>
where
    S: Stream<Item = object_store::Result<bytes::Bytes>> + Unpin,
{
    type Data = bytes::Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Cut>>> {
        let outcome = match std::task::ready!(self.stream.poll_next_unpin(context)) {
            Some(Ok(piece)) => match self.left.checked_sub(piece.len() as u64) {
                Some(left) => {
                    self.left = left;
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                None => Cut::Long,
            },
            Some(Err(error)) => Cut::Failed(error),
            None if self.left == 0 => return Poll::Ready(None),
            None => Cut::Short(self.left),
        };
        tracing::warn!(error = %outcome, "a body is cut off");
        Poll::Ready(Some(Err(outcome)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
