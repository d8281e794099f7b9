//! Azure Blob Storage as a Lifeboat backend.
//!
//! The client is `object_store`'s. What is added: explicit deadlines, the real status and
//! `x-ms-error-code` behind every failure, reads and uploads checked against Azure's MD5,
//! presigned URLs that work for every key, and user metadata under names that Azure itself would
//! refuse.
//!
//! ```
//! use lifeboat_azure::{AzureBuilder, Credentials};
//! use lifeboat_core::BlobStore;
//!
//! # fn main() -> Result<(), lifeboat_core::Error> {
//! let store = AzureBuilder::new("myaccount", "my-container")
//!     .with_credentials(Credentials::ManagedIdentity)
//!     .build()?;
//! assert_eq!(store.identity().to_string(), "azure/myaccount/my-container");
//! # Ok(())
//! # }
//! ```
//!
//! # Provider notes
//! - Names of user metadata must be C# identifiers. Other names (`x-team`) are kept in an encoded
//!   form that this crate reads back; other tools see it as `lbenc_…`.
//! - Uploaded parts cannot be dropped; Azure removes them after seven days.
//! - A key with `\` is stored with `/` by Azure and is refused here.

mod builder;
mod client;
mod credentials;
mod dialect;
mod metadata;
mod sas;

pub use builder::{AzureBuilder, AzureStore};
pub use client::AzureClient;
pub use credentials::Credentials;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
