//! The S3 API over any Lifeboat backend.
//!
//! A program that speaks S3 keeps speaking S3, and what answers is a
//! [`BlobStore`](lifeboat_core::BlobStore): two providers behind a failover, a folder, memory.
//! Starting one is one call; it serves until it is dropped or shut down.
//!
//! ```
//! use std::sync::Arc;
//!
//! use lifeboat_core::{AnyStore, Identity};
//! use lifeboat_gateway::Gateway;
//! use object_store::memory::InMemory;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), lifeboat_gateway::Error> {
//! let store = AnyStore::new(InMemory::new(), Identity::new("memory", "", "scratch"));
//! let gateway = Gateway::builder()
//!     .bucket("scratch", Arc::new(store))
//!     .credentials("access-key", "secret-key")
//!     .start()
//!     .await?;
//! println!("S3 at {}", gateway.url());
//! gateway.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//! - Every request is signed with Signature Version 4 by a known key, in the header or in the URL,
//!   and no `x-amz-` header takes effect that the signature does not cover.
//! - What is stored is what the client meant to send: length, payload hash and checksums
//!   (`x-amz-checksum-*` as header or trailer, `Content-MD5`) are verified before a write is
//!   committed.
//! - A body that the backend cuts short becomes a cut connection, never a short success.
//! - Conditional writes are the backend's own; where it has none the answer is `NotImplemented`.
//! - Memory is bounded, whatever the sizes of objects and the number of clients; see
//!   [`GatewayBuilder::memory`].
//! - Errors of a backend reach the client as fixed codes and words, without endpoints or keys. What
//!   really happened is a `tracing` event with the request's id.
//!
//! # Non-guarantees
//! - There is no TLS here. Listen on loopback, or put a proxy in front.
//! - All keys may do everything in all buckets of the gateway.
//! - Keys that `object_store` cannot carry (`a//b`, `a/`, `.`) are refused with a 400, not mended.
//! - Multipart uploads live in the process: they end with it, and clients begin anew.
//! - ETags are the backend's. They are not the MD5 of the content unless the backend's are.
//! - What is not implemented says so in words, with status 501: ACLs, tags, versions, policies, object lock,
//!   server-side encryption, browser forms.
//! - The crate `s3s` calls every 404 an error in its events, and writes computed signatures at its
//!   debug level: silence it (`s3s=off`) in production. Our own events have the target
//!   `lifeboat_gateway`.

mod builder;
mod error;
mod guard;
mod memory;
mod server;
mod service;

pub use builder::GatewayBuilder;
pub use error::Error;
pub use server::Gateway;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
