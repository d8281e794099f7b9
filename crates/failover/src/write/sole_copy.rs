//! The only copy of a write, at a backend without conditions. A catch-up of another process may have been on its way there
//! and land on top of it: where there is another copy, that mends it; here it would be lost.

use std::sync::Arc;

use futures::StreamExt;
use lifeboat_core::VersionTag;
use object_store::Error;
use tokio::time::{Instant, timeout_at};

use super::conditional::head;
use super::{Tally, Write};
use crate::backend::Mask;
use crate::engine::Engine;
use crate::events::Operation;
use crate::journal::index::Known;

/// How often a version is sent again that a catch-up overwrites.
const ATTEMPTS: usize = 3;

impl Engine {
    /// Looks at what one backend alone took, and sends it again if what a marker speaks of lies there instead. An upload
    /// cannot be completed twice: it has failed then. Whoever is later still than this look overwrites the only copy: no request can
    /// prevent that at such a backend.
    pub(super) async fn hold_ground(
        self: &Arc<Self>,
        write: &Write,
        tally: &mut Tally,
        until: Instant,
    ) {
        let [(at, _)] = tally.confirmed[..] else { return };
        // A delete is remembered by its marker.
        if write.delete
            || self.backends[at].enforces_conditions()
            || !self.is_dirty_at(at, &write.key)
        {
            return;
        }
        for _ in 0..ATTEMPTS {
            let bound = until.min(Instant::now() + self.settings.attempt_deadline);
            // A look that fails says nothing against what was confirmed.
            let look = timeout_at(bound, head(&*self.backends[at].store, &write.key)).await;
            let Ok(Ok(Some((_, Some(there))))) = look else { return };
            if !self.was_brought(write, there) {
                return;
            }
            tally.confirmed.clear();
            if write.operation == Operation::Multipart {
                // It was there for a moment.
                tally.may_land.set(at);
                tally.failed.push((at, overwritten()));
                return;
            }
            let mut legs = self.legs(write, Mask::only(at), until, &Arc::default());
            while let Some(leg) = legs.next().await {
                tally.take(leg);
            }
            if tally.confirmed.is_empty() {
                return;
            }
        }
    }

    /// Whether a version is an older one than that of a write, and one that a marker speaks of: catch-up brings those.
    fn was_brought(&self, write: &Write, there: VersionTag) -> bool {
        let names = |known: &Known| {
            let marker = &known.marker;
            !marker.delete && marker.stamp < write.stamp && marker.version_stamp() == there.stamp
        };
        let brought = self.index.view(&write.key, |known| known.iter().any(names));
        brought == Some(true) && there.stamp != write.version.unwrap_or(write.stamp)
    }
}

fn overwritten() -> Error {
    let source =
        "another process was bringing an older version there, which lies on top of the upload";
    Error::Generic { store: "Failover", source: source.into() }
}
