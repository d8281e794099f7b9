//! A write on its way to the backends: its legs, the markers beside them, and what came of them so far.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use object_store::PutResult;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Write;
use super::leg::{self, Leg, Outcome};
use crate::backend::Mask;
use crate::engine::{Engine, Task};
use crate::flag::Flag;
use crate::journal::store::{Draft, Kept, Mark};

pub(super) type Legs = FuturesUnordered<Task<Leg>>;
/// Markers that are written beside the data: place in the list of drafts, home, what came of it.
pub(super) type Beside = FuturesUnordered<Task<(usize, usize, Kept)>>;

/// What the legs came to.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) confirmed: Vec<(usize, PutResult)>,
    pub(super) refused: Vec<(usize, object_store::Error)>,
    pub(super) failed: Vec<(usize, object_store::Error)>,
    pub(super) may_land: Mask,
    /// Backends that were left out at first: their refusals decide nothing.
    spare: Mask,
}

impl Tally {
    pub(super) fn take(&mut self, leg: Leg) {
        if leg.may_land {
            self.may_land.set(leg.at);
        }
        match leg.outcome {
            Outcome::Confirmed(result) => self.confirmed.push((leg.at, result)),
            Outcome::Refused(error) if self.spare.has(leg.at) => self.failed.push((leg.at, error)),
            Outcome::Refused(error) => self.refused.push((leg.at, error)),
            Outcome::Failed(error) => self.failed.push((leg.at, error)),
        }
    }

    /// A completion names parts that each backend has confirmed: one that refuses it where another takes it speaks of
    /// itself, or of what became of the request on its way. That somebody may not write stays a refusal.
    pub(super) fn excuse_refusals(&mut self) {
        if self.confirmed.is_empty() {
            return;
        }
        let denied =
            |(_, error): &(usize, _)| matches!(error, object_store::Error::PermissionDenied { .. });
        let (denied, excused): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.refused).into_iter().partition(denied);
        self.refused = denied;
        self.failed.extend(excused);
    }

    /// Whether a backend refused that comes before all that confirmed.
    pub(super) fn is_refused(&self) -> bool {
        let refusal = self.refused.iter().map(|(at, _)| *at).min();
        let first = self.confirmed.iter().map(|(at, _)| *at).min();
        refusal.is_some_and(|refusal| first.is_none_or(|first| refusal < first))
    }

    /// Whether fewer have it than must, and no refusal decides.
    pub(super) fn lacks(&self, copies: usize) -> bool {
        self.confirmed.len() < copies && !self.is_refused()
    }

    pub(super) fn has(&self) -> Mask {
        self.confirmed.iter().map(|(at, _)| *at).collect()
    }

    pub(super) fn answered(&self) -> Mask {
        let unhappy = self.refused.iter().chain(&self.failed).map(|(at, _)| *at);
        self.confirmed.iter().map(|(at, _)| *at).chain(unhappy).collect()
    }
}

/// Ends at a moment; never, if there is none.
pub(super) async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// A write under way.
#[derive(Default)]
pub(super) struct Course {
    pub(super) legs: Legs,
    pub(super) writing: Beside,
    /// The markers beside the data.
    pub(super) beside: Vec<Draft>,
    pub(super) tally: Tally,
    /// Raised when enough have it.
    pub(super) enough: Arc<Flag>,
    /// Backends that were sent it, and the one that decided it.
    pub(super) asked: Mask,
}

impl Course {
    /// Backends that have been sent it and have not answered.
    pub(super) fn pending(&self) -> Mask {
        if self.legs.is_empty() { Mask::NONE } else { self.asked.without(self.tally.answered()) }
    }
}

impl Engine {
    pub(super) fn legs(
        self: &Arc<Self>,
        write: &Write,
        send: Mask,
        until: Instant,
        enough: &Arc<Flag>,
    ) -> Legs {
        let leg = |at| {
            let how = (Arc::clone(&write.send), Arc::clone(enough));
            leg::run(Arc::clone(self), at, write.operation, until, how).boxed()
        };
        send.iter().map(leg).collect()
    }

    /// Backends that were not asked, because an earlier write of the key was on its way there or because they are avoided:
    /// those of them that answer, as soon as one is free.
    pub(super) async fn spare(&self, write: &Write, asked: Mask, until: Instant) -> Mask {
        let rest = self.all().without(write.without).without(asked);
        if rest.is_empty() {
            return Mask::NONE;
        }
        let answering = timeout_at(until, self.answering()).await.unwrap_or(Mask::NONE);
        let rest = rest.without(self.all().without(answering));
        let free = || rest.without(self.index.dirt(&write.key).unwrap_or_default().busy);
        if !rest.is_empty() {
            self.await_legs(until, || !free().is_empty()).await;
        }
        free()
    }

    /// Sends a write to backends that were left out. Where intents are wanted, theirs come first, and what the others answer
    /// meanwhile is taken: who has `enough` copies by then, or no time, sends nothing.
    pub(super) async fn call_upon(
        self: &Arc<Self>,
        write: &Write,
        spare: Mask,
        enough: usize,
        until: Instant,
        course: &mut Course,
    ) {
        if self.settings.intent {
            let mark = Mark { confirmed: false, ambiguous: true, ..write.mark() };
            let mut intents: Vec<Draft> = spare.iter().map(|at| self.draft(&mark, at)).collect();
            let mut writing = self.write_beside(&mut intents, course.asked, until);
            {
                let patience = until.min(Instant::now() + self.marker_patience() * 2);
                let mut kept = pin!(self.await_intents(&mut writing, &mut intents, patience));
                loop {
                    tokio::select! {
                        biased;
                        () = &mut kept => break,
                        Some(leg) = course.legs.next(), if !course.legs.is_empty() => course.tally.take(leg),
                    }
                }
            }
            course.beside.extend(intents);
            if course.tally.confirmed.len() >= enough || Instant::now() >= until {
                return;
            }
        }
        course.tally.spare |= spare;
        course.asked |= spare;
        course.legs.extend(self.legs(write, spare, until, &course.enough));
    }

    pub(super) fn write_beside(
        self: &Arc<Self>,
        drafts: &mut [Draft],
        homes: Mask,
        until: Instant,
    ) -> Beside {
        let mut pairs = Vec::new();
        for (at, draft) in drafts.iter_mut().enumerate() {
            draft.doubtful = homes.without(Mask::only(draft.target));
            pairs.extend(
                homes
                    .iter()
                    .filter(|home| *home != draft.target)
                    .map(|home| (at, home, draft.clone())),
            );
        }
        pairs
            .into_iter()
            .map(|(at, home, draft)| {
                let engine = Arc::clone(self);
                async move { (at, home, engine.write_marker(&draft, home, until).await) }.boxed()
            })
            .collect()
    }

    /// Collects answers until all are in, or enough of them and the rest is slow; or too few, and there is relief: whom to
    /// ask as well.
    pub(super) async fn gather(
        &self,
        course: &mut Course,
        relief: impl Future<Output = Mask>,
    ) -> Option<Mask> {
        let Course { legs, writing, beside, tally, enough, .. } = course;
        let mut relief = Some(Box::pin(relief));
        let mut patience: Option<Instant> = None;
        loop {
            if patience.is_none() && tally.confirmed.len() >= self.settings.min_copies {
                patience = Some(Instant::now() + self.settings.slow_after);
                enough.raise();
            }
            // What asks for it may hold what others wait for: it is not kept when nobody goes on with it.
            if !tally.lacks(self.settings.min_copies) {
                relief = None;
            }
            let slow = reached(patience);
            tokio::select! {
                biased;
                leg = legs.next() => match leg {
                    Some(leg) => tally.take(leg),
                    None => return None,
                },
                Some((at, home, kept)) = writing.next(), if !writing.is_empty() => beside[at].note(home, kept),
                () = slow => return None,
                spare = async {
                    match &mut relief {
                        Some(relief) => relief.await,
                        None => std::future::pending().await,
                    }
                } => return Some(spare),
            }
        }
    }

    /// Waits for intents: until each has a home, and then no longer than for slow data. At least half of the time is left for
    /// the data.
    pub(super) async fn await_intents(
        &self,
        writing: &mut Beside,
        beside: &mut [Draft],
        until: Instant,
    ) {
        let half = Instant::now() + until.saturating_duration_since(Instant::now()) / 2;
        let mut ends = half;
        while let Ok(Some((at, home, kept))) = timeout_at(ends, writing.next()).await {
            beside[at].note(home, kept);
            let homeless = |draft: &Draft| draft.homes.is_empty();
            if ends == half && !beside.iter().any(homeless) {
                ends = half.min(Instant::now() + self.marker_patience());
            }
        }
    }

    /// Waits for the markers beside the data no longer than for slow data. One that lands later is found by its name, and
    /// says nothing wrong.
    pub(super) async fn await_markers(&self, writing: &mut Beside, beside: &mut [Draft]) {
        let patience = Instant::now() + self.marker_patience();
        while let Ok(Some((at, home, kept))) = timeout_at(patience, writing.next()).await {
            beside[at].note(home, kept);
        }
    }
}
