//! The journal: markers in the buckets, and the index of them in memory.

pub(crate) mod compaction;
pub(crate) mod departed;
pub(crate) mod index;
pub(crate) mod marker;
pub(crate) mod store;

pub use marker::Marker;
