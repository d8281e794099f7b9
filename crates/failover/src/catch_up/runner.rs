//! The background work: reading journals, probing ejected backends, and replaying markers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{StreamExt, stream};
use lifeboat_core::Fault;
use object_store::path::Path;
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Basis;
use crate::backend::Backend;
use crate::engine::Engine;
use crate::events::{Event, Operation};
use crate::health::Evidence;
use crate::observe::as_gauge;

/// How long the first requests wait for the journals to be read.
const LOAD_PATIENCE: Duration = Duration::from_millis(800);
/// Keys looked at in one step of a pass.
const STEP: usize = 256;
/// Shortest pause between two passes that had something to do.
pub(crate) const PASS_PAUSE: Duration = Duration::from_millis(500);

/// What a pass of catch-up did.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct CatchUpReport {
    /// Keys that were looked at.
    pub keys: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Markers removed.
    pub removed: u64,
    /// Markers that are still there: a backend is down, or a request may still land.
    pub left: u64,
}

impl Engine {
    /// Begins background work, once.
    pub(crate) fn start(self: &Arc<Self>) {
        if self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        self.spawn(Arc::clone(self).run_journals());
        self.spawn(Arc::clone(self).run_catch_up());
        if self.settings.settle_check && self.backends.len() > 1 {
            self.spawn(Arc::clone(self).run_settling());
        }
        if !self.settings.presence_beat.is_zero() && self.backends.len() > 1 {
            self.spawn(Arc::clone(self).run_presence());
        }
        for backend in &self.backends {
            self.spawn(Arc::clone(self).run_probes(Arc::clone(backend)));
            if backend.awaits_confirmation() {
                self.spawn(Arc::clone(self).run_confirming(Arc::clone(backend)));
            }
        }
    }

    /// Begins background work, if that has not begun, and waits until requests can be served.
    pub(crate) async fn awake(self: &Arc<Self>) {
        if !self.ready.load(Ordering::Acquire) {
            self.start();
            self.wait_loaded().await;
        }
    }

    /// Waits until the journals are read, or those that matter can be known not to answer now.
    pub(crate) async fn wait_loaded(&self) {
        let wait = self.loaded.wait();
        // After this long, requests go on with what is known; `status` says which journals are unread.
        let late = timeout(LOAD_PATIENCE, wait).await.is_err();
        if self.ready.swap(true, Ordering::AcqRel) || !late {
            return;
        }
        // Told once: reads ask those first who gave a sign. If nobody did, it may be our own network.
        if self.backends.iter().any(|backend| backend.answers() > 0) {
            for backend in self.backends.iter().filter(|backend| backend.answers() == 0) {
                backend.fault(Operation::Journal, Fault::Slow, None);
            }
        }
    }

    /// Reads every journal now and then. The first time also tells which backends are seeded.
    async fn run_journals(self: Arc<Self>) {
        loop {
            let round = self.read_journals();
            tokio::select! {
                biased;
                () = self.until_closed() => return,
                () = round => {}
            }
            self.loaded.raise();
            self.ready.store(true, Ordering::Release);
            if !self.index.is_empty() {
                self.work.notify_one();
            }
            self.tell_depth();
            // Not in step with other processes.
            let pause = self.settings.journal_poll.mul_f64(0.8 + self.randomness.fraction() * 0.2);
            tokio::select! {
                biased;
                () = self.until_closed() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// What is left to do, as numbers.
    fn tell_depth(&self) {
        let totals = self.index.totals(self.backends.len());
        let age = totals.oldest.map_or(Duration::ZERO, |oldest| self.clock.age(oldest));
        self.observers.oldest.set(age.as_secs_f64());
        for at in self.all().iter() {
            let numbers = self.observers.numbers(at);
            numbers.behind_keys.set(as_gauge(totals.dirty_keys[at]));
            numbers.behind_bytes.set(as_gauge(totals.dirty_bytes[at]));
        }
    }

    /// Reads the journals of all backends that are in use.
    pub(crate) async fn read_journals(self: &Arc<Self>) {
        let reads =
            self.backends.iter().filter(|backend| backend.is_in_use()).map(|backend| async {
                match self.read_journal(backend.at).await {
                    Ok(_) => {
                        backend.answered();
                        self.learn_seeding(backend).await;
                        self.learn_blank(backend).await;
                    }
                    Err(error) => {
                        self.judge(backend.at, Operation::Journal, &error).await;
                    }
                }
            });
        futures::future::join_all(reads).await;
        self.seed_if_new().await;
    }

    /// Probes a backend: at the start, so that one that is dead is known before a request needs it, and
    /// whenever it is ejected.
    async fn run_probes(self: Arc<Self>, backend: Arc<Backend>) {
        self.probe(&backend).await;
        loop {
            let next = match backend.health().next_change() {
                Some(at) => sleep_until(at.max(Instant::now() + Duration::from_millis(1))),
                None => sleep(Duration::from_hours(1)),
            };
            // Under load there is always news of a backend in trouble: what is due is looked at all the same.
            let news = tokio::select! {
                biased;
                () = self.until_closed() => return,
                () = backend.changed.notified() => true,
                () = next => false,
            };
            if backend.health().probe_at().is_some_and(|at| at <= Instant::now()) {
                self.probe(&backend).await;
                if backend.is_in_use() {
                    self.returned(&backend).await;
                }
            } else if !news {
                backend.observe(Evidence::Tick, "it has been healthy for its settling time");
            }
        }
    }

    /// A backend is back: its journal may say something, and it may be behind.
    async fn returned(self: &Arc<Self>, backend: &Backend) {
        backend.confirming.try_again();
        self.patience.forget();
        if let Err(error) = self.read_journal(backend.at).await {
            self.judge(backend.at, Operation::Journal, &error).await;
        } else {
            self.learn_seeding(backend).await;
        }
        self.index.unlevel();
        self.work.notify_one();
    }

    /// Replays markers whenever there may be something to do.
    async fn run_catch_up(self: Arc<Self>) {
        loop {
            let pause = if self.index.is_empty() { Duration::from_hours(1) } else { PASS_PAUSE };
            tokio::select! {
                biased;
                () = self.until_closed() => return,
                () = self.work.notified() => {}
                () = sleep(pause) => {}
            }
            if self.index.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                () = self.until_closed() => return,
                _ = self.pass(false) => {}
            }
            sleep(PASS_PAUSE).await;
        }
    }

    /// Looks at every dirty key once. `all` also looks at those that are only waiting for time to pass.
    pub(crate) async fn pass(self: &Arc<Self>, all: bool) -> CatchUpReport {
        let mut report = CatchUpReport::default();
        let mut told = 0;
        let left = || u64::try_from(self.index.len()).unwrap_or(u64::MAX);
        let mut from: Option<Path> = None;
        let began = Instant::now();
        if all {
            self.patience.forget();
        }
        loop {
            let keys = self.index.keys_after(from.as_ref(), STEP);
            let Some(last) = keys.last().cloned() else { break };
            from = Some(last);
            let due = keys.into_iter().filter(|key| {
                let known = self.index.of(key);
                self.is_due(&known)
                    && (all || self.is_worth_a_look(&known))
                    && self.patience.is_over(key, &known)
            });
            let work = due.map(|key| self.reconcile_to_the_end(key, Basis::Marked));
            let mut work =
                stream::iter(work).buffer_unordered(self.settings.catch_up_concurrency.max(1));
            while let Some(done) = work.next().await {
                report.keys += 1;
                report.bytes += done.bytes;
                report.removed += done.removed;
                // The rate: no further on than the clock allows.
                let rate = f64::from(self.settings.catch_up_rate.max(1));
                let done = f64::from(u32::try_from(report.keys).unwrap_or(u32::MAX));
                sleep_until(began + Duration::from_secs_f64(done / rate)).await;
            }
            let CatchUpReport { keys, bytes, .. } = report;
            if keys > told {
                told = keys;
                let left = left();
                self.observers.tell(|| Event::CatchUpProgress { keys, bytes, left });
            }
        }
        report.left = left();
        report
    }

    /// Whether a look can change anything now: the data is not known to be level, or a marker can go.
    fn is_worth_a_look(&self, known: &[crate::journal::index::Known]) -> bool {
        let usable = |known: &crate::journal::index::Known| {
            // One that speaks of a backend that is not ours is for those who have that backend.
            known.target.is_some_and(|target| self.backends[target].is_in_use())
        };
        let ripe = |known: &crate::journal::index::Known| {
            let reachable = known.homes.is_empty()
                || known.homes.iter().any(|home| self.backends[home].is_in_use());
            reachable
                && self.is_over(known)
                && (!self.needs_stillness(known) || self.is_still(&known.marker.key))
        };
        known.iter().any(|known| usable(known) && (ripe(known) || !known.leveled))
    }
}
