//! Google Cloud Storage as a Lifeboat backend.
//!
//! The client is `object_store`'s, which speaks the XML API. What is added: explicit deadlines,
//! the real status and error code behind every failure, uploads that Google verifies by CRC-32C
//! before it stores them, and reads checked against `x-goog-hash`.
//!
//! ```
//! use lifeboat_core::BlobStore;
//! use lifeboat_gcs::{Credentials, GcsBuilder};
//!
//! # fn main() -> Result<(), lifeboat_core::Error> {
//! let store = GcsBuilder::new("my-bucket").with_credentials(Credentials::Anonymous).build()?;
//! assert_eq!(store.identity().to_string(), "gcs/my-bucket");
//! # Ok(())
//! # }
//! ```
//!
//! # Provider notes
//! - Google has no bulk delete in the XML API: each key costs a request.
//! - Tags are dropped: Google has none on objects.
//! - Workload identity federation from files (`external_account`) and impersonation are not
//!   supported by `object_store`; give such credentials through [`Credentials::Provider`].

mod builder;
mod credentials;
mod dialect;

pub use builder::{GcsBuilder, GcsStore};
pub use credentials::Credentials;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
