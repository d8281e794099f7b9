//! What the HTTP backends share: every attempt is seen, bounded, and checked.
//!
//! `object_store` hides the HTTP status, the vendor's error code, `Retry-After` and every retry
//! from its errors, waits up to 180 s on a silent server, takes any well-formed XML for an empty
//! listing, and returns corrupted bodies as `Ok`. All of that can be mended from one place: its
//! [`HttpConnector`](object_store::client::HttpConnector) seam, plus a thin wrapper around the
//! store.
//!
//! - [`WireConnector`] wraps the real HTTP client. For each attempt it enforces [`Deadlines`],
//!   records an [`Exchange`], reads error documents, and refuses answers that are none.
//! - [`WireStore`] wraps the store. It opens a trace for each operation, so that attempts and
//!   operation meet, attaches a [`WireFailure`] to each error, checks what is read against the
//!   provider's checksum, and honours the provider's limits.
//! - [`Dialect`] is what differs between providers: error codes, checksum headers, hosts.
//!
//! What is not here: any knowledge of a provider, and any failover.

mod attempt;
mod behaviour;
mod checked_body;
mod checksum;
mod client;
mod connector;
mod credential_health;
mod deadlines;
mod dialect;
mod document;
mod endpoint;
mod etag;
mod exchange;
mod failure;
mod hashing;
mod inquiry;
mod integrity;
mod judge;
mod multipart;
mod operating;
mod resolver;
mod response;
mod settings;
mod shaping;
mod store;
mod trace;
mod traced_upload;
mod upload;
mod validate;

pub use behaviour::{Behaviour, COPY_CREATE_LIMIT, CopyCreate};
pub use checksum::{Algorithm, Checksum, body_checksum};
pub use connector::WireConnector;
pub use deadlines::{Deadlines, Retries};
pub use dialect::{Dialect, VendorError, verdict_by_status};
pub use document::element_text;
pub use endpoint::parse_endpoint;
pub use etag::EtagDigest;
pub use exchange::{Exchange, Operation, Outcome, Traffic};
pub use failure::{CredentialFailure, WireFailure};
pub use inquiry::BucketInquiry;
pub use integrity::IntegrityError;
pub use resolver::{Resolve, Resolver};
pub use settings::HttpSettings;
pub use store::WireStore;
