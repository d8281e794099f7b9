//! How long each step of an attempt may take, and how often it is repeated.

use std::time::Duration;

use object_store::{BackoffConfig, ClientOptions, RetryConfig};

/// Bounds on one attempt. No step waits without one.
///
/// There is no bound on the whole of a transfer: a slow but live body of 2 GiB is not a failure,
/// and `object_store`'s default of 30 s for everything kills it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Name look-up, TCP and TLS handshake.
    pub connect: Duration,
    /// From the end of the request to the head of the answer.
    pub first_byte: Duration,
    /// The same for requests that make the provider work: server-side copy, multipart completion.
    pub assembly: Duration,
    /// Longest pause within a body, in either direction, while the other side is ready.
    pub stall: Duration,
}

impl Deadlines {
    /// Two seconds cover a name look-up and three round trips to the far side of the world, and one
    /// lost SYN (retransmitted after one second).
    pub const CONNECT: Duration = Duration::from_secs(2);
    /// Small requests are answered within 200 ms at the median and rarely over a second; five
    /// seconds is where a person reloads.
    pub const FIRST_BYTE: Duration = Duration::from_secs(5);
    /// Amazon documents that completing a large upload can take minutes, but it sends the head of
    /// the answer at once; services that do not, copy some 100 MiB/s server-side.
    pub const ASSEMBLY: Duration = Duration::from_mins(1);
    /// What each further key adds to the bound on a bulk delete: up to 1,000 deletes, one after the
    /// other at some providers.
    pub(super) const PER_DELETED_KEY: Duration = Duration::from_millis(50);
    /// The longest pause that still is a hiccup of a network rather than the end of a connection.
    pub const STALL: Duration = Duration::from_secs(10);
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Self::CONNECT,
            first_byte: Self::FIRST_BYTE,
            assembly: Self::ASSEMBLY,
            stall: Self::STALL,
        }
    }
}

impl Deadlines {
    /// Sets the connect bound and takes away `object_store`'s bound on whole transfers; the other
    /// bounds are kept by [`WireConnector`](super::WireConnector).
    pub fn apply(&self, options: ClientOptions) -> ClientOptions {
        options.with_timeout_disabled().with_connect_timeout(self.connect)
    }
}

/// How often an attempt is repeated within one backend.
///
/// Kept short: riding out a blip is the backend's business, riding out an outage is not. The
/// default of `object_store` (10 retries within 180 s) would see an outage three minutes late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Further attempts after the first.
    pub max: usize,
    /// No further attempt is begun after this time.
    pub budget: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { max: 2, budget: Duration::from_secs(6) }
    }
}

impl Retries {
    /// The same in `object_store`'s terms.
    pub fn config(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(1),
                base: 2.0,
            },
            max_retries: self.max,
            retry_timeout: self.budget,
        }
    }
}
