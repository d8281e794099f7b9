//! Who watches a copy: called as it goes, from whatever task copies.

use lifeboat_core::Error;
use object_store::path::Path;

/// Watches a copy. Every call must return at once; `()` watches nothing.
///
/// Each started key is later either finished or failed, unless the copy is dropped. A key that could
/// not even be opened fails without having started.
pub trait Progress: Send + Sync {
    /// That many more objects, with that many bytes in total, are to be copied.
    fn discovered(&self, objects: u64, bytes: u64);

    /// An object of the source is being copied.
    fn started(&self, key: &Path, size: u64);

    /// That many more bytes were read from the source, or copied by the provider itself.
    fn bytes(&self, count: u64);

    /// An object was copied.
    fn finished(&self, key: &Path);

    /// An object was not copied.
    fn failed(&self, key: &Path, error: &Error);
}

impl Progress for () {
    fn discovered(&self, _objects: u64, _bytes: u64) {}

    fn started(&self, _key: &Path, _size: u64) {}

    fn bytes(&self, _count: u64) {}

    fn finished(&self, _key: &Path) {}

    fn failed(&self, _key: &Path, _error: &Error) {}
}
