//! What can be wrong with a question to the catalogue. Each text names the thing and says what to
//! give instead.

use lifeboat_core::{Error, ErrorKind};
use url::Url;

/// Says why a provider, a region or an endpoint cannot be had from the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// No provider has this id.
    #[error("unknown provider {id:?}{}; known are: {}", did_you_mean(near), known.join(", "))]
    UnknownProvider {
        /// What was asked for.
        id: String,
        /// Ids that look alike, nearest first.
        near: Vec<String>,
        /// All ids, in the order of the catalogue.
        known: Vec<String>,
    },
    /// The provider has no region of this id.
    #[error(
        "unknown region {region:?} of provider {provider}{}; known are: {}",
        did_you_mean(near),
        known.join(", ")
    )]
    UnknownRegion {
        /// The provider's id.
        provider: String,
        /// What was asked for.
        region: String,
        /// Ids that look alike, nearest first.
        near: Vec<String>,
        /// All region ids of the provider.
        known: Vec<String>,
    },
    /// The endpoint depends on the region, and none was given.
    #[error("provider {provider} needs a region; known are: {}", known.join(", "))]
    MissingRegion {
        /// The provider's id.
        provider: String,
        /// All region ids of the provider.
        known: Vec<String>,
    },
    /// The endpoint contains the account, and none was given.
    #[error("provider {provider} needs an account: what stands for {{account}} in {template}")]
    MissingAccount {
        /// The provider's id.
        provider: String,
        /// The endpoint's template.
        template: String,
    },
    /// The account cannot be a part of a host name.
    #[error(
        "account {account:?} of provider {provider} cannot be part of a host name: \
         give 1 to 63 letters, digits and inner hyphens, what stands for {{account}} in {template}"
    )]
    InvalidAccount {
        /// The provider's id.
        provider: String,
        /// What was given.
        account: String,
        /// The endpoint's template.
        template: String,
    },
    /// The provider is software that runs wherever the user runs it, and no endpoint was given.
    #[error(
        "provider {provider} is self-hosted and needs an endpoint, such as https://s3.example.org"
    )]
    MissingEndpoint {
        /// The provider's id.
        provider: String,
    },
    /// The endpoint given is not an address at all.
    #[error(
        "endpoint {endpoint:?} of provider {provider} is not a URL such as https://s3.example.org"
    )]
    MalformedEndpoint {
        /// The provider's id.
        provider: String,
        /// What was given.
        endpoint: String,
    },
    /// The endpoint given is not a plain `http` or `https` address.
    #[error("endpoint {endpoint} of provider {provider} {problem}")]
    InvalidEndpoint {
        /// The provider's id.
        provider: String,
        /// What was given, without user name, password and query.
        endpoint: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The provider does not speak the API that was asked of it.
    #[error("provider {provider} speaks the {api} API, not S3: use the crate lifeboat-{api}")]
    OtherApi {
        /// The provider's id.
        provider: String,
        /// The API it speaks.
        api: &'static str,
    },
    /// No jurisdiction has this name.
    #[error("unknown jurisdiction {word:?}; known are: eu, ch, uk, us, other, self-hosted")]
    UnknownJurisdiction {
        /// What was given.
        word: String,
    },
    /// The catalogue's own text is not valid. Never met by users of the built-in catalogue.
    #[error("invalid catalogue: {0}")]
    Data(String),
}

impl From<CatalogueError> for Error {
    fn from(error: CatalogueError) -> Self {
        let kind = match error {
            CatalogueError::UnknownProvider { .. } | CatalogueError::UnknownRegion { .. } => {
                ErrorKind::NotFound
            }
            _ => ErrorKind::Configuration,
        };
        Self::new(kind, error.to_string())
    }
}

/// The part of a message that offers the names that look alike.
fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(" or ")) }
}

/// Most names that are offered as "did you mean".
const MOST_NEAR: usize = 3;

/// The names that `word` may be a slip for, nearest first: those within a third of its length in
/// edits (two at least), and those that contain it or begin it.
pub(crate) fn near(word: &str, known: &[String]) -> Vec<String> {
    let word = word.to_lowercase();
    let reach = (word.chars().count() / 3).max(2);
    let contains = |name: &str| word.len() > 2 && (name.contains(&word) || word.starts_with(name));
    let mut ranked: Vec<_> = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&word, &name.to_lowercase()), name))
        .filter(|(edits, name)| *edits <= reach || contains(&name.to_lowercase()))
        .collect();
    ranked.sort();
    ranked.into_iter().take(MOST_NEAR).map(|(_, name)| name.clone()).collect()
}

/// Refuses an endpoint that is not a plain address.
pub(crate) fn check_endpoint(provider: &str, endpoint: &Url) -> Result<(), CatalogueError> {
    let problem = if !matches!(endpoint.scheme(), "http" | "https") {
        "must begin with https:// (or http://)"
    } else if !endpoint.has_host() {
        "has no host"
    } else if !endpoint.username().is_empty() || endpoint.password().is_some() {
        "must not contain a user name or password: credentials go to the builder or the environment"
    } else if endpoint.query().is_some() || endpoint.fragment().is_some() {
        "must not have a query or a fragment"
    } else {
        return Ok(());
    };
    let mut shown = endpoint.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Both fail only for addresses that cannot carry a user, which then have none to hide.
    let _ = (shown.set_username(""), shown.set_password(None));
    Err(CatalogueError::InvalidEndpoint {
        provider: provider.into(),
        endpoint: shown.to_string(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn near_names_come_nearest_first() {
        let known = names(&["scaleway", "scality", "stackit", "ovhcloud", "ovhcloud-us"]);
        assert_eq!(near("stakcit", &known), ["stackit"]);
        assert_eq!(near("Scalway", &known), ["scaleway", "scality"]);
        assert_eq!(near("ovh", &known), ["ovhcloud", "ovhcloud-us"]);
        assert!(near("zzzzzz", &known).is_empty());
    }

    #[test]
    fn endpoint_error_hides_the_password() {
        let endpoint: Url = "https://user:hunter2@example.org/?token=hunter3".parse().unwrap();
        let error = check_endpoint("minio", &endpoint).unwrap_err().to_string();
        assert!(!error.contains("hunter"), "{error}");
        assert!(error.contains("https://example.org/"), "{error}");
    }
}
