//! What a gateway is made of: buckets, credentials, address and bounds.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use lifeboat_core::BlobStore;
use s3s::path::check_bucket_name;

use crate::guard::{Guard, Rules};
use crate::memory::Memory;
use crate::server::{Gateway, Server};
use crate::service::{Credentials, Gate, Service};

/// Amazon's own limit of an object put in one request (S3 User Guide, "Uploading objects").
const LARGEST_BODY: u64 = 5 << 30;

/// Enough for sixteen uploads of sixteen 8 MiB parts, on a small machine.
const MEMORY: u64 = 256 << 20;

/// Four times what the busiest S3 client opens by default (Hadoop's S3A: 200 to 500); each costs
/// some 20 KiB while idle.
const CONNECTIONS: usize = 1024;

/// Builds a [`Gateway`].
#[must_use]
pub struct GatewayBuilder {
    buckets: Vec<(String, Arc<dyn BlobStore>)>,
    credentials: Credentials,
    region: String,
    address: SocketAddr,
    largest_body: u64,
    memory: u64,
    connections: usize,
}

impl GatewayBuilder {
    pub(crate) fn new() -> Self {
        Self {
            buckets: Vec::new(),
            credentials: Credentials::default(),
            region: "us-east-1".to_owned(),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            largest_body: LARGEST_BODY,
            memory: MEMORY,
            connections: CONNECTIONS,
        }
    }

    /// Serves a store as a bucket. Called once for each bucket.
    pub fn bucket(mut self, name: impl Into<String>, store: Arc<dyn BlobStore>) -> Self {
        self.buckets.push((name.into(), store));
        self
    }

    /// Lets the holder of this key pair do everything. Called once for each pair.
    pub fn credentials(
        mut self,
        access_key: impl Into<String>,
        secret_key: impl Into<String>,
    ) -> Self {
        self.credentials.add(access_key.into(), secret_key.into());
        self
    }

    /// Names the region that requests must be signed for. `us-east-1` by default.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Listens there. By default on a free port of 127.0.0.1.
    pub fn bind(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Refuses bodies of more bytes than this, and objects too unless they come in parts. 5 GiB by
    /// default, as Amazon S3.
    pub fn largest_body(mut self, bytes: u64) -> Self {
        self.largest_body = bytes;
        self
    }

    /// Bounds the bytes of bodies held in memory, over all clients. 256 MiB by default.
    ///
    /// An upload that finds no room waits; a part of a multipart upload and a conditional put are held whole,
    /// so this is also their largest size. Parts that arrive before their predecessors, for a store
    /// that takes them in order only, may add half as much again.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Serves at most so many connections at a time; others wait to be accepted. 1,024 by default.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Starts to serve, on the current tokio runtime.
    ///
    /// # Errors
    /// No bucket, bad or repeated names, no credentials, an address that cannot be listened on.
    pub async fn start(self) -> Result<Gateway, crate::Error> {
        if self.credentials.is_empty() {
            return Err(crate::Error::NoCredentials);
        }
        let address = self.address;
        let connections = self.connections.max(1);
        let rules = Rules { region: self.region.clone(), largest_body: self.largest_body };
        let gate = self.gate()?;
        let guard = Guard::new(Service::new(gate), rules);
        Server { guard: Arc::new(guard), connections }.start(address).await
    }

    fn gate(self) -> Result<Gate, crate::Error> {
        let mut buckets = BTreeMap::new();
        for (name, store) in self.buckets {
            if !check_bucket_name(&name) {
                return Err(crate::Error::BucketName { name });
            }
            if buckets.insert(name.clone(), store).is_some() {
                return Err(crate::Error::BucketTwice { name });
            }
        }
        if buckets.is_empty() {
            return Err(crate::Error::NoBucket);
        }
        let memory = Memory::new(self.memory);
        Ok(Gate::new(buckets, self.credentials, self.region, memory))
    }
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let buckets: Vec<&str> = self.buckets.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("GatewayBuilder")
            .field("buckets", &buckets)
            .field("region", &self.region)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
