//! Reading through: what a reader found elsewhere is copied to the backends that joined without history and lack it.
//! Off by default; a hint to catch-up, never a duty: what does not fit its rate is left for the next reader.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use object_store::path::Path;
use tokio::time::sleep;

use super::Basis;
use crate::backend::Mask;
use crate::engine::Engine;

impl Engine {
    /// Copies a key to those that `missed` it because they are not complete, in the background.
    pub(crate) fn read_through(self: &Arc<Self>, key: &Path, missed: Mask) {
        let lacks = |at: usize| {
            let backend = &self.backends[at];
            backend.is_in_use() && !backend.seeded.load(Ordering::Acquire)
        };
        if !self.settings.read_through || !missed.iter().any(lacks) {
            return;
        }
        let Ok(turn) = Arc::clone(&self.filling).try_acquire_owned() else { return };
        let (engine, key) = (Arc::clone(self), key.clone());
        self.spawn(async move {
            engine.reconcile_to_the_end(key, Basis::Compared).await;
            let settings = &engine.settings;
            let at_once = u32::try_from(settings.catch_up_concurrency).unwrap_or(u32::MAX);
            sleep(Duration::from_secs(1) * at_once.max(1) / settings.catch_up_rate.max(1)).await;
            drop(turn);
        });
    }
}
