//! What goes wrong in a folder, as errors that name the key and what to do about it.

use std::path::Path as FilePath;
use std::{fmt, io};

use lifeboat_core::{Error as OwnError, ErrorKind};
use object_store::Error;
use object_store::path::Path;

/// An error of the file system while `doing` something for `key`.
pub(super) fn failed(key: &Path, doing: &str, error: io::Error) -> Error {
    let path = key.to_string();
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: error.into() },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: error.into() },
        kind => {
            if kind == io::ErrorKind::CrossesDevices {
                let message = "the key lies on another file system than the root of the store";
                return unsupported(
                    key,
                    message,
                    "open the folder that is mounted or linked there",
                );
            }
            let message = format!("cannot {doing} the file: {error}");
            let own = OwnError::new(ErrorKind::Local, message).with_key(key);
            let own = match kind {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    own.with_remedy("free some space on the disk")
                }
                _ => own,
            };
            own.with_source(error).into()
        }
    }
}

/// As [`failed`], where whatever says that there is no such file is a missing object.
pub(super) fn missing_or_failed(key: &Path, doing: &str, error: io::Error) -> Error {
    if is_missing(error.kind()) {
        return Error::NotFound { path: key.to_string(), source: error.into() };
    }
    failed(key, doing, error)
}

/// A file below a file, and a name that no file can have, are missing as well.
pub(super) fn is_missing(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

/// What a folder cannot do, whatever its state.
pub(super) fn unsupported(key: &Path, message: &str, remedy: &str) -> Error {
    OwnError::new(ErrorKind::NotSupported, message).with_key(key).with_remedy(remedy).into()
}

/// Not an object: a folder, a pipe, a device.
pub(super) fn not_a_file(key: &Path) -> Error {
    let source = "there is no regular file of this name".into();
    Error::NotFound { path: key.to_string(), source }
}

/// A request that is wrong in itself.
pub(super) fn invalid(
    key: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    failed(key, "read", io::Error::new(io::ErrorKind::InvalidInput, source))
}

/// The file is another one now than when it was opened.
pub(super) fn changed(key: &Path) -> Error {
    let message = "the file changed while it was read";
    OwnError::new(ErrorKind::Integrity, message)
        .with_key(key)
        .with_remedy("read it again when nobody writes to it")
        .into()
}

/// The folder itself is gone or unreadable: nothing can be said about any object in it.
#[derive(Debug)]
pub(super) struct FolderGone;

impl fmt::Display for FolderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the folder of the store cannot be opened")
    }
}

impl std::error::Error for FolderGone {}

impl FolderGone {
    /// Deliberately without the `io::Error`, whose "not found" would speak of an object.
    pub(super) fn error(root: &FilePath, error: &io::Error) -> Error {
        let message = format!("the folder `{}` cannot be opened: {error}", root.display());
        OwnError::new(ErrorKind::Unavailable, message)
            .with_remedy("mount it, or correct its permissions")
            .with_source(Self)
            .into()
    }

    pub(super) fn is_in(error: &Error) -> bool {
        let first: &(dyn std::error::Error + 'static) = error;
        std::iter::successors(Some(first), |error| error.source())
            .any(<dyn std::error::Error>::is::<Self>)
    }
}
