#![doc = include_str!("../README.md")]
//!
//! This crate knows no other part of Lifeboat, so that anything can be tested with it.

pub mod bed;
mod call;
mod conditions;
mod error;
#[cfg(feature = "store")]
pub mod fault_store;
mod http_client;
mod http_server;
pub mod interposer;
pub mod names;
pub mod proxy;
mod query;
#[cfg(feature = "store")]
mod random;
mod refusal;
pub mod s3;
pub mod scripted;
mod signing;
#[cfg(feature = "simulation")]
pub mod simulation;
mod xml;

#[cfg(feature = "testbed")]
pub mod gcs_xml;
#[cfg(all(feature = "testbed", unix))]
pub mod servers;

pub use bed::{Credentials, Endpoint, ServerKind};
pub use error::{BoxError, Error, Result};
#[cfg(feature = "store")]
pub use random::Random;
