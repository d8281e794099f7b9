//! Credential sources out of settings, for each kind of provider.

use lifeboat_core::{Error, ErrorKind};

use super::settings::CredentialSettings;

/// A source that this kind of provider does not know.
fn unfit(what: &str, provider: &str, known: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("{provider} has no credentials by {what}"))
        .with_remedy(format!("use {known}"))
}

#[cfg(any(feature = "azure", feature = "s3"))]
fn read(path: &std::path::Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| {
        let message = format!("the credentials file {} cannot be read", path.display());
        Error::new(ErrorKind::Credentials, message)
            .with_remedy("check its path and permissions")
            .with_source(error)
    })
}

#[cfg(feature = "s3")]
pub(super) fn s3(settings: &CredentialSettings) -> Result<Option<lifeboat_s3::Credentials>, Error> {
    use lifeboat_s3::Credentials;
    Ok(Some(match settings {
        CredentialSettings::Default => return Ok(None),
        CredentialSettings::Environment(prefix) => {
            Credentials::Environment { prefix: prefix.clone() }
        }
        CredentialSettings::Profile(name) => Credentials::Profile(name.clone()),
        CredentialSettings::File(path) => Credentials::Static(key_file(path)?),
        CredentialSettings::Anonymous => Credentials::Anonymous,
        CredentialSettings::Source(name) => {
            let what = format!("source `{name}`");
            return Err(unfit(&what, "an S3 service", "env, profile, file or anonymous"));
        }
    }))
}

/// Reads `access_key_id = …` and `secret_access_key = …`, with or without `aws_` before them: the
/// shared credentials file of the AWS tools is one such file.
#[cfg(feature = "s3")]
fn key_file(path: &std::path::Path) -> Result<lifeboat_s3::StaticKey, Error> {
    let text = read(path)?;
    let field = |wanted: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            let name = name.trim();
            let name = name.strip_prefix("aws_").unwrap_or(name);
            (name == wanted).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let (Some(id), Some(secret)) = (field("access_key_id"), field("secret_access_key")) else {
        let message = format!("the credentials file {} holds no access key", path.display());
        return Err(Error::new(ErrorKind::Credentials, message)
            .with_remedy("write access_key_id = … and secret_access_key = … on two lines"));
    };
    let key = lifeboat_s3::StaticKey::new(id, secret);
    Ok(match field("session_token") {
        Some(token) => key.with_session_token(token),
        None => key,
    })
}

#[cfg(feature = "azure")]
pub(super) fn azure(settings: &CredentialSettings) -> Result<lifeboat_azure::Credentials, Error> {
    use lifeboat_azure::Credentials;
    const KNOWN: &str = "file, anonymous, or source = \"managed-identity\", \"workload-identity\" \
        or \"azure-cli\"";
    Ok(match settings {
        CredentialSettings::Default => Credentials::Default,
        CredentialSettings::Anonymous => Credentials::Anonymous,
        CredentialSettings::File(path) => azure_secret(read(path)?.trim()),
        CredentialSettings::Source(name) => match &**name {
            "managed-identity" => Credentials::ManagedIdentity,
            "workload-identity" => Credentials::WorkloadIdentity,
            "azure-cli" => Credentials::AzureCli,
            other => return Err(unfit(&format!("source `{other}`"), "Azure", KNOWN)),
        },
        CredentialSettings::Environment(prefix) => {
            let name = format!("{prefix}_ACCOUNT_KEY");
            let key = std::env::var(&name).map_err(|_| {
                Error::new(ErrorKind::Credentials, format!("no account key in {name}"))
                    .with_remedy(format!("set {name}"))
            })?;
            Credentials::AccessKey(key)
        }
        CredentialSettings::Profile(_) => return Err(unfit("profile", "Azure", KNOWN)),
    })
}

/// A file may hold a connection string, a shared access signature, or an account key.
#[cfg(feature = "azure")]
fn azure_secret(text: &str) -> lifeboat_azure::Credentials {
    use lifeboat_azure::Credentials;
    if text.contains("AccountName=") || text.contains("BlobEndpoint=") {
        Credentials::ConnectionString(text.to_owned())
    } else if text.contains("sig=") {
        Credentials::SasToken(text.to_owned())
    } else {
        Credentials::AccessKey(text.to_owned())
    }
}

#[cfg(feature = "gcs")]
pub(super) fn gcs(settings: &CredentialSettings) -> Result<lifeboat_gcs::Credentials, Error> {
    use lifeboat_gcs::Credentials;
    const KNOWN: &str = "file (a service account key) or anonymous";
    Ok(match settings {
        CredentialSettings::Default => Credentials::Default,
        CredentialSettings::Anonymous => Credentials::Anonymous,
        CredentialSettings::File(path) => Credentials::ServiceAccountFile(path.clone()),
        CredentialSettings::Environment(_) => return Err(unfit("env", "Google", KNOWN)),
        CredentialSettings::Profile(_) => return Err(unfit("profile", "Google", KNOWN)),
        CredentialSettings::Source(_) => return Err(unfit("source", "Google", KNOWN)),
    })
}

#[cfg(all(test, feature = "s3"))]
mod tests {
    use super::*;

    #[test]
    fn key_file_is_read_and_a_file_without_a_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "[default]\naws_access_key_id = A\naws_secret_access_key = \"B\"\n")
            .unwrap();
        assert!(key_file(&path).is_ok());
        std::fs::write(&path, "hunter2\n").unwrap();
        let error = key_file(&path).unwrap_err().to_string();
        assert!(error.contains("holds no access key") && !error.contains("hunter2"), "{error}");
    }
}
