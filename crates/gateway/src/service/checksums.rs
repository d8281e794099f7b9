//! What a client says the bytes sum up to, and whether they do. The protocol library reads these
//! values and verifies none.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::Checksum as Sums;

use crate::guard::Refusal;

/// The checksums of S3 by the end of their headers' names.
const ALGORITHMS: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

const PREFIX: &str = "x-amz-checksum-";

/// Headers that begin like a checksum and are none.
const NO_CHECKSUMS: [&str; 3] = ["algorithm", "mode", "type"];

/// What the bytes must sum up to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    md5: Option<String>,
    /// By algorithm; the value, unless it comes in the trailer.
    sums: Vec<(&'static str, Option<String>)>,
    /// A checksum that nobody here can compute.
    unknown: Option<String>,
}

impl Wanted {
    /// Reads `Content-MD5` and, unless they speak of something else, `x-amz-checksum-*`.
    pub(crate) fn from_headers(headers: &HeaderMap, checksums: bool) -> Self {
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
        let mut wanted = Self { md5: headers.get("content-md5").map(text), ..Self::default() };
        if !checksums {
            return wanted;
        }
        for (name, value) in headers {
            if let Some(end) = name.as_str().strip_prefix(PREFIX) {
                wanted.add(end, Some(text(value)));
            }
        }
        let trailers = headers.get_all("x-amz-trailer").iter().map(text);
        for name in trailers.flat_map(|names| {
            names.split(',').map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>()
        }) {
            match name.strip_prefix(PREFIX) {
                Some(end) => wanted.add(end, None),
                None => wanted.unknown = Some(name),
            }
        }
        wanted
    }

    fn add(&mut self, end: &str, value: Option<String>) {
        match ALGORITHMS.into_iter().find(|algorithm| *algorithm == end) {
            Some(algorithm) => self.sums.push((algorithm, value)),
            None if NO_CHECKSUMS.contains(&end) => {}
            None => self.unknown = Some(end.to_owned()),
        }
    }
}

/// What was computed, and found to be what was wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verified {
    /// The checksums that the client asked for.
    pub(crate) sums: Sums,
    /// In hexadecimal, if it was computed.
    pub(crate) md5: Option<String>,
}

/// Sums that are being computed.
pub(crate) struct Digests {
    wanted: Wanted,
    md5: Option<Md5>,
    hasher: ChecksumHasher,
}

impl Digests {
    pub(crate) fn new(wanted: Wanted) -> Self {
        let has = |name| wanted.sums.iter().any(|(algorithm, _)| *algorithm == name);
        let hasher = ChecksumHasher {
            crc32: has("crc32").then(Crc32::new),
            crc32c: has("crc32c").then(Crc32c::new),
            crc64nvme: has("crc64nvme").then(Crc64Nvme::new),
            sha1: has("sha1").then(Sha1::new),
            sha256: has("sha256").then(Sha256::new),
        };
        Self { md5: wanted.md5.is_some().then(Md5::new), wanted, hasher }
    }

    /// Computes the MD5 whether it is wanted or not.
    pub(crate) fn with_md5(mut self) -> Self {
        self.md5 = Some(Md5::new());
        self
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        self.hasher.update(bytes);
    }

    /// Compares with what was wanted, and gives the checksums for the answer.
    pub(crate) fn verify(self, trailers: Option<&HeaderMap>) -> Result<Verified, Refusal> {
        if let Some(unknown) = self.wanted.unknown {
            let message = format!("the checksum or trailer {unknown} is not implemented");
            return Err(Refusal::unknown(message));
        }
        let md5 = self.md5.map(Md5::finalize);
        if let (Some(md5), Some(wanted)) = (&md5, &self.wanted.md5)
            && BASE64_STANDARD.encode(md5) != *wanted
        {
            return Err(mismatch("Content-MD5"));
        }
        let sums = self.hasher.finalize();
        for (algorithm, value) in &self.wanted.sums {
            let computed = sum(&sums, algorithm);
            let wanted = match value {
                Some(value) => value.clone(),
                None => trailer(trailers, algorithm)?,
            };
            if computed != Some(&wanted) {
                return Err(mismatch(algorithm));
            }
        }
        Ok(Verified { sums, md5: md5.map(|md5| format!("{:032x}", u128::from_be_bytes(md5))) })
    }
}

fn sum<'a>(sums: &'a Sums, algorithm: &str) -> Option<&'a String> {
    match algorithm {
        "crc32" => sums.checksum_crc32.as_ref(),
        "crc32c" => sums.checksum_crc32c.as_ref(),
        "crc64nvme" => sums.checksum_crc64nvme.as_ref(),
        "sha1" => sums.checksum_sha1.as_ref(),
        _ => sums.checksum_sha256.as_ref(),
    }
}

/// A checksum that was announced for the trailer has to be there, or anybody on the way could take
/// it off.
fn trailer(trailers: Option<&HeaderMap>, algorithm: &str) -> Result<String, Refusal> {
    let name = format!("{PREFIX}{algorithm}");
    let value = trailers.and_then(|trailers| trailers.get(&name));
    let text = value.and_then(|value| value.to_str().ok());
    text.map(|text| text.trim().to_owned()).ok_or_else(|| {
        Refusal::bad(
            "MalformedTrailerError",
            format!("the trailer {name} was announced and is missing"),
        )
    })
}

fn mismatch(what: &str) -> Refusal {
    Refusal::bad(
        "BadDigest",
        format!("the body does not match its {what}; it was changed on the way"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of "123456789": the catalogue of parametrised CRC algorithms, RFC 3174 and
    /// FIPS 180-4 by `openssl dgst`.
    const NINE: [(&str, &str); 5] = [
        ("x-amz-checksum-crc32", "y/Q5Jg=="),
        ("x-amz-checksum-crc32c", "4waSgw=="),
        ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
        ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
        ("x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
    ];

    fn verdict(name: &'static str, value: &str, bytes: &[u8]) -> Result<Verified, Refusal> {
        let headers =
            HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())]);
        let mut digests = Digests::new(Wanted::from_headers(&headers, true));
        digests.update(bytes);
        digests.verify(None)
    }

    #[test]
    fn every_checksum_is_verified_and_returned() {
        for (name, value) in NINE {
            let sums = verdict(name, value, b"123456789").expect(name).sums;
            let algorithm = name.strip_prefix(PREFIX).unwrap();
            assert_eq!(sum(&sums, algorithm).map(String::as_str), Some(value));
            assert_eq!(verdict(name, value, b"123456780").unwrap_err().code, "BadDigest", "{name}");
        }
        let md5 = "JfnnlDI7RTiF9RgfG2JNCw==";
        assert!(verdict("content-md5", md5, b"123456789").is_ok());
        assert_eq!(verdict("content-md5", md5, b"x").unwrap_err().code, "BadDigest");
    }

    #[test]
    fn an_announced_trailer_must_come_and_match() {
        let announced = || {
            let name = http::HeaderName::from_static("x-amz-trailer");
            let headers = HeaderMap::from_iter([(name, "X-Amz-Checksum-CRC32".parse().unwrap())]);
            let mut digests = Digests::new(Wanted::from_headers(&headers, true));
            digests.update(b"123456789");
            digests
        };
        let trailers = |value: &str| {
            let name = http::HeaderName::from_static("x-amz-checksum-crc32");
            HeaderMap::from_iter([(name, value.parse().unwrap())])
        };
        assert!(announced().verify(Some(&trailers("y/Q5Jg=="))).is_ok());
        assert_eq!(announced().verify(Some(&trailers("AAAAAA=="))).unwrap_err().code, "BadDigest");
        let missing = announced().verify(None).unwrap_err();
        assert_eq!(missing.code, "MalformedTrailerError");
    }

    #[test]
    fn a_checksum_that_cannot_be_verified_is_not_taken_for_verified() {
        let refused = verdict("x-amz-checksum-xxhash3", "AAAA", b"123456789").unwrap_err();
        assert_eq!(refused.code, "NotImplemented");
        assert!(verdict("x-amz-checksum-algorithm", "SHA256", b"123456789").is_ok());
    }
}
