//! Where Azure's credentials come from. No secret is ever printed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lifeboat_core::{Error, ErrorKind};
use object_store::azure::{AzureConfigKey, AzureCredentialProvider, MicrosoftAzureBuilder};

/// The source of Azure credentials.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// What the `AZURE_…` variables say: `AZURE_STORAGE_CONNECTION_STRING`,
    /// `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_TOKEN`, `AZURE_CLIENT_ID` and its kin,
    /// `AZURE_FEDERATED_TOKEN_FILE`; with none of them, the managed identity of the machine.
    #[default]
    Default,
    /// The account's shared key, Base64.
    AccessKey(String),
    /// A shared access signature, as given by the portal.
    SasToken(String),
    /// A connection string, as given by the portal: account, key or signature, and endpoint.
    ConnectionString(String),
    /// An application registered in Entra ID, with its secret.
    ClientSecret {
        /// Directory (tenant).
        tenant: String,
        /// Application (client).
        client: String,
        /// Its secret.
        secret: String,
    },
    /// Workload identity federation (AKS): the variables that the cluster sets.
    WorkloadIdentity,
    /// The identity of the virtual machine, function or app service.
    ManagedIdentity,
    /// Whoever is logged in to the `az` command.
    AzureCli,
    /// Unsigned requests, for public containers.
    Anonymous,
    /// A provider of the program's own.
    Provider(AzureCredentialProvider),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "Default",
            Self::AccessKey(_) => "AccessKey(***)",
            Self::SasToken(_) => "SasToken(***)",
            Self::ConnectionString(_) => "ConnectionString(***)",
            Self::ClientSecret { .. } => "ClientSecret(***)",
            Self::WorkloadIdentity => "WorkloadIdentity",
            Self::ManagedIdentity => "ManagedIdentity",
            Self::AzureCli => "AzureCli",
            Self::Anonymous => "Anonymous",
            Self::Provider(_) => "Provider",
        })
    }
}

/// What the builder learns from a source.
#[derive(Default)]
pub(crate) struct Resolved {
    /// The shared key, if that is what is used: presigned URLs are made with it.
    pub(crate) access_key: Option<String>,
    /// The endpoint of a connection string.
    pub(crate) endpoint: Option<String>,
}

impl Credentials {
    /// Applies the source to `builder`. Sends nothing.
    pub(crate) fn apply(
        &self,
        builder: MicrosoftAzureBuilder,
    ) -> Result<(MicrosoftAzureBuilder, Resolved), Error> {
        let plain = |builder| Ok((builder, Resolved::default()));
        match self {
            Self::Default => from_environment(builder),
            Self::AccessKey(key) => with_access_key(builder, key, None),
            Self::SasToken(token) => {
                let token = token.trim_start_matches('?');
                plain(builder.with_config(AzureConfigKey::SasKey, token))
            }
            Self::ConnectionString(text) => from_connection_string(builder, text),
            Self::ClientSecret { tenant, client, secret } => {
                plain(builder.with_client_secret_authorization(client, secret, tenant))
            }
            Self::WorkloadIdentity => {
                plain(with_environment(builder).with_credential_type("workload_identity"))
            }
            Self::ManagedIdentity => {
                plain(with_environment(builder).with_credential_type("managed_identity"))
            }
            Self::AzureCli => plain(builder.with_use_azure_cli(true)),
            Self::Anonymous => plain(builder.with_skip_signature(true)),
            Self::Provider(provider) => plain(builder.with_credentials(provider.clone())),
        }
    }
}

fn with_access_key(
    builder: MicrosoftAzureBuilder,
    key: &str,
    endpoint: Option<String>,
) -> Result<(MicrosoftAzureBuilder, Resolved), Error> {
    if STANDARD.decode(key).is_err() {
        let message = "the account key is not Base64";
        return Err(Error::new(ErrorKind::Credentials, message)
            .with_remedy("copy it from \"Access keys\" of the storage account"));
    }
    let resolved = Resolved { access_key: Some(key.to_owned()), endpoint };
    Ok((builder.with_access_key(key), resolved))
}

/// Variables that say who we are; nothing else of the environment may change what was configured.
const VARIABLES: [&str; 12] = [
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_TOKEN",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_MSI_RESOURCE_ID",
    "AZURE_USE_AZURE_CLI",
];

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn with_environment(builder: MicrosoftAzureBuilder) -> MicrosoftAzureBuilder {
    let builder = VARIABLES
        .iter()
        .filter_map(|name| Some((name.to_ascii_lowercase().parse().ok()?, variable(name)?)))
        .fold(builder, |builder, (key, value)| builder.with_config(key, value));
    match variable("IDENTITY_ENDPOINT") {
        Some(endpoint) => builder.with_msi_endpoint(endpoint),
        None => builder,
    }
}

fn from_environment(
    builder: MicrosoftAzureBuilder,
) -> Result<(MicrosoftAzureBuilder, Resolved), Error> {
    if let Some(text) = variable("AZURE_STORAGE_CONNECTION_STRING") {
        return from_connection_string(builder, &text);
    }
    let key = variable("AZURE_STORAGE_ACCOUNT_KEY").or_else(|| variable("AZURE_STORAGE_KEY"));
    match key {
        Some(key) => with_access_key(builder, &key, None),
        None => Ok((with_environment(builder), Resolved::default())),
    }
}

/// One field of a connection string.
fn field(text: &str, name: &str) -> Option<String> {
    text.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// The account that a connection string is for; one with a signature names only the endpoint.
pub(crate) fn account_of(connection_string: &str) -> Option<String> {
    field(connection_string, "AccountName").or_else(|| {
        let endpoint = field(connection_string, "BlobEndpoint")?;
        let host = endpoint.split("://").nth(1)?;
        Some(host.split('.').next()?.to_owned())
    })
}

/// Reads `Name=value;…`, as documented in "Configure Azure Storage connection strings".
fn from_connection_string(
    builder: MicrosoftAzureBuilder,
    text: &str,
) -> Result<(MicrosoftAzureBuilder, Resolved), Error> {
    let field = |name: &str| field(text, name);
    let endpoint = field("BlobEndpoint").or_else(|| {
        let suffix = field("EndpointSuffix")?;
        let scheme = field("DefaultEndpointsProtocol").unwrap_or_else(|| "https".into());
        Some(format!("{scheme}://{}.blob.{suffix}", field("AccountName")?))
    });
    if let Some(key) = field("AccountKey") {
        return with_access_key(builder, &key, endpoint);
    }
    if let Some(token) = field("SharedAccessSignature") {
        let resolved = Resolved { access_key: None, endpoint };
        return Ok((builder.with_config(AzureConfigKey::SasKey, token), resolved));
    }
    Err(Error::new(
        ErrorKind::Credentials,
        "the connection string has neither AccountKey nor SharedAccessSignature",
    )
    .with_remedy("copy it from \"Access keys\" of the storage account"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_string_gives_key_and_endpoint() {
        let text = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5==x;\
                    EndpointSuffix=core.windows.net";
        let error = from_connection_string(MicrosoftAzureBuilder::new(), text).err().unwrap();
        assert!(error.to_string().contains("not Base64"), "{error}");
        let text = text.replace("a2V5==x", "a2V5");
        let (_, found) = from_connection_string(MicrosoftAzureBuilder::new(), &text).unwrap();
        assert_eq!(found.access_key.as_deref(), Some("a2V5"));
        assert_eq!(found.endpoint.as_deref(), Some("https://acc.blob.core.windows.net"));
    }

    #[test]
    fn account_is_found_in_both_kinds_of_connection_string() {
        assert_eq!(account_of("AccountName=acc;AccountKey=x").as_deref(), Some("acc"));
        let signed = "BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=sv=1";
        assert_eq!(account_of(signed).as_deref(), Some("acc"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = || "s3cr3t".to_owned();
        for source in [
            Credentials::AccessKey(secret()),
            Credentials::SasToken(secret()),
            Credentials::ConnectionString(secret()),
            Credentials::ClientSecret { tenant: "t".into(), client: "c".into(), secret: secret() },
        ] {
            assert!(!format!("{source:?}").contains("s3cr3t"));
        }
    }
}
