//! What the suites share: fresh stores of every kind, and the known deviations of servers.
//!
//! The servers are started by `cargo testbed test`; see the repository's README.

pub mod deviations;
mod figures;
mod pairs;
pub mod simulated;
mod stores;
pub mod tapped;
pub mod writer;

pub use figures::show;
pub use pairs::Pair;
pub use stores::{Kind, Site, TestStore, fresh, http, tiny_s3};
