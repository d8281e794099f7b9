//! The order of listings.

use std::cmp::Ordering;

use object_store::path::Path;

/// In which order a backend lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By the bytes of the key, as Amazon S3 does.
    Bytes,
    /// Folder by folder, as `SeaweedFS` does: `a/x` comes before `a-b`, although `-` is less than `/`.
    Folders,
}

impl Order {
    /// Compares two keys.
    pub fn compare(self, one: &Path, other: &Path) -> Ordering {
        match self {
            Self::Bytes => one.as_ref().cmp(other.as_ref()),
            Self::Folders => one.as_ref().split('/').cmp(other.as_ref().split('/')),
        }
    }
}

/// Whether a key lies below a prefix, in `object_store`'s sense: by whole parts, and not the prefix itself.
pub(super) fn lies_below(key: &Path, prefix: Option<&Path>) -> bool {
    let Some(prefix) = prefix.filter(|prefix| !prefix.as_ref().is_empty()) else { return true };
    let rest = key.as_ref().strip_prefix(prefix.as_ref());
    rest.is_some_and(|rest| rest.starts_with('/'))
}
