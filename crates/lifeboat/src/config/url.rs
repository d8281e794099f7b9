//! Backends as URLs: one line wherever a backend can be named.
//!
//! | URL | backend |
//! |---|---|
//! | `s3://bucket/prefix?region=eu-north-1` | Amazon S3; with `endpoint=https://…` any S3-compatible service |
//! | `az://container/prefix?account=name` | Azure Blob Storage; `azure://` too |
//! | `gs://bucket/prefix` | Google Cloud Storage; `gcs://` too |
//! | `stackit://bucket/prefix?region=eu01` | any provider of the catalogue by its id |
//! | `file:///absolute/folder` | a local folder |
//! | `memory://name` | this process's memory; one name is one store |
//!
//! Parameters: `region`, `account`, `endpoint`, `allow_http`, `verify_reads`, `emulator`, `env`
//! (prefix of credential variables), `profile`, `credentials_file`, `anonymous`, `source`. Keys and
//! values are percent-decoded. A URL never holds a secret.

use std::sync::Arc;

use lifeboat_core::{BlobStore, Error, ErrorKind};
use percent_encoding::percent_decode_str;

use super::build;
use super::read::{SECRET_REMEDY, is_secret, suggest};
use super::settings::{BackendSettings, CredentialSettings};

/// Those that say where credentials come from: one of them at most.
const CREDENTIALS: [&str; 5] = ["env", "profile", "credentials_file", "source", "anonymous"];

const PARAMETERS: [&str; 11] = [
    "region",
    "account",
    "endpoint",
    "allow_http",
    "verify_reads",
    "emulator",
    "env",
    "profile",
    "credentials_file",
    "anonymous",
    "source",
];

/// Makes the backend that `url` names; its path is a prefix of all keys.
///
/// # Errors
/// A malformed URL, an unknown provider or parameter, a secret in the URL, or what the provider's
/// builder refuses.
///
/// ```
/// use lifeboat::BlobStore;
/// let store = lifeboat::store_from_url("memory://scratch/part")?;
/// let error = lifeboat::store_from_url("stakit://bucket").unwrap_err();
/// assert!(error.to_string().contains("stackit"), "{error}");
/// # Ok::<(), lifeboat::Error>(())
/// ```
pub fn store_from_url(url: &str) -> Result<Arc<dyn BlobStore>, Error> {
    build(&parse(url)?)
}

/// Reads a URL into settings.
///
/// # Errors
/// A malformed URL, an unknown parameter, a secret.
pub fn parse(url: &str) -> Result<BackendSettings, Error> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(malformed("has no scheme"));
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut settings = BackendSettings { provider: provider(scheme)?, ..Default::default() };
    if settings.provider == "file" {
        settings.bucket = file_path(place)?;
    } else {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.contains('@') {
            return Err(Error::new(ErrorKind::Configuration, "the URL holds credentials")
                .with_remedy(SECRET_REMEDY));
        }
        settings.bucket = decode(bucket)?;
        settings.prefix = Some(decode(prefix)?).filter(|prefix| !prefix.is_empty());
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
        apply(&mut settings, name, decode(value)?)?;
    }
    Ok(settings)
}

fn provider(scheme: &str) -> Result<String, Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if scheme.is_empty() || !scheme.chars().all(plain) {
        return Err(malformed("has a malformed scheme"));
    }
    Ok(match scheme {
        "az" => "azure",
        "gs" => "gcs",
        other => other,
    }
    .to_owned())
}

fn file_path(place: &str) -> Result<String, Error> {
    let path = place.strip_prefix("localhost").unwrap_or(place);
    if path.starts_with('/') { decode(path) } else { Err(malformed("has no absolute path")) }
}

fn apply(settings: &mut BackendSettings, name: &str, value: String) -> Result<(), Error> {
    let flag = || match &*value {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(malformed(&format!("has `{name}` that is neither true nor false"))),
    };
    let credentials = &mut settings.credentials;
    if CREDENTIALS.contains(&name) && *credentials != CredentialSettings::Default {
        let message = "the URL names more than one source of credentials";
        return Err(Error::new(ErrorKind::Configuration, message)
            .with_remedy(format!("keep one of {}", CREDENTIALS.join(", "))));
    }
    match name {
        "region" => settings.region = Some(value),
        "account" => settings.account = Some(value),
        "endpoint" => settings.endpoint = Some(value),
        "allow_http" => settings.allow_http = flag()?,
        "verify_reads" => settings.skip_verify_reads = !flag()?,
        "emulator" => settings.emulator = flag()?,
        "env" => *credentials = CredentialSettings::Environment(value),
        "profile" => *credentials = CredentialSettings::Profile(value),
        "credentials_file" => *credentials = CredentialSettings::File(value.into()),
        "source" => *credentials = CredentialSettings::Source(value),
        "anonymous" => {
            if flag()? {
                *credentials = CredentialSettings::Anonymous;
            }
        }
        secret if is_secret(secret) => {
            let message = format!("`{name}` is a secret, and a URL is no place for one");
            return Err(Error::new(ErrorKind::Configuration, message).with_remedy(SECRET_REMEDY));
        }
        unknown => {
            let message = format!("unknown parameter `{unknown}` in the URL");
            return Err(Error::new(ErrorKind::Configuration, message)
                .with_remedy(suggest(unknown, PARAMETERS)));
        }
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, Error> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| malformed("is not UTF-8 after percent-decoding"))
}

/// The URL itself is not repeated: somebody may have put a secret into it.
fn malformed(why: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("the URL {why}"))
        .with_remedy("write one such as stackit://bucket/prefix?region=eu01 or file:///folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_taken_apart() {
        let url = "ovhcloud://b/a%20b/c?region=gra&endpoint=http%3A%2F%2F127.0.0.1&allow_http";
        let settings = parse(url).unwrap();
        assert_eq!((&*settings.provider, &*settings.bucket), ("ovhcloud", "b"));
        assert_eq!(settings.prefix.as_deref(), Some("a b/c"));
        assert_eq!(settings.endpoint.as_deref(), Some("http://127.0.0.1"));
        assert!(settings.allow_http);
        assert_eq!(parse("az://container?account=x").unwrap().provider, "azure");
        assert_eq!(parse("file:///a/b%25").unwrap().bucket, "/a/b%");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |url: &str| parse(url).unwrap_err().to_string();
        assert!(error("bucket").contains("no scheme"));
        assert!(error("s3://b?regoin=x").contains("did you mean `region`?"));
        assert!(error("s3://b?secret_access_key=hunter2").contains("no place for one"));
        assert!(!error("s3://b?secret_access_key=hunter2").contains("hunter2"));
        assert!(error("file://relative/x").contains("absolute"));
    }
}
