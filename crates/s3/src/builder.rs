//! Builds a backend over S3: Amazon's, or anybody's.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use lifeboat_core::conditions::Trust;
use lifeboat_core::http::{
    Behaviour, CopyCreate, EtagDigest, HttpSettings, WireConnector, WireStore, parse_endpoint,
};
use lifeboat_core::{Capabilities, Error, ErrorKind, Identity, Jurisdiction, Support};
use object_store::ClientOptions;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::client::HttpConnector;
use url::Url;

use crate::credentials::Resolved;
use crate::dialect::S3Dialect;
use crate::inquiry::S3Inquiry;
use crate::{Addressing, Credentials, Quirks, UploadChecksum};

/// A backend over S3.
pub type S3Store = WireStore<AmazonS3>;

/// Builds an [`S3Store`].
///
/// ```
/// use lifeboat_core::BlobStore;
/// use lifeboat_s3::{Credentials, S3Builder, StaticKey};
///
/// # fn main() -> Result<(), lifeboat_core::Error> {
/// let store = S3Builder::amazon("my-bucket", "eu-north-1")
///     .with_credentials(Credentials::Static(StaticKey::new("AKIA…", "…")))
///     .build()?;
/// assert_eq!(store.identity().to_string(), "aws:eu-north-1/my-bucket");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct S3Builder {
    provider: String,
    bucket: String,
    region: String,
    signing_region: Option<String>,
    endpoint: Option<String>,
    credentials: Credentials,
    quirks: Quirks,
    http: HttpSettings,
    verify_reads: bool,
    jurisdiction: Jurisdiction,
    id: Option<String>,
}

impl S3Builder {
    /// A bucket at Amazon S3.
    pub fn amazon(bucket: impl Into<String>, region: impl Into<String>) -> Self {
        let mut builder = Self::new("aws", bucket.into(), region.into(), Quirks::AMAZON);
        builder.jurisdiction = Jurisdiction::Us;
        builder
    }

    /// A bucket at any S3-compatible service. `provider` is the name shown for it; `region` is what
    /// the service calls the place, and what requests are signed for unless
    /// [`with_signing_region`](Self::with_signing_region) says otherwise.
    pub fn compatible(
        provider: impl Into<String>,
        endpoint: impl Into<String>,
        bucket: impl Into<String>,
        region: impl Into<String>,
    ) -> Self {
        let mut builder =
            Self::new(&provider.into(), bucket.into(), region.into(), Quirks::COMPATIBLE);
        builder.endpoint = Some(endpoint.into());
        builder
    }

    /// A bucket at Amazon S3, or at `AWS_ENDPOINT_URL_S3` / `AWS_ENDPOINT_URL`, in `AWS_REGION` /
    /// `AWS_DEFAULT_REGION`, with credentials from Amazon's chain or `AWS_ACCESS_KEY_ID`.
    ///
    /// # Errors
    /// No region in the environment.
    pub fn from_env(bucket: impl Into<String>) -> Result<Self, Error> {
        let first = |names: [&str; 2]| {
            names.iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        };
        let region = first(["AWS_REGION", "AWS_DEFAULT_REGION"]);
        match first(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]) {
            Some(endpoint) => {
                let region = region.unwrap_or_else(|| "us-east-1".into());
                Ok(Self::compatible("s3", endpoint, bucket, region))
            }
            None => region.map(|region| Self::amazon(bucket, region)).ok_or_else(|| {
                Error::new(ErrorKind::Configuration, "no region for Amazon S3")
                    .with_remedy("set AWS_REGION, such as eu-north-1")
            }),
        }
    }

    fn new(provider: &str, bucket: String, region: String, quirks: Quirks) -> Self {
        Self {
            provider: provider.into(),
            bucket,
            region,
            signing_region: None,
            endpoint: None,
            credentials: Credentials::Default,
            quirks,
            http: HttpSettings::default(),
            verify_reads: true,
            jurisdiction: Jurisdiction::Unknown,
            id: None,
        }
    }

    /// Sends requests to another endpoint: `https://host[:port]`, without the bucket.
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Signs requests for another region than the one shown (`us-east-1`, `auto`, `garage`, …).
    pub fn with_signing_region(mut self, region: impl Into<String>) -> Self {
        self.signing_region = Some(region.into());
        self
    }

    /// Names the source of the access key.
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Says how the service differs from Amazon S3.
    pub fn with_quirks(mut self, quirks: Quirks) -> Self {
        self.quirks = quirks;
        self
    }

    /// Sets deadlines, retries, proxy and certificates.
    pub fn with_http(mut self, http: HttpSettings) -> Self {
        self.http = http;
        self
    }

    /// Allows an endpoint without TLS.
    pub fn with_allow_http(mut self, allow: bool) -> Self {
        self.http.allow_http = allow;
        self
    }

    /// Checks whole-object reads against the service's checksum. On by default.
    pub fn with_verify_reads(mut self, verify: bool) -> Self {
        self.verify_reads = verify;
        self
    }

    /// Records who owns the service.
    pub fn with_jurisdiction(mut self, jurisdiction: Jurisdiction) -> Self {
        self.jurisdiction = jurisdiction;
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
    /// An endpoint that is no URL, plain HTTP that is not allowed, a bucket name that does not fit
    /// the addressing style, credentials that are not there.
    pub fn build(self) -> Result<S3Store, Error> {
        let name = self.identity().to_string();
        self.try_build().map_err(|error| match error.backend() {
            Some(_) => error,
            None => error.with_backend(name),
        })
    }

    fn identity(&self) -> Identity {
        let identity = Identity::new(&*self.provider, &*self.region, &*self.bucket)
            .with_jurisdiction(self.jurisdiction);
        match &self.id {
            Some(id) => identity.with_id(id),
            None => identity,
        }
    }

    fn try_build(self) -> Result<S3Store, Error> {
        check_bucket(&self.bucket)?;
        let amazon = self.endpoint.is_none();
        let endpoint = self.endpoint()?;
        let signing_region = self.signing_region.as_ref().unwrap_or(&self.region);
        let dialect = Arc::new(S3Dialect {
            host: endpoint.host_str().unwrap_or_default().to_owned(),
            region: signing_region.clone(),
        });
        let connector = WireConnector::new(&self.http, dialect.clone())?;
        let options = self.client_options();
        let client = connector.connect(&options).map_err(unusable)?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(signing_region)
            .with_http_connector(connector)
            .with_retry(self.http.retries.config())
            .with_client_options(options)
            .with_disable_tagging(!self.quirks.tagging)
            .with_disable_bulk_delete(self.quirks.bulk_delete.is_none());
        builder = self.address(builder, &endpoint, amazon)?;
        builder = self.protect_uploads(builder, &endpoint);
        builder = match self.credentials.resolve(amazon, signing_region)? {
            Resolved::Unsigned => builder.with_skip_signature(true),
            #[cfg(not(feature = "aws-config"))]
            Resolved::Chain => with_environment(builder),
            Resolved::Provider(provider) => builder.with_credentials(provider),
        };
        let inner = builder.build().map_err(unusable)?;
        let store = WireStore::new(inner, self.identity(), dialect, self.behaviour(amazon));
        Ok(store.with_inquiry(Arc::new(S3Inquiry { client })))
    }

    fn endpoint(&self) -> Result<Url, Error> {
        match &self.endpoint {
            Some(endpoint) => parse_endpoint(endpoint, &self.http),
            None => parse_endpoint(&amazon_endpoint(&self.region)?, &self.http),
        }
    }

    fn address(
        &self,
        builder: AmazonS3Builder,
        endpoint: &Url,
        amazon: bool,
    ) -> Result<AmazonS3Builder, Error> {
        // Directory buckets have endpoints of their own, by availability zone.
        if amazon && self.bucket.ends_with("--x-s3") {
            return Ok(builder.with_s3_express(true));
        }
        let text = endpoint.as_str().trim_end_matches('/');
        let builder = builder.with_allow_http(self.http.allow_http);
        match self.quirks.addressing {
            Addressing::Path => Ok(builder.with_endpoint(text)),
            // A dot in the bucket's name breaks the TLS certificate of `*.s3.….amazonaws.com`, and
            // an old name with capitals would be folded into somebody else's.
            Addressing::Virtual if amazon && !is_label(&self.bucket) => {
                Ok(builder.with_endpoint(text))
            }
            Addressing::Virtual => {
                let mut url = endpoint.clone();
                let host = format!("{}.{}", self.bucket, url.host_str().unwrap_or_default());
                url.set_host(Some(&host)).map_err(|error| {
                    let message = format!("`{host}` is no host name ({error})");
                    Error::new(ErrorKind::Configuration, message)
                        .with_remedy("use path-style addressing for this bucket")
                })?;
                Ok(builder
                    .with_endpoint(url.as_str().trim_end_matches('/'))
                    .with_virtual_hosted_style_request(true))
            }
        }
    }

    /// Every upload is protected end to end: by a checksum where the service takes one, else by the
    /// signed hash of the payload. With a checksum over TLS the hash would be a second one.
    fn protect_uploads(&self, builder: AmazonS3Builder, endpoint: &Url) -> AmazonS3Builder {
        let checksum = match self.quirks.checksum {
            None => return builder,
            Some(UploadChecksum::Crc64Nvme) => Checksum::CRC64NVME,
            Some(UploadChecksum::Sha256) => Checksum::SHA256,
        };
        builder
            .with_checksum_algorithm(checksum)
            .with_unsigned_payload(endpoint.scheme() == "https")
    }

    fn client_options(&self) -> ClientOptions {
        let mut options = self.http.deadlines.apply(ClientOptions::new());
        if self.verify_reads && self.quirks.checksum.is_some() {
            // Signed with the request, as Amazon wants all `x-amz-*` headers to be.
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-checksum-mode", HeaderValue::from_static("ENABLED"));
            options = options.with_default_headers(headers);
        }
        options.with_allow_http(self.http.allow_http)
    }

    fn behaviour(&self, amazon: bool) -> Behaviour {
        let mut declared = Capabilities::CONSERVATIVE;
        declared.create_if_absent = self.quirks.create_if_absent;
        declared.compare_and_swap = self.quirks.compare_and_swap;
        declared.ordered_listing = self.quirks.ordered_listing;
        declared.user_metadata = Support::Yes;
        declared.presigned_urls =
            Support::from(!matches!(self.credentials, Credentials::Anonymous));
        declared.bulk_delete = self.quirks.bulk_delete;
        declared.parts = self.quirks.parts;
        let mut behaviour = Behaviour::new(declared);
        behaviour.trust = if amazon { Trust::Declared } else { Trust::Probed };
        behaviour.copy_create = CopyCreate::ReadAndCreate;
        behaviour.verify_reads = self.verify_reads;
        behaviour.etags = self.quirks.etags;
        if amazon && self.bucket.ends_with("--x-s3") {
            // Amazon S3 User Guide, "Directory buckets": no MD5 in ETags, listings in no order.
            behaviour.etags = EtagDigest::Never;
            behaviour.declared.ordered_listing = Support::No;
        }
        behaviour
    }
}

fn unusable(error: object_store::Error) -> Error {
    Error::new(ErrorKind::Configuration, "the settings do not make an S3 client").with_source(error)
}

/// Lets `object_store` read what its own chain needs: web identity, ECS and EKS variables.
#[cfg(not(feature = "aws-config"))]
fn with_environment(builder: AmazonS3Builder) -> AmazonS3Builder {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| CHAIN_VARIABLES.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)))
        .fold(builder, |builder, (key, value)| builder.with_config(key, value))
}

/// What `object_store`'s credential chain reads. Nothing else of the environment may change what
/// was configured.
#[cfg(not(feature = "aws-config"))]
const CHAIN_VARIABLES: [&str; 10] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

fn amazon_endpoint(region: &str) -> Result<String, Error> {
    let plain = region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if region.is_empty() || !plain {
        let message = format!("`{region}` is no region of Amazon S3");
        return Err(Error::new(ErrorKind::Configuration, message)
            .with_remedy("give one such as eu-north-1"));
    }
    let domain = match region {
        _ if region.starts_with("cn-") => "amazonaws.com.cn",
        _ if region.starts_with("eusc-") => "amazonaws.eu",
        _ if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        _ if region.starts_with("us-iso-") => "c2s.ic.gov",
        _ => "amazonaws.com",
    };
    Ok(format!("https://s3.{region}.{domain}"))
}

/// Whether a bucket's name can stand as one label of a host name.
fn is_label(bucket: &str) -> bool {
    bucket.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// A bucket's name goes into URLs and signatures; what cannot be one is refused before it does.
fn check_bucket(bucket: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if !bucket.is_empty() && bucket.len() <= 255 && bucket.chars().all(fits) {
        return Ok(());
    }
    let message = format!("`{bucket}` is no bucket name");
    Err(Error::new(ErrorKind::Configuration, message)
        .with_remedy("use 3 to 63 lower-case letters, digits and hyphens"))
}
