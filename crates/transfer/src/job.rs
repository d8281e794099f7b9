//! What the copies of one call have in common: the two stores, the bounds, the watcher.

use lifeboat_core::{BlobStore, Error, ErrorKind};
use object_store::path::Path;

use crate::body::{BodyError, WrongLength};
use crate::budget::Budget;
use crate::{CopyOptions, Progress, describe};

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
                self.error(ErrorKind::NotSupported, message, self.target, to)
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

    pub(crate) fn read_failed(&self, from: &Path, error: BodyError) -> Error {
        match error {
            BodyError::Source(error) => describe(self.source, from, error),
            BodyError::Length(length) => self.wrong_length(from, length),
        }
    }

    fn wrong_length(&self, from: &Path, length: WrongLength) -> Error {
        self.error(ErrorKind::Integrity, length.to_string(), self.source, from)
            .with_remedy("copy it again when nobody writes to it")
    }

    pub(crate) fn error(
        &self,
        kind: ErrorKind,
        message: impl Into<String>,
        store: &dyn BlobStore,
        key: &Path,
    ) -> Error {
        Error::new(kind, message).with_backend(store.identity().id()).with_key(key)
    }
}

pub(crate) fn is_one_store(one: &dyn BlobStore, other: &dyn BlobStore) -> bool {
    std::ptr::addr_eq(one, other) && one.identity() == other.identity()
}
