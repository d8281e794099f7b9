//! Multipart uploads as clients see them; their state is in `uploads`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use http::StatusCode;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Checksum as Sums,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, ListPartsInput, ListPartsOutput,
    Part as ListedPart, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::source::Source;
use super::uploads::Part;
use super::{Bucket, Gate, attributes, failure, keys};

/// Amazon S3 User Guide, "Multipart upload limits".
const MOST_PARTS: u32 = 10_000;

/// Amazon S3 API reference, `ListParts`.
const PARTS_PER_PAGE: i32 = 1000;

pub(super) async fn create_multipart_upload(
    gate: &Gate,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let S3Request { input, headers, .. } = request;
    let bucket = gate.bucket(&input.bucket)?;
    let attributes = attributes::from_request(&headers, input.metadata)?;
    let id = gate.uploads.begin(bucket, keys::path(&input.key)?, attributes).await?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: input.checksum_type,
        key: Some(input.key),
        upload_id: Some(id),
        ..CreateMultipartUploadOutput::default()
    }))
}

pub(super) async fn upload_part(
    gate: &Gate,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let S3Request { input, headers, trailing_headers, .. } = request;
    let bucket = gate.bucket(&input.bucket)?;
    let (source, size) =
        Source::client(input.body, input.content_length, &headers, trailing_headers)?;
    let place = (input.upload_id.as_str(), input.key.as_str(), input.part_number);
    let (etag, sums) = put_part(gate, bucket, place, source, size).await?;
    Ok(S3Response::new(UploadPartOutput {
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        e_tag: Some(etag),
        ..UploadPartOutput::default()
    }))
}

/// Reads a part whole, verifies it, and stores it.
pub(super) async fn put_part(
    gate: &Gate,
    bucket: &Bucket,
    (id, key, number): (&str, &str, i32),
    source: Source,
    size: u64,
) -> S3Result<(ETag, Sums)> {
    let upload = gate.uploads.find(bucket, key, id)?;
    let number = u32::try_from(number)
        .ok()
        .filter(|number| (1..=MOST_PARTS).contains(number))
        .ok_or_else(|| s3_error!(InvalidArgument, "part numbers go from 1 to {MOST_PARTS}"))?;
    let memory = gate.memory.grant(size).await.map_err(failure::memory)?;
    let (bytes, verified) = source.with_md5().whole().await?;
    let etag = verified.md5.unwrap_or_default();
    let part =
        Part { etag: etag.clone(), size, sums: verified.sums.clone(), modified: SystemTime::now() };
    upload.put(number, part, bytes, memory).await?;
    Ok((ETag::Strong(etag), verified.sums))
}

pub(super) async fn list_parts(
    gate: &Gate,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let input = request.input;
    let bucket = gate.bucket(&input.bucket)?;
    let upload = gate.uploads.find(bucket, &input.key, &input.upload_id)?;
    let most = input.max_parts.unwrap_or(PARTS_PER_PAGE).clamp(0, PARTS_PER_PAGE);
    let after = input.part_number_marker.unwrap_or(0);
    let mut parts: Vec<ListedPart> = upload
        .parts()
        .await?
        .into_iter()
        .map(|(number, part)| listed(number, part))
        .filter(|part| part.part_number > Some(after))
        .collect();
    let page = usize::try_from(most).unwrap_or_default();
    let truncated = parts.len() > page;
    parts.truncate(page);
    let last = parts.last().and_then(|part| part.part_number);
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(input.bucket),
        is_truncated: Some(truncated),
        key: Some(input.key),
        max_parts: Some(most),
        next_part_number_marker: last.filter(|_| truncated),
        part_number_marker: Some(after),
        parts: Some(parts),
        upload_id: Some(input.upload_id),
        ..ListPartsOutput::default()
    }))
}

fn listed(number: u32, part: Part) -> ListedPart {
    ListedPart {
        checksum_crc32: part.sums.checksum_crc32,
        checksum_crc32c: part.sums.checksum_crc32c,
        checksum_crc64nvme: part.sums.checksum_crc64nvme,
        checksum_sha1: part.sums.checksum_sha1,
        checksum_sha256: part.sums.checksum_sha256,
        e_tag: Some(ETag::Strong(part.etag)),
        last_modified: Some(part.modified.into()),
        part_number: i32::try_from(number).ok(),
        size: Some(keys::length(part.size)),
    }
}

pub(super) async fn complete_multipart_upload(
    gate: &Gate,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let input = request.input;
    let bucket = gate.bucket(&input.bucket)?;
    let upload = gate.uploads.find(bucket, &input.key, &input.upload_id)?;
    if input.if_match.is_some() || input.if_none_match.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "a multipart upload cannot be completed under a condition; put the object in one request"
        ));
    }
    let whole = [&input.checksum_crc32, &input.checksum_crc32c, &input.checksum_crc64nvme]
        .into_iter()
        .chain([&input.checksum_sha1, &input.checksum_sha256]);
    if whole.into_iter().any(Option::is_some) {
        return Err(s3_error!(
            NotImplemented,
            "a checksum of the whole object cannot be verified; give those of the parts"
        ));
    }
    let listed = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let smallest = bucket.store.capabilities().parts.min_part_size;
    let announced = input.mpu_object_size.and_then(|size| u64::try_from(size).ok());
    let check = move |stored: &BTreeMap<u32, Part>| check(&listed, stored, smallest, announced);
    let etag = upload.complete(check).await?;
    Ok(S3Response::new(CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", input.bucket, input.key)),
        bucket: Some(input.bucket),
        e_tag: etag,
        key: Some(input.key),
        ..CompleteMultipartUploadOutput::default()
    }))
}

/// Whether the parts that a client lists are those that are stored. All of them must be, from 1
/// without a gap: a backend that gets them as a stream cannot leave any out.
fn check(
    listed: &[CompletedPart],
    stored: &BTreeMap<u32, Part>,
    smallest: u64,
    announced: Option<u64>,
) -> S3Result<()> {
    if listed.is_empty() {
        return Err(s3_error!(MalformedXML, "a completion lists at least one part"));
    }
    let number = |part: &CompletedPart| part.part_number.and_then(|n| u32::try_from(n).ok());
    if !listed.windows(2).all(|pair| number(&pair[0]) < number(&pair[1])) {
        return Err(s3_error!(InvalidPartOrder, "the parts must be listed in ascending order"));
    }
    for part in listed {
        let known = number(part).and_then(|number| stored.get(&number));
        if !known.is_some_and(|known| agrees(part, known)) {
            return Err(s3_error!(
                InvalidPart,
                "a part that is listed was not uploaded, or with another ETag or checksum"
            ));
        }
    }
    let gapless = listed.iter().map(number).eq((1..).map(Some).take(listed.len()));
    if listed.len() != stored.len() || !gapless {
        return Err(s3_error!(
            InvalidPart,
            "the gateway needs part numbers from 1 without a gap, and every uploaded part listed"
        ));
    }
    let but_last = stored.values().take(stored.len() - 1);
    if but_last.into_iter().any(|part| part.size < smallest) {
        return Err(s3_error!(
            EntityTooSmall,
            "every part but the last must have at least {smallest} bytes"
        ));
    }
    if announced.is_some_and(|size| size != stored.values().map(|part| part.size).sum::<u64>()) {
        return Err(s3_error!(InvalidRequest, "the parts do not have the size of the object"));
    }
    Ok(())
}

/// Whether what a client says of a part is so. A checksum that it did not have verified with the
/// part is not known here.
fn agrees(listed: &CompletedPart, stored: &Part) -> bool {
    let sums = &stored.sums;
    listed.e_tag.as_ref().is_some_and(|etag| etag.value() == stored.etag)
        && [
            (&listed.checksum_crc32, &sums.checksum_crc32),
            (&listed.checksum_crc32c, &sums.checksum_crc32c),
            (&listed.checksum_crc64nvme, &sums.checksum_crc64nvme),
            (&listed.checksum_sha1, &sums.checksum_sha1),
            (&listed.checksum_sha256, &sums.checksum_sha256),
        ]
        .into_iter()
        .all(|(listed, stored)| listed.is_none() || listed == stored)
}

pub(super) async fn abort_multipart_upload(
    gate: &Gate,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = request.input;
    let bucket = gate.bucket(&input.bucket)?;
    let upload = gate.uploads.find(bucket, &input.key, &input.upload_id)?;
    upload.abort().await?;
    gate.uploads.forget(&input.upload_id);
    let output = AbortMultipartUploadOutput::default();
    Ok(S3Response::with_status(output, StatusCode::NO_CONTENT))
}
