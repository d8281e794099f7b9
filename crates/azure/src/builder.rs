//! Builds a backend over Azure Blob Storage.

use std::sync::Arc;

use lifeboat_core::conditions::Trust;
use lifeboat_core::http::{Behaviour, HttpSettings, WireConnector, WireStore, parse_endpoint};
use lifeboat_core::{Capabilities, Error, ErrorKind, Identity, Jurisdiction, PartLimits, Support};
use object_store::ClientOptions;
use object_store::azure::MicrosoftAzureBuilder;
use url::Url;

use crate::client::AzureClient;
use crate::credentials::{Credentials, account_of};
use crate::dialect::AzureDialect;
use crate::sas::SasSigner;

/// A backend over Azure Blob Storage.
pub type AzureStore = WireStore<AzureClient>;

/// Most blobs of one batch delete. Source: Azure documentation, "Blob Batch".
const BATCH_DELETE: u32 = 256;
/// The well-known account and key of Microsoft's emulator; a secret to nobody. Source: Azure
/// documentation, "Use the Azurite emulator".
const EMULATOR: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

/// Builds an [`AzureStore`].
#[derive(Debug, Clone)]
#[must_use]
pub struct AzureBuilder {
    account: String,
    container: String,
    provider: String,
    endpoint: Option<String>,
    emulator: bool,
    credentials: Credentials,
    http: HttpSettings,
    verify_reads: bool,
    jurisdiction: Jurisdiction,
    id: Option<String>,
}

impl AzureBuilder {
    /// A container of a storage account.
    pub fn new(account: impl Into<String>, container: impl Into<String>) -> Self {
        Self {
            account: account.into(),
            container: container.into(),
            provider: "azure".into(),
            endpoint: None,
            emulator: false,
            credentials: Credentials::default(),
            http: HttpSettings::default(),
            verify_reads: true,
            jurisdiction: Jurisdiction::Us,
            id: None,
        }
    }

    /// A container of the emulator (Azurite) at `endpoint`, such as
    /// `http://127.0.0.1:10000/devstoreaccount1`, with its well-known account.
    pub fn emulator(endpoint: impl Into<String>, container: impl Into<String>) -> Self {
        let mut builder = Self::new(EMULATOR.0, container)
            .with_endpoint(endpoint)
            .with_credentials(Credentials::AccessKey(EMULATOR.1.into()))
            .with_jurisdiction(Jurisdiction::SelfHosted)
            .with_allow_http(true);
        builder.emulator = true;
        builder
    }

    /// A container of the account in `AZURE_STORAGE_ACCOUNT_NAME` / `AZURE_STORAGE_ACCOUNT`, or of
    /// `AZURE_STORAGE_CONNECTION_STRING`, with [`Credentials::Default`].
    ///
    /// # Errors
    /// No account in the environment.
    pub fn from_env(container: impl Into<String>) -> Result<Self, Error> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let account = set("AZURE_STORAGE_ACCOUNT_NAME")
            .or_else(|| set("AZURE_STORAGE_ACCOUNT"))
            .or_else(|| account_of(&set("AZURE_STORAGE_CONNECTION_STRING")?));
        account.map(|account| Self::new(account, container)).ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "no Azure storage account")
                .with_remedy("set AZURE_STORAGE_ACCOUNT_NAME")
        })
    }

    /// Names another cloud than Microsoft's own that speaks the same API.
    pub fn with_provider(mut self, provider: impl Into<String>) -> Self {
        self.provider = provider.into();
        self
    }

    /// Sends requests to another endpoint than `https://{account}.blob.core.windows.net`.
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
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

    /// Checks whole-object reads against Azure's MD5, where the blob has one. On by default.
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
    /// An endpoint that is no URL, plain HTTP that is not allowed, credentials that are not there.
    pub fn build(self) -> Result<AzureStore, Error> {
        let name = self.identity().to_string();
        self.try_build().map_err(|error| match error.backend() {
            Some(_) => error,
            None => error.with_backend(name),
        })
    }

    fn identity(&self) -> Identity {
        let bucket = format!("{}/{}", self.account, self.container);
        let identity =
            Identity::new(&*self.provider, "", bucket).with_jurisdiction(self.jurisdiction);
        match &self.id {
            Some(id) => identity.with_id(id),
            None => identity,
        }
    }

    fn try_build(self) -> Result<AzureStore, Error> {
        self.check_names()?;
        let (builder, resolved) = self.credentials.apply(MicrosoftAzureBuilder::new())?;
        let endpoint = self.endpoint(resolved.endpoint.clone())?;
        let dialect = Arc::new(AzureDialect {
            host: endpoint.host_str().unwrap_or_default().to_owned(),
            container: self.container.clone(),
        });
        let connector = WireConnector::new(&self.http, dialect.clone())?;
        let options =
            self.http.deadlines.apply(ClientOptions::new()).with_allow_http(self.http.allow_http);
        let inner = builder
            .with_account(&self.account)
            .with_container_name(&self.container)
            .with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned())
            .with_allow_http(self.http.allow_http)
            .with_client_options(options)
            .with_http_connector(connector)
            .with_retry(self.http.retries.config())
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Configuration, "the settings do not make an Azure client")
                    .with_source(error)
            })?;
        let sas = resolved.access_key.map(|key| SasSigner {
            endpoint,
            account: self.account.clone(),
            container: self.container.clone(),
            key,
        });
        let behaviour = self.behaviour();
        Ok(WireStore::new(AzureClient { inner, sas }, self.identity(), dialect, behaviour))
    }

    fn check_names(&self) -> Result<(), Error> {
        let fits = |name: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            (3..=63).contains(&name.len()) && name.chars().all(plain)
        };
        let special = matches!(self.container.as_str(), "$root" | "$web" | "$logs");
        let wrong = match (fits(&self.account), fits(&self.container) || special) {
            (true, true) => return Ok(()),
            (false, _) => format!("`{}` is no storage account", self.account),
            (_, false) => format!("`{}` is no container name", self.container),
        };
        Err(Error::new(ErrorKind::Configuration, wrong)
            .with_remedy("use 3 to 63 lower-case letters, digits and hyphens"))
    }

    fn endpoint(&self, from_credentials: Option<String>) -> Result<Url, Error> {
        let text = self
            .endpoint
            .clone()
            .or(from_credentials)
            .unwrap_or_else(|| format!("https://{}.blob.core.windows.net", self.account));
        parse_endpoint(&text, &self.http)
    }

    fn behaviour(&self) -> Behaviour {
        let mut declared = Capabilities::CONSERVATIVE;
        declared.create_if_absent = Support::Yes;
        declared.compare_and_swap = Support::Yes;
        declared.ordered_listing = Support::Yes;
        declared.user_metadata = Support::Yes;
        declared.presigned_urls = Support::Yes;
        declared.bulk_delete = Some(BATCH_DELETE);
        declared.parts = PartLimits::AZURE;
        let mut behaviour = Behaviour::new(declared);
        behaviour.trust = Trust::Declared;
        behaviour.verify_reads = self.verify_reads;
        // Azurite ignores `startFrom` and lists from the beginning.
        behaviour.native_offset = !self.emulator;
        behaviour
    }
}
