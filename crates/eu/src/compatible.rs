//! Builds a backend over any S3 provider of the catalogue: facts of the catalogue in, quirks of
//! `lifeboat-s3` out. The builders with typed regions are in `typed` and use this one.

use lifeboat_core::http::{EtagDigest, HttpSettings};
use lifeboat_core::{Error, ErrorKind, Support};
use lifeboat_s3::{Credentials, Quirks, S3Builder, S3Store, StaticKey, UploadChecksum};
use url::Url;

use crate::catalogue::Catalogue;
use crate::error::CatalogueError;
use crate::provider::{Api, Provider};

impl Provider {
    /// How the provider differs from Amazon S3, for `lifeboat-s3`.
    ///
    /// Uploads carry checksum headers only where they are known to be taken: CRC-64/NVME where that
    /// is known to be understood, as it costs next to nothing on reading, else SHA-256, which
    /// every service that knows such headers understands. Where they are known not to be taken, keys
    /// are deleted one by one, because a bulk delete carries one in any case.
    pub fn quirks(&self) -> Quirks {
        let known = self.capabilities();
        if self.is_amazon() {
            return Quirks { parts: known.parts, ..Quirks::AMAZON };
        }
        Quirks {
            addressing: if self.path_style() {
                lifeboat_s3::Addressing::Path
            } else {
                lifeboat_s3::Addressing::Virtual
            },
            checksum: self.sdk_checksums.is_yes().then_some(if self.crc64nvme.is_yes() {
                UploadChecksum::Crc64Nvme
            } else {
                UploadChecksum::Sha256
            }),
            etags: match self.etag_md5 {
                Support::Yes => EtagDigest::Always,
                Support::No => EtagDigest::Never,
                Support::Unknown => EtagDigest::Learn,
            },
            create_if_absent: known.create_if_absent,
            compare_and_swap: known.compare_and_swap,
            ordered_listing: known.ordered_listing,
            tagging: self.tagging != Support::No,
            // Bulk deletes cannot be sent without `x-amz-checksum-sha256`: `object_store` always
            // protects their body with it.
            bulk_delete: known.bulk_delete.filter(|_| self.sdk_checksums != Support::No),
            parts: known.parts,
        }
    }

    /// Begins a backend over a bucket at this provider.
    pub fn s3_builder(&self, bucket: impl Into<String>) -> S3Compatible {
        S3Compatible::new(&self.id, bucket)
    }

    /// What the environment variables of this provider begin with: `STACKIT`, `CLOUDFLARE_R2`, …
    pub fn env_prefix(&self) -> String {
        self.id.to_uppercase().replace('-', "_")
    }

    /// Whether this is Amazon S3 itself, in whichever partition.
    fn is_amazon(&self) -> bool {
        matches!(self.id.as_str(), "aws" | "aws-eusc")
    }
}

/// Builds a backend over a bucket at any S3 provider of the catalogue.
///
/// ```
/// use lifeboat_core::{BlobStore, Jurisdiction, Support};
/// use lifeboat_eu::S3Compatible;
/// use lifeboat_s3::{Credentials, StaticKey};
///
/// # fn main() -> Result<(), lifeboat_core::Error> {
/// let store = S3Compatible::new("leafcloud", "media")
///     .with_credentials(Credentials::Static(StaticKey::new("access-key", "secret-key")))
///     .build()?;
/// assert_eq!(store.identity().to_string(), "leafcloud:europe-nl-ams1/media");
/// assert_eq!(store.identity().jurisdiction(), Jurisdiction::Eu);
/// // Nobody has documented it: the first conditional put will ask.
/// assert_eq!(store.capabilities().create_if_absent, Support::Unknown);
/// # Ok(())
/// # }
/// ```
///
/// # Credentials
///
/// Without [`with_credentials`](Self::with_credentials) the key is read from
/// `{PREFIX}_ACCESS_KEY_ID`, `{PREFIX}_SECRET_ACCESS_KEY` and `{PREFIX}_SESSION_TOKEN` when the
/// backend is built, with the provider's id in capitals as prefix
/// ([`Provider::env_prefix`]), or from the variables of the provider's own tools
/// ([`Provider::env`]). `AWS_ACCESS_KEY_ID` is only read for Amazon, so that no provider is ever
/// shown another one's key; for Amazon the whole credential chain applies.
#[derive(Debug, Clone)]
#[must_use]
pub struct S3Compatible {
    provider: String,
    bucket: String,
    region: Option<String>,
    account: Option<String>,
    endpoint: Option<String>,
    credentials: Option<Credentials>,
    http: HttpSettings,
    verify_reads: bool,
    id: Option<String>,
}

impl S3Compatible {
    /// A bucket at the provider with this id.
    pub fn new(provider: impl Into<String>, bucket: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            bucket: bucket.into(),
            region: None,
            account: None,
            endpoint: None,
            credentials: None,
            http: HttpSettings::default(),
            verify_reads: true,
            id: None,
        }
    }

    /// A bucket at the provider with this id, in the region `{PREFIX}_REGION`, with the account
    /// `{PREFIX}_ACCOUNT` and at the endpoint `{PREFIX}_ENDPOINT`, each where it is set.
    ///
    /// # Errors
    /// No such provider, or what is set there is no place: an unknown region, or a region, account
    /// or endpoint that this provider needs and that is missing or malformed.
    pub fn from_env(provider: &str, bucket: impl Into<String>) -> Result<Self, Error> {
        Self::from_variables(provider, bucket, &environment)
    }

    fn from_variables(
        provider: &str,
        bucket: impl Into<String>,
        variable: Variables<'_>,
    ) -> Result<Self, Error> {
        let known = Catalogue::builtin().get(provider)?;
        let prefix = known.env_prefix();
        let mut builder = Self::new(provider, bucket);
        builder.region = variable(&format!("{prefix}_REGION"));
        builder.account = variable(&format!("{prefix}_ACCOUNT"));
        builder.endpoint = variable(&format!("{prefix}_ENDPOINT"));
        let custom = builder.custom_endpoint()?;
        known
            .endpoint(builder.region.as_deref(), builder.account.as_deref(), custom.as_ref())
            .map_err(|error| {
                let remedy = format!("see {prefix}_REGION, {prefix}_ACCOUNT and {prefix}_ENDPOINT");
                Error::from(error).with_remedy(remedy)
            })?;
        Ok(builder)
    }

    /// Says where the bucket is. May be left out where the provider has only one region.
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Gives the account, tenant or service label that some endpoints contain.
    pub fn with_account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// Sends requests to an endpoint of one's own: self-hosted software, or a private endpoint.
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Names the source of the access key.
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Sets deadlines, retries, proxy and certificates.
    pub fn with_http(mut self, http: HttpSettings) -> Self {
        self.http = http;
        self
    }

    /// Checks whole-object reads against the provider's checksum. On by default.
    pub fn with_verify_reads(mut self, verify: bool) -> Self {
        self.verify_reads = verify;
        self
    }

    /// Gives the backend an id of one's own, used in journal names and metrics.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Builds the backend. Nothing is sent: a dead provider does not keep a program from starting.
    ///
    /// # Errors
    /// An unknown provider or region, an account or endpoint that is needed and missing, no
    /// credentials, or what [`S3Builder::build`] refuses.
    pub fn build(self) -> Result<S3Store, Error> {
        self.into_s3_builder()?.build()
    }

    /// Hands over to the builder of `lifeboat-s3`, with all that the catalogue knows filled in.
    ///
    /// # Errors
    /// As [`build`](Self::build), without what [`S3Builder::build`] refuses.
    pub fn into_s3_builder(self) -> Result<S3Builder, Error> {
        self.resolve(&environment)
    }

    fn resolve(self, variable: Variables<'_>) -> Result<S3Builder, Error> {
        let provider = Catalogue::builtin().get(&self.provider)?;
        if provider.api != Api::S3 {
            let (provider, api) = (self.provider, provider.api.as_str());
            return Err(CatalogueError::OtherApi { provider, api }.into());
        }
        let custom = self.custom_endpoint()?;
        let region = self.region.as_deref();
        if region.is_none() && provider.needs_region() {
            return Err(provider.missing_region().into());
        }
        let endpoint = provider.endpoint(region, self.account.as_deref(), custom.as_ref())?;
        let shown = region.or_else(|| provider.default_region().map(|only| only.id.as_str()));
        let shown = shown.unwrap_or_default();
        let mut quirks = provider.quirks();
        let mut builder = if provider.is_amazon() && custom.is_none() {
            S3Builder::amazon(&self.bucket, shown)
        } else {
            // Amazon's virtual hosts do not exist at an endpoint of one's own.
            if provider.path_style() {
                quirks.addressing = lifeboat_s3::Addressing::Path;
            }
            S3Builder::compatible(&provider.id, endpoint, &self.bucket, shown)
                .with_signing_region(provider.signing_region(region))
        };
        builder = builder
            .with_quirks(quirks)
            .with_jurisdiction(provider.jurisdiction)
            .with_http(self.http)
            .with_verify_reads(self.verify_reads)
            .with_credentials(match self.credentials {
                Some(credentials) => credentials,
                None => credentials(provider, variable)?,
            });
        Ok(match self.id {
            Some(id) => builder.with_id(id),
            None => builder,
        })
    }

    fn custom_endpoint(&self) -> Result<Option<Url>, CatalogueError> {
        let Some(endpoint) = &self.endpoint else { return Ok(None) };
        endpoint.parse().map(Some).map_err(|_| CatalogueError::MalformedEndpoint {
            provider: self.provider.clone(),
            endpoint: endpoint.clone(),
        })
    }
}

/// Looks up an environment variable; unset, empty and unreadable are the same.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of the process.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The access key of a provider from the environment.
fn credentials(provider: &Provider, variable: Variables<'_>) -> Result<Credentials, Error> {
    if provider.is_amazon() {
        return Ok(Credentials::Default);
    }
    let prefix = provider.env_prefix();
    let (id, secret) = (format!("{prefix}_ACCESS_KEY_ID"), format!("{prefix}_SECRET_ACCESS_KEY"));
    let own = provider.env.as_ref();
    if let (Some(id), Some(secret)) = (variable(&id), variable(&secret)) {
        let key = StaticKey::new(id, secret);
        return Ok(Credentials::Static(match variable(&format!("{prefix}_SESSION_TOKEN")) {
            Some(token) => key.with_session_token(token),
            None => key,
        }));
    }
    if let Some((id, secret)) =
        own.and_then(|own| Some((variable(&own.access_key_id)?, variable(&own.secret_access_key)?)))
    {
        return Ok(Credentials::Static(StaticKey::new(id, secret)));
    }
    let or_own = own.map_or_else(String::new, |own| {
        format!(", or {} and {}", own.access_key_id, own.secret_access_key)
    });
    Err(Error::new(ErrorKind::Credentials, "no access key in the environment")
        .with_backend(&provider.id)
        .with_remedy(format!("set {id} and {secret}{or_own}")))
}

#[cfg(test)]
#[path = "compatible_tests.rs"]
mod tests;
