//! Amazon S3, and every S3-compatible service, as a Lifeboat backend.
//!
//! The client is `object_store`'s. What is added is what a second provider at one's side needs:
//! explicit deadlines instead of three minutes of hope, real status and error code behind every
//! failure, uploads protected by checksums, reads checked against them, and conditional writes
//! that are refused where a service only pretends to honour them.
//!
//! ```
//! use lifeboat_s3::{Credentials, Quirks, S3Builder, StaticKey};
//!
//! # fn main() -> Result<(), lifeboat_core::Error> {
//! let key = StaticKey::new("access-key", "secret-key");
//! let store = S3Builder::compatible("garage", "https://s3.example.org", "bucket", "garage")
//!     .with_credentials(Credentials::Static(key))
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! For services in the catalogue use `lifeboat-eu`, which knows endpoints, limits and quirks.
//!
//! # Guarantees
//! - Building sends nothing and does not fail because a provider is down.
//! - No request waits without a bound; see [`Deadlines`](lifeboat_core::http::Deadlines).
//! - A put with `PutMode::Create` or `Update` never succeeds on a service that ignores conditions:
//!   where Amazon's own guarantee is missing, the first such put probes the service.
//! - TLS, unless plain HTTP is allowed explicitly.
//!
//! # Features
//! - `aws-config`: profiles, SSO, `credential_process` and the rest of Amazon's credential chain.

mod builder;
#[cfg(feature = "aws-config")]
mod chain;
mod credentials;
mod dialect;
mod inquiry;
mod quirks;

pub use builder::{S3Builder, S3Store};
pub use credentials::{Credentials, StaticKey};
pub use quirks::{Addressing, Quirks, UploadChecksum};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
