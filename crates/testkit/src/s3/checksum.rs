//! The additional checksums of S3: computed, verified against headers or trailers, and told again.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use hyper::header::HeaderName;
use sha2::{Digest, Sha256};

use super::not_implemented;
use crate::call::Call;
use crate::refusal::{Headers, Refusal, header};

/// The prefix of the headers that carry a checksum.
const PREFIX: &str = "x-amz-checksum-";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha256,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha256];

    /// The name in headers; in upper case it is the one in documents.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
            Self::Crc64Nvme => "crc64nvme",
            Self::Sha256 => "sha256",
        }
    }

    /// The element in documents.
    pub(super) fn element(self) -> String {
        format!("Checksum{}", self.name().to_uppercase())
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    fn header(self) -> String {
        format!("{PREFIX}{}", self.name())
    }

    /// The digest of some pieces of data.
    pub(super) fn digest<'a>(self, data: impl IntoIterator<Item = &'a Bytes>) -> Vec<u8> {
        let (algorithm, width) = match self {
            Self::Crc32 => (CrcAlgorithm::Crc32IsoHdlc, 4),
            Self::Crc32c => (CrcAlgorithm::Crc32Iscsi, 4),
            Self::Crc64Nvme => (CrcAlgorithm::Crc64Nvme, 8),
            Self::Sha256 => {
                let mut digest = Sha256::new();
                data.into_iter().for_each(|piece| digest.update(piece));
                return digest.finalize().to_vec();
            }
        };
        let mut digest = crc_fast::Digest::new(algorithm);
        data.into_iter().for_each(|piece| digest.update(piece));
        digest.finalize().to_be_bytes()[8 - width..].to_vec()
    }
}

/// A checksum as S3 tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checksum {
    pub(super) algorithm: Algorithm,
    /// Base64, with `-N` for a checksum of the checksums of `N` parts.
    pub(super) value: String,
    pub(super) composite: bool,
}

impl Checksum {
    /// The checksum of whole data.
    pub(super) fn of(algorithm: Algorithm, data: &[Bytes]) -> Self {
        let value = BASE64_STANDARD.encode(algorithm.digest(data));
        Self { algorithm, value, composite: false }
    }

    /// The checksum of the checksums of an upload's parts.
    pub(super) fn of_parts(algorithm: Algorithm, parts: &[Checksum]) -> Self {
        let digests = parts.iter().map(|part| BASE64_STANDARD.decode(&part.value));
        let joined = Bytes::from(digests.flatten().flatten().collect::<Vec<u8>>());
        let digest = BASE64_STANDARD.encode(algorithm.digest([&joined]));
        Self { algorithm, value: format!("{digest}-{}", parts.len()), composite: true }
    }

    pub(super) fn headers(&self) -> Headers {
        let kind = if self.composite { "COMPOSITE" } else { "FULL_OBJECT" };
        vec![header(&self.algorithm.header(), &self.value), header("x-amz-checksum-type", kind)]
    }
}

/// Reads the checksum that came with an upload, in a header or a trailer, and verifies it. Without one it is computed
/// with `fallback`.
pub(super) fn verify(
    call: &Call,
    trailers: &Headers,
    data: &[Bytes],
    fallback: Algorithm,
) -> Result<Checksum, Refusal> {
    let given = Algorithm::ALL.into_iter().find_map(|algorithm| {
        let name = algorithm.header();
        let trailer = trailers.iter().find(|(known, _)| *known == name);
        let value = trailer.map(|(_, value)| value.as_str()).or_else(|| call.header(&name));
        value.map(|value| (algorithm, value.to_owned()))
    });
    let Some((algorithm, value)) = given else { return Ok(Checksum::of(fallback, data)) };
    let computed = Checksum::of(algorithm, data);
    if computed.value == value {
        return Ok(computed);
    }
    let name = algorithm.name().to_uppercase();
    let text = format!("The {name} you specified did not match the calculated checksum.");
    Err(Refusal::new(400, "BadDigest", text))
}

/// Turns away uploads that ask for what this endpoint was told not to have, or never has.
pub(super) fn refuse_unless(on: bool, call: &Call) -> Result<(), Refusal> {
    let about_checksums = |name: &str| {
        let asked = name.starts_with(PREFIX) && name != "x-amz-checksum-mode";
        asked || name == "x-amz-sdk-checksum-algorithm" || name == "x-amz-trailer"
    };
    let mut asked = call.headers.keys().map(HeaderName::as_str).filter(|n| about_checksums(n));
    match (on, asked.next()) {
        (false, Some(name)) => Err(not_implemented(name)),
        _ if call.headers.contains_key("x-amz-checksum-sha1") => {
            Err(not_implemented("x-amz-checksum-sha1"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the catalogue of CRC algorithms, and of FIPS 180 for SHA-256.
    #[test]
    fn digests_match_their_published_check_values() {
        let digest = |algorithm: Algorithm, text: &'static str| {
            crate::signing::hex(&algorithm.digest([&Bytes::from(text)]))
        };
        assert_eq!(digest(Algorithm::Crc32, "123456789"), "cbf43926");
        assert_eq!(digest(Algorithm::Crc32c, "123456789"), "e3069283");
        assert_eq!(digest(Algorithm::Crc64Nvme, "123456789"), "ae8b14860a799888");
        assert!(digest(Algorithm::Sha256, "abc").starts_with("ba7816bf8f01cfea"));
    }
}
