//! Builds a backend over Google Cloud Storage.

use std::sync::Arc;

use lifeboat_core::conditions::Trust;
use lifeboat_core::http::{Behaviour, HttpSettings, WireConnector, WireStore, parse_endpoint};
use lifeboat_core::{Capabilities, Error, ErrorKind, Identity, Jurisdiction, PartLimits, Support};
use object_store::ClientOptions;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use url::Url;

use crate::Credentials;
use crate::dialect::GcsDialect;

/// A backend over Google Cloud Storage.
pub type GcsStore = WireStore<GoogleCloudStorage>;

const ENDPOINT: &str = "https://storage.googleapis.com";

/// Builds a [`GcsStore`].
#[derive(Debug, Clone)]
#[must_use]
pub struct GcsBuilder {
    bucket: String,
    provider: String,
    endpoint: String,
    credentials: Credentials,
    http: HttpSettings,
    verify_reads: bool,
    jurisdiction: Jurisdiction,
    id: Option<String>,
}

impl GcsBuilder {
    /// A bucket.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            provider: "gcs".into(),
            endpoint: ENDPOINT.into(),
            credentials: Credentials::default(),
            http: HttpSettings::default(),
            verify_reads: true,
            jurisdiction: Jurisdiction::Us,
            id: None,
        }
    }

    /// A bucket with [`Credentials::Default`], the bucket's name from `GOOGLE_BUCKET` or
    /// `GOOGLE_BUCKET_NAME`.
    ///
    /// # Errors
    /// No bucket in the environment.
    pub fn from_env() -> Result<Self, Error> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let bucket = set("GOOGLE_BUCKET").or_else(|| set("GOOGLE_BUCKET_NAME"));
        bucket.map(Self::new).ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "no bucket of Google Cloud Storage")
                .with_remedy("set GOOGLE_BUCKET")
        })
    }

    /// Names another cloud than Google's own that speaks the same API.
    pub fn with_provider(mut self, provider: impl Into<String>) -> Self {
        self.provider = provider.into();
        self
    }

    /// Sends requests to another endpoint than `https://storage.googleapis.com`.
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Names the source of the credentials.
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
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

    /// Checks whole-object reads against Google's CRC-32C. On by default.
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

    /// Builds the backend. Nothing is sent.
    ///
    /// # Errors
    /// An endpoint that is no URL, plain HTTP that is not allowed, credentials that cannot be read.
    pub fn build(self) -> Result<GcsStore, Error> {
        let name = self.identity().to_string();
        self.try_build().map_err(|error| match error.backend() {
            Some(_) => error,
            None => error.with_backend(name),
        })
    }

    fn identity(&self) -> Identity {
        let identity =
            Identity::new(&*self.provider, "", &*self.bucket).with_jurisdiction(self.jurisdiction);
        match &self.id {
            Some(id) => identity.with_id(id),
            None => identity,
        }
    }

    fn try_build(self) -> Result<GcsStore, Error> {
        self.check_bucket()?;
        let endpoint = self.endpoint()?;
        let dialect = Arc::new(GcsDialect {
            host: endpoint.host_str().unwrap_or_default().to_owned(),
            bucket: self.bucket.clone(),
        });
        let connector = WireConnector::new(&self.http, dialect.clone())?;
        let options =
            self.http.deadlines.apply(ClientOptions::new()).with_allow_http(self.http.allow_http);
        let builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&self.bucket)
            .with_base_url(endpoint.as_str().trim_end_matches('/'))
            .with_client_options(options)
            .with_http_connector(connector)
            .with_retry(self.http.retries.config());
        let inner = self.credentials.apply(builder).build().map_err(|error| {
            Error::new(ErrorKind::Credentials, "Google's credentials cannot be used")
                .with_remedy("check GOOGLE_APPLICATION_CREDENTIALS, or name another source")
                .with_source(error)
        })?;
        let behaviour = self.behaviour();
        Ok(WireStore::new(inner, self.identity(), dialect, behaviour))
    }

    fn check_bucket(&self) -> Result<(), Error> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if (3..=222).contains(&self.bucket.len()) && self.bucket.chars().all(plain) {
            return Ok(());
        }
        let message = format!("`{}` is no bucket name", self.bucket);
        Err(Error::new(ErrorKind::Configuration, message)
            .with_remedy("use 3 to 63 lower-case letters, digits, `-`, `_` and `.`"))
    }

    fn endpoint(&self) -> Result<Url, Error> {
        parse_endpoint(&self.endpoint, &self.http)
    }

    fn behaviour(&self) -> Behaviour {
        let mut declared = Capabilities::CONSERVATIVE;
        declared.create_if_absent = Support::Yes;
        declared.compare_and_swap = Support::Yes;
        declared.ordered_listing = Support::Yes;
        declared.user_metadata = Support::Yes;
        declared.presigned_urls =
            Support::from(!matches!(self.credentials, Credentials::Anonymous));
        declared.bulk_delete = None;
        declared.parts = PartLimits::S3;
        let mut behaviour = Behaviour::new(declared);
        behaviour.trust = Trust::Declared;
        behaviour.encode_signed_keys = true;
        behaviour.verify_reads = self.verify_reads;
        behaviour
    }
}
