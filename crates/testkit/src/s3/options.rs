//! What a [`TinyS3`](super::TinyS3) does and does not do, as data.

use crate::bed::{Credentials, REGION};

/// What happens to `If-Match` and `If-None-Match` on writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConditionalWrites {
    /// They are enforced, atomically.
    #[default]
    Enforce,
    /// They are silently ignored and every write succeeds, as at some S3-compatible services.
    Ignore,
}

/// The order of listings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// By key, byte by byte, as S3 does.
    #[default]
    KeyOrder,
    /// By directory, name by name: `a/b` before `a!`. Starting after `a` skips everything in `a/`.
    DirectoryOrder,
}

/// Where a request names its bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// As the first segment of the path.
    #[default]
    Path,
    /// In front of this domain in the `Host` header.
    VirtualHost(String),
}

/// The settings of a [`TinyS3`](super::TinyS3). The default is strict and complete, with one key pair and no bucket.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) buckets: Vec<String>,
    pub(super) credentials: Vec<Credentials>,
    pub(super) region: String,
    pub(super) conditional_writes: ConditionalWrites,
    pub(super) listing: Listing,
    pub(super) bulk_delete: Option<usize>,
    pub(super) max_parts: u32,
    pub(super) equal_parts: bool,
    pub(super) checksums: bool,
    pub(super) addressing: Addressing,
    pub(super) documents: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            buckets: Vec::new(),
            credentials: vec![Credentials::new("lifeboat", "lifeboat-secret")],
            region: REGION.to_owned(),
            conditional_writes: ConditionalWrites::default(),
            listing: Listing::default(),
            bulk_delete: Some(1000),
            max_parts: 10_000,
            equal_parts: false,
            checksums: true,
            addressing: Addressing::default(),
            documents: Vec::new(),
        }
    }
}

impl Options {
    /// Adds a bucket that is there from the start.
    pub fn bucket(mut self, name: impl Into<String>) -> Self {
        self.buckets.push(name.into());
        self
    }

    /// Answers a GET of this subresource of any bucket with a document; without one it is not implemented.
    pub fn document(mut self, subresource: impl Into<String>, xml: impl Into<String>) -> Self {
        self.documents.push((subresource.into(), xml.into()));
        self
    }

    /// Replaces the key pairs that may sign requests. With none, every request is let in and no signature checked.
    pub fn credentials(mut self, credentials: impl IntoIterator<Item = Credentials>) -> Self {
        self.credentials = credentials.into_iter().collect();
        self
    }

    /// Sets the region that requests must be signed for (`us-east-1` if not set).
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Sets what happens to conditions on writes (enforced if not set).
    pub fn conditional_writes(mut self, conditional_writes: ConditionalWrites) -> Self {
        self.conditional_writes = conditional_writes;
        self
    }

    /// Sets the order of listings (by key if not set).
    pub fn listing(mut self, listing: Listing) -> Self {
        self.listing = listing;
        self
    }

    /// Sets how many keys one bulk delete may name (1000 if not set); `None` refuses bulk deletes.
    pub fn bulk_delete(mut self, limit: Option<usize>) -> Self {
        self.bulk_delete = limit;
        self
    }

    /// Sets the highest part number (10,000 if not set).
    pub fn max_parts(mut self, max_parts: u32) -> Self {
        self.max_parts = max_parts;
        self
    }

    /// Demands that all parts of an upload but the last have the same size, as Cloudflare R2 does (off if not set).
    pub fn equal_parts(mut self, equal_parts: bool) -> Self {
        self.equal_parts = equal_parts;
        self
    }

    /// Verifies and returns `x-amz-checksum-*` (on if not set); switched off, uploads with such headers or trailers
    /// are answered with 501, as older S3-compatible services do.
    pub fn checksums(mut self, checksums: bool) -> Self {
        self.checksums = checksums;
        self
    }

    /// Sets where requests name their bucket (in the path if not set).
    pub fn addressing(mut self, addressing: Addressing) -> Self {
        self.addressing = addressing;
        self
    }
}
