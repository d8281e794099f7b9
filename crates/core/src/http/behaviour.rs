//! What a backend crate decides about its store, as data.

use super::etag::EtagDigest;
use crate::Capabilities;
use crate::conditions::Trust;

/// How a copy that must not overwrite is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CopyCreate {
    /// The provider has it.
    Native,
    /// Read the source, then create the target. Bounded to [`COPY_CREATE_LIMIT`] bytes. Amazon S3
    /// has no conditional copy, and the multipart way around that loses all attributes.
    ReadAndCreate,
}

/// Largest object that [`CopyCreate::ReadAndCreate`] holds in memory.
pub const COPY_CREATE_LIMIT: u64 = 64 << 20;

/// What a backend crate decides about its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Behaviour {
    /// What the provider is said to do.
    pub declared: Capabilities,
    /// Whether a declared condition is believed, or probed before its first use.
    pub trust: Trust,
    /// How copies that must not overwrite are made.
    pub copy_create: CopyCreate,
    /// Whether the provider can list from after a key. Where it cannot, or does not list in key
    /// order, listings with an offset are filtered here.
    pub native_offset: bool,
    /// Whether the client forgets to percent-encode keys in presigned URLs, as `object_store` 0.14.2
    /// does for Google: a URL for `a%20b` then reads and writes `a b`.
    pub encode_signed_keys: bool,
    /// Check whole-object reads against the provider's checksum.
    pub verify_reads: bool,
    /// Whether `ETag`s serve as checksums.
    pub etags: EtagDigest,
}

impl Behaviour {
    /// Conservative in everything but integrity, which is on.
    pub fn new(declared: Capabilities) -> Self {
        Self {
            declared,
            trust: Trust::Probed,
            copy_create: CopyCreate::Native,
            native_offset: true,
            encode_signed_keys: false,
            verify_reads: true,
            etags: EtagDigest::Never,
        }
    }
}
