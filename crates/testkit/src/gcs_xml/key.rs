//! The RSA key of the test service account, and the check of V4 signed URLs against it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{NaiveDateTime, TimeDelta, Utc};

use crate::call::Call;
use crate::error::{Error, Result, io};
use crate::refusal::Refusal;
use crate::signing::sha256_hex;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// The host that `object_store` signs for, whatever the base URL is.
const GOOGLE: &str = "storage.googleapis.com";

/// The longest that a V4 signature may be valid: seven days.
const LONGEST: i64 = 7 * 24 * 3600;

/// A private key in a PEM file that stands in for a service account's. It protects nothing but tests.
pub struct TestKey {
    path: PathBuf,
    pem: String,
    pair: KeyPair,
}

impl std::fmt::Debug for TestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestKey").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TestKey {
    /// Reads the key in `path`, or makes one there. Two processes at once end up with the same key.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] for the file, [`Error::Invalid`] when it holds something else.
    pub fn load_or_make(path: &Path) -> Result<Self> {
        if !path.exists() {
            make(path)?;
        }
        let pem = fs::read_to_string(path).map_err(io(format!("read {}", path.display())))?;
        let invalid = || {
            let path = path.display();
            Error::Invalid(format!("{path} is not an RSA key in PEM: remove it, it is made again"))
        };
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = BASE64_STANDARD.decode(body).map_err(|_| invalid())?;
        let pair = KeyPair::from_pkcs8(&der).map_err(|_| invalid())?;
        Ok(Self { path: path.to_owned(), pem, pair })
    }

    /// The file, PKCS#8 in PEM.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of the file, as service-account keys carry it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn verifier(&self) -> Verifier {
        let public = self.pair.public_key().as_ref().to_vec();
        Verifier(UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public))
    }
}

/// Makes a key and puts it into place whole, unless somebody else was faster.
fn make(path: &Path) -> Result<()> {
    let failed = |_| Error::Invalid("the cryptographic library made no RSA key".to_owned());
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
    let body = BASE64_STANDARD.encode(der.as_ref());
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    let pem = format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"));
    let folder = path.parent().unwrap_or(Path::new("."));
    let action = format!("write {}", path.display());
    fs::create_dir_all(folder).map_err(io(action.clone()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io(action.clone()))?;
    file.write_all(pem.as_bytes()).map_err(io(action.clone()))?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(io(action)(error.error))
        }
        _ => Ok(()),
    }
}

/// Checks signatures with the public half.
pub(super) struct Verifier(UnparsedPublicKey<Vec<u8>>);

impl Verifier {
    /// Checks the V4 signature in a request's query.
    pub(super) fn verify(&self, call: &Call) -> std::result::Result<(), Refusal> {
        let field = |name: &str| {
            let missing = || Refusal::new(400, "InvalidArgument", format!("{name} is missing."));
            call.query.text(name).ok_or_else(missing)
        };
        let (date, signed) = (field("X-Goog-Date")?, field("X-Goog-SignedHeaders")?);
        check_time(date, field("X-Goog-Expires")?)?;
        let scope = field("X-Goog-Credential")?.split_once('/').map_or("", |(_, scope)| scope);
        let signature = unhex(field("X-Goog-Signature")?).unwrap_or_default();
        let host = call.header("host").unwrap_or_default();
        let message = |host: &str| {
            let canonical = sha256_hex(canonical_request(call, signed, host).as_bytes());
            format!("GOOG4-RSA-SHA256\n{date}\n{scope}\n{canonical}")
        };
        let fits = |host: &str| self.0.verify(message(host).as_bytes(), &signature).is_ok();
        if fits(GOOGLE) || fits(host) {
            return Ok(());
        }
        let text = "The request signature we calculated does not match the signature you provided.";
        let refusal = Refusal::new(403, "SignatureDoesNotMatch", text);
        Err(refusal.detail("StringToSign", message(GOOGLE)))
    }
}

fn check_time(date: &str, expires: &str) -> std::result::Result<(), Refusal> {
    let malformed =
        |what: &str| Refusal::new(400, "InvalidArgument", format!("{what} is malformed."));
    let made = NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ")
        .map_err(|_| malformed("X-Goog-Date"))?
        .and_utc();
    let seconds = expires.parse().ok().filter(|seconds| (1..=LONGEST).contains(seconds));
    let end = made + TimeDelta::seconds(seconds.ok_or_else(|| malformed("X-Goog-Expires"))?);
    if Utc::now() > end {
        let text = "The provided token has expired.";
        let details = format!("Request signature expired at: {}", end.to_rfc3339());
        return Err(Refusal::new(400, "ExpiredToken", text).detail("Details", details));
    }
    Ok(())
}

fn canonical_request(call: &Call, signed: &str, host: &str) -> String {
    let line = |name: &str| {
        let value = if name == "host" { host } else { call.header(name).unwrap_or_default() };
        let words: Vec<&str> = value.split_whitespace().collect();
        format!("{name}:{}\n", words.join(" "))
    };
    let headers: String = signed.split(';').map(line).collect();
    let query = call.query.canonical("X-Goog-Signature");
    format!("{}\n{}\n{query}\n{headers}\n{signed}\nUNSIGNED-PAYLOAD", call.method, call.path)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(str::from_utf8(pair).ok().filter(|p| p.len() == 2)?, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_back_afterwards() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("key.pem");
        let made = TestKey::load_or_make(&path).expect("made");
        let read = TestKey::load_or_make(&path).expect("read");
        assert_eq!(made.pem(), read.pem());
        let text = format!("{read:?}");
        assert!(!text.contains(&read.pem()[40..80]), "the key is in {text}");
        let key = object_store::gcp::ServiceAccountKey::from_pem(read.pem().as_bytes());
        key.expect("object_store takes it");
    }

    #[test]
    fn an_expired_or_overlong_signature_is_refused() {
        let code = |date: &str, expires| check_time(date, expires).map_err(|refusal| refusal.code);
        assert_eq!(code("20200101T000000Z", "60"), Err("ExpiredToken"));
        let now = Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
        assert_eq!(code(&now, "60"), Ok(()));
        assert_eq!(code(&now, "604801"), Err("InvalidArgument"));
        assert_eq!(code("yesterday", "60"), Err("InvalidArgument"));
    }
}
