//! Deletes. They are writes: fan-out, and markers with a stamp, which are what keeps a deleted key dead.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};
use lifeboat_core::Stamp;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutResult, Result};
use tokio::time::Instant;
use tracing::Instrument;

use super::{Write, leg};
use crate::backend::Mask;
use crate::engine::Engine;
use crate::error::is_missing;
use crate::events::Operation;
use crate::observe::span;

/// Keys deleted at once.
const BATCH: usize = 100;
/// Keys of a batch whose markers and acknowledgements are under way at once.
const AT_ONCE: usize = 16;

impl Engine {
    /// Deletes one key.
    pub(crate) async fn delete(self: &Arc<Self>, key: Path) -> Result<Path> {
        let until = self.write_bound(0);
        let _guard = self.wait_for(&key, until, self.locks.lock(&key)).await?;
        self.delete_locked(key, until).await
    }

    /// Deletes one key, whose lock is held.
    pub(crate) async fn delete_locked(self: &Arc<Self>, key: Path, until: Instant) -> Result<Path> {
        let target = key.clone();
        let send: leg::Send = Arc::new(move |_, store| {
            let key = target.clone();
            async move {
                match store.delete(&key).await {
                    Err(error) if !is_missing(&*store, &error) => Err(error),
                    _ => Ok(empty()),
                }
            }
            .boxed()
        });
        let dated = self.date(&key).await;
        self.fan_out(deletion(key.clone(), dated, send, until)).await?;
        Ok(key)
    }

    /// Deletes keys in batches; one result for each, in order.
    pub(crate) fn delete_all(
        self: &Arc<Self>,
        keys: stream::BoxStream<'static, Result<Path>>,
    ) -> stream::BoxStream<'static, Result<Path>> {
        let engine = Arc::clone(self);
        keys.ready_chunks(BATCH)
            .then(move |batch| {
                let engine = Arc::clone(&engine);
                async move { stream::iter(engine.delete_batch(batch).await) }
            })
            .flatten()
            .boxed()
    }

    async fn delete_batch(self: &Arc<Self>, batch: Vec<Result<Path>>) -> Vec<Result<Path>> {
        let engine = Arc::clone(self);
        let count = batch.len();
        let work = async move {
            let deletions = batch.into_iter().map(|key| {
                let engine = Arc::clone(&engine);
                async move {
                    let key = key?;
                    crate::object_store_impl::check_key(&key)?;
                    let span = span(Operation::Delete, Some(&key));
                    engine.delete(key).instrument(span).await
                }
            });
            Ok(stream::iter(deletions).buffered(AT_ONCE).collect::<Vec<_>>().await)
        };
        match self.detached(work).await {
            Ok(results) => results,
            Err(error) => {
                let text = error.to_string();
                let failed = |_| {
                    Err(object_store::Error::Generic {
                        store: "Failover",
                        source: text.clone().into(),
                    })
                };
                (0..count).map(failed).collect()
            }
        }
    }
}

fn deletion(
    key: Path,
    (stamp, after): (Stamp, Option<Stamp>),
    send: leg::Send,
    until: Instant,
) -> Write {
    Write {
        stamp,
        after,
        key,
        operation: Operation::Delete,
        delete: true,
        version: None,
        without: Mask::NONE,
        may_land: Mask::NONE,
        decided: Vec::new(),
        send,
        size: 0,
        until,
        memory: None,
    }
}

/// What a delete returns where a put would return an `ETag`.
fn empty() -> PutResult {
    PutResult { e_tag: None, version: None, extensions: object_store::Extensions::default() }
}
