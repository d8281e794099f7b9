//! What was deleted while it was copied: a version that was brought to a backend which had nothing, and whose source is gone
//! when it has landed. Whoever deleted it found nothing at the target, and left no marker about it: the copy would bring the
//! key back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lifeboat_core::{Stamp, VersionTag};
use object_store::path::Path;
use tokio::time::{Instant, sleep};

use super::runner::PASS_PAUSE;
use super::verdict::written;
use super::{Reconciled, Seen, Urgency, order_of, seen_at};
use crate::backend::{Backend, Mask};
use crate::engine::{Engine, UnderWay};
use crate::journal::index::Known;
use crate::journal::store::Mark;

/// A version that was brought to a backend which had nothing.
#[derive(Debug)]
pub(super) struct Created {
    source: usize,
    target: usize,
    tag: Option<VersionTag>,
    /// The order of what was brought; without a stamp, when its provider says that it was written.
    stamp: Stamp,
    /// It has no clear answer: it may land later.
    open: bool,
}

impl Created {
    pub(super) fn of(
        key: &Path,
        (source, target): (usize, usize),
        seen: &[(usize, Seen)],
        known: &[Known],
        open: bool,
    ) -> Option<Self> {
        let (meta, _) = seen_at(seen, source)?;
        let (tag, order) = order_of(key, source, seen, known);
        let stamp = order.unwrap_or(Stamp::new(written(meta) << 16, 0));
        Some(Self { source, target, tag, stamp, open })
    }

    /// Whether nobody has the version any more but those that it, or its like, was brought to, or where it may land.
    fn is_gone(&self, targets: Mask, seen: &[(usize, Seen)]) -> bool {
        let elsewhere = |(at, seen): &(usize, Seen)| !targets.has(*at) && seen.is_some();
        let landed = match seen_at(seen, self.target) {
            Some((_, there)) => *there == self.tag,
            None => self.open,
        };
        landed && !seen.iter().any(elsewhere)
    }
}

impl Engine {
    /// A version whose source is gone when it has landed elsewhere, or may do so, was deleted meanwhile, by somebody who
    /// found nothing at the target yet: it is not to come back. Whether there seems to be such a version. Then the key is left
    /// as it is until every journal has been read once more: one of them may explain it.
    pub(super) fn suspect_deletes(
        self: &Arc<Self>,
        key: &Path,
        seen: &[(usize, Seen)],
        done: &mut Reconciled,
    ) -> bool {
        if done.created.is_empty() {
            return false;
        }
        let created = std::mem::take(&mut done.created);
        let targets = created.iter().map(|created| created.target).collect();
        let all = seen.len() == self.backends.len();
        let doubtful = |created: &Created| {
            if all {
                created.is_gone(targets, seen)
            } else {
                // Who still shows it has not lost it; from the others it may have gone.
                seen_at(seen, created.source).is_none()
            }
        };
        let doubtful: Vec<Created> = created.into_iter().filter(doubtful).collect();
        let gone = all && !doubtful.is_empty();
        if gone {
            self.bury_later(key, doubtful);
        } else {
            done.created = doubtful;
        }
        gone
    }

    /// Finds out in the background what became of the sources of these, and buries what is gone there.
    pub(super) fn bury_later(self: &Arc<Self>, key: &Path, created: Vec<Created>) {
        if created.is_empty() {
            return;
        }
        let (engine, key) = (Arc::clone(self), key.clone());
        let burial = UnderWay::burial(self);
        self.spawn(async move {
            tokio::select! {
                biased;
                () = engine.until_closed() => {}
                () = engine.bury(&key, created) => {}
            }
            drop(burial);
        });
    }

    /// Leaves a delete marker right after each version that is still gone where it was brought from, and that no marker
    /// explains; catch-up does the rest. It waits until every journal has been read again and every backend answers, for as
    /// long as a late request may take.
    async fn bury(self: &Arc<Self>, key: &Path, created: Vec<Created>) {
        let targets = created.iter().map(|created| created.target).collect();
        let suspected = Instant::now();
        while suspected.elapsed() < self.settings.quarantine {
            sleep(PASS_PAUSE).await;
            let heard = |backend: &Arc<Backend>| backend.journal_read_since(suspected);
            if !self.backends.iter().all(heard) {
                // A process that only mends reads no journals by itself.
                if !self.started.load(Ordering::Acquire) {
                    self.read_journals().await;
                }
                continue;
            }
            let _guard = self.locks.lock(key).await;
            let Some(seen) = self.look_in_time(key, Urgency::Yielding).await else { continue };
            if seen.len() < self.backends.len() {
                continue;
            }
            let until = Instant::now() + self.settings.attempt_deadline;
            for created in &created {
                if created.is_gone(targets, &seen) && !self.is_explained(key, created) {
                    let mark = Mark::inferred_delete(key, created.stamp.next());
                    self.leave_marker(&mark, created.target, until).await;
                }
            }
            self.work.notify_one();
            return;
        }
        tracing::warn!(%key, "it may have been deleted while it was copied, and not all could be asked: mend it");
    }

    /// Whether a marker explains what the source of a version lacks now: an earlier delete, which may have landed there late,
    /// or that version or a later one, which it may have yet to get.
    fn is_explained(&self, key: &Path, created: &Created) -> bool {
        let explains = |Known { marker, target, .. }: &Known| {
            *target == Some(created.source)
                && (marker.delete || (marker.acknowledged && marker.stamp >= created.stamp))
        };
        self.index.view(key, |known| known.iter().any(explains)) == Some(true)
    }
}
