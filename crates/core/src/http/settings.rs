//! Settings of the HTTP client, the same for every backend.

use super::{Deadlines, Retries};

/// How a backend's HTTP client behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpSettings {
    /// Allow an endpoint without TLS. Credential sources on the machine itself (instance metadata)
    /// are reached over plain HTTP in any case.
    pub allow_http: bool,
    /// Proxy for all traffic; without it `HTTPS_PROXY` and its kin are honoured.
    pub proxy: Option<String>,
    /// Certificates of private authorities in PEM, trusted beside the system's.
    pub ca_certificates: Vec<Vec<u8>>,
    /// What Lifeboat calls itself.
    pub user_agent: String,
    /// Bounds on one attempt.
    pub deadlines: Deadlines,
    /// How often an attempt is repeated.
    pub retries: Retries,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            allow_http: false,
            proxy: None,
            ca_certificates: Vec::new(),
            user_agent: concat!("lifeboat/", env!("CARGO_PKG_VERSION")).into(),
            deadlines: Deadlines::default(),
            retries: Retries::default(),
        }
    }
}
