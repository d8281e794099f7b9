//! The core of Lifeboat: what a backend is, what it can do, and whose fault a failure is.
//!
//! An application that keeps its objects at two providers has to answer three questions that
//! [`object_store::ObjectStore`] leaves open: *which* store is this ([`Identity`]), *what* does it
//! really enforce ([`Capabilities`]), and, when a request fails, *whose fault* is it
//! ([`Verdict`])? [`BlobStore`] adds those answers to `ObjectStore`, and nothing else.
//!
//! Any `ObjectStore` becomes a [`BlobStore`] with one call:
//!
//! ```
//! use lifeboat_core::{AnyStore, BlobStore, Identity, Support};
//! use object_store::memory::InMemory;
//!
//! let store = AnyStore::new(InMemory::new(), Identity::new("memory", "local", "scratch"));
//! assert_eq!(store.identity().to_string(), "memory:local/scratch");
//! // Nothing is known about a foreign store until it has been probed.
//! assert_eq!(store.capabilities().create_if_absent, Support::Unknown);
//! ```
//!
//! # What is here and what is not
//!
//! - [`BlobStore`], [`AnyStore`] (adapter), [`Prefixed`] (a part of a bucket as a store of its own)
//! - [`Verdict`], [`Class`], [`Fault`]: the classes of failure, and an honest default table
//! - [`Capabilities`], and the probe that confirms them ([`conditions`])
//! - [`http`]: what the HTTP backends share: a connector that sees every attempt, explicit
//!   deadlines, integrity checks on what is read and written
//!
//! No provider is known here; `lifeboat-s3`, `lifeboat-azure`, `lifeboat-gcs` and `lifeboat-eu`
//! are. The crate `lifeboat` puts everything together.

mod adapter;
mod bucket;
mod capabilities;
mod class;
pub mod conditions;
mod error;
#[doc(hidden)]
pub mod forward;
pub mod http;
mod identity;
mod prefix;
pub mod repeated;
mod reserved;
pub mod stamp;
mod store;

pub use adapter::AnyStore;
pub use bucket::{BucketRule, BucketRules};
pub use capabilities::{Capabilities, PartLimits, Support};
pub use class::{Class, Effect, Fault, Verdict, causes, classify_default};
pub use conditions::{CapabilityReport, unsupported_condition};
pub use error::{Error, ErrorKind};
pub use identity::{Identity, Jurisdiction};
pub use prefix::Prefixed;
pub use reserved::{RESERVED_PREFIX, is_reserved};
pub use stamp::{Stamp, VersionTag};
pub use store::{BlobStore, Probe};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
