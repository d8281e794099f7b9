//! Where Google's credentials come from. No secret is ever printed.

use std::fmt;
use std::path::PathBuf;

use object_store::gcp::{
    GcpCredentialProvider, GcpSigningCredentialProvider, GoogleCloudStorageBuilder,
};

/// The source of Google credentials.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Application Default Credentials: `GOOGLE_SERVICE_ACCOUNT`, `GOOGLE_SERVICE_ACCOUNT_KEY`,
    /// `GOOGLE_APPLICATION_CREDENTIALS`, the file that `gcloud auth application-default login`
    /// writes, or the metadata service of the machine.
    #[default]
    Default,
    /// A service account key file.
    ServiceAccountFile(PathBuf),
    /// The content of a service account key file.
    ServiceAccountKey(String),
    /// Unsigned requests, for public buckets.
    Anonymous,
    /// Providers of the program's own: for requests, and for presigned URLs.
    Provider {
        /// Gives bearer tokens.
        requests: GcpCredentialProvider,
        /// Gives what presigned URLs are signed with.
        signing: Option<GcpSigningCredentialProvider>,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            Self::ServiceAccountFile(path) => write!(f, "ServiceAccountFile({})", path.display()),
            Self::ServiceAccountKey(_) => f.write_str("ServiceAccountKey(***)"),
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Provider { .. } => f.write_str("Provider"),
        }
    }
}

/// A service account of nobody: `object_store` looks for real credentials at build time unless it
/// is given some, even where requests are not to be signed.
const NOBODY: &str = r#"{"private_key": "", "private_key_id": "", "client_email": "",
    "disable_oauth": true}"#;

impl Credentials {
    /// Applies the source to `builder`. Reads files and the environment, sends nothing.
    pub(crate) fn apply(&self, builder: GoogleCloudStorageBuilder) -> GoogleCloudStorageBuilder {
        match self {
            Self::Default => with_environment(builder),
            Self::ServiceAccountFile(path) => {
                builder.with_service_account_path(path.to_string_lossy())
            }
            Self::ServiceAccountKey(key) => builder.with_service_account_key(key),
            Self::Anonymous => builder.with_service_account_key(NOBODY).with_skip_signature(true),
            Self::Provider { requests, signing } => {
                let builder = builder.with_credentials(requests.clone());
                match signing {
                    Some(signing) => builder.with_signing_credentials(signing.clone()),
                    None => builder,
                }
            }
        }
    }
}

/// Variables that say who we are; nothing else of the environment may change what was configured.
const VARIABLES: [&str; 4] = [
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
];

fn with_environment(builder: GoogleCloudStorageBuilder) -> GoogleCloudStorageBuilder {
    VARIABLES
        .iter()
        .filter_map(|name| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
            Some((name.to_ascii_lowercase().parse().ok()?, value))
        })
        .fold(builder, |builder, (key, value)| builder.with_config(key, value))
}
