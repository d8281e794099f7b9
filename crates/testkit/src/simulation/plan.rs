//! What a seed stands for: how many processes and backends, what goes wrong and when.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use object_store::path::Path;

use super::backend::{BackendSettings, Conditions};
use super::content::EARLIER;
use super::history::Value;
use super::order::Order;
use crate::fault_store::{At, Failure, Operation, Rule, Strike};
use crate::random::Random;

/// What an application promises, as far as the checks need it, and what is simulated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// Fewest and most backends.
    pub backends: (usize, usize),
    /// Most processes.
    pub processes: usize,
    /// Operations of each client.
    pub operations: u32,
    /// How long a write that was given up may still land at a backend.
    pub late: Duration,
    /// No read takes longer.
    pub read_bound: Duration,
    /// No listing of one level takes longer, however many pages it has.
    pub level_bound: Duration,
    /// No body takes longer besides, when it breaks and is taken up again.
    pub silence: Duration,
    /// No write takes longer.
    pub write_bound: Duration,
    /// After the last fault, how long the application may take until it uses a backend again.
    pub grace: Duration,
    /// After the last fault, how long the application may take to bring its backends to one state.
    pub settle: Duration,
    /// For how long after an operation the application may still be about to compare the copies of its key.
    pub comparing: Duration,
    /// Where the application keeps what is its own; hidden from its listings.
    pub private: String,
    /// Where it keeps what it still has to do. Empty in the end.
    pub journal: String,
    /// Where it keeps versions that lost a conflict.
    pub conflicts: String,
    /// How the names of its own user metadata begin.
    pub private_metadata: String,
    /// Whether conditional operations are part of the workload.
    pub conditions: bool,
    /// Most times of bad weather. Zero: nothing ever goes wrong, whatever the others say.
    pub episodes: usize,
    /// How many of a thousand processes crash.
    pub crashes: u32,
    /// In how many of a thousand seeds a provider loses what was written last.
    pub losses: u32,
    /// In how many of a thousand seeds someone writes behind the application's back.
    pub foreign: u32,
    /// Whether an acknowledged write must be kept that lost against one which did not follow it, where it was not simply
    /// overwritten by a request that was under way. Off: what a store of plain objects can do here is an open question.
    pub losers: bool,
    /// In how many of a thousand seeds the processes are set up in another way than usual.
    pub variants: u32,
    /// In how many of a thousand seeds one of the first two backends has just joined, and the others already hold objects:
    /// without stamps, as the application wrote them before it had more than one backend.
    pub joins: u32,
    /// In how many of a thousand seeds some keys have names that are long, or have characters that are escaped now and then.
    pub names: u32,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            backends: (2, 3),
            processes: 3,
            operations: 40,
            late: Duration::from_secs(40),
            read_bound: Duration::from_secs(20),
            level_bound: Duration::from_mins(2),
            silence: Duration::ZERO,
            write_bound: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            settle: Duration::from_mins(5),
            comparing: Duration::from_secs(10),
            private: ".lifeboat/".to_owned(),
            journal: ".lifeboat/journal/".to_owned(),
            conflicts: ".lifeboat/conflicts/".to_owned(),
            private_metadata: "lifeboat".to_owned(),
            conditions: true,
            episodes: 5,
            crashes: 350,
            losses: 80,
            foreign: 100,
            losers: false,
            variants: 400,
            joins: 150,
            names: 400,
        }
    }
}

/// How the processes of a seed are set up. An application has settings of its own for this; here stands what may be asked
/// of it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variant {
    /// So many backends must have a write before it is acknowledged.
    pub copies: usize,
    /// A write waits for no other backend once it has enough copies.
    pub asynchronous: bool,
    /// What a write is about to do is remembered before it does it.
    pub intent: bool,
    /// A read finds an older version rather than fail where only a backend that is away has the newest.
    pub stale: bool,
}

impl Default for Variant {
    fn default() -> Self {
        Self { copies: 1, asynchronous: false, intent: false, stale: false }
    }
}

impl Variant {
    /// Draws one that differs from the usual one, sometimes in two ways.
    fn draw(random: &mut Random, backends: usize) -> Self {
        let mut variant = Self::default();
        for _ in 0..=u32::from(random.permille(250)) {
            match random.index(4) {
                0 => variant.asynchronous = true,
                1 if backends > 1 => variant.copies = 2,
                2 => variant.stale = true,
                _ => variant.intent = true,
            }
        }
        variant
    }
}

/// What is wrong with the way to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// Nobody listens.
    Refused,
    /// Requests are lost.
    BlackHole,
    /// Requests arrive and have their effect; answers are lost.
    AnswersLost,
    /// Everything takes so many times longer.
    Slow(u32),
    /// So many requests of a thousand fail in this way, without effect.
    Errors(Failure, u32),
    /// So many of a thousand answers are replaced by a broken connection.
    Ambiguous(u32),
    /// So many of a thousand writes fail and land later.
    Late(u32),
    /// So many of a thousand reads break in their body.
    Broken(u32),
    /// So many of a thousand reads stall in their body.
    Stalling(u32),
    /// So many of a thousand creates are answered with a conflict that is none: a race in flight.
    Races(u32),
}

impl Condition {
    /// The rules for a link.
    pub(super) fn rules(&self, late: Duration) -> Vec<Rule> {
        let often = |strike, permille| Rule::new(strike).permille(permille);
        match *self {
            Self::Slow(_) => Vec::new(),
            Self::Refused => vec![Rule::new(Strike::Fail(Failure::Refused))],
            Self::BlackHole => vec![Rule::new(Strike::Hang)],
            Self::AnswersLost => vec![Rule::new(Strike::HangAfter)],
            Self::Errors(failure, permille) => vec![often(Strike::Fail(failure), permille)],
            Self::Ambiguous(permille) => vec![often(Strike::FailAfter(Failure::Reset), permille)],
            Self::Late(permille) => {
                let strike = Strike::FailLate(Failure::Reset, late);
                vec![often(strike, permille).on(Operation::WRITES)]
            }
            Self::Broken(permille) => {
                let strike = Strike::Break(At::Anywhere, Failure::Reset);
                vec![often(strike, permille).on(Operation::READS)]
            }
            Self::Stalling(permille) => {
                vec![often(Strike::Stall(At::Anywhere), permille).on(Operation::READS)]
            }
            Self::Races(permille) => {
                let strike = Strike::Fail(Failure::AlreadyExists);
                vec![often(strike, permille).on(&[Operation::Create])]
            }
        }
    }

    /// Draws one.
    fn draw(random: &mut Random) -> Self {
        match random.in_range(0..16) {
            0 | 1 => Self::Refused,
            2..=4 => Self::BlackHole,
            5 | 6 => Self::AnswersLost,
            7 => Self::Slow(100),
            8 | 9 => {
                let failure = *random.pick(&Failure::FAULTS).unwrap_or(&Failure::Down);
                let permille = if random.permille(500) { 1000 } else { 300 };
                Self::Errors(failure, permille)
            }
            10 | 11 => Self::Ambiguous(400),
            12 | 13 => Self::Late(500),
            14 => {
                if random.permille(500) {
                    Self::Broken(400)
                } else {
                    Self::Stalling(200)
                }
            }
            _ => Self::Races(400),
        }
    }
}

/// A time of bad weather.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Episode {
    /// At which backend.
    pub backend: usize,
    /// For which process; all, if none.
    pub process: Option<usize>,
    /// From when, in milliseconds.
    pub from: u64,
    /// Until when.
    pub until: u64,
    /// What it is like.
    pub condition: Condition,
}

/// A crash and what comes after it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Crash {
    /// Of which process.
    pub process: usize,
    /// When it is armed, in milliseconds.
    pub at: u64,
    /// After how many more requests and answers it happens.
    pub messages: u64,
    /// How long the process is down.
    pub down: u64,
}

/// Someone writes to a backend without the application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Foreign {
    /// To which backend.
    pub backend: usize,
    /// When.
    pub at: u64,
    /// To which of the shared keys.
    pub key: usize,
}

/// What a seed stands for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The backends, in order of preference.
    pub backends: Vec<BackendSettings>,
    /// How far the clock of each process is ahead, in milliseconds; its length is the number of processes.
    pub clocks: Vec<i64>,
    /// Clients in each process.
    pub clients: usize,
    /// Keys that a client has to itself.
    pub own_keys: usize,
    /// Keys that all clients share.
    pub shared_keys: usize,
    /// What keys are called within their folders; the first have these names, as many as there are.
    pub names: Vec<String>,
    /// Pauses between a client's operations: up to so many milliseconds.
    pub pause: u64,
    /// Bad weather.
    pub episodes: Vec<Episode>,
    /// Crashes, at most one a process.
    pub crashes: Vec<Crash>,
    /// Writes behind the application's back.
    pub foreign: Vec<Foreign>,
    /// A backend that loses what it was told from the first moment on, at the second.
    pub loss: Option<(usize, u64, u64)>,
    /// How the processes are set up.
    pub variant: Variant,
    /// A backend that has just joined: the others hold objects that it lacks.
    pub joins: Option<usize>,
}

/// Bad weather begins in this time, in milliseconds.
const BEGINS: std::ops::Range<u64> = 1_000..60_000;

/// Names that sort differently by bytes and by folders.
const NAMES: [&str; 5] = ["k", "k/x", "k-1", "m", "k/x-y/z"];

/// Of this a long name is made.
const LONG: &str = "鍵";

/// So often: 720 bytes when each byte is escaped, more than fits into the name of anything that names the key, and 240 as
/// they are.
const LENGTH: usize = 80;

/// Tells the sequence that chooses what is there before anything begins.
const BEFORE: u64 = 0x00BE_F03E;

/// Tells the sequence that set-ups are drawn from apart from the one of the weather.
const SETUP: u64 = 0x005E_7009;

/// Bad weather lasts so long.
const LASTS: std::ops::Range<u64> = 200..40_000;

impl Plan {
    /// Draws a plan.
    pub fn draw(seed: u64, profile: &Profile) -> Self {
        let mut random = Random::new(seed);
        let (fewest, most) = profile.backends;
        let backends = fewest + random.index(most - fewest + 1);
        let processes = 1 + random.index(profile.processes);
        let mut plan = Self {
            seed,
            backends: (0..backends).map(|_| draw_backend(&mut random)).collect(),
            clocks: draw_clocks(&mut random, processes),
            clients: 1 + random.index(3),
            own_keys: 2 + random.index(3),
            shared_keys: 1 + random.index(3),
            names: NAMES.map(str::to_owned).into(),
            pause: [20, 300, 3_000][random.index(3)],
            episodes: Vec::new(),
            crashes: Vec::new(),
            foreign: Vec::new(),
            loss: None,
            variant: Variant::default(),
            joins: None,
        };
        plan.draw_setup(profile);
        if profile.episodes > 0 && !random.permille(50) {
            plan.draw_faults(&mut random, profile);
        }
        plan
    }

    /// Draws what is not weather, from a sequence of its own: the weather of a seed stays what it was.
    fn draw_setup(&mut self, profile: &Profile) {
        let mut random = Random::new(self.seed ^ SETUP);
        let (mut variant, other) = (random.fork(), random.permille(profile.variants));
        let (mut names, strange) = (random.fork(), random.permille(profile.names));
        if strange {
            self.rename_keys(&mut names);
        }
        let (mut which, joins) = (random.fork(), random.permille(profile.joins));
        if joins && self.backends.len() > 1 {
            self.joins = Some(which.index(2));
        }
        if other {
            self.variant = Variant::draw(&mut variant, self.backends.len());
        }
    }

    /// Gives some neighbours among the keys other names: some of these are taken for one another where someone escapes what
    /// another does not.
    fn rename_keys(&mut self, random: &mut Random) {
        let long = LONG.repeat(LENGTH);
        let strange = ["k~1".to_owned(), "k%7E1".to_owned(), long, "k~/x".to_owned()];
        let (first, place) = (random.index(strange.len()), random.index(2));
        for number in 0..=random.index(3) {
            self.names[place + number].clone_from(&strange[(first + number) % strange.len()]);
        }
    }

    /// The keys that exist before anything begins, and their values.
    pub(super) fn before(&self) -> BTreeMap<Path, Value> {
        if self.joins.is_none() {
            return BTreeMap::new();
        }
        let mut random = Random::new(self.seed ^ BEFORE);
        let own = (0..self.clocks.len()).flat_map(|process| {
            let clients = 0..self.clients;
            clients
                .flat_map(move |client| (0..self.own_keys).map(move |key| (process, client, key)))
        });
        let own = own.map(|(process, client, key)| self.own_key(process, client, key));
        let shared = (0..self.shared_keys).map(|number| self.shared_key(number));
        let there = own.chain(shared).filter(|_| random.permille(600));
        there.zip(EARLIER..).collect()
    }

    /// A key that a client has to itself.
    pub(super) fn own_key(&self, process: usize, client: usize, number: usize) -> Path {
        self.key(&format!("own/p{process}c{client}"), number)
    }

    /// A key that everyone writes.
    pub(super) fn shared_key(&self, number: usize) -> Path {
        self.key("shared", number)
    }

    /// As keys come from elsewhere: nothing is escaped.
    fn key(&self, folder: &str, number: usize) -> Path {
        let name = &self.names[number % self.names.len()];
        Path::parse(format!("{folder}/{name}")).expect("no name has an empty part")
    }

    fn draw_faults(&mut self, random: &mut Random, profile: &Profile) {
        for _ in 0..=random.index(profile.episodes) {
            self.draw_episode(random);
        }
        for process in 0..self.clocks.len() {
            if random.permille(profile.crashes) {
                let at = random.in_range(500..50_000);
                let (messages, down) = (random.in_range(1..40), random.in_range(100..15_000));
                self.crashes.push(Crash { process, at, messages, down });
            }
        }
        if random.permille(profile.foreign) {
            // Nothing lands late here, so that it is known what overwrote the foreign version.
            self.episodes.retain(|episode| !matches!(episode.condition, Condition::Late(_)));
            // Without a stamp there is nothing but the time to tell old from new.
            self.clocks.iter_mut().for_each(|ahead| *ahead %= 1_000);
            for _ in 0..=random.index(3) {
                let (backend, key) =
                    (random.index(self.backends.len()), random.index(self.shared_keys));
                self.foreign.push(Foreign { backend, at: random.in_range(3_000..60_000), key });
            }
        } else if random.permille(profile.losses) {
            let at = random.in_range(10_000..60_000);
            let since = at - random.in_range(100..10_000);
            self.loss = Some((random.index(self.backends.len()), since, at));
        }
    }

    fn draw_episode(&mut self, random: &mut Random) {
        // The first backend is the interesting one.
        let backend = if random.permille(500) { 0 } else { random.index(self.backends.len()) };
        let process = random.permille(250).then(|| random.index(self.clocks.len()));
        let condition = Condition::draw(random);
        let from = random.in_range(BEGINS);
        let mut until = from + random.in_range(LASTS);
        // Some come again and again.
        let times = if random.permille(100) { 3 } else { 1 };
        if times > 1 {
            until = from + (until - from) / 3;
        }
        for round in 0..times {
            let shift = round * (until - from + random.in_range(100..20_000));
            let (from, until) = (from + shift, until + shift);
            let condition = condition.clone();
            self.episodes.push(Episode { backend, process, from, until, condition });
        }
    }

    /// When the last fault is over.
    pub fn calm(&self) -> u64 {
        let episodes = self.episodes.iter().map(|episode| episode.until);
        let crashes = self.crashes.iter().map(|crash| crash.at);
        let foreign = self.foreign.iter().map(|foreign| foreign.at);
        let loss = self.loss.map(|(_, _, at)| at);
        episodes.chain(crashes).chain(foreign).chain(loss).max().unwrap_or_default()
    }

    /// How many times slower than usual the way to a backend ever is.
    pub(super) fn slowest(&self, backend: usize) -> u32 {
        let episodes = self.episodes.iter().filter(|episode| episode.backend == backend);
        let slow = episodes.filter_map(|episode| match episode.condition {
            Condition::Slow(times) => Some(times),
            _ => None,
        });
        slow.chain([self.backends[backend].slower]).max().unwrap_or(1)
    }

    /// Whether nothing was wrong between a process and a backend in this time.
    pub fn was_fine(&self, process: Option<usize>, backend: usize, from: u64, until: u64) -> bool {
        !self.episodes.iter().any(|episode| {
            let concerns = match (episode.process, process) {
                (Some(one), Some(other)) => one == other,
                _ => true,
            };
            episode.backend == backend && concerns && episode.from <= until && episode.until >= from
        })
    }

    /// How far the clock that is furthest ahead is ahead of a process' own, in milliseconds.
    pub fn lag(&self, process: usize) -> u64 {
        let most = self.clocks.iter().max().copied().unwrap_or_default();
        u64::try_from(most - self.clocks[process]).unwrap_or_default()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} clients each in {} processes, {} own keys each, {} shared keys, pauses up to {} ms",
            self.seed,
            self.clients,
            self.clocks.len(),
            self.own_keys,
            self.shared_keys,
            self.pause
        )?;
        writeln!(f, "clocks ahead by {:?} ms", self.clocks)?;
        writeln!(f, "{:?}, keys {:?}", self.variant, self.names)?;
        if let Some(backend) = self.joins {
            writeln!(f, "backend {backend} joins, the others hold {:?}", self.before())?;
        }
        for (number, backend) in self.backends.iter().enumerate() {
            writeln!(f, "backend {number}: {backend:?}")?;
        }
        for Episode { backend, process, from, until, condition } in &self.episodes {
            let whom = process.map_or("all".to_owned(), |process| format!("p{process}"));
            writeln!(f, "{from}..{until}: {condition:?} between {whom} and backend {backend}")?;
        }
        for crash in &self.crashes {
            writeln!(f, "{crash:?}")?;
        }
        for foreign in &self.foreign {
            writeln!(f, "{foreign:?}")?;
        }
        match self.loss {
            Some((backend, since, at)) => {
                writeln!(f, "backend {backend} loses at {at} what it was told since {since}")
            }
            None => Ok(()),
        }
    }
}

fn draw_backend(random: &mut Random) -> BackendSettings {
    BackendSettings {
        conditions: match random.in_range(0..4) {
            0 => Conditions::Ignored,
            1 => Conditions::Refused,
            _ => Conditions::Enforced,
        },
        order: if random.permille(250) { Order::Folders } else { Order::Bytes },
        content_etags: random.permille(400),
        clock_ahead: i64::try_from(random.in_range(0..20_000)).unwrap_or_default() - 10_000,
        chunk: [16, 64, 1024][random.index(3)],
        page: [3, 10, 1000][random.index(3)],
        slower: if random.permille(100) { 10 } else { 1 },
    }
}

/// Clocks as they are: within half a second, some off by minutes, and now and then one that is an hour ahead.
fn draw_clocks(random: &mut Random, processes: usize) -> Vec<i64> {
    let clock = |_| {
        let ahead = match random.in_range(0..20) {
            0 => 3_600_000,
            1 | 2 => random.in_range(0..240_000),
            _ => random.in_range(0..1_000),
        };
        i64::try_from(ahead).unwrap_or_default()
    };
    (0..processes).map(clock).collect()
}
