//! What an observer is told, and what the numbers and spans say, while a backend fails, comes back and is brought up to
//! date: each kind of event is provoked in a row of a table, each number of the documented list is looked up after an
//! outage, and each kind of request has a span that names who served it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use lifeboat_core::Fault;
use lifeboat_failover::{Event, Failover, HealthState, Observer, Operation, Settings, StaleReads};
use lifeboat_testkit::fault_store::{
    At, Failure, FaultStore, Faults, Operation as Request, Rule, Strike,
};
use lifeboat_testkit::simulation::{
    BackendSettings, EPOCH_MILLIS, SimBackend, SimClock, SimSpawner,
};
use lifeboat_tests::simulated;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::{Instant, sleep};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The ids of the two backends.
const B0: &str = "sim.b0";
const B1: &str = "sim.b1";
/// Until something that happens in the background must have happened: quarantines and probes are over by then.
const SOON: Duration = Duration::from_mins(5);

/// Milliseconds.
const HOUR: i64 = 3_600_000;
/// What the clock of the simulation shows an hour after its beginning.
const HOUR_AHEAD: u64 = (EPOCH_MILLIS + HOUR).cast_unsigned();

fn key() -> Path {
    Path::from("data/k")
}

/// Everything that an observer was told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Event>>);

impl Observer for Told {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Told {
    fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    fn has(&self, holds: impl Fn(&Event) -> bool) -> bool {
        self.0.lock().unwrap().iter().any(holds)
    }
}

/// Two backends, and a process with a way of its own to each.
struct Bench {
    backends: [SimBackend; 2],
    ways: [Faults; 2],
    store: Failover,
    spawner: SimSpawner,
    told: Arc<Told>,
    settings: Settings,
    began: Instant,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let backends = ["b0", "b1"].map(|name| SimBackend::new(name, BackendSettings::default()));
        Self::over(backends, settings, Instant::now(), (1, 0))
    }

    /// A process whose clock is so many milliseconds ahead.
    fn over(
        backends: [SimBackend; 2],
        settings: Settings,
        began: Instant,
        (process, ahead): (u64, i64),
    ) -> Self {
        let told = Arc::new(Told::default());
        let spawner = SimSpawner::new(began);
        let ways = [(); 2].map(|()| {
            let way = Faults::seeded(1);
            way.latency(Duration::from_millis(5)..Duration::from_millis(10));
            way
        });
        let mut builder =
            simulated::process(settings.clone(), SimClock::new(began, ahead), spawner.clone())
                .observer(Arc::clone(&told) as Arc<dyn Observer>)
                .seed(process);
        for (backend, way) in backends.iter().zip(&ways) {
            let store = FaultStore::new(backend.as_seen_by(process), way.clone()).detached();
            builder = builder.seeded_backend(simulated::backend(store, backend));
        }
        let store = builder.build().unwrap();
        Self { backends, ways, store, spawner, told, settings, began }
    }

    /// Another process over the same backends.
    fn beside(&self, process: u64, ahead: i64) -> Self {
        Self::over(self.backends.clone(), self.settings.clone(), self.began, (process, ahead))
    }

    async fn put(&self, text: &'static str) {
        self.store.put(&key(), text.into()).await.unwrap();
    }

    async fn get(&self) -> String {
        let bytes = self.store.get(&key()).await.unwrap().bytes().await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn list(&self) -> usize {
        self.store.list(None).count().await
    }

    /// Strikes what is asked of the first backend.
    fn strike(&self, strike: Strike, requests: &[Request]) {
        self.ways[0].set([Rule::new(strike).on(requests)]);
    }

    /// Nobody listens at the first backend any more.
    fn refuse(&self) {
        self.strike(Strike::Fail(Failure::Refused), &[]);
    }

    /// Waits until an observer was told.
    async fn until(&self, what: &str, holds: impl Fn(&Event) -> bool) {
        self.wait(what, || self.told.has(&holds)).await;
    }

    async fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let ends = Instant::now() + SOON;
        while !holds() {
            assert!(Instant::now() < ends, "{what}: not told, only {:#?}", self.told.all());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the first backend is ejected: its journal is asked for again and again.
    async fn eject(&self) {
        self.refuse();
        let ejected = || self.store.status().backends[0].health == HealthState::Ejected;
        self.wait("it is ejected", ejected).await;
    }
}

/// Recognises an event.
macro_rules! told {
    ($event:pat $(if $holds:expr)?) => {
        |event| matches!(event, $event $(if $holds)?)
    };
}

type Drive = for<'b> fn(&'b Bench) -> BoxFuture<'b, ()>;
type Holds = fn(&Event) -> bool;

/// What is done after an object was written to both sides, and what must be told of it.
struct Row {
    what: &'static str,
    settings: fn(&mut Settings),
    drive: Drive,
    told: Holds,
}

impl Row {
    const fn new(what: &'static str, drive: Drive, told: Holds) -> Self {
        Self { what, settings: |_| {}, drive, told }
    }

    const fn with(self, settings: fn(&mut Settings)) -> Self {
        Self { settings, ..self }
    }
}

/// A read that meets this at the first backend.
fn read_against(bench: &Bench, strike: Strike) -> BoxFuture<'_, ()> {
    bench.strike(strike, &[Request::Get]);
    async move { assert_eq!(bench.get().await, "v0") }.boxed()
}

/// A write that the first backend misses.
fn write_without_the_first(bench: &Bench) -> BoxFuture<'_, ()> {
    bench.refuse();
    bench.put("v1").boxed()
}

/// The same, and the first backend comes back.
fn write_brought_to_the_first(bench: &Bench) -> BoxFuture<'_, ()> {
    async move {
        bench.refuse();
        bench.put("v1").await;
        bench.ways[0].clear();
    }
    .boxed()
}

/// More writes than checks can wait.
fn write_more_than_can_be_checked(bench: &Bench) -> BoxFuture<'_, ()> {
    let keys = stream::iter(0..=20_000).map(|number| Path::from(format!("many/{number}")));
    let put = move |key| async move { drop(bench.store.put(&key, "x".into()).await.unwrap()) };
    keys.for_each_concurrent(100, put).boxed()
}

/// What is told of requests and faults.
fn rows_of_requests() -> Vec<Row> {
    use Operation::{Get, List, Put};
    vec![
        Row::new(
            "a write that a backend confirmed",
            |bench| bench.put("v1").boxed(),
            told!(Event::Served { operation: Put, backend, ok: true, latency }
                if backend == B1 && !latency.is_zero()),
        ),
        Row::new(
            "a write that a backend failed",
            write_without_the_first,
            told!(Event::Served { operation: Put, backend, ok: false, .. } if backend == B0),
        ),
        Row::new(
            "a read that another backend answered, which took its own time only",
            |bench| read_against(bench, Strike::Hang),
            told!(Event::Served { operation: Get, backend, ok: true, latency }
                if backend == B1 && *latency < Duration::from_millis(100)),
        ),
        Row::new(
            "a listing that a backend failed",
            |bench| {
                bench.refuse();
                bench.list().map(drop).boxed()
            },
            told!(Event::Served { operation: List, backend, ok: false, .. } if backend == B0),
        ),
        Row::new(
            "a listing that a backend served, until its first page",
            |bench| {
                async move {
                    let mut listing = bench.store.list(None);
                    while listing.try_next().await.unwrap().is_some() {
                        sleep(Duration::from_secs(1)).await;
                    }
                }
                .boxed()
            },
            told!(Event::Served { operation: List, backend, ok: true, latency }
                if backend == B0 && !latency.is_zero() && *latency < Duration::from_millis(100)),
        ),
        Row::new(
            "a read that a backend answered",
            |bench| bench.get().map(drop).boxed(),
            told!(Event::Served { operation: Get, backend, ok: true, .. } if backend == B0),
        ),
        Row::new(
            "a fault: down",
            |bench| read_against(bench, Strike::Fail(Failure::Down)),
            told!(Event::Fault { backend, operation: Get, class: Fault::Down } if backend == B0),
        ),
        Row::new(
            "a fault: throttled",
            |bench| read_against(bench, Strike::Fail(Failure::Throttled)),
            told!(Event::Fault { backend, operation: Get, class: Fault::Throttled }
                if backend == B0),
        ),
        Row::new(
            "a fault: no identity",
            |bench| read_against(bench, Strike::Fail(Failure::IdentityLost)),
            told!(Event::Fault { backend, operation: Get, class: Fault::IdentityLost }
                if backend == B0),
        ),
        Row::new(
            "a fault: slow",
            |bench| {
                bench.strike(Strike::Hang, Request::PUTS);
                bench.put("v1").boxed()
            },
            told!(Event::Fault { backend, operation: Put, class: Fault::Slow } if backend == B0),
        ),
        Row::new(
            "a read that went on elsewhere",
            |bench| read_against(bench, Strike::Fail(Failure::Down)),
            told!(Event::FailedOver { operation: Get, from, to } if from == B0 && to == B1),
        ),
        Row::new(
            "a hedge",
            |bench| read_against(bench, Strike::Delay(Duration::from_secs(1))),
            told!(Event::HedgeFired { operation: Get, slow, to } if slow == B0 && to == B1),
        ),
        Row::new(
            "a hedge that won",
            |bench| read_against(bench, Strike::Delay(Duration::from_secs(1))),
            told!(Event::HedgeWon { operation: Get, slow, winner } if slow == B0 && winner == B1),
        ),
        Row::new(
            "a body that went on elsewhere",
            |bench| read_against(bench, Strike::Break(At::Offset(1), Failure::Reset)),
            told!(Event::BodyContinued { key, from, to, offset: 1 }
                if *key == self::key() && from == B0 && to == B1),
        ),
    ]
}

/// What is told of a write that somebody missed.
fn rows_of_a_missed_write() -> Vec<Row> {
    use Operation::Put;
    vec![
        Row::new(
            "a marker",
            write_without_the_first,
            told!(Event::MarkerWritten { target, home, key }
                if target == B0 && home == B1 && *key == self::key()),
        ),
        Row::new(
            "a write that was acknowledged without the first backend",
            write_without_the_first,
            told!(Event::FailedOver { operation: Put, from, to } if from == B0 && to == B1),
        ),
        Row::new(
            "how far catch-up is",
            write_brought_to_the_first,
            told!(Event::CatchUpProgress { keys, bytes, left: 0 | 1 } if *keys > 0 && *bytes > 0),
        ),
    ]
}

/// What is told of catch-up, and of other processes.
fn rows_of_catch_up() -> Vec<Row> {
    vec![
        Row::new(
            "checks that did not fit",
            write_more_than_can_be_checked,
            told!(Event::SettleChecksDropped { dropped: 1 }),
        )
        .with(|settings| settings.settle_after = Duration::from_hours(1)),
        Row::new(
            "a key brought up to date",
            write_brought_to_the_first,
            told!(Event::CaughtUp { backend, key, bytes: 2 }
                if backend == B0 && *key == self::key()),
        ),
        Row::new(
            "a marker that is gone",
            write_brought_to_the_first,
            told!(Event::MarkerRemoved { target, key } if target == B0 && *key == self::key()),
        ),
        Row::new(
            "a key that cannot be brought up to date",
            |bench| {
                async move {
                    bench.refuse();
                    bench.put("v1").await;
                    bench.strike(Strike::Fail(Failure::Denied), Request::PUTS);
                }
                .boxed()
            },
            told!(Event::CatchUpFailed { key, why } if *key == self::key() && !why.is_empty()),
        ),
        Row::new(
            "a conflict",
            |bench| {
                async move {
                    bench.refuse();
                    bench.put("ours").await;
                    bench.backends[0].write_directly(&key(), "someone else's");
                    bench.ways[0].clear();
                }
                .boxed()
            },
            told!(Event::Conflict { key, kept_at }
                if *key == self::key() && kept_at.as_ref().starts_with(".lifeboat/conflicts/")),
        ),
        Row::new(
            "an older version that was served",
            |bench| {
                async move {
                    bench.refuse();
                    bench.put("v1").await;
                    bench.ways[0].clear();
                    bench.strike(Strike::Fail(Failure::Down), Request::PUTS);
                    bench.ways[1].set([Rule::new(Strike::Fail(Failure::Refused))]);
                    assert_eq!(bench.get().await, "v0");
                }
                .boxed()
            },
            told!(Event::StaleRead { key, backend } if *key == self::key() && backend == B0),
        )
        .with(|settings| settings.stale_reads = StaleReads::Serve),
        Row::new(
            "a stamp of a clock that is ahead",
            |bench| {
                async move {
                    bench.beside(2, HOUR).put("of the fast clock").await;
                    assert_eq!(bench.get().await, "of the fast clock");
                }
                .boxed()
            },
            told!(Event::ClockAhead { key, stamp }
                if *key == self::key() && stamp.unix_millis() >= HOUR_AHEAD),
        ),
        Row::new(
            "a writer that was killed",
            |bench| {
                async move {
                    let killed = bench.beside(2, 0);
                    killed.put("v1").await;
                    killed.spawner.crash();
                }
                .boxed()
            },
            told!(Event::UncleanEnd(end) if !end.writer.is_empty() && end.since_unix_ms > 0),
        )
        .with(|settings| settings.presence_beat = Duration::from_secs(2)),
    ]
}

#[tokio::test(start_paused = true)]
async fn observer_is_told_of_each_kind_of_event() {
    let rows = rows_of_requests().into_iter().chain(rows_of_a_missed_write());
    let rows = rows.chain(rows_of_catch_up());
    for Row { what, settings: change, drive, told } in rows {
        let mut settings = simulated::fast();
        change(&mut settings);
        let bench = Bench::new(settings);
        bench.put("v0").await;
        sleep(Duration::from_secs(10)).await;
        bench.told.0.lock().unwrap().clear();
        drive(&bench).await;
        bench.until(what, told).await;
    }
}

#[tokio::test(start_paused = true)]
async fn observer_is_told_every_change_of_health_in_its_order() {
    use HealthState::{Ejected, Probing, Serving, Suspect};
    let bench = Bench::new(simulated::fast());
    bench.put("v0").await;
    bench.eject().await;
    let failed: Holds =
        told!(Event::Health { from: Probing, to: Ejected, why, .. } if !why.is_empty());
    bench.until("a probe that failed", failed).await;
    bench.ways[0].clear();
    bench.wait("it serves", || bench.store.status().backends[0].health == Serving).await;
    let mut changes = Vec::new();
    for event in bench.told.all() {
        if let Event::Health { backend, from, to, .. } = event {
            assert_eq!(backend, B0, "the other one is well");
            changes.push((from, to));
        }
    }
    // Probes fail more than once, always in the same way.
    let again = [(Ejected, Probing), (Probing, Ejected)];
    while changes.get(2..6).is_some_and(|four| four == [again, again].as_flattened()) {
        changes.drain(2..4);
    }
    let whole = [
        (Serving, Suspect),
        (Suspect, Ejected),
        (Ejected, Probing),
        (Probing, Ejected),
        (Ejected, Probing),
        (Probing, Suspect),
        (Suspect, Serving),
    ];
    assert_eq!(changes, whole);
}

#[tokio::test(start_paused = true)]
async fn observer_is_told_what_was_found_in_the_journals() {
    let before = Bench::new(simulated::fast());
    before.put("v0").await;
    before.refuse();
    before.put("v1").await;
    before.spawner.crash();
    let bench = before.beside(2, 0);
    bench.store.start();
    bench.store.loaded().await;
    for (whose, there) in [(B0, 0), (B1, 1)] {
        let read = |event: &Event| match event {
            Event::JournalRead { backend, markers } => backend == whose && *markers == there,
            _ => false,
        };
        bench.until("a journal that was read", read).await;
    }
    sleep(SOON).await;
    let read = |event: &&Event| matches!(event, Event::JournalRead { .. });
    assert_eq!(bench.told.all().iter().filter(read).count(), 2, "each once");
}

/// The numbers by name and labels, as they are now.
struct Numbers(Vec<(String, DebugValue)>);

impl Numbers {
    fn now(from: &Snapshotter) -> Self {
        let told = from.snapshot().into_vec().into_iter().map(|(key, _, _, value)| {
            let key = key.key();
            let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
            (format!("{}{}", key.name(), labels.collect::<String>()), value)
        });
        Self(told.collect())
    }

    fn of(&self, name: &str) -> &DebugValue {
        let found = self.0.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("{name} is not among {:#?}", self.names())).1
    }

    fn counter(&self, name: &str) -> u64 {
        match self.of(name) {
            DebugValue::Counter(count) => *count,
            other => panic!("{name} is no counter: {other:?}"),
        }
    }

    fn gauge(&self, name: &str) -> f64 {
        match self.of(name) {
            DebugValue::Gauge(value) => value.into_inner(),
            other => panic!("{name} is no gauge: {other:?}"),
        }
    }

    fn samples(&self, name: &str) -> Vec<f64> {
        match self.of(name) {
            DebugValue::Histogram(samples) => samples.iter().map(|s| s.into_inner()).collect(),
            other => panic!("{name} is no histogram: {other:?}"),
        }
    }

    /// Without labels.
    fn names(&self) -> BTreeSet<&str> {
        self.0.iter().filter_map(|(name, _)| name.split(' ').next()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_tell_of_an_outage_and_of_its_end() {
    let recorder = DebuggingRecorder::new();
    let numbers = recorder.snapshotter();
    let bench = metrics::with_local_recorder(&recorder, || Bench::new(simulated::fast()));
    bench.put("v0").await;
    // Its copies are compared before anything breaks.
    sleep(Duration::from_secs(10)).await;
    // Late at first, then gone.
    bench.strike(Strike::Delay(Duration::from_secs(1)), &[Request::Get]);
    bench.get().await;
    bench.eject().await;
    let began = Instant::now();
    bench.put("ours").await;
    bench.backends[0].write_directly(&key(), "someone else's");
    sleep(Duration::from_secs(30)).await;
    let since = began.elapsed().as_secs_f64();
    let amid = Numbers::now(&numbers);
    assert!(amid.gauge("lifeboat_health backend=sim.b0") >= 2.0, "ejected, or being probed");
    assert!(amid.gauge("lifeboat_health backend=sim.b1").abs() < f64::EPSILON);
    assert!(amid.gauge("lifeboat_journal_markers") >= 1.0);
    let oldest = amid.gauge("lifeboat_journal_oldest_seconds");
    assert!((since - 3.0..=since).contains(&oldest), "{oldest} of {since}");
    for (name, behind) in [("keys", 1.0), ("bytes", 4.0)] {
        let name = format!("lifeboat_behind_{name} backend=sim.b0");
        assert!((amid.gauge(&name) - behind).abs() < f64::EPSILON, "{name}");
    }
    let counted = |name: &str, expected: u64| assert_eq!(amid.counter(name), expected, "{name}");
    counted("lifeboat_hedges_total outcome=fired", 1);
    counted("lifeboat_hedges_total outcome=won", 1);
    counted("lifeboat_requests_total backend=sim.b0 operation=put outcome=ok", 1);
    counted("lifeboat_requests_total backend=sim.b1 operation=put outcome=ok", 2);
    let took = amid.samples("lifeboat_request_seconds backend=sim.b1 operation=put");
    assert!(took.len() == 2 && took.iter().all(|took| (0.01..0.1).contains(took)), "{took:?}");

    // Looking has set all numbers to zero: those that show a state are set again while it lasts.
    sleep(Duration::from_secs(5)).await;
    bench.ways[0].clear();
    let settled = || {
        let status = bench.store.status();
        status.journal.markers == 0 && status.backends[0].health == HealthState::Serving
    };
    bench.wait("the outage is over", settled).await;
    sleep(Duration::from_secs(10)).await;
    let after = Numbers::now(&numbers);
    for gauge in [
        "lifeboat_behind_bytes backend=sim.b0",
        "lifeboat_behind_keys backend=sim.b0",
        "lifeboat_health backend=sim.b0",
        "lifeboat_journal_markers",
        "lifeboat_journal_oldest_seconds",
    ] {
        assert!(after.gauge(gauge).abs() < f64::EPSILON, "{gauge} is {}", after.gauge(gauge));
    }
    assert_eq!(after.counter("lifeboat_conflicts_total"), 1);
    assert_eq!(after.counter("lifeboat_catch_up_keys_total backend=sim.b0"), 1);
    assert_eq!(after.counter("lifeboat_catch_up_bytes_total backend=sim.b0"), 4);
    let documented = [
        "lifeboat_behind_bytes",
        "lifeboat_behind_keys",
        "lifeboat_catch_up_bytes_total",
        "lifeboat_catch_up_keys_total",
        "lifeboat_conflicts_total",
        "lifeboat_health",
        "lifeboat_hedges_total",
        "lifeboat_journal_markers",
        "lifeboat_journal_oldest_seconds",
        "lifeboat_request_seconds",
        "lifeboat_requests_total",
    ];
    assert_eq!(after.names(), BTreeSet::from(documented), "the list in the documentation");
}

/// The fields of a span.
#[derive(Debug, Clone, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// The spans of the engine that have ended.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<Fields>>>);

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let about = attributes.metadata();
        if about.target() == "lifeboat_failover" && *about.level() == Level::DEBUG {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            context.span(id).unwrap().extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(fields) = context.span(id).unwrap().extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(fields) = context.span(&id).unwrap().extensions_mut().remove::<Fields>() {
            self.0.lock().unwrap().push(fields);
        }
    }
}

impl Spans {
    /// Operation, key and backend of each request that somebody served, in the order in which they ended.
    fn served(&self) -> Vec<[String; 3]> {
        let spans = self.0.lock().unwrap();
        let of = |Fields(fields): &Fields| {
            fields.get("backend")?;
            Some(["operation", "key", "backend"].map(|name| fields[name].clone()))
        };
        spans.iter().filter_map(of).collect()
    }
}

/// One request of each kind.
async fn one_of_each(store: &Failover) {
    let (folder, copy, parts) = (Path::from("data"), Path::from("data/copy"), Path::from("data/p"));
    store.put(&key(), "v1".into()).await.unwrap();
    store.get(&key()).await.unwrap().bytes().await.unwrap();
    store.head(&key()).await.unwrap();
    store.list(Some(&folder)).try_collect::<Vec<_>>().await.unwrap();
    store.list_with_delimiter(Some(&folder)).await.unwrap();
    store.copy(&key(), &copy).await.unwrap();
    store.delete(&copy).await.unwrap();
    let mut upload = store.put_multipart(&parts).await.unwrap();
    upload.put_part("part".into()).await.unwrap();
    upload.complete().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn span_of_each_request_names_operation_key_and_who_served_it() {
    // As long as there is one subscriber alone, whichever thread comes to a span first decides for all whether it is
    // wanted, and the tests beside this one want none.
    let _another = tracing::Dispatch::new(NoSubscriber::new());
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut settings = simulated::fast();
    // However often it fails, each request finds out by itself.
    settings.health.consecutive_faults = u32::MAX;
    settings.health.window_minimum = u32::MAX;
    for (refused, server) in [(false, B0), (true, B1)] {
        let bench = Bench::new(settings.clone());
        bench.put("v0").await;
        if refused {
            bench.refuse();
        }
        spans.0.lock().unwrap().clear();
        one_of_each(&bench.store).await;
        let expected = [
            ("put", "data/k"),
            ("get", "data/k"),
            ("head", "data/k"),
            ("list", "data"),
            ("list", "data"),
            ("copy", "data/copy"),
            ("delete", "data/copy"),
            ("multipart", "data/p"),
        ];
        let expected = expected.map(|(operation, key)| [operation, key, server].map(str::to_owned));
        assert_eq!(spans.served(), expected, "{server} serves");
    }
}
