//! Object storage at two providers at once, so that the outage of either is a non-event.
//!
//! This crate is what an application depends on: the backends, the catalogue of providers, and one
//! configuration file that names the stores in order.
//!
//! ```
//! use lifeboat::{BlobStore, object_store::ObjectStoreExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Any backend by URL: s3://…, az://…, gs://…, stackit://…, hetzner://…, file:///…, memory://…
//! let store = lifeboat::store_from_url("memory://scratch")?;
//! store.put(&"hello".into(), "world".into()).await?;
//! assert_eq!(store.get(&"hello".into()).await?.bytes().await?, "world");
//! println!("{}", store.identity());
//! # Ok(())
//! # }
//! ```
//!
//! With a configuration file:
//!
//! ```no_run
//! # fn main() -> Result<(), lifeboat::Error> {
//! let fleet = lifeboat::open("lifeboat.toml")?;
//! for (name, store) in fleet.backends() {
//!     println!("{name}: {store}, owned under {} law", store.identity().jurisdiction());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! See [`config`] for the file's format, and [`config::url`] for the URLs.
//!
//! # Features
//! `s3`, `azure`, `gcs`, `folder` choose backends, `eu` the catalogue, `aws-config` Amazon's
//! credential chain. All are on by default; a feature only adds.

mod absent;
pub mod config;
mod fleet;
#[cfg(feature = "folder")]
pub mod folder;
mod location;

pub use config::find_config;
pub use config::url::store_from_url;
pub use fleet::{Fleet, open};
pub use lifeboat_core::*;
pub use location::Location;

#[cfg(feature = "azure")]
pub use lifeboat_azure as azure;
#[cfg(feature = "eu")]
pub use lifeboat_eu as eu;
pub use lifeboat_failover as failover;
#[cfg(feature = "gcs")]
pub use lifeboat_gcs as gcs;
#[cfg(feature = "s3")]
pub use lifeboat_s3 as s3;
pub use lifeboat_transfer as transfer;
pub use object_store;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
