//! Objects that a service stored otherwise than they were sent, and said so by its receipt. What lies there bears the
//! stamp of the version that was meant, so that everybody would take it for that version: it is put once more, or
//! it goes.

use std::sync::Arc;

use lifeboat_core::http::IntegrityError;
use lifeboat_core::{BlobStore, Support, VersionTag, causes};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode, PutResult, Result, UpdateVersion};

use super::conditional::head;
use super::put::Body;

/// Whether a put failed because other bytes than were sent are there now.
pub(crate) fn is_spoilt(error: &Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<IntegrityError>())
        .any(|cause| matches!(cause, IntegrityError::Stored { .. }))
}

/// Puts `body` over its spoilt copy, whatever the condition of the put was: that has been decided. If that fails too,
/// removes what bears its stamp, and returns the error.
pub(crate) async fn put_again(
    store: &Arc<dyn BlobStore>,
    key: &Path,
    body: Body,
    error: Error,
) -> Result<PutResult> {
    let Some(own) = VersionTag::of(&body.options.attributes) else { return Err(error) };
    // Somebody else may have written over it.
    let Ok(Some((spoilt, Some(tag)))) = head(&**store, key).await else { return Err(error) };
    if tag != own {
        return Err(error);
    }
    let mode = match store.capabilities().compare_and_swap {
        Support::Yes => {
            PutMode::Update(UpdateVersion { e_tag: spoilt.e_tag, version: spoilt.version })
        }
        _ => PutMode::Overwrite,
    };
    if let Ok(result) = body.put_once(Arc::clone(store), key.clone(), mode).await {
        return Ok(result);
    }
    if let Ok(Some((_, Some(tag)))) = head(&**store, key).await
        && tag == own
        && let Err(error) = store.delete(key).await
    {
        tracing::warn!(%key, %error, "an object that was stored otherwise than sent stays behind");
    }
    Err(error)
}
