//! Presigned URLs: a service shared access signature over the shared key.
//!
//! `object_store` 0.14.2 signs the percent-encoded path, so its URLs for keys with spaces, `%` or
//! non-ASCII letters are refused with 403. Azure signs the decoded one.
//!
//! Source: Azure documentation, "Create a service SAS", string-to-sign of version 2020-12-06 and
//! later.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use lifeboat_core::{Error, ErrorKind};
use object_store::path::Path;
use object_store::signer::{Method, Url};
use sha2::Sha256;

const VERSION: &str = "2020-12-06";
/// Clocks differ: a URL is valid from a little before it was made, as Azure's own SDKs do.
const CLOCK_SLACK: Duration = Duration::from_mins(15);

/// Signs URLs of one container.
#[derive(Clone)]
pub(crate) struct SasSigner {
    /// The account's endpoint, without the container.
    pub(crate) endpoint: Url,
    pub(crate) account: String,
    pub(crate) container: String,
    /// The shared key, Base64.
    pub(crate) key: String,
}

impl SasSigner {
    pub(crate) fn sign(
        &self,
        method: &Method,
        path: &Path,
        expires_in: Duration,
        now: DateTime<Utc>,
    ) -> Result<Url, Error> {
        let permissions = match *method {
            Method::GET | Method::HEAD => "r",
            Method::PUT | Method::POST => "cw",
            Method::DELETE => "d",
            _ => {
                let message = format!("no signature for method {method}");
                return Err(Error::new(ErrorKind::NotSupported, message)
                    .with_remedy("use GET, HEAD, PUT, POST or DELETE"));
            }
        };
        let start = timestamp(now - CLOCK_SLACK);
        let expiry = TimeDelta::from_std(expires_in)
            .ok()
            .and_then(|time| now.checked_add_signed(time))
            .map(timestamp)
            .ok_or_else(|| {
                let message = format!("a URL cannot be valid for {expires_in:?}");
                Error::new(ErrorKind::NotSupported, message).with_remedy("give a shorter time")
            })?;
        let resource = format!("/blob/{}/{}/{path}", self.account, self.container);
        // identifier, ip and protocol before the version; snapshot, encryption scope and the five
        // response headers after the resource kind: all empty.
        let to_sign = format!(
            "{permissions}\n{start}\n{expiry}\n{resource}\n\n\n\n{VERSION}\nb\n\n\n\n\n\n\n"
        );
        let mut url = self.blob_url(path)?;
        url.query_pairs_mut().extend_pairs([
            ("sv", VERSION),
            ("sp", permissions),
            ("st", &start),
            ("se", &expiry),
            ("sr", "b"),
            ("sig", &self.signature(&to_sign)?),
        ]);
        Ok(url)
    }

    fn blob_url(&self, path: &Path) -> Result<Url, Error> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| Error::new(ErrorKind::Configuration, "the endpoint cannot have a path"))?
            .pop_if_empty()
            .push(&self.container)
            .extend(path.as_ref().split('/'));
        Ok(url)
    }

    fn signature(&self, to_sign: &str) -> Result<String, Error> {
        let unusable = || Error::new(ErrorKind::Credentials, "the account key cannot sign");
        let key = STANDARD.decode(&self.key).map_err(|_| unusable())?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| unusable())?;
        mac.update(to_sign.as_bytes());
        Ok(STANDARD.encode(mac.finalize().into_bytes()))
    }
}

fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_no_calendar_holds_is_an_error() {
        let signer = SasSigner {
            endpoint: Url::parse("https://acc.blob.core.windows.net").unwrap(),
            account: "acc".into(),
            container: "box".into(),
            key: "a2V5".into(),
        };
        let sign = |time| signer.sign(&Method::GET, &"a b".into(), time, Utc::now());
        assert!(sign(Duration::MAX).is_err());
        let url = sign(Duration::from_mins(1)).unwrap();
        assert_eq!(url.path(), "/box/a%20b");
    }
}
