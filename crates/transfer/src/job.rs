//! What the copies of one call have in common: the two stores, the bounds, the watcher.

use lifeboat_core::{BlobStore, Error, ErrorKind};
use object_store::path::Path;

use crate::body::BodyError;
use crate::budget::Budget;
use crate::{CopyOptions, Progress, backend_name, describe};

pub(crate) struct Job<'a> {
    pub(crate) source: &'a dyn BlobStore,
    pub(crate) target: &'a dyn BlobStore,
    pub(crate) options: &'a CopyOptions,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) budget: &'a Budget,
}

/// How an object of a known size goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// In one request.
    Whole,
    /// In parts of this size, but for the last.
    Parts(u64),
}

impl Plan {
    /// The memory that an object of `size` bytes needs to make progress.
    pub(crate) fn memory(self, size: u64) -> u64 {
        match self {
            Self::Whole => size,
            Self::Parts(part_size) => part_size,
        }
    }
}

impl Job<'_> {
    /// Decides how `size` bytes go over, before anything is sent.
    pub(crate) fn plan(&self, size: u64, to: &Path) -> Result<Plan, Error> {
        let limits = self.target.capabilities().parts;
        let preferred = self.options.part_size.max(1);
        if size <= preferred.min(limits.max_part_size).min(limits.max_object_size) {
            return Ok(Plan::Whole);
        }
        limits.part_size_for(size, preferred.min(limits.max_part_size)).map(Plan::Parts).ok_or_else(
            || {
                let message = format!(
                    "an object of {size} bytes is too large: the target takes at most {} parts of \
                     {} bytes and objects of {} bytes",
                    limits.max_parts, limits.max_part_size, limits.max_object_size
                );
                error_at(self.target, to, ErrorKind::NotSupported, message)
                    .with_remedy("copy it to a store with larger limits, or split it")
            },
        )
    }

    /// Whether both ends are one and the same store, so that it can copy by itself.
    ///
    /// Equal names are not enough: the same bucket name at two endpoints is two buckets.
    pub(crate) fn is_one_store(&self) -> bool {
        is_one_store(self.source, self.target)
    }
}

/// An error about one key of one store.
pub(crate) fn error_at(
    store: &dyn BlobStore,
    key: &Path,
    kind: ErrorKind,
    message: impl Into<String>,
) -> Error {
    Error::new(kind, message).with_backend(backend_name(store)).with_key(key)
}

/// Why a body of `store` did not come to its end.
pub(crate) fn read_failed(store: &dyn BlobStore, key: &Path, error: BodyError) -> Error {
    match error {
        BodyError::Source(error) => describe(store, key, error),
        BodyError::Length(length) => error_at(store, key, ErrorKind::Integrity, length.to_string())
            .with_remedy("try again when nobody writes to it"),
    }
}

pub(crate) fn is_one_store(one: &dyn BlobStore, other: &dyn BlobStore) -> bool {
    std::ptr::addr_eq(one, other) && one.identity() == other.identity()
}
