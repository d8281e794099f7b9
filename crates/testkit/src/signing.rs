//! The signatures of the storage APIs, as far as both sides of a test need them: AWS Signature Version 4 (signing
//! here, verified by the S3 endpoint) and Azure's Shared Key. Google's is in the GCS endpoint, the only one to use it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// What Signature Version 4 leaves unescaped in queries (RFC 3986 unreserved characters).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The REST version that Shared Key requests name; every emulator release still knows it.
const AZURE_VERSION: &str = "2021-12-02";

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The hexadecimal SHA-256 of some bytes.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// HMAC-SHA256.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    // An HMAC takes keys of any length, so this arm is never left.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// Escapes everything but RFC 3986 unreserved characters.
pub(crate) fn escape(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// Escapes everything but RFC 3986 unreserved characters, in bytes of any kind.
pub(crate) fn escape_bytes(bytes: &[u8]) -> String {
    percent_encode(bytes, UNRESERVED).to_string()
}

/// What a Signature Version 4 covers beside the request: day, region and service.
pub(crate) struct Scope<'a> {
    /// `YYYYMMDD`.
    pub(crate) date: &'a str,
    /// For example `us-east-1`.
    pub(crate) region: &'a str,
}

impl Scope<'_> {
    /// The scope as it appears in credentials and in the string to sign.
    pub(crate) fn text(&self) -> String {
        format!("{}/{}/s3/aws4_request", self.date, self.region)
    }

    /// Signs a canonical request made at `timestamp` (`YYYYMMDDTHHMMSSZ`).
    pub(crate) fn sign(&self, secret: &str, timestamp: &str, canonical_request: &str) -> String {
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{timestamp}\n{}\n{}",
            self.text(),
            sha256_hex(canonical_request.as_bytes())
        );
        let key = self.key(secret);
        hex(&hmac_sha256(&key, to_sign.as_bytes()))
    }

    /// The signing key of this scope.
    pub(crate) fn key(&self, secret: &str) -> Vec<u8> {
        let start = format!("AWS4{secret}").into_bytes();
        [self.date, self.region, "s3", "aws4_request"]
            .iter()
            .fold(start, |key, part| hmac_sha256(&key, part.as_bytes()))
    }
}

/// The headers that sign a request to an S3 server with Signature Version 4. `path` is already escaped; the
/// request has no query.
pub(crate) fn s3_headers(
    (method, host, path): (&str, &str, &str),
    body: &[u8],
    (access_key, secret_key): (&str, &str),
    now: DateTime<Utc>,
) -> Vec<(&'static str, String)> {
    let timestamp = now.format("%Y%m%dT%H%M%SZ").to_string();
    let payload = sha256_hex(body);
    let signed = "host;x-amz-content-sha256;x-amz-date";
    let canonical = format!(
        "{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{timestamp}\n\n{signed}\n{payload}"
    );
    let scope = Scope { date: &timestamp[..8], region: crate::bed::REGION };
    let signature = scope.sign(secret_key, &timestamp, &canonical);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={access_key}/{}, SignedHeaders={signed}, Signature={signature}",
        scope.text()
    );
    vec![
        ("x-amz-date", timestamp),
        ("x-amz-content-sha256", payload),
        ("authorization", authorization),
    ]
}

/// The headers that sign an Azure request without a body with Shared Key. `path` is the URL's, account included;
/// `query` are its parameters in lower case, sorted.
pub(crate) fn azure_headers(
    method: &str,
    path: &str,
    query: &[(&str, &str)],
    (account, key): (&str, &str),
    now: DateTime<Utc>,
) -> Result<Vec<(&'static str, String)>> {
    let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    // After the verb come eleven standard headers (encoding, language, length, ...), all absent here.
    let mut to_sign = format!(
        "{method}{}x-ms-date:{date}\nx-ms-version:{AZURE_VERSION}\n/{account}{path}",
        "\n".repeat(12)
    );
    for (name, value) in query {
        to_sign.extend(["\n", name, ":", value]);
    }
    let key = BASE64_STANDARD
        .decode(key)
        .map_err(|_| Error::Invalid("the account key is not base64".to_owned()))?;
    let signature = BASE64_STANDARD.encode(hmac_sha256(&key, to_sign.as_bytes()));
    Ok(vec![
        ("x-ms-date", date),
        ("x-ms-version", AZURE_VERSION.to_owned()),
        ("authorization", format!("SharedKey {account}:{signature}")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS's documentation on deriving a signing key for `iam` becomes a different key for `s3`, so
    /// this uses the published `GET Object` example instead.
    #[test]
    fn signature_matches_the_get_object_example_of_the_s3_documentation() {
        let empty = sha256_hex(b"");
        let canonical = format!(
            "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\n\
             x-amz-content-sha256:{empty}\nx-amz-date:20130524T000000Z\n\n\
             host;range;x-amz-content-sha256;x-amz-date\n{empty}"
        );
        let scope = Scope { date: "20130524", region: "us-east-1" };
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert_eq!(
            scope.sign(secret, "20130524T000000Z", &canonical),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }
}
