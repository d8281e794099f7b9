//! DELETE of one object, and of many.

use std::collections::HashSet;
use std::sync::OnceLock;

use futures::StreamExt;
use http::StatusCode;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    Error, ObjectIdentifier,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::{Bucket, Gate, failure, keys};

/// Amazon S3 API reference, `DeleteObjects`.
const MOST_KEYS: usize = 1000;

/// How many keys are asked for again at a time, when a bulk delete did not say which it deleted.
const AT_A_TIME: usize = 8;

pub(super) async fn delete_object(
    gate: &Gate,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let input = request.input;
    let bucket = gate.bucket(&input.bucket)?;
    let conditional = input.if_match.is_some()
        || input.if_match_size.is_some()
        || input.if_match_last_modified_time.is_some();
    if conditional {
        return Err(conditions_unknown());
    }
    delete(bucket, &keys::path(&input.key)?).await?;
    Ok(S3Response::with_status(DeleteObjectOutput::default(), StatusCode::NO_CONTENT))
}

fn conditions_unknown() -> S3Error {
    s3_error!(NotImplemented, "deletes with conditions are not implemented")
}

/// Deletes one object; that there is none is no error.
async fn delete(bucket: &Bucket, path: &Path) -> S3Result<()> {
    match bucket.store.delete(path).await {
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(failure::backend(&*bucket.store, &error)),
    }
}

pub(super) async fn delete_objects(
    gate: &Gate,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let bucket = gate.bucket(&request.input.bucket)?;
    let wanted = request.input.delete;
    if wanted.objects.is_empty() || wanted.objects.len() > MOST_KEYS {
        return Err(s3_error!(MalformedXML, "a bulk delete names 1 to {MOST_KEYS} keys"));
    }
    let mut paths = Vec::with_capacity(wanted.objects.len());
    let mut errors = Vec::new();
    for object in wanted.objects {
        match deletable(&object) {
            Ok(path) => paths.push(path),
            Err(error) => errors.push(Failed::from(&error).entry(object.key)),
        }
    }
    let outcomes = delete_all(bucket, paths).await;
    let mut deleted = Vec::new();
    for (path, outcome) in outcomes {
        let key = path.to_string();
        match outcome {
            Ok(()) => {
                deleted.push(DeletedObject { key: Some(key), ..DeletedObject::default() });
            }
            Err(failed) => errors.push(failed.entry(key)),
        }
    }
    let quiet = wanted.quiet.unwrap_or(false);
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: Some(deleted).filter(|_| !quiet),
        errors: Some(errors),
        ..DeleteObjectsOutput::default()
    }))
}

fn deletable(object: &ObjectIdentifier) -> S3Result<Path> {
    if object.version_id.as_ref().is_some_and(|version| version != "null") {
        return Err(s3_error!(NotImplemented, "object versions are not implemented"));
    }
    if object.e_tag.is_some() || object.last_modified_time.is_some() || object.size.is_some() {
        return Err(conditions_unknown());
    }
    keys::path(&object.key)
}

/// Deletes all at once. An error of a bulk delete does not say of which key it is, so the keys that
/// were not confirmed are deleted once more, one by one: a delete does no harm twice. Once the
/// backend fails at one of them, it is not asked for the rest.
async fn delete_all(bucket: &Bucket, paths: Vec<Path>) -> Vec<(Path, Result<(), Failed>)> {
    let locations = futures::stream::iter(paths.clone()).map(Ok).boxed();
    let confirmed: HashSet<Path> = bucket
        .store
        .delete_stream(locations)
        .filter_map(|outcome| std::future::ready(outcome.ok()))
        .collect()
        .await;
    let down = OnceLock::new();
    let each = futures::stream::iter(paths).map(|path| {
        let confirmed = confirmed.contains(&path);
        let down = &down;
        async move {
            let outcome = match down.get() {
                _ if confirmed => Ok(()),
                Some(failed) => Err(Failed::clone(failed)),
                None => delete(bucket, &path).await.map_err(|error| {
                    let failed = Failed::from(&error);
                    if error.status_code().is_some_and(|status| status.is_server_error()) {
                        // Another may have failed meanwhile; one is enough.
                        let _ = down.set(failed.clone());
                    }
                    failed
                }),
            };
            (path, outcome)
        }
    });
    each.buffered(AT_A_TIME).collect().await
}

/// Why a key was not deleted.
#[derive(Debug, Clone)]
struct Failed {
    code: String,
    message: Option<String>,
}

impl From<&S3Error> for Failed {
    fn from(error: &S3Error) -> Self {
        let message = error.message().map(str::to_owned);
        Self { code: error.code().as_str().to_owned(), message }
    }
}

impl Failed {
    fn entry(self, key: String) -> Error {
        let Self { code, message } = self;
        Error { code: Some(code), key: Some(key), message, ..Error::default() }
    }
}
