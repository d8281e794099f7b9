//! Where the keys come from. No secret is ever printed.

use std::fmt;
use std::sync::Arc;

use lifeboat_core::{Error, ErrorKind};
use object_store::StaticCredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};

/// The source of an access key.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Amazon's chain for Amazon (environment, profiles and SSO with feature `aws-config`, web
    /// identity, ECS, EKS, IMDS); the environment (`AWS_ACCESS_KEY_ID`, …) for other services.
    #[default]
    Default,
    /// `{prefix}_ACCESS_KEY_ID`, `{prefix}_SECRET_ACCESS_KEY` and, if set, `{prefix}_SESSION_TOKEN`.
    Environment {
        /// Such as `AWS` or `STACKIT`.
        prefix: String,
    },
    /// A key given by the program.
    Static(StaticKey),
    /// A profile of `~/.aws/config`, with whatever it says: keys, SSO, `credential_process`, a role
    /// to assume. Needs feature `aws-config`.
    Profile(String),
    /// Unsigned requests, for public buckets.
    Anonymous,
    /// A provider of the program's own.
    Provider(AwsCredentialProvider),
}

/// An access key. `Debug` shows neither part.
#[derive(Clone)]
pub struct StaticKey {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl StaticKey {
    /// Makes a key of its two parts.
    pub fn new(access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token: None,
        }
    }

    /// Adds the session token of temporary credentials.
    pub fn with_session_token(mut self, token: impl Into<String>) -> Self {
        self.session_token = Some(token.into());
        self
    }

    fn into_provider(self) -> AwsCredentialProvider {
        Arc::new(StaticCredentialProvider::new(AwsCredential {
            key_id: self.access_key_id,
            secret_key: self.secret_access_key,
            token: self.session_token,
        }))
    }
}

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticKey(***)")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            Self::Environment { prefix } => write!(f, "Environment({prefix})"),
            Self::Static(key) => key.fmt(f),
            Self::Profile(name) => write!(f, "Profile({name})"),
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Provider(_) => f.write_str("Provider"),
        }
    }
}

/// What the builder of `object_store` is given.
pub(crate) enum Resolved {
    /// Requests are not signed.
    Unsigned,
    /// `object_store`'s own chain: what there is of Amazon's without `aws-config`.
    #[cfg(not(feature = "aws-config"))]
    Chain,
    /// A provider.
    Provider(AwsCredentialProvider),
}

impl Credentials {
    /// Turns the source into a provider. Reads the environment, but sends nothing: a dead
    /// credential source must not keep a program from starting.
    pub(crate) fn resolve(&self, amazon: bool, region: &str) -> Result<Resolved, Error> {
        match self {
            Self::Anonymous => Ok(Resolved::Unsigned),
            Self::Static(key) => Ok(Resolved::Provider(key.clone().into_provider())),
            Self::Provider(provider) => Ok(Resolved::Provider(Arc::clone(provider))),
            Self::Environment { prefix } => from_environment(prefix).map(Resolved::Provider),
            Self::Profile(name) => profile(name, region),
            Self::Default if amazon => Ok(amazon_chain(region)),
            Self::Default => from_environment("AWS").map(Resolved::Provider),
        }
    }
}

fn from_environment(prefix: &str) -> Result<AwsCredentialProvider, Error> {
    let read = |suffix: &str| -> Result<Option<String>, Error> {
        let name = format!("{prefix}_{suffix}");
        match std::env::var(&name) {
            Ok(value) if value.is_empty() => Ok(None),
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                let message = format!("environment variable {name} is not valid UTF-8");
                Err(Error::new(ErrorKind::Credentials, message))
            }
        }
    };
    let (Some(id), Some(secret)) = (read("ACCESS_KEY_ID")?, read("SECRET_ACCESS_KEY")?) else {
        let message = format!("no access key in {prefix}_ACCESS_KEY_ID");
        return Err(Error::new(ErrorKind::Credentials, message).with_remedy(format!(
            "set {prefix}_ACCESS_KEY_ID and {prefix}_SECRET_ACCESS_KEY, or name another source"
        )));
    };
    let mut key = StaticKey::new(id, secret);
    key.session_token = read("SESSION_TOKEN")?;
    Ok(key.into_provider())
}

#[cfg(feature = "aws-config")]
#[allow(clippy::unnecessary_wraps, reason = "without the feature it fails")]
fn profile(name: &str, region: &str) -> Result<Resolved, Error> {
    Ok(Resolved::Provider(crate::chain::provider(Some(name.to_owned()), region)))
}

#[cfg(not(feature = "aws-config"))]
fn profile(name: &str, _: &str) -> Result<Resolved, Error> {
    let message = format!("profile `{name}` cannot be read: built without feature `aws-config`");
    Err(Error::new(ErrorKind::Credentials, message)
        .with_remedy("enable the feature, or give the keys through the environment"))
}

#[cfg(feature = "aws-config")]
fn amazon_chain(region: &str) -> Resolved {
    Resolved::Provider(crate::chain::provider(None, region))
}

#[cfg(not(feature = "aws-config"))]
fn amazon_chain(_: &str) -> Resolved {
    Resolved::Chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_part_of_a_key() {
        let key = StaticKey::new("AKIAEXAMPLE", "s3cr3t").with_session_token("t0ken");
        let shown = format!("{:?}", Credentials::Static(key));
        assert_eq!(shown, "StaticKey(***)");
    }

    #[test]
    fn missing_environment_names_the_variables() {
        let source = Credentials::Environment { prefix: "LIFEBOAT_NO_SUCH".into() };
        let error = source.resolve(false, "eu01").err().expect("nothing is set");
        assert!(error.to_string().contains("LIFEBOAT_NO_SUCH_SECRET_ACCESS_KEY"), "{error}");
    }
}
