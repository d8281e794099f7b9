//! Copies objects between any two [`BlobStore`](lifeboat_core::BlobStore)s, and compares what came
//! of it. Streams only: neither an object nor a listing is ever held as a whole.
//!
//! ```
//! use lifeboat_core::{AnyStore, Identity};
//! use lifeboat_transfer::{CopyOptions, copy_object};
//! use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let source = AnyStore::new(InMemory::new(), Identity::new("memory", "", "a"));
//! let target = AnyStore::new(InMemory::new(), Identity::new("memory", "", "b"));
//! source.put(&"report.pdf".into(), "contents".into()).await?;
//!
//! let options = CopyOptions::default();
//! let (from, to) = (Path::from("report.pdf"), Path::from("2026/report.pdf"));
//! let copied = copy_object(&source, &from, &target, &to, &options, &()).await?;
//! assert_eq!(copied.size, 8);
//! # Ok(())
//! # }
//! ```
//!
//! # What is guaranteed
//!
//! - The bytes at the target are those of one version of the source: a body that is cut, too long,
//!   or does not have the checksum that came with it never becomes a visible object.
//! - Memory is at most [`CopyOptions::memory`], or one part where the target's limits ask for parts
//!   larger than that.
//! - Everything under [`RESERVED_PREFIX`](lifeboat_core::RESERVED_PREFIX) stays where it is.
//! - Attributes are carried over or the copy fails; they are dropped only if the caller said so.
//!
//! # What is not
//!
//! - A tree is not a snapshot: an object that is written while the tree is copied goes over as it
//!   was when it was read, or not at all.
//! - An object that is overwritten at the target at the same time ends as either of the two.
//! - A dropped future may leave an unfinished multipart upload at the target.

mod attributes;
mod body;
mod budget;
mod error;
mod job;
mod object;
mod options;
mod progress;
mod tree;
mod upload;
mod verify;

pub use error::{backend_name, describe};
pub use object::{Copied, copy_object};
pub use options::CopyOptions;
pub use progress::Progress;
pub use tree::{Summary, copy_tree};
pub use verify::{Difference, Findings, VerifyReport, verify_tree};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
