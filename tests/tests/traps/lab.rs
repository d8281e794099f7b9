//! A few backends, and processes with a way of their own to each: the bench on which the traps are set step by step.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_core::Effect;
use lifeboat_failover::{Event, Failover, FailoverError, Observer, Reason, Settings};
use lifeboat_testkit::fault_store::{Failure, FaultStore, Faults, Gate, Operation, Rule, Strike};
use lifeboat_testkit::simulation::{BackendSettings, Conditions, SimBackend, SimClock, SimSpawner};
use lifeboat_tests::simulated;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Where markers are.
pub(crate) const JOURNAL: &str = ".lifeboat/journal/";

/// Where losers of conflicts are.
pub(crate) const CONFLICTS: &str = ".lifeboat/conflicts/";

/// The key that most traps are about.
pub(crate) fn key() -> Path {
    Path::from("data/k")
}

/// The user metadata that holds the stamp.
const STAMP: &str = "metadata:lifeboatstamp";

/// The stamp of what a backend holds under a key.
pub(crate) fn stamp(lab: &Lab, backend: usize, key: &Path) -> String {
    lab.backends[backend].object(key).expect("there is such an object").attributes[STAMP].clone()
}

/// Why the failover could not do it, and whether it may have happened.
pub(crate) fn reason(error: &Error) -> (Reason, Effect) {
    let error = FailoverError::find(error).expect("it says why");
    (error.reason(), error.effect())
}

/// The bench.
pub(crate) struct Lab {
    pub(crate) backends: Vec<SimBackend>,
    pub(crate) settings: Settings,
    /// Whether every backend is declared to hold all that exists.
    pub(crate) seeded: Vec<bool>,
    /// Whether stores send puts once more that had no clear answer.
    pub(crate) repeating: bool,
    began: Instant,
}

/// A process.
pub(crate) struct Process {
    pub(crate) store: Failover,
    /// Its way to each backend.
    pub(crate) ways: Vec<Faults>,
    pub(crate) spawner: SimSpawner,
    told: Arc<Told>,
}

/// What a process says about catch-up that failed, and about older versions that it served.
#[derive(Debug, Default)]
struct Told {
    failures: Mutex<Vec<(Path, String)>>,
    stale_reads: Mutex<Vec<(Path, String)>>,
}

impl Observer for Told {
    fn event(&self, event: &Event) {
        let (list, told) = match event {
            Event::CatchUpFailed { key, why } => (&self.failures, (key, why)),
            Event::StaleRead { key, backend } => (&self.stale_reads, (key, backend)),
            _ => return,
        };
        list.lock().expect("nobody panics here").push((told.0.clone(), told.1.clone()));
    }
}

impl Lab {
    /// Backends that enforce conditions.
    pub(crate) fn new(backends: usize) -> Self {
        Self::with(vec![BackendSettings::default(); backends])
    }

    /// Backends that take no conditions, as some European providers do.
    pub(crate) fn without_conditions(backends: usize) -> Self {
        let mut settings = BackendSettings::default();
        settings.conditions = Conditions::Refused;
        Self::with(vec![settings; backends])
    }

    /// Backends of all kinds.
    pub(crate) fn with(settings: Vec<BackendSettings>) -> Self {
        let numbered = settings.into_iter().enumerate();
        let backends: Vec<_> = numbered
            .map(|(number, settings)| SimBackend::new(format!("b{number}"), settings))
            .collect();
        let seeded = vec![true; backends.len()];
        let (settings, began) = (simulated::fast(), Instant::now());
        Self { backends, settings, seeded, repeating: false, began }
    }

    /// A process with a right clock.
    pub(crate) fn process(&self, number: u64) -> Process {
        self.process_ahead(number, 0)
    }

    /// A process whose clock is so many milliseconds ahead.
    pub(crate) fn process_ahead(&self, number: u64, ahead: i64) -> Process {
        self.process_through(number, ahead, (0..self.backends.len()).map(|_| fresh_way()).collect())
    }

    /// A process that finds the weather as it is given.
    pub(crate) fn process_through(&self, number: u64, ahead: i64, ways: Vec<Faults>) -> Process {
        let spawner = SimSpawner::new(self.began);
        let told = Arc::new(Told::default());
        let clock = SimClock::new(self.began, ahead);
        let mut builder = simulated::process(self.settings.clone(), clock, spawner.clone())
            .observer(Arc::clone(&told) as Arc<dyn Observer>)
            .seed(number);
        for (place, (backend, way)) in self.backends.iter().zip(&ways).enumerate() {
            let store = FaultStore::new(backend.as_seen_by(number), way.clone()).detached();
            let store = simulated::backend(store, backend).repeating(self.repeating);
            builder = if self.seeded[place] {
                builder.seeded_backend(store)
            } else {
                builder.backend(store)
            };
        }
        Process { store: builder.build().unwrap(), ways, spawner, told }
    }

    /// The same bench for somebody who knows of the first few backends only.
    pub(crate) fn of_the_first(&self, backends: usize) -> Self {
        Self {
            backends: self.backends[..backends].to_vec(),
            settings: self.settings.clone(),
            seeded: self.seeded[..backends].to_vec(),
            repeating: self.repeating,
            began: self.began,
        }
    }

    /// What a backend holds under a key.
    pub(crate) fn at(&self, backend: usize, key: &Path) -> Option<String> {
        let stored = self.backends[backend].object(key)?;
        Some(String::from_utf8_lossy(&stored.bytes).into_owned())
    }

    /// The markers on a backend.
    pub(crate) fn markers(&self, backend: usize) -> Vec<Path> {
        self.backends[backend].keys(JOURNAL)
    }

    /// Whether there is no marker anywhere.
    pub(crate) fn journal_is_empty(&self) -> bool {
        (0..self.backends.len()).all(|backend| self.markers(backend).is_empty())
    }

    /// The contents that are kept as losers of conflicts.
    pub(crate) fn kept(&self) -> Vec<String> {
        let objects = self.backends.iter().flat_map(SimBackend::objects);
        let kept = objects.filter(|(key, _)| key.as_ref().starts_with(CONFLICTS));
        kept.map(|(_, stored)| String::from_utf8_lossy(&stored.bytes).into_owned()).collect()
    }

    /// Lets the processes catch up until nothing is left to do, and sees that every backend holds the same.
    pub(crate) async fn expect_everywhere(
        &self,
        processes: &[&Process],
        key: &Path,
        wanted: Option<&str>,
    ) {
        self.drain(processes).await;
        for backend in 0..self.backends.len() {
            assert_eq!(self.at(backend, key).as_deref(), wanted, "backend {backend}");
        }
    }

    /// Lets the processes catch up until the journal is empty.
    pub(crate) async fn drain(&self, processes: &[&Process]) {
        // Twice the quarantine: once for what is ambiguous now, once for what that brings to light.
        let end = Instant::now() + self.settings.quarantine * 2 + Duration::from_secs(30);
        // What compares copies in the background needs its time before there is anything to see.
        tokio::time::sleep(self.settings.settle_after + Duration::from_secs(2)).await;
        loop {
            for process in processes {
                process.store.catch_up().await;
            }
            if self.journal_is_empty() {
                return;
            }
            let left: Vec<_> =
                (0..self.backends.len()).map(|backend| self.markers(backend)).collect();
            assert!(Instant::now() < end, "markers are left: {left:?}");
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
}

impl Process {
    /// Writes, in the background.
    pub(crate) fn put(
        &self,
        key: &Path,
        text: &'static str,
    ) -> JoinHandle<object_store::Result<()>> {
        let (store, key) = (self.store.clone(), key.clone());
        self.run(async move { store.put(&key, text.into()).await.map(drop) })
    }

    /// Writes, and is acknowledged.
    pub(crate) async fn must_put(&self, key: &Path, text: &'static str) {
        self.put(key, text).await.unwrap().unwrap();
    }

    /// Deletes, in the background.
    pub(crate) fn delete(&self, key: &Path) -> JoinHandle<object_store::Result<()>> {
        let (store, key) = (self.store.clone(), key.clone());
        self.run(async move { store.delete(&key).await })
    }

    /// Reads.
    pub(crate) async fn get(&self, key: &Path) -> object_store::Result<String> {
        let bytes = self.store.get(key).await?.bytes().await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Runs something as a part of this process.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.spawner.spawn(Box::pin(async move {
            // Nobody may be waiting.
            let _ = sender.send(work.await);
        }));
        tokio::spawn(async move { receiver.await.expect("the process has crashed") })
    }

    /// The keys that catch-up could not bring up to date so far, each time with the reason.
    pub(crate) fn failures(&self) -> Vec<(Path, String)> {
        self.told.failures.lock().expect("nobody panics here").clone()
    }

    /// The keys of which it served an older version so far, each time with the id of the backend that had it.
    pub(crate) fn stale_reads(&self) -> Vec<(Path, String)> {
        self.told.stale_reads.lock().expect("nobody panics here").clone()
    }

    /// Nobody listens at a backend any more.
    pub(crate) fn refuse(&self, backend: usize) {
        self.ways[backend].set([Rule::new(Strike::Fail(Failure::Refused))]);
    }

    /// Nobody listens at a backend any more, and the process knows it.
    pub(crate) async fn lose(&self, backend: usize) {
        self.refuse(backend);
        while !self.is_avoided(backend) {
            self.must_put(&Path::from("data/other"), "x").await;
        }
    }

    /// Requests to a backend are lost.
    pub(crate) fn swallow(&self, backend: usize) {
        self.ways[backend].set([Rule::new(Strike::Hang)]);
    }

    /// Strikes writes of one key at a backend.
    pub(crate) fn strike(
        &self,
        backend: usize,
        operations: &[Operation],
        key: &Path,
        strike: Strike,
    ) {
        self.ways[backend].add(Rule::new(strike).on(operations).key(key.as_ref()).times(1));
    }

    /// Counts the requests about one key that are sent to a backend from now on, whatever becomes of them.
    pub(crate) fn count(&self, backend: usize, operations: &[Operation], key: &Path) -> Gate {
        let requests = Gate::new();
        requests.open();
        let rule = Rule::new(Strike::Hold(requests.clone())).on(operations);
        self.ways[backend].add(rule.key(key.as_ref()));
        requests
    }

    /// Fine weather at a backend; what is held stays held.
    pub(crate) fn clear(&self, backend: usize) {
        self.ways[backend].clear();
    }

    /// Whether a backend is not asked, but by a probe.
    pub(crate) fn is_avoided(&self, backend: usize) -> bool {
        use lifeboat_failover::HealthState::{Ejected, Probing};
        matches!(self.store.status().backends[backend].health, Ejected | Probing)
    }

    /// The first backend answers reads long after the others, and is avoided for that.
    pub(crate) async fn outrun_the_first(&self, key: &Path) {
        let slow = Strike::Delay(Duration::from_millis(900));
        self.ways[0].set([Rule::new(slow).on(&[Operation::Get])]);
        for _ in 0..20 {
            self.get(key).await.unwrap();
        }
        assert!(self.is_avoided(0), "{:?}", self.store.status().backends[0]);
    }

    /// The weather at a backend is fine, and the process knows it.
    pub(crate) async fn recover(&self, backend: usize) {
        self.clear(backend);
        let health = || self.store.status().backends[backend].clone();
        let end = Instant::now() + Duration::from_mins(2);
        while health().settling || health().health != lifeboat_failover::HealthState::Serving {
            assert!(Instant::now() < end, "backend {backend} does not come back: {:?}", health());
            self.ask().await;
        }
    }

    /// Asks for something, whatever is answered, and rests: somebody has to ask, or nobody probes.
    pub(crate) async fn ask(&self) {
        let _ = self.store.head(&Path::from("nothing")).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Lets everything go on that waits for nothing but its way to a backend and back. Time is paused: it moves on only
/// when nobody has anything left to do.
pub(crate) async fn come_to_rest() {
    tokio::time::sleep(WAY * 10).await;
}

/// The longest way to a backend, or back.
const WAY: Duration = Duration::from_millis(10);

/// A way without faults: 5 to 10 milliseconds there, and back.
pub(crate) fn fresh_way() -> Faults {
    let way = Faults::seeded(1);
    way.latency(WAY / 2..WAY);
    way
}

/// Waits until something has come about.
pub(crate) async fn wait_until(holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < end, "it does not come about");
        sleep(Duration::from_millis(5)).await;
    }
}
