#![doc = include_str!("../README.md")]
//!
//! This crate knows no other part of Lifeboat, so that anything can be tested with it.

pub mod bed;
mod call;
mod conditions;
mod error;
mod http_client;
mod http_server;
pub mod proxy;
mod query;
mod refusal;
pub mod s3;
pub mod scripted;
mod signing;
mod xml;

#[cfg(feature = "testbed")]
pub mod gcs_xml;
#[cfg(all(feature = "testbed", unix))]
pub mod servers;

pub use bed::{Credentials, Endpoint, ServerKind};
pub use error::{BoxError, Error, Result};
