//! The operations that are measured, and the stores in memory that they are measured on.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use lifeboat_core::{AnyStore, Capabilities, Identity, Support};
use lifeboat_failover::Failover;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

/// As applications hold it.
pub(crate) type Store = Arc<dyn ObjectStore>;

/// Objects that a listing finds.
pub(crate) const LISTED: usize = 100;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The whole object, streamed to its end.
    Get,
    Head,
    /// The first bytes, so many.
    Range(u64),
    Put,
    List,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::Range(_) => "range",
            Self::Put => "put",
            Self::List => "list",
        })
    }
}

/// An operation on objects of one size.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    what: What,
    size: usize,
    key: Path,
    folder: Path,
    body: Bytes,
}

impl Work {
    pub(crate) fn new(what: What, size: usize) -> Self {
        let body = Bytes::from(vec![7; size]);
        Self { what, size, key: key(size), folder: Path::from("listed"), body }
    }

    /// Does it once.
    pub(crate) async fn once(&self, store: &dyn ObjectStore) {
        match self.what {
            What::Get if self.size <= 1 << 20 => {
                let bytes = store.get(&self.key).await.unwrap().bytes().await.unwrap();
                assert_eq!(bytes.len(), self.size);
            }
            What::Get => {
                let stream = store.get(&self.key).await.unwrap().into_stream();
                let sum = stream.try_fold(0, |sum, chunk| async move { Ok(sum + chunk.len()) });
                assert_eq!(sum.await.unwrap(), self.size);
            }
            What::Head => drop(store.head(&self.key).await.unwrap()),
            What::Range(length) => drop(store.get_range(&self.key, 0..length).await.unwrap()),
            What::Put => {
                drop(store.put(&self.key, self.body.clone().into()).await.unwrap());
            }
            What::List => {
                let listing: Vec<_> = store.list(Some(&self.folder)).try_collect().await.unwrap();
                assert_eq!(listing.len(), LISTED);
            }
        }
    }
}

pub(crate) fn key(size: usize) -> Path {
    Path::from(format!("object-{size}"))
}

/// Puts what the operations need.
pub(crate) async fn prepare(store: &dyn ObjectStore, sizes: &[usize]) {
    for size in sizes {
        store.put(&key(*size), vec![7; *size].into()).await.unwrap();
    }
    for n in 0..LISTED {
        store.put(&Path::from(format!("listed/{n:04}")), "x".into()).await.unwrap();
    }
}

/// One bare store in memory.
pub(crate) fn bare() -> Store {
    Arc::new(InMemory::new())
}

/// A failover over two of them.
pub(crate) fn doubled() -> Store {
    // In order, as Amazon, Azure and Google list: what comes out of order costs more to join.
    let mut can = Capabilities::CONSERVATIVE;
    can.ordered_listing = Support::Yes;
    let one = |name| {
        AnyStore::new(InMemory::new(), Identity::new("memory", "", name)).with_capabilities(can)
    };
    let builder = Failover::builder().seeded_backend(one("first")).seeded_backend(one("second"));
    Arc::new(builder.build().unwrap())
}
