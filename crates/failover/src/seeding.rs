//! Seeding: which backends are known to hold everything that was there before they joined. A control object
//! says so, and nothing else does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::TryStreamExt;
use lifeboat_core::{RESERVED_PREFIX, is_reserved};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, Result};
use tokio::time::timeout;

use crate::backend::Backend;
use crate::engine::Engine;
use crate::error::within;
use crate::events::Operation;

/// Name of the control object.
const SEEDED: &str = "seeded";

fn control() -> Path {
    Path::from_iter([RESERVED_PREFIX, SEEDED])
}

impl Engine {
    /// Asks a backend whether it is seeded, unless that is known.
    pub(crate) async fn learn_seeding(&self, backend: &Backend) {
        if backend.seeded.load(Ordering::Acquire) {
            return;
        }
        let asked = timeout(self.settings.attempt_deadline, backend.store.head(&control())).await;
        match asked {
            Ok(Ok(_)) => backend.seeded.store(true, Ordering::Release),
            Ok(Err(object_store::Error::NotFound { .. })) => backend.answered(),
            Ok(Err(error)) => {
                self.judge(backend.at, Operation::Journal, &error).await;
            }
            Err(_) => {}
        }
    }

    /// Where nothing is anywhere, everything is everywhere: new buckets are seeded.
    pub(crate) async fn seed_if_new(self: &Arc<Self>) {
        if self.seeding_known.load(Ordering::Acquire) {
            return;
        }
        if self.backends.iter().any(|backend| backend.seeded.load(Ordering::Acquire)) {
            self.seeding_known.store(true, Ordering::Release);
            return;
        }
        for backend in &self.backends {
            if !backend.is_in_use() || !backend.journal_read.load(Ordering::Acquire) {
                return;
            }
            match self.is_blank(backend).await {
                Ok(true) => {}
                Ok(false) => {
                    self.seeding_known.store(true, Ordering::Release);
                    return;
                }
                Err(error) => {
                    self.judge(backend.at, Operation::Journal, &error).await;
                    return;
                }
            }
        }
        self.seeding_known.store(true, Ordering::Release);
        for backend in &self.backends {
            if let Err(error) = self.mark_seeded(backend.at).await {
                tracing::warn!(backend = %backend.id, %error, "a new bucket could not be marked as seeded");
            }
        }
    }

    async fn is_blank(&self, backend: &Backend) -> Result<bool> {
        let mut listing = backend.store.list(None);
        let stall = self.settings.attempt_deadline;
        while let Some(object) = within(stall, listing.try_next()).await? {
            if !is_reserved(&object.location) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Marks a backend as holding everything.
    pub(crate) async fn mark_seeded(&self, at: usize) -> Result<()> {
        let backend = &self.backends[at];
        let text =
            format!("complete since {} (milliseconds since 1970)\n", self.clock.unix_millis());
        let control = control();
        let put = backend.store.put(&control, PutPayload::from(text));
        match within(self.settings.write_deadline, put).await {
            Ok(_) => {
                backend.seeded.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.judge(at, Operation::Journal, &error).await;
                Err(error)
            }
        }
    }
}
