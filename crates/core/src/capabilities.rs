//! What a backend can do, as far as it is known: declared by its provider, confirmed by a probe.

/// Whether something is done, is not done, or nobody has found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Support {
    /// Known to be done and enforced.
    Yes,
    /// Known not to be done, or accepted and silently ignored.
    No,
    /// No evidence; never relied on.
    #[default]
    Unknown,
}

impl Support {
    /// Whether it may be relied on.
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }

    /// The word used in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

impl From<bool> for Support {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

impl std::fmt::Display for Support {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a multipart upload must keep to. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartLimits {
    /// Smallest size of every part but the last.
    pub min_part_size: u64,
    /// Largest size of a part, and of an object put in one request.
    pub max_part_size: u64,
    /// Most parts in one upload.
    pub max_parts: u32,
    /// Whether all parts but the last must have one size (Cloudflare R2).
    pub equal_parts: bool,
    /// Largest object.
    pub max_object_size: u64,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl PartLimits {
    /// Amazon S3: 10,000 parts of 5 MiB to 5 GiB, objects to 5 TiB.
    ///
    /// Source: Amazon S3 User Guide, "Amazon S3 multipart upload limits".
    pub const S3: Self = Self {
        min_part_size: 5 * MIB,
        max_part_size: 5 * GIB,
        max_parts: 10_000,
        equal_parts: false,
        max_object_size: 5 * 1024 * GIB,
    };

    /// Azure Blob Storage: 50,000 blocks of up to 4,000 MiB, with no smallest size.
    ///
    /// Source: Azure documentation, "Scalability and performance targets for Blob storage".
    pub const AZURE: Self = Self {
        min_part_size: 1,
        max_part_size: 4_000 * MIB,
        max_parts: 50_000,
        equal_parts: false,
        max_object_size: 50_000 * 4_000 * MIB,
    };

    /// No limit that is known: a local folder, memory.
    pub const NONE: Self = Self {
        min_part_size: 1,
        max_part_size: u64::MAX,
        max_parts: u32::MAX,
        equal_parts: false,
        max_object_size: u64::MAX,
    };

    /// The smallest part size, at least `preferred`, with which an object of `size` bytes fits.
    ///
    /// Returns `None` where no part size does: the object is too large for this backend.
    ///
    /// ```
    /// use lifeboat_core::PartLimits;
    /// let scaleway = PartLimits { max_parts: 1_000, ..PartLimits::S3 };
    /// assert_eq!(scaleway.part_size_for(10 << 20, 8 << 20), Some(8 << 20));
    /// assert_eq!(scaleway.part_size_for(16_000 << 20, 8 << 20), Some(16 << 20));
    /// assert_eq!(scaleway.part_size_for(6 << 40, 8 << 20), None);
    /// ```
    pub fn part_size_for(&self, size: u64, preferred: u64) -> Option<u64> {
        if size > self.max_object_size {
            return None;
        }
        let needed = size.div_ceil(u64::from(self.max_parts));
        let rounded = if needed > preferred { needed.div_ceil(MIB) * MIB } else { preferred };
        let part = rounded.max(self.min_part_size);
        (part <= self.max_part_size).then_some(part)
    }
}

/// What a backend can do.
///
/// *Declared* by the catalogue or the provider's documentation, and *confirmed* by
/// [`BlobStore::confirm_capabilities`](crate::BlobStore::confirm_capabilities): what was probed
/// replaces what was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// A put with `PutMode::Create` is refused if the key exists.
    pub create_if_absent: Support,
    /// A put with `PutMode::Update` is refused if the ETag (or generation) is not the current one.
    pub compare_and_swap: Support,
    /// User metadata is kept.
    pub user_metadata: Support,
    /// Listings come in the byte order of keys, so that "after this key" skips nothing.
    pub ordered_listing: Support,
    /// Presigned URLs can be made.
    pub presigned_urls: Support,
    /// Most keys of one bulk delete request; `None` where each key costs a request.
    pub bulk_delete: Option<u32>,
    /// Limits of multipart uploads.
    pub parts: PartLimits,
}

impl Capabilities {
    /// What is assumed of a store that nothing is known about.
    pub const CONSERVATIVE: Self = Self {
        create_if_absent: Support::Unknown,
        compare_and_swap: Support::Unknown,
        user_metadata: Support::Unknown,
        ordered_listing: Support::Unknown,
        presigned_urls: Support::Unknown,
        bulk_delete: None,
        parts: PartLimits::S3,
    };
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::CONSERVATIVE
    }
}
