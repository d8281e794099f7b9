//! Checksums as they come in headers, and their computation over a stream.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};
use object_store::client::HttpRequestBody;
use sha2::Sha256;

use super::upload;

/// The checksum algorithms that providers send with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// CRC-64/NVME, big-endian in headers (`x-amz-checksum-crc64nvme`).
    Crc64Nvme,
    /// CRC-32C (`x-amz-checksum-crc32c`, `x-goog-hash: crc32c=`).
    Crc32c,
    /// CRC-32 (`x-amz-checksum-crc32`).
    Crc32,
    /// SHA-256 (`x-amz-checksum-sha256`).
    Sha256,
    /// MD5 (`Content-MD5`, `x-goog-hash: md5=`, plain `ETag`s).
    Md5,
}

impl Algorithm {
    fn len(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
            Self::Sha256 => 32,
            Self::Md5 => 16,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc64Nvme => "CRC-64/NVME",
            Self::Crc32c => "CRC-32C",
            Self::Crc32 => "CRC-32",
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        })
    }
}

/// A checksum of a whole body.
#[derive(Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    value: Vec<u8>,
    from_etag: bool,
}

impl Checksum {
    /// Reads a Base64 value; `None` if it is not one of the algorithm's length, as is the case for
    /// checksums of checksums of a multipart object (`…-7`).
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Self> {
        let value = STANDARD.decode(text.trim()).ok()?;
        (value.len() == algorithm.len()).then_some(Self { algorithm, value, from_etag: false })
    }

    /// Reads an `ETag` that may be the MD5 of the body: 32 hex digits, quoted or not.
    pub fn from_md5_etag(etag: &str) -> Option<Self> {
        let hex = etag.trim_matches('"');
        if hex.len() != 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let value = (0..32).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
        Some(Self { algorithm: Algorithm::Md5, value, from_etag: true })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether it is an `ETag` that looks like an MD5, which not every provider means by it.
    pub fn is_from_etag(&self) -> bool {
        self.from_etag
    }

    /// The checksum of `chunks` taken together.
    pub fn of<'a>(algorithm: Algorithm, chunks: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = Digest::new(algorithm);
        chunks.into_iter().for_each(|chunk| digest.update(chunk));
        digest.finish()
    }

    /// The value as headers carry it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.value)
    }

    /// Whether both name the same value of the same algorithm.
    pub fn matches(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.value == other.value
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, self.to_base64())
    }
}

/// The checksum of a request body.
pub fn body_checksum(algorithm: Algorithm, body: &HttpRequestBody) -> Checksum {
    let chunks = upload::chunks(body);
    Checksum::of(algorithm, chunks.iter().map(AsRef::as_ref))
}

/// A running checksum.
pub(super) enum Digest {
    Crc(Algorithm, crc_fast::Digest),
    Sha256(Sha256),
    Md5(Md5),
}

impl Digest {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let crc = |kind| Self::Crc(algorithm, crc_fast::Digest::new(kind));
        match algorithm {
            Algorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            Algorithm::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Md5 => Self::Md5(Md5::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(_, digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
            Self::Md5(digest) => digest.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Checksum {
        let (algorithm, value) = match self {
            Self::Crc(algorithm, digest) => {
                let value = digest.finalize().to_be_bytes();
                (algorithm, value[8 - algorithm.len()..].to_vec())
            }
            Self::Sha256(digest) => (Algorithm::Sha256, digest.finalize().to_vec()),
            Self::Md5(digest) => (Algorithm::Md5, digest.finalize().to_vec()),
        };
        Checksum { algorithm, value, from_etag: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values of the CRC catalogue (reveng), RFC 1321 and FIPS 180-4 for "123456789".
    #[test]
    fn checksums_agree_with_published_check_values() {
        let of = |algorithm| Checksum::of(algorithm, [b"1234".as_slice(), b"56789"]).value;
        assert_eq!(of(Algorithm::Crc32), 0xcbf4_3926_u32.to_be_bytes());
        assert_eq!(of(Algorithm::Crc32c), 0xe306_9283_u32.to_be_bytes());
        assert_eq!(of(Algorithm::Crc64Nvme), 0xae8b_1486_0a79_9888_u64.to_be_bytes());
        let md5 = Checksum::from_md5_etag("\"25f9e794323b453885f5181f1b624d0b\"").unwrap();
        assert!(md5.matches(&Checksum::of(Algorithm::Md5, [b"123456789".as_slice()])));
    }

    #[test]
    fn multipart_etags_and_composite_checksums_are_not_taken_for_digests() {
        assert_eq!(Checksum::from_md5_etag("\"25f9e794323b453885f5181f1b624d0b-3\""), None);
        assert_eq!(Checksum::from_md5_etag("\"not-hex\""), None);
        assert_eq!(Checksum::from_base64(Algorithm::Crc32, "AAAAAA==-3"), None);
        assert_eq!(Checksum::from_base64(Algorithm::Crc64Nvme, "AAAAAA=="), None);
    }
}
