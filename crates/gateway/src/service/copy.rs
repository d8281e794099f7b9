//! Copies of objects, and of parts of them.

use http::HeaderMap;
use object_store::{CopyMode, CopyOptions, GetResult, ObjectStore, PutMode};
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource,
    MetadataDirective, Range, UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::conditions::{Conditions, Etags};
use super::put::{Target, write};
use super::source::Source;
use super::{Bucket, Gate, attributes, failure, keys, multipart, read};

pub(super) async fn copy_object(
    gate: &Gate,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let S3Request { input, headers, .. } = request;
    let bucket = gate.bucket(&input.bucket)?;
    let (source, source_key) = source(gate, &input.copy_source)?;
    let replace = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
        None | Some(MetadataDirective::COPY) => false,
        Some(MetadataDirective::REPLACE) => true,
        Some(_) => {
            return Err(s3_error!(InvalidArgument, "the metadata directive is COPY or REPLACE"));
        }
    };
    let same_bucket = source.name == bucket.name;
    if same_bucket && source_key == input.key && !replace {
        return Err(s3_error!(
            InvalidRequest,
            "an object cannot be copied onto itself without changing its metadata"
        ));
    }
    let target = Target {
        path: keys::path(&input.key)?,
        attributes: attributes::from_request(&headers, input.metadata)?,
        mode: mode(&headers)?,
    };
    let conditions = Conditions::of_source(&headers);
    if same_bucket && !replace && conditions.is_empty() {
        copy_at_backend(bucket, source_key, &target).await?;
    } else {
        // Read and write: the conditions hold for the very version that is read.
        let result = read::open(source, source_key, None, &conditions).await?;
        let attributes = if replace { target.attributes } else { result.attributes.clone() };
        let (bytes, size) = contents(source, result);
        write(gate, bucket, Target { attributes, ..target }, bytes, size).await?;
    }
    let meta = read::head(bucket, &input.key).await?.meta;
    let result = CopyObjectResult {
        e_tag: keys::etag_of(&meta),
        last_modified: Some(keys::modified(&meta)),
        ..CopyObjectResult::default()
    };
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(result),
        ..CopyObjectOutput::default()
    }))
}

async fn copy_at_backend(bucket: &Bucket, from: &str, target: &Target) -> S3Result<()> {
    let mode = match target.mode {
        PutMode::Create => CopyMode::Create,
        _ => CopyMode::Overwrite,
    };
    let options = CopyOptions { mode, ..CopyOptions::default() };
    let copied = bucket.store.copy_opts(&keys::path(from)?, &target.path, options).await;
    copied.map_err(|error| failure::backend(&*bucket.store, &error))
}

/// The condition on the target of a copy.
fn mode(headers: &HeaderMap) -> S3Result<PutMode> {
    let conditions = Conditions::of_object(headers);
    match (conditions.matching, conditions.none_matching) {
        (None, None) => Ok(PutMode::Overwrite),
        (None, Some(Etags::Any)) => Ok(PutMode::Create),
        _ => Err(s3_error!(NotImplemented, "a copy knows the condition If-None-Match: * only")),
    }
}

/// Where a copy comes from.
fn source<'a>(gate: &'a Gate, source: &'a CopySource) -> S3Result<(&'a Bucket, &'a str)> {
    let CopySource::Bucket { bucket, key, version_id } = source else {
        return Err(s3_error!(NotImplemented, "access points are not implemented"));
    };
    if version_id.as_ref().is_some_and(|version| &**version != "null") {
        return Err(s3_error!(NotImplemented, "object versions are not implemented"));
    }
    Ok((gate.bucket(bucket)?, key))
}

fn contents(bucket: &Bucket, result: GetResult) -> (Source, u64) {
    let size = result.range.end - result.range.start;
    (Source::store(bucket.store.clone(), result.into_stream(), size), size)
}

pub(super) async fn upload_part_copy(
    gate: &Gate,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let S3Request { input, headers, .. } = request;
    let bucket = gate.bucket(&input.bucket)?;
    let (source, source_key) = source(gate, &input.copy_source)?;
    let range = match input.copy_source_range.as_deref().map(Range::parse) {
        None => None,
        Some(Ok(range @ Range::Int { last: Some(_), .. })) => Some(range),
        Some(_) => {
            return Err(s3_error!(InvalidArgument, "the range of a copy is bytes=FIRST-LAST"));
        }
    };
    let conditions = Conditions::of_source(&headers);
    let result = read::open(source, source_key, range, &conditions).await?;
    if let Some(Range::Int { last: Some(last), .. }) = range
        && last >= result.meta.size
    {
        return Err(s3_error!(InvalidArgument, "the range goes beyond the end of the source"));
    }
    let last_modified = Some(keys::modified(&result.meta));
    let (bytes, size) = contents(source, result);
    let place = (input.upload_id.as_str(), input.key.as_str(), input.part_number);
    let (etag, _) = multipart::put_part(gate, bucket, place, bytes, size).await?;
    let result = CopyPartResult { e_tag: Some(etag), last_modified, ..CopyPartResult::default() };
    Ok(S3Response::new(UploadPartCopyOutput {
        copy_part_result: Some(result),
        ..UploadPartCopyOutput::default()
    }))
}
