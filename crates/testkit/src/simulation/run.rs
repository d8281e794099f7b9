//! Runs one seed: starts the processes, changes the weather, lets processes crash and come back, waits for calm and
//! judges.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::time::{sleep, sleep_until, timeout};

use super::application::{Application, Effort, ProcessContext, Running};
use super::check::written_keys;
use super::client::Workload;
use super::content::{FOREIGN, content};
use super::history::{History, Outcome, Record, Value};
use super::plan::{Condition, Crash, Plan, Profile};
use super::process::{SimClock, SimSpawner};
use super::verdict;
use super::world::{World, client_number};
use crate::fault_store::{FaultStore, Faults};

/// How long a request or an answer travels in fine weather.
pub(super) const TRAVEL: std::ops::Range<Duration> =
    Duration::from_millis(1)..Duration::from_millis(30);

/// No simulation takes longer, in its own time: an hour is more than the workload, all faults and all bounds together.
const END: Duration = Duration::from_hours(1);

/// How often the simulation looks whether something has come about, in its own time.
const LOOK: Duration = Duration::from_millis(20);

/// How often it asks the application to catch up while it waits for it.
const URGE: Duration = Duration::from_secs(5);

/// An armed crash that meets no request happens after this time all the same.
const SOON: Duration = Duration::from_secs(2);

/// What came of a seed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// What was simulated.
    pub plan: Plan,
    /// Broken promises; none is what one wants.
    pub violations: Vec<String>,
    /// Everything that happened.
    pub history: History,
    /// How many requests the processes made.
    pub requests: u64,
    /// How many versions are kept as losers of conflicts.
    pub conflicts: usize,
}

impl Report {
    /// How many operations were done, and how many of them failed.
    pub fn operations(&self) -> (usize, usize) {
        let failed =
            |record: &&Record| matches!(record.outcome, Outcome::Failed(super::Refusal::Other, _));
        (self.history.records.len(), self.history.records.iter().filter(failed).count())
    }
}

impl std::fmt::Display for Report {
    /// Plan, history and violations.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.plan, self.history)?;
        for violation in &self.violations {
            writeln!(f, "VIOLATION: {violation}")?;
        }
        Ok(())
    }
}

/// Simulates a seed.
///
/// # Panics
///
/// When no runtime can be built.
pub fn simulate(seed: u64, profile: &Profile, application: &dyn Application) -> Report {
    simulate_plan(Plan::draw(seed, profile), profile, application)
}

/// Simulates a plan.
///
/// # Panics
///
/// When no runtime can be built.
pub fn simulate_plan(plan: Plan, profile: &Profile, application: &dyn Application) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing that can fail");
    runtime.block_on(async {
        let world = World::new(plan, profile.clone());
        let run = Run::new(Arc::clone(&world), application);
        run.drive().await;
        run.report()
    })
}

/// A life of a process.
struct Life {
    incarnation: u32,
    spawner: SimSpawner,
    running: Arc<dyn Running>,
}

struct Run<'a> {
    world: Arc<World>,
    application: &'a dyn Application,
    /// By process, then by backend.
    links: Vec<Vec<Faults>>,
    lives: std::sync::Mutex<Vec<Life>>,
}

impl<'a> Run<'a> {
    fn new(world: Arc<World>, application: &'a dyn Application) -> Self {
        let (processes, backends) = (world.plan.clocks.len(), world.backends.len());
        let link = |process: usize, backend: usize| {
            let faults =
                Faults::seeded(world.plan.seed ^ ((process * 16 + backend + 1) as u64) << 40);
            faults.latency(TRAVEL);
            faults.slower(world.plan.backends[backend].slower);
            faults
        };
        let links = (0..processes)
            .map(|process| (0..backends).map(|backend| link(process, backend)).collect())
            .collect();
        let run = Self { world, application, links, lives: std::sync::Mutex::default() };
        let lives = (0..processes).map(|process| run.start(process, 0)).collect();
        *run.lives() = lives;
        run
    }

    fn lives(&self) -> std::sync::MutexGuard<'_, Vec<Life>> {
        self.lives.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Starts a process.
    fn start(&self, process: usize, incarnation: u32) -> Life {
        let world = &self.world;
        world.state().born[process] = world.now();
        let spawner = SimSpawner::new(world.began);
        let client = client_number(process, incarnation);
        let stores = world.backends.iter().zip(&self.links[process]).map(|(backend, faults)| {
            faults.watch(Arc::new(spawner.clone()));
            let view = backend.as_seen_by(client);
            let page = backend.settings().page;
            let store = FaultStore::new(view, faults.clone()).detached().page_size(page);
            Arc::new(store) as Arc<dyn ObjectStore>
        });
        let running = self.application.start(&ProcessContext {
            process,
            incarnation,
            seed: world.plan.seed.wrapping_mul(1009).wrapping_add(client),
            variant: world.plan.variant,
            stores: stores.collect(),
            backends: world.backends.clone(),
            complete: (0..world.backends.len()).map(|at| world.plan.joins != Some(at)).collect(),
            clock: SimClock::new(world.began, world.plan.clocks[process]),
            spawner: spawner.clone(),
        });
        for client in 0..world.plan.clients {
            let (world, store) = (Arc::clone(world), running.store());
            let workload = Workload { world, store, process, incarnation, client };
            spawner.spawn(Box::pin(workload.run()));
        }
        Life { incarnation, spawner, running }
    }

    async fn drive(&self) {
        let weather =
            join_all((0..self.world.plan.episodes.len()).map(|number| self.episode(number)));
        let crashes = join_all(self.world.plan.crashes.iter().map(|crash| self.crash(crash)));
        let work = async {
            tokio::join!(biased; weather, crashes, self.disturb(), self.lose());
            self.wait_for_clients().await;
        };
        if timeout(END, work).await.is_err() {
            self.world.complain("the workload does not end");
            return;
        }
        self.settle().await;
    }

    async fn at(&self, moment: u64) {
        sleep_until(self.world.began + Duration::from_millis(moment)).await;
    }

    async fn episode(&self, number: usize) {
        let episode = &self.world.plan.episodes[number];
        self.at(episode.from).await;
        let whom = episode.process.map_or("all".to_owned(), |process| format!("p{process}"));
        let what = format!("{:?} between {whom} and b{}", episode.condition, episode.backend);
        self.world.note(format!("begins: {what}"));
        self.set_weather();
        self.at(episode.until).await;
        self.world.note(format!("ends: {what}"));
        self.set_weather();
    }

    /// Makes every link as it must be now.
    fn set_weather(&self) {
        let now = self.world.now();
        for (process, links) in self.links.iter().enumerate() {
            for (backend, faults) in links.iter().enumerate() {
                let current: Vec<&Condition> = (self.world.plan.episodes.iter())
                    .filter(|episode| episode.backend == backend)
                    .filter(|episode| episode.process.is_none_or(|whom| whom == process))
                    .filter(|episode| episode.from <= now && now < episode.until)
                    .map(|episode| &episode.condition)
                    .collect();
                let slower = current.iter().map(|condition| match condition {
                    Condition::Slow(times) => *times,
                    _ => 1,
                });
                let usual = self.world.plan.backends[backend].slower;
                faults.slower(slower.max().unwrap_or(1).max(usual));
                let late = self.world.profile.late;
                faults.set(current.iter().flat_map(|condition| condition.rules(late)));
            }
        }
    }

    async fn crash(&self, crash: &Crash) {
        let Crash { process, at, messages, down } = *crash;
        self.at(at).await;
        let (spawner, incarnation) = {
            let lives = self.lives();
            (lives[process].spawner.clone(), lives[process].incarnation)
        };
        spawner.crash_after(messages);
        let armed = self.world.now();
        let patience = u64::try_from(SOON.as_millis()).unwrap_or_default();
        while spawner.is_alive() && self.world.now() < armed + patience {
            sleep(LOOK).await;
        }
        spawner.crash();
        self.world.note(format!("p{process} crashes"));
        self.world.bury(process, incarnation);
        sleep(Duration::from_millis(down)).await;
        self.check_life(process);
        self.world.note(format!("p{process} starts again"));
        let life = self.start(process, incarnation + 1);
        self.lives()[process] = life;
    }

    /// Complains about tasks that panicked or outlived their process.
    fn check_life(&self, process: usize) {
        let (panics, zombies) = {
            let spawner = &self.lives()[process].spawner;
            (spawner.panics(), spawner.zombies())
        };
        if panics > 0 {
            self.world.complain(format!("{panics} tasks of p{process} panicked"));
        }
        if zombies > 0 {
            self.world.complain(format!("{zombies} requests of p{process} after its end"));
        }
    }

    /// Writes behind everyone's back.
    async fn disturb(&self) {
        let world = &self.world;
        let write = |(number, foreign): (usize, &super::Foreign)| {
            let (backend, at, key) =
                (foreign.backend, foreign.at, world.plan.shared_key(foreign.key));
            async move {
                self.at(at).await;
                let value = FOREIGN + Value::try_from(number).unwrap_or_default();
                world.note(format!("someone else writes {value} to {key} on b{backend}"));
                world.backends[backend].write_directly(&key, content(value));
                let mut state = world.state();
                state.disturbed.insert(key.clone());
                state.foreign.push((backend, at, key, value));
            }
        };
        join_all(world.plan.foreign.iter().enumerate().map(write)).await;
    }

    /// Lets a provider lose what it was told last.
    async fn lose(&self) {
        let Some((backend, since, at)) = self.world.plan.loss else { return };
        self.at(at).await;
        let lost = self.world.backends[backend].lose_since(since);
        self.world.note(format!("b{backend} loses {lost:?}"));
        let private = &self.world.profile.private;
        let lost = lost.into_iter().filter(|key| !key.as_ref().starts_with(private));
        // With what was remembered there goes what it would have explained: the keys that are different now, and those
        // that a request of before may still change.
        let different = verdict::differences(&self.world).into_iter().map(|(key, _)| key);
        let mut state = self.world.state();
        let late = u64::try_from(self.world.profile.late.as_millis()).unwrap_or(u64::MAX);
        let open = |record: &&Record| {
            record.completed.is_none_or(|completed| completed + late >= at)
                && record.invoked <= at
                && !record.is_acknowledged()
        };
        let records = state.history.records.iter().filter(open);
        let open: Vec<Path> =
            records.flat_map(|record| written_keys(&record.action)).cloned().collect();
        // Late writes of before the loss, too, may be half lost.
        state.disturbed.extend(lost.into_iter().chain(different).chain(open));
    }

    async fn wait_for_clients(&self) {
        let busy = || {
            let state = self.world.state();
            let open = |record: &Record| record.outcome == Outcome::Pending;
            state.clients.values().any(|client| client.remaining > 0)
                || state.history.records.iter().any(open)
        };
        while busy() {
            sleep(LOOK * 10).await;
        }
    }

    /// Waits until nothing can land any more and the application has caught up, and judges.
    async fn settle(&self) {
        let world = &self.world;
        self.at(world.plan.calm()).await;
        sleep(world.profile.late + world.profile.comparing).await;
        world.note("calm");
        self.converge(Effort::CatchUp).await;
        let left = verdict::differences(world);
        let remembered: Vec<_> = {
            let state = world.state();
            let unknown = |key: &Path| {
                state.forgotten.contains(key)
                    || world.is_disturbed(&state, key)
                    || world.landed_after_death(&state, key)
            };
            let left = left.iter().filter(|(key, _)| !unknown(key) && !world.is_untouched(key));
            left.collect()
        };
        for (key, difference) in remembered {
            world.complain(format!("{key} differs after catching up: {difference}"));
        }
        if !left.is_empty() {
            self.converge(Effort::Mend).await;
            for (key, difference) in verdict::differences(world) {
                world.complain(format!("{key} differs after mending: {difference}"));
            }
        }
        self.look_through_the_application().await;
        verdict::judge(world);
        for process in 0..self.links.len() {
            self.check_life(process);
        }
    }

    async fn converge(&self, effort: Effort) {
        let world = &self.world;
        let processes: Vec<_> = self.lives().iter().map(|life| Arc::clone(&life.running)).collect();
        let began = world.now();
        let bound = world.profile.settle;
        let allowed = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        if effort == Effort::Mend && timeout(bound, processes[0].converge(effort)).await.is_err() {
            world.complain("mending does not end");
        }
        loop {
            for process in &processes {
                if timeout(bound, process.converge(Effort::CatchUp)).await.is_err() {
                    world.complain("catching up does not end");
                }
            }
            let left = verdict::markers(world);
            if left.is_empty() {
                world.note(format!("caught up within {} ms", world.now() - began));
                return;
            }
            if world.now() > began + allowed {
                world.complain(format!("{} markers are left, among them {}", left.len(), left[0]));
                return;
            }
            sleep(URGE).await;
        }
    }

    /// What every process shows must be what the first backend has.
    async fn look_through_the_application(&self) {
        let world = &self.world;
        let private = &world.profile.private;
        let mut there: Vec<Path> = world.backends[0].objects().into_keys().collect();
        there.retain(|key| !key.as_ref().starts_with(private));
        let stores: Vec<_> = self.lives().iter().map(|life| life.running.store()).collect();
        for (process, store) in stores.iter().enumerate() {
            use futures::TryStreamExt;
            let listing = store.list(None).map_ok(|meta| meta.location).try_collect::<Vec<_>>();
            match timeout(world.profile.read_bound * 2, listing).await {
                Ok(Ok(mut keys)) => {
                    keys.sort();
                    if keys != there {
                        world.complain(format!("p{process} lists {keys:?}, there is {there:?}"));
                    }
                }
                Ok(Err(error)) => {
                    world.complain(format!("p{process} cannot list in the end: {error}"));
                }
                Err(_) => world.complain(format!("p{process} lists for ever in the end")),
            }
        }
    }

    fn report(&self) -> Report {
        let world = &self.world;
        let conflicts = verdict::conflicts(world).len();
        let requests = self.links.iter().flatten().map(Faults::requests).sum();
        let mut state = world.state();
        let mut history = std::mem::take(&mut state.history);
        for backend in &world.backends {
            backend.with_log(|log| {
                for change in log {
                    let text = change.now.as_deref().map(String::from_utf8_lossy);
                    let shown: Option<String> = text.map(|text| text.chars().take(12).collect());
                    let (what, key, client) = (change.what, &change.key, change.client);
                    let line = format!("{} {what} {key} by {client:?}: {shown:?}", backend.name());
                    history.events.push((change.at, line));
                }
            });
        }
        let violations = std::mem::take(&mut state.violations);
        Report { plan: world.plan.clone(), violations, history, requests, conflicts }
    }
}
