//! The only copy of a write, where a catch-up of another process may have been on its way with a request that bears no
//! condition, and land on top of it: where there is another copy, that mends it; here it would be lost.

use std::sync::Arc;

use futures::StreamExt;
use object_store::Error;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::conditional::head;
use super::{Legs, Tally, Write};
use crate::backend::Mask;
use crate::catch_up::Seen;
use crate::engine::Engine;
use crate::events::Operation;
use crate::journal::index::Known;

/// How often a version is sent again that a catch-up overwrites.
const ATTEMPTS: usize = 3;

impl Engine {
    /// Holds back the acknowledgement of what one backend alone took for as long as a catch-up's request takes that began before
    /// it was there; then looks at it, and sends it again if what a marker speaks of is the case there instead. An upload cannot
    /// be completed twice: it has failed then. Whoever is later still takes the only copy: nothing can prevent that.
    pub(super) async fn hold_ground(
        self: &Arc<Self>,
        write: &Write,
        tally: &mut Tally,
        legs: &mut Legs,
        until: Instant,
    ) {
        let [(at, _)] = tally.confirmed[..] else { return };
        // A delete is remembered by its marker.
        if write.delete || !self.is_being_brought(at, write) {
            return;
        }
        let landed = until.min(Instant::now() + self.settings.attempt_deadline);
        while let Ok(Some(leg)) = timeout_at(landed, legs.next()).await {
            tally.take(leg);
            if tally.confirmed.len() > 1 {
                return;
            }
        }
        sleep_until(landed).await;
        for _ in 0..ATTEMPTS {
            let bound = until.min(Instant::now() + self.settings.attempt_deadline);
            // A look that fails says nothing against what was confirmed.
            let look = timeout_at(bound, head(&*self.backends[at].store, &write.key)).await;
            let Ok(Ok(there)) = look else { return };
            if !self.was_brought(at, write, &there) {
                return;
            }
            tally.confirmed.clear();
            if write.operation == Operation::Multipart {
                // It was there for a moment.
                tally.may_land.set(at);
                tally.failed.push((at, overwritten()));
                return;
            }
            let mut again = self.legs(write, Mask::only(at), until, &Arc::default());
            while let Some(leg) = again.next().await {
                tally.take(leg);
            }
            if tally.confirmed.is_empty() {
                return;
            }
        }
    }

    /// Whether somebody may be bringing an earlier state of the key to a backend by a request that no condition stops.
    fn is_being_brought(&self, at: usize, write: &Write) -> bool {
        let asked = |known: &Known| known.target == Some(at) && self.may_be_under_way(known);
        self.is_dirty_at(at, &write.key) && self.any_older(write, asked)
    }

    /// Whether what lies at a backend, if anything does, is an earlier state than that of a write, and one that a marker
    /// speaks of: catch-up brings those.
    fn was_brought(&self, at: usize, write: &Write, there: &Seen) -> bool {
        match there {
            None => self.any_older(write, |known| {
                let Known { marker, target, .. } = known;
                marker.delete && *target == Some(at) && self.may_be_under_way(known)
            }),
            Some((_, None)) => false,
            Some((_, Some(there))) => {
                let names = |known: &Known| {
                    !known.marker.delete && known.marker.version_stamp() == there.stamp
                };
                there.stamp != write.version.unwrap_or(write.stamp) && self.any_older(write, names)
            }
        }
    }

    /// Whether there is such a marker, older than a write.
    fn any_older(&self, write: &Write, such: impl Fn(&Known) -> bool) -> bool {
        let older = |known: &Known| known.marker.stamp < write.stamp && such(known);
        self.index.view(&write.key, |known| known.iter().any(older)) == Some(true)
    }
}

fn overwritten() -> Error {
    let source =
        "another process was bringing an older state there, which took the place of the upload";
    Error::Generic { store: "Failover", source: source.into() }
}
