//! Amazon's own credential chain: environment, profiles, SSO, `credential_process`, web identity,
//! ECS, EKS and IMDS, by `aws-config`.
//!
//! The chain is set up on first use, not when the backend is built: it may read files and ask
//! services, and nothing about a dead credential source may keep a program from starting.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use lifeboat_core::http::CredentialFailure;
use object_store::CredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use tokio::sync::{Mutex, OnceCell};

/// Temporary credentials are renewed this long before they expire, as the SDKs do.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// After a failure the source is left alone for this long, and whoever asks is told so at once:
/// requests must not queue up behind a source that hangs.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest wait for a credential source. IMDS with its own retries takes up to four seconds; a
/// `credential_process` that opens a browser is not for servers.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A provider over the chain, or over one profile of it.
pub(crate) fn provider(profile: Option<String>, region: &str) -> AwsCredentialProvider {
    Arc::new(Chain {
        profile,
        region: region.to_owned(),
        providers: OnceCell::new(),
        cached: Mutex::default(),
    })
}

#[derive(Debug)]
struct Chain {
    profile: Option<String>,
    region: String,
    providers: OnceCell<SharedCredentialsProvider>,
    cached: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    good: Option<Cached>,
    failed: Option<Instant>,
}

#[derive(Clone)]
struct Cached {
    credential: Arc<AwsCredential>,
    expires: Option<SystemTime>,
}

impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Cached {
    fn good_for(&self, time: Duration) -> bool {
        self.expires.is_none_or(|expires| expires > SystemTime::now() + time)
    }
}

/// The source took too long.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct TooLate(Duration);

/// The source failed a moment ago.
#[derive(Debug, thiserror::Error)]
#[error("it failed within the last {PAUSE:?}")]
struct JustFailed;

impl Chain {
    async fn fetch(&self) -> Result<Cached, CredentialFailure> {
        let chain = self.providers.get_or_init(|| self.set_up()).await;
        let credentials = tokio::time::timeout(LONGEST_WAIT, chain.provide_credentials())
            .await
            .map_err(|_| self.failure(Box::new(TooLate(LONGEST_WAIT))))?
            .map_err(|error| self.failure(Box::new(error)))?;
        Ok(Cached {
            expires: credentials.expiry(),
            credential: Arc::new(AwsCredential {
                key_id: credentials.access_key_id().to_owned(),
                secret_key: credentials.secret_access_key().to_owned(),
                token: credentials.session_token().map(str::to_owned),
            }),
        })
    }

    fn failure(&self, cause: Box<dyn std::error::Error + Send + Sync>) -> CredentialFailure {
        let origin = match &self.profile {
            Some(name) => format!("AWS profile `{name}`"),
            None => "the AWS credential chain".into(),
        };
        CredentialFailure { origin, cause }
    }

    async fn set_up(&self) -> SharedCredentialsProvider {
        // A region must be given, or the chain looks for one at IMDS.
        let region = Region::new(self.region.clone());
        // The profile that was named, and not what the environment has to say first.
        if let Some(name) = &self.profile {
            let config = ProviderConfig::without_region().with_region(Some(region));
            let profile = ProfileFileCredentialsProvider::builder();
            return SharedCredentialsProvider::new(
                profile.configure(&config).profile_name(name).build(),
            );
        }
        SharedCredentialsProvider::new(
            DefaultCredentialsChain::builder().region(region).build().await,
        )
    }
}

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        // One renewal at a time; whoever waits here finds it done.
        let mut state = self.cached.lock().await;
        if let Some(cached) = state.good.as_ref().filter(|cached| cached.good_for(RENEW_BEFORE)) {
            return Ok(Arc::clone(&cached.credential));
        }
        let just_failed = state.failed.is_some_and(|failed| failed.elapsed() < PAUSE);
        let fetched =
            if just_failed { Err(self.failure(Box::new(JustFailed))) } else { self.fetch().await };
        match fetched {
            Ok(fresh) => {
                let credential = Arc::clone(&fresh.credential);
                *state = State { good: Some(fresh), failed: None };
                Ok(credential)
            }
            Err(failure) => {
                if !just_failed {
                    state.failed = Some(Instant::now());
                }
                // A renewal that fails does not matter while the old ones still hold.
                let still_good = |cached: &&Cached| cached.good_for(Duration::ZERO);
                if let Some(old) = state.good.as_ref().filter(still_good) {
                    return Ok(Arc::clone(&old.credential));
                }
                Err(object_store::Error::Generic { store: "S3", source: Box::new(failure) })
            }
        }
    }
}
