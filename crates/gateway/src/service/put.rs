//! PUT of an object: small ones in one piece, large ones in parts, conditions by the backend.

use std::future::ready;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderMap;
use object_store::path::Path;
use object_store::{
    Attributes, MultipartUpload, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutResult,
    UpdateVersion,
};
use s3s::dto::{ChecksumType, ETag, PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::checksums::Verified;
use super::conditions::{Conditions, Etags};
use super::source::Source;
use super::{Bucket, Gate, attributes, failure, keys, read};

/// Up to here an object is held whole and put at once: one request, and nothing to abort.
const SINGLE: u64 = 16 << 20;

/// The parts of larger ones: S3's advice is 8 to 16 MiB ("Performance guidelines").
const PART: u64 = 8 << 20;

pub(super) async fn put_object(
    gate: &Gate,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let S3Request { input, headers, trailing_headers, .. } = request;
    let bucket = gate.bucket(&input.bucket)?;
    let target = Target {
        path: keys::path(&input.key)?,
        attributes: attributes::from_request(&headers, input.metadata)?,
        mode: mode(bucket, &input.key, &headers).await?,
    };
    let (source, size) =
        Source::client(input.body, input.content_length, &headers, trailing_headers)?;
    let written = write(gate, bucket, target, source, size).await?;
    let sums = written.verified.sums;
    let any = [&sums.checksum_crc32, &sums.checksum_crc32c, &sums.checksum_crc64nvme]
        .into_iter()
        .chain([&sums.checksum_sha1, &sums.checksum_sha256])
        .any(Option::is_some);
    Ok(S3Response::new(PutObjectOutput {
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        checksum_type: any.then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        e_tag: written.etag,
        ..PutObjectOutput::default()
    }))
}

/// What a write makes.
pub(super) struct Target {
    pub(super) path: Path,
    pub(super) attributes: Attributes,
    pub(super) mode: PutMode,
}

/// What a write made.
pub(super) struct Written {
    pub(super) etag: Option<ETag>,
    pub(super) verified: Verified,
}

/// The condition of a put, for the backend to enforce.
///
/// `If-Match` is compared here first, because backends write ETags differently and some need their own version
/// beside it; the backend compares again, with what it gave.
async fn mode(bucket: &Bucket, key: &str, headers: &HeaderMap) -> S3Result<PutMode> {
    let conditions = Conditions::of_object(headers);
    match (conditions.matching, conditions.none_matching) {
        (None, None) => Ok(PutMode::Overwrite),
        (None, Some(Etags::Any)) => Ok(PutMode::Create),
        (None, Some(Etags::Of(_))) => {
            Err(s3_error!(NotImplemented, "a put knows If-None-Match with * only"))
        }
        (Some(_), Some(_)) => {
            Err(s3_error!(NotImplemented, "a put takes one condition, not several"))
        }
        (Some(etags), None) => {
            let meta = read::head(bucket, key).await?.meta;
            if !etags.matches(keys::etag_of(&meta).as_ref()) {
                return Err(failure::precondition());
            }
            Ok(PutMode::Update(UpdateVersion { e_tag: meta.e_tag, version: meta.version }))
        }
    }
}

/// Writes an object, and commits it only when every byte was seen and found right.
pub(super) async fn write(
    gate: &Gate,
    bucket: &Bucket,
    target: Target,
    source: Source,
    size: u64,
) -> S3Result<Written> {
    // Multipart uploads know no conditions, so a conditional put is held whole, whatever its size.
    if size <= SINGLE || target.mode != PutMode::Overwrite {
        put_whole(gate, bucket, target, source, size).await
    } else {
        put_parts(gate, bucket, target, source, size).await
    }
}

async fn put_whole(
    gate: &Gate,
    bucket: &Bucket,
    target: Target,
    source: Source,
    size: u64,
) -> S3Result<Written> {
    let _memory = gate.memory.grant(size).await.map_err(failure::memory)?;
    let (payload, verified) = source.whole().await?;
    let Target { path, attributes, mode } = target;
    let options = PutOptions { mode, attributes, ..PutOptions::default() };
    let put = bucket.store.put_opts(&path, payload, options).await;
    let result = put.map_err(|error| failure::backend(&*bucket.store, &error))?;
    Ok(Written { etag: etag(bucket, &path, result).await?, verified })
}

async fn put_parts(
    gate: &Gate,
    bucket: &Bucket,
    target: Target,
    mut source: Source,
    size: u64,
) -> S3Result<Written> {
    let limits = bucket.store.capabilities().parts;
    let part_size = limits.part_size_for(size, PART).ok_or_else(|| {
        s3_error!(EntityTooLarge, "the backend of this bucket does not take objects of this size")
    })?;
    // One part is on its way to the backend while the next comes in.
    let memory = gate.memory.grant(part_size.saturating_mul(2)).await;
    let _memory = memory.map_err(failure::memory)?;
    let failed = |error| failure::backend(&*bucket.store, &error);
    let options =
        PutMultipartOptions { attributes: target.attributes, ..PutMultipartOptions::default() };
    let upload = bucket.store.put_multipart_opts(&target.path, options).await.map_err(failed)?;
    let mut abandoned = Abandoned(Some(upload));
    let Some(upload) = abandoned.0.as_deref_mut() else { return Err(s3_error!(InternalError)) };
    let mut sending: BoxFuture<'_, S3Result<()>> = ready(Ok(())).boxed();
    while source.ended().is_none() {
        let (part, ()) = futures::try_join!(source.part(part_size), sending)?;
        sending = upload.put_part(part).map(|sent| sent.map_err(failed)).boxed();
    }
    sending.await?;
    let result = upload.complete().await.map_err(failed)?;
    abandoned.0 = None;
    let verified = source.ended().cloned().unwrap_or_default();
    Ok(Written { etag: etag(bucket, &target.path, result).await?, verified })
}

/// The ETag of what was written; where a put does not tell, the object does.
pub(super) async fn etag(
    bucket: &Bucket,
    path: &Path,
    result: PutResult,
) -> S3Result<Option<ETag>> {
    match result.e_tag {
        Some(etag) => Ok(keys::etag(&etag)),
        None => Ok(keys::etag_of(&read::head(bucket, path.as_ref()).await?.meta)),
    }
}

/// An upload that is aborted when this is dropped: the body was wrong, or the client went away.
struct Abandoned(Option<Box<dyn MultipartUpload>>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(upload) = self.0.take() {
            abort(upload);
        }
    }
}

/// Aborts an upload in the background.
pub(super) fn abort(mut upload: Box<dyn MultipartUpload>) {
    // Outside of the runtime the process is about to end.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        if let Err(error) = upload.abort().await {
            tracing::warn!(%error, "an upload was left unfinished at the backend");
        }
    });
}
