//! How an S3-compatible service differs from Amazon S3, as data.

use lifeboat_core::http::EtagDigest;
use lifeboat_core::{PartLimits, Support};

/// Where the bucket stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Addressing {
    /// `https://endpoint/bucket/key`. Works nearly everywhere, with any bucket name.
    #[default]
    Path,
    /// `https://bucket.endpoint/key`. Needs a bucket name that is a DNS label.
    Virtual,
}

/// The checksum sent with each upload, which the service verifies before it stores anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UploadChecksum {
    /// CRC-64/NVME: the cheapest, and of the whole object even for multipart uploads.
    Crc64Nvme,
    /// SHA-256: understood by every service that knows `x-amz-checksum-*` at all.
    Sha256,
}

/// What a service does differently. Everything here is a fact about a service, not a preference.
///
/// ```
/// use lifeboat_core::Support;
/// use lifeboat_s3::Quirks;
/// // A service that ignores `If-None-Match` and chokes on checksum headers:
/// let quirks = Quirks { create_if_absent: Support::No, checksum: None, ..Quirks::COMPATIBLE };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// Where the bucket stands.
    pub addressing: Addressing,
    /// Checksum headers: `None` for services that refuse or mishandle them. The signed hash of
    /// the payload protects uploads there.
    pub checksum: Option<UploadChecksum>,
    /// Whether a plain `ETag` is the MD5 of the body.
    pub etags: EtagDigest,
    /// Whether `PutMode::Create` (`If-None-Match: *`) is enforced.
    pub create_if_absent: Support,
    /// Whether `PutMode::Update` (`If-Match`) is enforced.
    pub compare_and_swap: Support,
    /// Whether listings come in the byte order of keys.
    pub ordered_listing: Support,
    /// Whether objects can have tags.
    pub tagging: bool,
    /// Most keys of one `DeleteObjects`; `None` where the service does not have it.
    pub bulk_delete: Option<u32>,
    /// Limits of multipart uploads.
    pub parts: PartLimits,
}

impl Quirks {
    /// Amazon S3 itself.
    ///
    /// Source: Amazon S3 User Guide ("Checking object integrity", "How to prevent object
    /// overwrites with conditional writes", "Multipart upload limits") and API reference
    /// (`DeleteObjects`: up to 1,000 keys; `Object`: `ETag` is the MD5 of plain single-part objects).
    pub const AMAZON: Self = Self {
        addressing: Addressing::Virtual,
        checksum: Some(UploadChecksum::Crc64Nvme),
        etags: EtagDigest::Always,
        create_if_absent: Support::Yes,
        compare_and_swap: Support::Yes,
        ordered_listing: Support::Yes,
        tagging: true,
        bulk_delete: Some(1_000),
        // 10,000 parts of 5 GiB; what is compatible mostly still ends at 5 TiB.
        parts: PartLimits { max_object_size: 50_000 << 30, ..PartLimits::S3 },
    };

    /// A service that nothing is known about but that it speaks S3.
    pub const COMPATIBLE: Self = Self {
        addressing: Addressing::Path,
        checksum: None,
        etags: EtagDigest::Learn,
        create_if_absent: Support::Unknown,
        compare_and_swap: Support::Unknown,
        ordered_listing: Support::Unknown,
        tagging: true,
        bulk_delete: Some(1_000),
        parts: PartLimits::S3,
    };
}

impl Default for Quirks {
    fn default() -> Self {
        Self::COMPATIBLE
    }
}
