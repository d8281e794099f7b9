//! The only copy of a write, where a catch-up of another process may have been on its way with a request that bears no
//! condition, and land on top of it: where there is another copy, that mends it; here it would be lost.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use object_store::Error;
use tokio::time::{Instant, sleep_until, timeout};

use super::Write;
use super::conditional::head;
use super::course::{Course, Tally};
use crate::backend::Mask;
use crate::catch_up::Seen;
use crate::engine::Engine;
use crate::events::Operation;
use crate::journal::index::Known;

/// How often a version is sent again that a catch-up overwrites.
const ATTEMPTS: usize = 3;

impl Engine {
    /// Holds back the acknowledgement of what one backend alone took until what a catch-up may have sent there before is over;
    /// then looks at it, and sends it again if something earlier is the case there. An upload cannot be completed twice: it
    /// has failed then. Whoever takes more than twice an attempt's time, or has another clock, may take the only copy still:
    /// nothing can prevent that. Backends that were not `asked` because they were busy take it as soon as they are free, and
    /// it is not alone any more: those that were sent it.
    pub(super) async fn hold_ground(
        self: &Arc<Self>,
        write: &Write,
        course: &mut Course,
        until: Instant,
    ) {
        let tally = &mut course.tally;
        let [(at, _)] = tally.confirmed[..] else { return };
        if write.operation == Operation::Multipart {
            tally.excuse_refusals();
        }
        let fails = self.settings.min_copies > 1 || tally.is_refused();
        // A delete is remembered by its marker.
        if write.delete || fails || !self.is_dirty_at(at, &write.key) {
            return;
        }
        let takes = self.brought_in(write);
        let may_come =
            |known: &Known| known.target == Some(at) && self.may_be_under_way(known, takes);
        if !self.any_older(write, may_come) {
            return;
        }
        let over = until.min(Instant::now() + takes);
        self.find_company(write, course, (over, until)).await;
        if course.tally.confirmed.len() == 1 {
            self.look_after(at, write, &mut course.tally, until).await;
        }
    }

    /// Waits for a while until another backend has a write. Those that have become free are sent it, each with its time.
    async fn find_company(
        self: &Arc<Self>,
        write: &Write,
        course: &mut Course,
        (over, until): (Instant, Instant),
    ) {
        let mut spare = pin!(self.spare(write, course.asked, over));
        let mut waiting = true;
        while course.tally.confirmed.len() == 1 {
            tokio::select! {
                biased;
                Some(leg) = course.legs.next(), if !course.legs.is_empty() => course.tally.take(leg),
                free = &mut spare, if waiting => {
                    waiting = false;
                    course.enough = Arc::default();
                    self.call_upon(write, free, 2, until, course).await;
                }
                () = sleep_until(over) => break,
            }
        }
    }

    /// Looks at a sole copy, and sends it again while something earlier is there.
    async fn look_after(
        self: &Arc<Self>,
        at: usize,
        write: &Write,
        tally: &mut Tally,
        until: Instant,
    ) {
        let attempt = self.settings.attempt_deadline;
        let until = until.max(Instant::now() + attempt);
        for _ in 0..ATTEMPTS {
            // A look that fails says nothing against what was confirmed. It leaves time to write elsewhere.
            let look = timeout(attempt, head(&*self.backends[at].store, &write.key)).await;
            let Ok(Ok(there)) = look else { return };
            if !self.is_earlier(write, &there) {
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
                // It was there for a moment: somebody may have brought it elsewhere.
                tally.may_land.set(at);
                return;
            }
        }
    }

    /// How long a request takes that brings the largest version that may be brought: twice an attempt's time at most.
    fn brought_in(&self, write: &Write) -> Duration {
        let largest = |known: &[Known]| known.iter().filter_map(|known| known.marker.size).max();
        let size = self.index.view(&write.key, largest).flatten().unwrap_or_default();
        let attempt = self.settings.attempt_deadline;
        attempt + Self::body_time(size).min(attempt)
    }

    /// Whether an earlier state than that of a write is there. The write is not acknowledged yet: whoever wrote at the same
    /// time may come before it.
    fn is_earlier(&self, write: &Write, there: &Seen) -> bool {
        match there {
            None => true,
            Some((_, None)) => false,
            Some((_, Some(there))) => {
                let names = |known: &Known| {
                    !known.marker.delete && known.marker.version_stamp() == there.stamp
                };
                let dated = there.belongs_to(&write.key) && there.stamp < write.stamp;
                there.stamp != write.version.unwrap_or(write.stamp)
                    && (dated || self.any_older(write, names))
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
