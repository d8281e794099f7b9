//! The one place in a bucket that belongs to Lifeboat itself.

use object_store::path::Path;

/// Everything Lifeboat writes for itself (probes, later the journal) lies under this prefix.
///
/// Tools that copy or list an application's objects leave it out; see [`is_reserved`].
pub const RESERVED_PREFIX: &str = ".lifeboat";

/// Whether `path` lies under [`RESERVED_PREFIX`].
///
/// ```
/// use lifeboat_core::is_reserved;
/// assert!(is_reserved(&".lifeboat/probe/x".into()));
/// assert!(!is_reserved(&".lifeboats/x".into()));
/// ```
pub fn is_reserved(path: &Path) -> bool {
    path.parts().next().is_some_and(|part| part.as_ref() == RESERVED_PREFIX)
}
