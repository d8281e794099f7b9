//! Settings of the HTTP client, the same for every backend.

use std::fmt;

use super::{Deadlines, Resolver, Retries};

/// How a backend's HTTP client behaves.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpSettings {
    /// Allow an endpoint without TLS. Credential sources on the machine itself (instance metadata)
    /// are reached over plain HTTP in any case.
    pub allow_http: bool,
    /// Proxy for all traffic but that to metadata services of this machine; without it
    /// `HTTPS_PROXY` and its kin are honoured. May hold a password, which is not shown.
    pub proxy: Option<String>,
    /// Certificates of private authorities in PEM, trusted beside the system's.
    pub ca_certificates: Vec<Vec<u8>>,
    /// Looks up host names; the system does if not set.
    pub resolver: Option<Resolver>,
    /// What Lifeboat calls itself.
    pub user_agent: String,
    /// Bounds on one attempt.
    pub deadlines: Deadlines,
    /// How often an attempt is repeated.
    pub retries: Retries,
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings")
            .field("allow_http", &self.allow_http)
            .field("proxy", &self.proxy.as_ref().map(|_| "***"))
            .field("ca_certificates", &self.ca_certificates.len())
            .field("resolver", &self.resolver)
            .field("deadlines", &self.deadlines)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            allow_http: false,
            proxy: None,
            ca_certificates: Vec::new(),
            resolver: None,
            user_agent: concat!("lifeboat/", env!("CARGO_PKG_VERSION")).into(),
            deadlines: Deadlines::default(),
            retries: Retries::default(),
        }
    }
}
