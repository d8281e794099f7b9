//! The one rule of writing: a write is acknowledged when enough backends have it *and*, for every other
//! backend, a durable marker says that it may lack it. Puts, deletes, copies and completions all go through
//! [`Engine::fan_out`].

pub(crate) mod condition;
pub(crate) mod conditional;
pub(crate) mod copy;
mod course;
pub(crate) mod delete;
pub(crate) mod leg;
pub(crate) mod multipart;
pub(crate) mod put;
mod sole_copy;
pub(crate) mod spoilt;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lifeboat_core::http::Deadlines;
use lifeboat_core::{Effect, Stamp};
use object_store::path::Path;
use object_store::{PutResult, Result};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Span;

use self::course::{Course, Legs, Tally};
use crate::backend::Mask;
use crate::engine::{Engine, UnderWay};
use crate::error::{FailoverError, Reason};
use crate::events::{Event, Operation};
use crate::health::Evidence;
use crate::journal::Marker;
use crate::journal::index::{Keeping, Origin};
use crate::journal::store::{Draft, Kept, Mark};
use crate::memory::Held;
use crate::observe::BACKEND;

/// A write of one key, under the key's lock.
pub(crate) struct Write {
    pub(crate) key: Path,
    pub(crate) operation: Operation,
    pub(crate) delete: bool,
    /// Orders the write.
    pub(crate) stamp: Stamp,
    /// What the copies carry, where that is another stamp.
    pub(crate) version: Option<Stamp>,
    /// The newest write that was known when this one was dated. What was heard of since is a competitor, although the markers
    /// are only written then.
    pub(crate) after: Option<Stamp>,
    /// Backends that cannot take part, and get a marker as if they were down.
    pub(crate) without: Mask,
    /// Backends where a request of this write may still land although they are out.
    pub(crate) may_land: Mask,
    /// Legs that have already been confirmed: that of the backend which decided a condition.
    pub(crate) decided: Vec<(usize, PutResult)>,
    pub(crate) send: leg::Send,
    /// Bytes of the body: they add time.
    pub(crate) size: u64,
    /// When the request's time is over, counted from its beginning: what it waited for others is part of it.
    pub(crate) until: Instant,
    /// Bytes held in memory; given back when the last leg has ended.
    pub(crate) memory: Option<Held>,
}

/// An acknowledged write.
#[derive(Debug)]
pub(crate) struct Done {
    /// The first backend in order that confirmed.
    pub(crate) at: usize,
    pub(crate) result: PutResult,
}

impl Write {
    /// What the size of the object adds to the time that a request takes.
    fn takes(&self) -> Duration {
        match self.operation {
            Operation::Multipart | Operation::Copy => Engine::assembly_time(self.size),
            _ => Engine::body_time(self.size),
        }
    }

    fn mark(&self) -> Mark<'_> {
        Mark {
            key: &self.key,
            delete: self.delete,
            stamp: self.stamp,
            version: self.version,
            after: self.after,
            ambiguous: false,
            acknowledged: true,
            confirmed: true,
            size: (!self.delete).then_some(self.size),
        }
    }
}

/// Why a write cannot be acknowledged.
enum Unsettled {
    /// Too few have it, or the one that orders refused it. Its traces are left.
    Failed(object_store::Error),
    /// Enough have it, and too few of them take its markers; and what markers there are.
    Unrecorded(object_store::Error, Vec<Draft>),
}

impl Engine {
    /// Bound on a write of so many bytes.
    pub(crate) fn write_bound(&self, size: u64) -> Instant {
        Instant::now() + self.settings.write_deadline + Self::body_time(size)
    }

    /// Bound on the requests of a write. One that had to wait for others has an attempt's time at least.
    pub(crate) fn bound_of(&self, write: &Write) -> Instant {
        let attempt = self.settings.attempt_deadline + write.takes();
        write.until.max(Instant::now() + attempt)
    }

    /// Waits for a key's lock, or for what else others hold that a request needs.
    pub(crate) async fn wait_for<T>(
        &self,
        key: &Path,
        until: Instant,
        wanted: impl Future<Output = T>,
    ) -> Result<T> {
        let busy = || FailoverError::new(Reason::Busy, Some(key), Effect::None).into();
        timeout_at(until, wanted).await.map_err(|_| busy())
    }

    /// Waits until earlier writes of a key by this process have ended at these backends. False if they have not by `until`.
    pub(crate) async fn await_legs_of(&self, key: &Path, at: Mask, until: Instant) -> bool {
        let idle = || {
            let busy = self.index.dirt(key).map_or(Mask::NONE, |dirt| dirt.busy);
            !at.iter().any(|at| busy.has(at))
        };
        self.await_legs(until, idle).await
    }

    /// What the size of an object adds to a bound that its provider puts together or copies by itself: some do so at about
    /// 100 MiB a second before they answer, as the bound of the HTTP layer says.
    pub(crate) fn assembly_time(size: u64) -> Duration {
        let copied = Duration::from_secs(size / (100 << 20));
        if copied.is_zero() { copied } else { Deadlines::ASSEMBLY + copied }
    }

    /// What a body of so many bytes adds to a bound.
    pub(crate) fn body_time(size: u64) -> Duration {
        Duration::from_secs(size / crate::Settings::SLOWEST_UPLOAD)
    }

    /// Writes by the rule. The key's lock is held by the caller.
    pub(crate) async fn fan_out(self: &Arc<Self>, mut write: Write) -> Result<Done> {
        let _writing = self.begin_writing().await;
        let until = self.bound_of(&write);
        let decided: Mask = write.decided.iter().map(|(at, _)| *at).collect();
        let takers = self.takers().await;
        let dirt = self.index.dirt(&write.key).unwrap_or_default();
        let mut send = takers.without(dirt.busy).without(write.without).without(decided);
        if send.is_empty() && decided.is_empty() {
            send = self.all().without(dirt.busy).without(write.without);
        }
        if send.is_empty() && decided.is_empty() {
            // All of them are busy with an earlier write of the key.
            let all = self.all().without(write.without);
            if all.is_empty() || !self.await_legs_of(&write.key, all, until).await {
                return Err(self.nobody(&write));
            }
            send = all;
        }
        let mut homes = send;
        homes |= decided;
        let out = self.all().without(homes);
        let intended = if self.settings.intent { send } else { Mask::NONE };
        let mut beside: Vec<Draft> = {
            let mark = Mark { confirmed: false, ..write.mark() };
            let early = |at: usize| {
                // An intent is written before its target is sent the data.
                let ambiguous = write.may_land.has(at) || send.has(at);
                self.draft(&Mark { ambiguous, ..mark.clone() }, at)
            };
            let mut targets = out;
            targets |= intended;
            targets.iter().map(early).collect()
        };
        let writing = self.write_beside(&mut beside, homes, until);
        let mut course = Course { writing, beside, asked: homes, ..Course::default() };
        if self.settings.intent {
            self.await_intents(&mut course.writing, &mut course.beside, until).await;
        }
        course.legs = self.legs(&write, send, until, &course.enough);
        course.tally.may_land = write.may_land;
        course.tally.confirmed.append(&mut write.decided);
        loop {
            // Those who are asked may be silent while those who were left out would take it.
            let asked = course.asked;
            let relief = async {
                sleep(self.marker_patience() + write.takes()).await;
                let spare = self.spare(&write, asked, until).await;
                if spare.is_empty() { std::future::pending().await } else { spare }
            };
            let relief = self.gather(&mut course, relief).await;
            if !course.tally.lacks(self.settings.min_copies) {
                break;
            }
            let spare = match relief {
                Some(spare) => spare,
                None => self.spare(&write, course.asked, until).await,
            };
            if spare.is_empty() || Instant::now() >= until {
                break;
            }
            self.call_upon(&write, spare, self.settings.min_copies, until, &mut course).await;
        }
        self.await_markers(&mut course.writing, &mut course.beside).await;
        self.index.outlive(&write.key, course.tally.has(), write.stamp, write.delete);
        self.hold_ground(&write, &mut course, until).await;
        self.conclude(write, course, until).await
    }

    /// How long a home may take for its markers when others have theirs.
    pub(crate) fn marker_patience(&self) -> Duration {
        self.settings.slow_after.max(self.settings.rescue_after)
    }

    /// Acknowledges, or says why not. Everything that is needed is durable before.
    async fn conclude(
        self: &Arc<Self>,
        write: Write,
        mut course: Course,
        until: Instant,
    ) -> Result<Done> {
        let (confirmed, recorded) = loop {
            match self.settle_write(&write, &mut course, until).await {
                Ok(settled) => break settled,
                Err(Unsettled::Failed(error)) => return Err(error),
                // Those who have it take no markers; others may do both: who has been sent it, then who was left out.
                Err(Unsettled::Unrecorded(error, drafts)) => {
                    let spare = if course.legs.is_empty() {
                        self.spare(&write, course.asked, until).await
                    } else {
                        Mask::NONE
                    };
                    // What is sent when the time is over would be under way, and no marker says so.
                    let in_time = Instant::now() < until;
                    if in_time && !spare.is_empty() {
                        course.enough = Arc::default();
                        self.call_upon(&write, spare, usize::MAX, until, &mut course).await;
                    }
                    if in_time && !course.legs.is_empty() {
                        let durable = drafts.iter().filter(|draft| !draft.homes.is_empty());
                        durable.for_each(|draft| self.enter(draft, Origin::Ended));
                        while let Ok(Some(leg)) = timeout_at(until, course.legs.next()).await {
                            course.tally.take(leg);
                        }
                        continue;
                    }
                    let pending = course.pending();
                    for draft in &drafts {
                        let running = pending.has(draft.target);
                        self.enter(draft, if running { Origin::Running } else { Origin::Ended });
                    }
                    self.keep_going(write, course.legs, drafts);
                    return Err(error);
                }
            }
        };
        let pending = course.pending();
        for draft in &recorded {
            let running = pending.has(draft.target) && draft.marker.ambiguous;
            self.enter(draft, if running { Origin::Running } else { Origin::Ended });
        }
        if recorded.is_empty() && self.settings.settle_check && confirmed.len() > 1 {
            self.settle.push(self, &write);
        }
        if !recorded.is_empty() {
            self.compact(&write.key);
            self.work.notify_one();
        }
        // Without patience to speak of, nobody was slow; and a large body takes its time.
        let patient = self.settings.slow_after >= self.settings.rescue_after;
        let small = Self::body_time(write.size) < self.settings.slow_after;
        for at in pending.iter().filter(|_| patient && small) {
            self.backends[at]
                .observe(Evidence::Outrun, "writes were confirmed elsewhere long before");
        }
        let (at, result) = course.tally.confirmed.swap_remove(0);
        Span::current().record(BACKEND, &*self.backends[at].id);
        if at > 0 {
            self.observers.tell(|| Event::FailedOver {
                operation: write.operation,
                from: self.backends[0].id.clone(),
                to: self.backends[at].id.clone(),
            });
        }
        self.keep_going(write, course.legs, recorded);
        Ok(Done { at, result })
    }

    /// Makes a write durable with its markers, if enough backends have it: those, and the markers.
    async fn settle_write(
        self: &Arc<Self>,
        write: &Write,
        course: &mut Course,
        until: Instant,
    ) -> std::result::Result<(Mask, Vec<Draft>), Unsettled> {
        let pending = course.pending();
        let Course { tally, beside, .. } = course;
        tally.confirmed.sort_by_key(|(at, _)| *at);
        if write.operation == Operation::Multipart {
            tally.excuse_refusals();
        }
        // A refusal of the backend that orders is the caller's result.
        if tally.is_refused() || tally.confirmed.len() < self.settings.min_copies {
            // Legs that are given up here may still land.
            tally.may_land |= pending;
            let tally = std::mem::take(tally);
            return Err(Unsettled::Failed(self.fail(write, tally, beside, until).await));
        }
        let confirmed = tally.has();
        let drafts = self.needed(write, tally, beside, confirmed, pending);
        let recorded = self.record(write, drafts, beside.clone(), confirmed, until).await;
        match recorded {
            Ok(recorded) => Ok((confirmed, recorded)),
            Err((error, drafts)) => Err(Unsettled::Unrecorded(error, drafts)),
        }
    }

    /// The markers that the acknowledgement needs: one for each backend that did not confirm, one for each that is
    /// dirty already (whoever catches up must notice this write), and one where something may land late.
    fn needed(
        &self,
        write: &Write,
        tally: &Tally,
        beside: &[Draft],
        confirmed: Mask,
        pending: Mask,
    ) -> Vec<Draft> {
        let dirt = self.index.dirt(&write.key).unwrap_or_default();
        // An early marker does not say that its keeper has the write, and one that had lagged may be thought to lag still.
        let told = !confirmed.iter().any(|home| dirt.behind.has(home));
        let fits = |draft: &&Draft, ambiguous: bool| told && draft.marker.ambiguous == ambiguous;
        // What is still being brought to a backend would be back there after a delete.
        let brought = if write.delete { self.departed.targets(&write.key) } else { Mask::NONE };
        let mut drafts = Vec::new();
        for target in self.all().iter() {
            let ambiguous = pending.has(target) || tally.may_land.has(target);
            let joins = [dirt.behind, dirt.unsure, brought].iter().any(|mask| mask.has(target));
            if confirmed.has(target) && !ambiguous && !joins {
                continue;
            }
            let mut early = beside.iter().filter(|draft| draft.target == target);
            let draft = if let Some(draft) = early.find(|draft| fits(draft, ambiguous)) {
                draft.clone()
            } else {
                // A lone holder cannot keep a marker about itself: this process remembers what may land there, and what that
                // would replace. The former may be kept later by somebody who does not hold the write.
                let lone = confirmed.without(Mask::only(target)).is_empty();
                let mark = Mark { ambiguous, confirmed: !lone, ..write.mark() };
                let private = lone && !ambiguous;
                let meanwhile = if private { Keeping::Private } else { Keeping::Memory };
                Draft { meanwhile, ..self.draft(&mark, target) }
            };
            drafts.push(draft);
        }
        // What nobody could keep so far, somebody can now: others may only explain what they find by it.
        drafts.extend(self.index.unkept(&write.key).iter().filter_map(Draft::of));
        drafts
    }

    /// Makes the markers durable on every backend that confirmed. One that cannot take them counts as one that
    /// lacks the write itself.
    async fn record(
        self: &Arc<Self>,
        write: &Write,
        mut drafts: Vec<Draft>,
        beside: Vec<Draft>,
        confirmed: Mask,
        until: Instant,
    ) -> std::result::Result<Vec<Draft>, (object_store::Error, Vec<Draft>)> {
        let mut lost = Mask::NONE;
        loop {
            let bound = until.max(Instant::now() + self.settings.attempt_deadline);
            let homes = confirmed.without(lost);
            if homes.len() < self.settings.min_copies {
                let mut error =
                    FailoverError::new(Reason::NotRecorded, Some(&write.key), Effect::Unknown);
                for home in lost.iter() {
                    error = error.answered(&self.backends[home].id, "has it, and takes no marker");
                }
                let spare = beside.into_iter().filter(|spare| {
                    !spare.homes.is_empty() && !drafts.iter().any(|draft| draft.path == spare.path)
                });
                let spare: Vec<Draft> = spare.collect();
                drafts.extend(spare);
                return Err((error.into(), drafts));
            }
            for target in lost.iter() {
                if !drafts.iter().any(|draft| draft.target == target) {
                    drafts.push(self.draft(&write.mark(), target));
                }
            }
            let missing: Vec<_> = drafts
                .iter()
                .enumerate()
                .flat_map(|(at, draft)| {
                    let wanted = homes.without(draft.homes).without(Mask::only(draft.target));
                    wanted.iter().map(move |home| (at, home)).collect::<Vec<_>>()
                })
                .collect();
            if missing.is_empty() {
                break;
            }
            let durable = self.write_missing(&drafts, &missing, homes, bound).await;
            for ((at, home), durable) in missing.into_iter().zip(durable) {
                if durable { drafts[at].homes.set(home) } else { lost.set(home) }
            }
        }
        self.drop_spare(&drafts, beside);
        Ok(drafts)
    }

    /// Writes markers at homes; which of them are durable. When enough homes have all of theirs, the others have little
    /// time left: they count as lost, and get a marker themselves.
    async fn write_missing(
        &self,
        drafts: &[Draft],
        missing: &[(usize, usize)],
        homes: Mask,
        bound: Instant,
    ) -> Vec<bool> {
        let mut durable = vec![false; missing.len()];
        let writes = missing.iter().enumerate().map(|(place, (at, home))| async move {
            (place, self.write_marker(&drafts[*at], *home, bound).await == Kept::Yes)
        });
        let mut writes: FuturesUnordered<_> = writes.collect();
        let mut patience = None;
        loop {
            let open: Mask = missing
                .iter()
                .zip(&durable)
                .filter_map(|((_, home), durable)| (!durable).then_some(*home))
                .collect();
            if patience.is_none() && homes.without(open).len() >= self.settings.min_copies {
                patience = Some(Instant::now() + self.marker_patience());
            }
            let ends = patience.map_or(bound, |patience| patience.min(bound));
            let Ok(Some((place, done))) = timeout_at(ends, writes.next()).await else { break };
            durable[place] = done;
        }
        durable
    }

    /// Early markers that turned out not to be needed, or to say too little, go.
    fn drop_spare(self: &Arc<Self>, needed: &[Draft], beside: Vec<Draft>) {
        for spare in beside {
            let used = needed.iter().any(|draft| draft.path == spare.path);
            if used || spare.homes.is_empty() {
                continue;
            }
            self.enter(&spare, Origin::Ended);
            self.discard(spare.marker.key.clone(), spare.path);
        }
    }

    /// Removes an own marker in the background.
    fn discard(self: &Arc<Self>, key: Path, path: Path) {
        let engine = Arc::clone(self);
        self.spawn(async move {
            let known = engine.index.of(&key).into_iter().find(|known| known.path == path);
            if let Some(known) = known {
                engine.remove_marker(&known).await;
            }
        });
    }

    /// Lets the slow legs of an acknowledged write go on, and clears up behind them. Those that take longer than an attempt
    /// end when others wait for the memory: their markers are there already.
    fn keep_going(self: &Arc<Self>, write: Write, mut legs: Legs, recorded: Vec<Draft>) {
        if legs.is_empty() {
            return;
        }
        let engine = Arc::clone(self);
        let under_way = UnderWay::new(self);
        self.spawn(async move {
            let mut over = Mask::NONE;
            let ended = |at: usize, landed: bool| {
                // Older markers among them speak of older requests.
                let own = |draft: &&Draft| draft.marker.stamp == write.stamp;
                for draft in recorded.iter().filter(|draft| draft.target == at).filter(own) {
                    engine.index.ended(&write.key, &draft.path, landed);
                }
                engine.leg_ended.notify_waiters();
                engine.work.notify_one();
            };
            let mut wanted = pin!(async {
                sleep(engine.settings.attempt_deadline).await;
                match &write.memory {
                    Some(memory) => memory.wanted().await,
                    None => std::future::pending().await,
                }
            });
            loop {
                tokio::select! {
                    biased;
                    leg = legs.next() => {
                        let Some(leg) = leg else { break };
                        over.set(leg.at);
                        ended(leg.at, !leg.may_land);
                    }
                    () = &mut wanted => {
                        drop(legs);
                        let targets: Mask = recorded.iter().map(|draft| draft.target).collect();
                        targets.without(over).iter().for_each(|at| ended(at, false));
                        break;
                    }
                }
            }
            drop(under_way);
        });
    }

    /// A write that is not acknowledged: leaves markers where something did or may have happened, and says what
    /// everybody answered.
    async fn fail(
        self: &Arc<Self>,
        write: &Write,
        mut tally: Tally,
        beside: &[Draft],
        until: Instant,
    ) -> object_store::Error {
        let mut touched = tally.has();
        touched |= tally.may_land;
        let mut effect = if touched.is_empty() { Effect::None } else { Effect::Unknown };
        if touched.is_empty() {
            for draft in beside {
                // While the marker is there, it acts as if the write had been made; and one may still land.
                if !draft.doubtful.is_empty() || !self.take_back(draft).await {
                    effect = Effect::Unknown;
                }
            }
        } else {
            self.leave_traces(write, &tally, beside, until).await;
        }
        tally.refused.sort_by_key(|(at, _)| *at);
        // Whoever comes before the one that refused has taken it, or may have, or may yet.
        let mut undecided: Mask = tally.failed.iter().map(|(at, _)| *at).collect();
        undecided |= touched;
        if let Some((first, _)) = tally.refused.first()
            && undecided.iter().all(|at| at >= *first)
        {
            return tally.refused.swap_remove(0).1;
        }
        let reason =
            if tally.confirmed.is_empty() { Reason::Unavailable } else { Reason::TooFewCopies };
        let completion = write.operation == Operation::Multipart;
        let mut error =
            FailoverError::new(reason, Some(&write.key), effect).of_completion(completion);
        for (at, _) in &tally.confirmed {
            error = error.answered(&self.backends[*at].id, "confirmed");
        }
        for (at, cause) in tally.failed.iter().chain(&tally.refused) {
            error = error.failed(&self.backends[*at].id, cause);
        }
        error.away(&self.backends).into()
    }

    /// Markers of a write that was not acknowledged, wherever one can be written: it must converge, not survive.
    async fn leave_traces(
        self: &Arc<Self>,
        write: &Write,
        tally: &Tally,
        beside: &[Draft],
        until: Instant,
    ) {
        let has = tally.has();
        let mark = Mark { acknowledged: false, confirmed: false, ..write.mark() };
        // Where it is confirmed, the others may lack it; where it may land, once more if it is confirmed, that one is unsure.
        let mut targets = if has.is_empty() { Mask::NONE } else { self.all().without(has) };
        targets |= tally.may_land;
        let early: Vec<Draft> = beside.to_vec();
        let marked: Mask = early.iter().map(|draft| draft.target).collect();
        targets |= marked.without(has);
        let bound = until.max(Instant::now() + self.settings.attempt_deadline);
        let traces = targets.iter().map(|target| {
            let mark = Mark { ambiguous: tally.may_land.has(target), ..mark.clone() };
            async move { self.leave_marker(&mark, target, bound).await }
        });
        futures::future::join_all(traces).await;
        // What was written beside the data says that it was acknowledged. It was not, and who believed it would look for a
        // version that nobody has.
        let engine = Arc::clone(self);
        self.spawn(async move {
            for draft in &early {
                engine.take_back(draft).await;
            }
        });
        self.compact(&write.key);
        self.work.notify_one();
    }

    /// Removes a marker that was written beside data which came to nothing. False if it may be there all the same: then
    /// it is known, as one of a write that was not acknowledged, and catch-up clears it.
    async fn take_back(&self, draft: &Draft) -> bool {
        let mut known = draft.known(Origin::Ended);
        known.homes |= draft.doubtful;
        if known.homes.is_empty() || self.remove_marker(&known).await {
            return true;
        }
        if !draft.homes.is_empty() {
            let marker = Marker { acknowledged: false, ..Marker::clone(&draft.marker) };
            self.enter(&Draft { marker: Arc::new(marker), ..draft.clone() }, Origin::Ended);
        }
        false
    }

    fn nobody(&self, write: &Write) -> object_store::Error {
        let mut error = FailoverError::new(Reason::Unavailable, Some(&write.key), Effect::None);
        for backend in &self.backends {
            let text = "an earlier write of the key is still under way, or it left this upload";
            error = error.answered(&backend.id, text);
        }
        error.into()
    }
}
