//! A writer process is killed at random moments and at every step of the engine, against real servers, while
//! either of its backends comes and goes. Whoever comes after it finds everything that was acknowledged, the journal drains, and both
//! sides become equal.
//!
//! `LIFEBOAT_KILLS=n` asks for n random kills in each lane; one is the default.
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::TryStreamExt;
use lifeboat::BlobStore;
use lifeboat_core::{VersionTag, is_reserved};
use lifeboat_failover::{Failover, FailoverError, HealthState, Reason};
use lifeboat_testkit::proxy::{Fault, FaultProxy};
use lifeboat_tests::writer::{
    self, INTENT, KEYS, KILL_AT, PLACES, SEED, WORKERS, content, key, serial_of,
};
use lifeboat_tests::{Kind, Site, TestStore, fresh, show};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Asks for more kills.
const SWITCH: &str = "LIFEBOAT_KILLS";
/// Random kills in a lane.
const KILLS: u64 = 1;
/// The longest that a writer waits for the step at which it dies, before it is killed from outside.
const LONGEST_LIFE: Duration = Duration::from_secs(6);
/// Lives of which one must come to the step at which it is to die; each has choices and an outage of its own.
const LIVES: usize = 6;
/// How often a backend comes or goes.
const FLAP: Duration = Duration::from_millis(150);
/// No put waits for anything but its turn.
const AT_ONCE: Duration = Duration::from_millis(900);
const POLL: Duration = Duration::from_millis(50);
/// Quarantine, the longest write, and what a busy machine adds.
const DRAINS_WITHIN: Duration = Duration::from_secs(30);

/// How a writer ends, by its own hand or from outside.
const SIGKILL: i32 = 9;

/// Serials that a key may show; 0 for none. The last acknowledged one, and all that may have happened since.
type Allowed = BTreeMap<(usize, usize), BTreeSet<u64>>;

/// Lines with their times.
#[derive(Debug, Clone, Default)]
struct Story(Arc<Mutex<Vec<(SystemTime, String)>>>);

impl Story {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push((SystemTime::now(), line));
    }

    /// Where lives begin, and what concerns a key.
    fn about(&self, worker: usize, number: usize) -> String {
        let (said, seen) = (format!(" {worker} {number} "), key(worker, number).to_string());
        let about = |line: &str| {
            !line.contains('/') && !line.starts_with(['b', 'd', 'f'])
                || line.contains(&said)
                || line.starts_with(&seen)
        };
        let lines = self.0.lock().unwrap();
        let lines = lines.iter().filter(|(_, line)| about(line)).map(|(at, line)| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            format!("{:.3} {line}", since.as_secs_f64())
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Two buckets, and who may know what is in them.
struct Lane {
    sides: [TestStore; 2],
    proxies: [FaultProxy; 2],
    sites: [Site; 2],
    intent: bool,
    allowed: Allowed,
    kills: Vec<String>,
    acknowledged: u64,
    diverted: u64,
    differing: usize,
    /// What the writers said, what was found after them, and what the examiners did; for the report of a failure.
    story: Story,
    /// Reads that were refused until catch-up was done.
    refused: usize,
}

impl Lane {
    async fn new(intent: bool) -> Self {
        let sides = [fresh(Kind::SeaweedFs).await, fresh(Kind::Azurite).await];
        for side in &sides {
            warm_up(&*side.store).await;
        }
        let (mut proxies, mut behind) = (Vec::new(), Vec::new());
        for side in &sides {
            let authority = side.site.url.split('/').nth(2).unwrap();
            let proxy = FaultProxy::start(authority.parse().unwrap()).await.unwrap();
            let url = side.site.url.replace(authority, &proxy.address().to_string());
            behind.push(Site { url, ..side.site.clone() });
            proxies.push(proxy);
        }
        let all = (0..WORKERS).flat_map(|worker| (0..KEYS).map(move |number| (worker, number)));
        Self {
            sides,
            proxies: proxies.try_into().unwrap(),
            sites: behind.try_into().unwrap(),
            intent,
            allowed: all.map(|key| (key, BTreeSet::from([0]))).collect(),
            kills: Vec::new(),
            acknowledged: 0,
            diverted: 0,
            differing: 0,
            story: Story::default(),
            refused: 0,
        }
    }

    fn mend_proxies(&self) {
        for proxy in &self.proxies {
            proxy.set(Fault::Pass);
        }
    }

    /// One life of a writer: until the named step, or for a while. Whether it came to the step.
    async fn live(&mut self, seed: u64, step: Option<&str>) -> bool {
        let places: Vec<String> =
            self.sites.iter().map(|site| format!("{} {}", site.url, site.bucket)).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover-writer"));
        command.env(PLACES, places.join(" ")).env(SEED, seed.to_string());
        command.env(KILL_AT, step.unwrap_or_default());
        command.env(INTENT, if self.intent { "yes" } else { "" });
        command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut writer = command.spawn().unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        self.story.add(format!("life {seed}, {step:?}"));
        let mut random = StdRng::seed_from_u64(seed);
        let life = match step {
            Some(_) => LONGEST_LIFE,
            None => Duration::from_millis(random.random_range(300..2_000)),
        };
        let ends = tokio::time::Instant::now() + life;
        let mut flap = tokio::time::interval(FLAP);
        let by_itself = loop {
            tokio::select! {
                said = lines.next_line() => match said.unwrap() {
                    Some(said) => self.note(&said),
                    None => break true,
                },
                _ = flap.tick() => self.flap(&mut random),
                () = tokio::time::sleep_until(ends) => { writer.start_kill().unwrap(); break false }
            }
        };
        let ended = writer.wait().await.unwrap();
        assert_eq!(ended.signal(), Some(SIGKILL), "the writer ended otherwise: {ended}");
        while let Some(said) = lines.next_line().await.unwrap() {
            self.note(&said);
        }
        self.mend_proxies();
        self.kills.push(step.filter(|_| by_itself).unwrap_or("from outside").to_owned());
        by_itself
    }

    /// One backend goes, or both are back; never both at once.
    fn flap(&self, random: &mut StdRng) {
        self.mend_proxies();
        let (side, fault) = match random.random_range(0..10) {
            0..=2 => (0, Fault::Refuse),
            3 => (0, Fault::LoseResponse),
            4 => (1, Fault::Refuse),
            5 => (0, Fault::BlackHole),
            _ => (0, Fault::Pass),
        };
        self.proxies[side].set(fault);
        self.story.add(format!("{fault:?} at {}", self.sides[side].site.kind));
    }

    fn note(&mut self, line: &str) {
        self.story.add(line.to_owned());
        let words: Vec<&str> = line.split(' ').collect();
        let [what, worker, number, serial] = words[..] else { panic!("the writer said {line}") };
        let at = (worker.parse().unwrap(), number.parse().unwrap());
        let serial = serial.parse().unwrap();
        let allowed = self.allowed.get_mut(&at).unwrap();
        match what {
            "begin" => _ = allowed.insert(serial),
            "done" => {
                *allowed = BTreeSet::from([serial]);
                self.acknowledged += 1;
            }
            _ => {}
        }
    }

    /// Whoever comes after it.
    async fn examine(&mut self) {
        self.story.add("the writer is dead".into());
        let story = self.story.clone();
        let tap =
            move |moment, step, key: &Path| story.add(format!("{key} sees {moment:?} {step:?}"));
        let failover = writer::failover(&self.sites, self.intent, tap);
        failover.loaded().await;
        self.remember(&failover).await;
        let early = self.read(&failover, "before catch-up").await;
        self.refused += self.allowed.len() - early.len();
        self.drain(&failover).await;
        self.read(&failover, "after catch-up").await;
        let differing = self.differing().await;
        // A write that was never acknowledged may be on one side only, and without an intent nothing remembers it.
        assert!(!self.intent || differing.is_empty(), "{:?}: {differing:?}", self.kills.last());
        self.differing += differing.len();
        if !differing.is_empty() {
            failover.mend(None).await;
        }
        self.drain(&failover).await;
        let left = self.differing().await;
        assert!(left.is_empty(), "{:?}: still different: {left:?}", self.kills.last());
        let found = self.read(&failover, "after mending").await;
        self.allowed =
            found.into_iter().map(|(at, serial)| (at, BTreeSet::from([serial]))).collect();
        failover.close().await;
    }

    /// Keeps what each side and the journal hold, before anything is changed.
    async fn remember(&self, failover: &Failover) {
        for side in &self.sides {
            for (key, bytes) in contents(&*side.store).await {
                self.story.add(format!("{key} is {:?} at {}", serial_of(&bytes), side.site.kind));
            }
        }
        for marker in failover.journal().await.unwrap_or_default() {
            self.story.add(format!("{} has {marker:?}", marker.key));
        }
    }

    /// All that is known of a key, and what both sides hold now.
    async fn story_of(&self, (worker, number): (usize, usize)) -> String {
        let key = key(worker, number);
        for side in &self.sides {
            let kind = side.site.kind;
            let line = match side.store.get(&key).await {
                Ok(found) => {
                    let (meta, tag) = (found.meta.clone(), VersionTag::of(&found.attributes));
                    let serial = found.bytes().await.map(|bytes| serial_of(&bytes));
                    format!("{key} is now {serial:?} at {kind}: {tag:?}, {meta:?}")
                }
                Err(error) => format!("{key} is now nothing at {kind}: {error}"),
            };
            self.story.add(line);
        }
        self.story.about(worker, number)
    }

    async fn read(&self, failover: &Failover, when: &str) -> BTreeMap<(usize, usize), u64> {
        let mut found = BTreeMap::new();
        for (at, allowed) in &self.allowed {
            let key = key(at.0, at.1);
            let serial = match failover.get(&key).await {
                Ok(object) => {
                    let bytes = object.bytes().await.unwrap();
                    serial_of(&bytes).unwrap_or_else(|| panic!("{key}: no write left this"))
                }
                Err(object_store::Error::NotFound { .. }) => 0,
                // A write with an intent was cut off: until it is over, it may be anywhere.
                Err(error) if when == "before catch-up" && is_stale(&error) => continue,
                Err(error) => panic!("{key} cannot be read {when}: {error}"),
            };
            let kill = self.kills.last();
            if !allowed.contains(&serial) {
                let story = self.story_of(*at).await;
                panic!("{kill:?}, {when}: {key} is {serial}, may be {allowed:?}\n{story}");
            }
            found.insert(*at, serial);
        }
        found
    }

    async fn drain(&mut self, failover: &Failover) {
        let began = Instant::now();
        self.diverted += failover.status().journal.keys;
        loop {
            let status = failover.status();
            let serving =
                status.backends.iter().all(|backend| backend.health == HealthState::Serving);
            if serving
                && status.journal.markers == 0
                && failover.journal().await.is_ok_and(|left| left.is_empty())
            {
                return;
            }
            assert!(
                began.elapsed() < DRAINS_WITHIN,
                "{:?}: the journal does not drain: {status:?}, {:?}",
                self.kills.last(),
                failover.journal().await
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Keys of which the two sides hold different things, seen without the failover.
    async fn differing(&self) -> Vec<Path> {
        let (a, b) = (contents(&*self.sides[0].store).await, contents(&*self.sides[1].store).await);
        let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
        keys.into_iter().filter(|key| a.get(key) != b.get(key)).cloned().collect()
    }
}

fn is_stale(error: &object_store::Error) -> bool {
    FailoverError::find(error).is_some_and(|error| error.reason() == Reason::Stale)
}

/// Writes to a new bucket until it takes writes at once. `SeaweedFS` lets the first ones wait a second and more for
/// its volumes: what a client has given up by then lands all the same, later than any quarantine of this test.
async fn warm_up(store: &dyn BlobStore) {
    let began = Instant::now();
    loop {
        let puts = (0..WORKERS * KEYS).map(|number| async move {
            let (key, put) = (Path::from(format!("warm/{number}")), Instant::now());
            store.put(&key, content(0, 20_000).into()).await.unwrap();
            store.delete(&key).await.unwrap();
            put.elapsed()
        });
        let slowest = futures::future::join_all(puts).await.into_iter().max().unwrap();
        if slowest < AT_ONCE {
            return;
        }
        assert!(began.elapsed() < DRAINS_WITHIN, "a put still takes {slowest:?}");
    }
}

async fn contents(store: &dyn BlobStore) -> BTreeMap<Path, Bytes> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut contents = BTreeMap::new();
    for object in listed.into_iter().filter(|object| !is_reserved(&object.location)) {
        match store.get(&object.location).await {
            Ok(found) => _ = contents.insert(object.location, found.bytes().await.unwrap()),
            // Catch-up has removed it since it was listed.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => panic!("{}: {error}", object.location),
        }
    }
    contents
}

/// A lane that is killed at these steps, and then at random.
async fn lane(name: &str, intent: bool, steps: &[&str]) {
    let random: u64 = std::env::var(SWITCH)
        .map_or(KILLS, |kills| kills.parse().expect("LIFEBOAT_KILLS is a number"));
    let mut lane = Lane::new(intent).await;
    let mut seeds = 1_000 * (name.len() as u64 + u64::from(intent)) + 1..;
    let mut missed: Vec<&str> = Vec::new();
    for step in steps {
        let mut hit = false;
        for seed in seeds.by_ref().take(LIVES) {
            hit = lane.live(seed, Some(step)).await;
            lane.examine().await;
            if hit {
                break;
            }
        }
        missed.extend((!hit).then_some(*step));
    }
    for seed in seeds.take(usize::try_from(random).unwrap_or(usize::MAX)) {
        lane.live(seed, None).await;
        lane.examine().await;
    }
    let mut kills: BTreeMap<&str, usize> = BTreeMap::new();
    for kill in &lane.kills {
        *kills.entry(kill).or_default() += 1;
    }
    show(format_args!(
        "{name}: {} kills {kills:?}, {} writes acknowledged, {} keys in journals, {} unacknowledged writes to mend, {} reads refused before catch-up",
        lane.kills.len(),
        lane.acknowledged,
        lane.diverted,
        lane.differing,
        lane.refused
    ));
    assert!(lane.acknowledged > 0, "the writers wrote nothing");
    assert!(missed.is_empty(), "no writer in {LIVES} came to {missed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_killed_around_the_data() {
    let steps = ["before:data:40", "after:data:41", "before:delete:9", "after:delete:10"];
    lane("data", false, &steps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_killed_around_markers() {
    let steps =
        ["before:marker:5", "after:marker:6", "before:marker-removal:3", "after:marker-removal:4"];
    lane("marker", false, &steps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_killed_in_catch_up_and_completion() {
    let steps = [
        "before:catch-up:2",
        "after:catch-up:2",
        "before:complete:3",
        "after:complete:4",
        "after:part:5",
    ];
    lane("catch-up", false, &steps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_intents_nothing_needs_mending() {
    let steps = ["before:data:20", "after:data:21", "after:marker:30", "after:complete:3"];
    lane("intent", true, &steps).await;
}
