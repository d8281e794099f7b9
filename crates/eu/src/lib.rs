//! European (and other) object storage providers as data, for Lifeboat.
//!
//! Between "S3-compatible" and what a provider really does lie surprises: one takes 1,000 parts
//! where Amazon takes 10,000, one wants all parts equal, several refuse the checksum headers of
//! current SDKs, and some accept `If-None-Match` and ignore it, so that a lock is overwritten. The
//! [`Catalogue`] holds these facts for 73 providers with 226 regions, each with its source.
//!
//! It also holds what a data centre's address does not say: who owns the provider. A US parent puts
//! a region in Frankfurt under US law, so providers are filtered by the jurisdiction of the
//! *owner*.
//!
//! ```
//! use lifeboat_core::Jurisdiction;
//! use lifeboat_eu::Catalogue;
//!
//! // EU-owned, with a region in Austria.
//! let found: Vec<_> = Catalogue::builtin()
//!     .owned_in(Jurisdiction::Eu)
//!     .flat_map(|provider| provider.regions_in("AT").map(|region| (&*provider.id, &*region.id)))
//!     .collect();
//! assert_eq!(found, [("stackit", "eu02")]);
//! ```
//!
//! # From facts to a backend
//!
//! [`S3Compatible`] turns an entry into a backend of `lifeboat-s3` that keeps to the facts: parts
//! are gathered where few are allowed, checksum headers are left out where they break uploads,
//! conditional puts are refused where they are ignored and tried out where nobody knows. Ten
//! providers have builders of their own, with regions as types: [`Stackit`], [`Ovhcloud`],
//! [`Scaleway`], [`Hetzner`], [`Ionos`], [`Exoscale`], [`UpCloud`], [`OpenTelekomCloud`],
//! [`Infomaniak`], [`Cleura`].
//!
//! # What is not here
//!
//! No HTTP of its own: `lifeboat-s3` speaks to the providers. No prices, no certificates of
//! compliance: they change faster than a library.

mod catalogue;
mod compatible;
mod data;
mod error;
mod provider;
mod size;
mod typed;
mod words;

pub use catalogue::{Catalogue, jurisdiction};
pub use compatible::S3Compatible;
pub use error::CatalogueError;
pub use provider::{
    Addressing, Api, Confidence, CredentialVariables, Limits, Listing, Provider, Region,
};
pub use typed::{
    Cleura, CleuraRegion, Exoscale, ExoscaleRegion, Hetzner, HetznerRegion, Infomaniak,
    InfomaniakRegion, Ionos, IonosRegion, OpenTelekomCloud, OpenTelekomCloudRegion, Ovhcloud,
    OvhcloudRegion, Scaleway, ScalewayRegion, Stackit, StackitRegion, UpCloud, UpCloudRegion,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
