//! What the store must hold, judged from outside: every write is noted before it is sent and when it
//! is acknowledged, every answer is held against the notes. How the sides are compared when all is
//! over is in `audit`; what a single key may show in `key`.

mod audit;
mod key;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use object_store::ObjectMeta;
use object_store::path::Path;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use serde::Serialize;

pub use audit::Audit;
use key::{Key, Version};
pub(crate) use key::{Object, Seen, Verdict};

/// Everything the workload writes is below it.
const ROOT: &str = "drill";

/// How many folders the keys are spread over; a listing shows one of them.
pub(crate) const FOLDERS: usize = 16;

/// How often a random key is drawn before the workload does something else instead.
const DRAWS: usize = 32;

/// How many findings are kept in words; the rest is only counted.
const MOST_EXAMPLES: usize = 20;

/// A number for a key, in the order in which keys were made.
type KeyId = usize;

/// What the workload asks to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// A new object.
    Put,
    /// A new version of an object.
    Overwrite,
    /// None any more.
    Delete,
    /// A new version of a large object.
    Multipart,
}

/// A write that has been noted and can be sent.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) path: Path,
    /// What to write; `None` deletes.
    pub(crate) object: Option<Object>,
    key: KeyId,
    version: usize,
}

/// A read that has been noted and can be sent.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) path: Path,
    /// The size of what is expected; `None` for nothing.
    pub(crate) size: Option<u64>,
    key: KeyId,
    floor: usize,
}

/// A listing that has been noted and can be sent.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) folder: Path,
    floors: HashMap<KeyId, usize>,
}

/// What became of the data, as numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Writes that were acknowledged.
    pub acked_writes: u64,
    /// Acknowledged writes that no side has at the end.
    pub lost_writes: u64,
    /// Deleted keys that were seen again, by a reader or at the end.
    pub resurrected_deletes: u64,
    /// Answers older than what had been acknowledged, "not found" and listings included.
    pub stale_reads: u64,
    /// Answers that nobody ever wrote.
    pub corrupt_reads: u64,
    /// The first of what went wrong, in words.
    pub examples: Vec<String>,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        let wrong =
            [self.lost_writes, self.resurrected_deletes, self.stale_reads, self.corrupt_reads];
        wrong.iter().all(|count| *count == 0)
    }
}

/// The notes. Shared by all requests of a drill.
#[derive(Debug, Default)]
pub(crate) struct Oracle(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    keys: Vec<Key>,
    by_path: BTreeMap<Path, KeyId>,
    acked: u64,
    stale: u64,
    corrupt: u64,
    lost: BTreeSet<KeyId>,
    resurrected: BTreeSet<KeyId>,
    examples: Vec<String>,
}

impl Oracle {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a write and says what to send. `most` is how many keys there should be.
    pub(crate) fn begin_write(
        &self,
        intent: Intent,
        size: u64,
        most: usize,
        random: &mut StdRng,
    ) -> Write {
        let mut notes = self.notes();
        let id = notes.choose(intent, most, random);
        let nonce = random.next_u64();
        let object = Object { nonce, size, attributes: intent != Intent::Multipart };
        let object = (intent != Intent::Delete).then_some(object);
        let key = &mut notes.keys[id];
        let version = key.begin(object.map_or(Version::Absent, Version::Present));
        Write { path: key.path.clone(), object, key: id, version }
    }

    /// Notes how a write ended.
    pub(crate) fn end_write(&self, write: &Write, acknowledged: bool) {
        let mut notes = self.notes();
        notes.keys[write.key].end(write.version, acknowledged);
        notes.acked += u64::from(acknowledged);
    }

    /// Notes a read; `None` while there is no key.
    pub(crate) fn begin_read(&self, random: &mut StdRng) -> Option<Read> {
        let notes = self.notes();
        let there = notes.draw(random, Key::is_there);
        there.or_else(|| notes.draw(random, |_| true)).map(|id| notes.read(id))
    }

    /// Notes a read of something that was deleted, where there is such a key.
    pub(crate) fn begin_read_of_deleted(&self, random: &mut StdRng) -> Option<Read> {
        let notes = self.notes();
        notes.draw(random, |key| !key.is_there() && !key.busy).map(|id| notes.read(id))
    }

    /// Judges what a read showed.
    pub(crate) fn end_read(&self, read: &Read, seen: &Seen) -> Verdict {
        let mut notes = self.notes();
        let verdict = notes.keys[read.key].judge(read.floor, seen);
        notes.find(read.key, verdict, "a read");
        verdict
    }

    /// Notes a listing of a folder.
    pub(crate) fn begin_list(&self, folder: Path) -> List {
        let notes = self.notes();
        let below = notes.below(&folder);
        let floors = below.map(|id| (id, notes.keys[id].floor)).collect();
        List { folder, floors }
    }

    /// Judges what a listing showed.
    pub(crate) fn end_list(&self, list: &List, listed: &[ObjectMeta]) {
        let mut notes = self.notes();
        let sizes: HashMap<&Path, u64> =
            listed.iter().map(|meta| (&meta.location, meta.size)).collect();
        let below: Vec<KeyId> = notes.below(&list.folder).collect();
        for id in below {
            let key = &notes.keys[id];
            let floor = list.floors.get(&id).copied().unwrap_or_default();
            let size = sizes.get(&key.path).copied();
            let seen = size.map_or(Seen::Absent, |size| Seen::Listed { size });
            let verdict = key.judge(floor, &seen);
            notes.find(id, verdict, "a listing");
        }
        for meta in listed {
            if !notes.by_path.contains_key(&meta.location) {
                notes.corrupt += 1;
                notes.tell(|| format!("`{}`: listed, and never written", meta.location));
            }
        }
    }

    /// Everything that was found so far.
    pub(crate) fn findings(&self) -> Findings {
        let notes = self.notes();
        Findings {
            acked_writes: notes.acked,
            lost_writes: notes.lost.len() as u64,
            resurrected_deletes: notes.resurrected.len() as u64,
            stale_reads: notes.stale,
            corrupt_reads: notes.corrupt,
            examples: notes.examples.clone(),
        }
    }
}

impl Notes {
    /// A random key that will do.
    fn draw(&self, random: &mut StdRng, fits: impl Fn(&Key) -> bool) -> Option<KeyId> {
        if self.keys.is_empty() {
            return None;
        }
        let mut drawn = (0..DRAWS).map(|_| random.random_range(0..self.keys.len()));
        drawn.find(|id| fits(&self.keys[*id]))
    }

    /// The key to write. There is always one: a new one, where no other is free.
    fn choose(&mut self, intent: Intent, most: usize, random: &mut StdRng) -> KeyId {
        let large = intent == Intent::Multipart;
        let free = |key: &Key| !key.busy && key.large == large;
        let found = match intent {
            Intent::Put if self.keys.len() < most => None,
            Intent::Put => self.draw(random, |key| free(key) && !key.is_there()),
            Intent::Overwrite | Intent::Delete => {
                self.draw(random, |key| free(key) && key.is_there())
            }
            Intent::Multipart => self.draw(random, free),
        };
        found.unwrap_or_else(|| self.add(large))
    }

    fn add(&mut self, large: bool) -> KeyId {
        let id = self.keys.len();
        let name = if large { format!("large {id:06}") } else { format!("{id:06}") };
        let path = folder(id % FOLDERS).join(name);
        self.by_path.insert(path.clone(), id);
        self.keys.push(Key::new(path, large));
        id
    }

    fn read(&self, id: KeyId) -> Read {
        let key = &self.keys[id];
        Read { path: key.path.clone(), size: key.size(), key: id, floor: key.floor }
    }

    fn below(&self, folder: &Path) -> impl Iterator<Item = KeyId> {
        let is_below = |path: &Path| path.prefix_match(folder).is_some();
        let from = self.by_path.range(folder.clone()..);
        from.take_while(move |(path, _)| is_below(path)).map(|(_, id)| *id)
    }

    /// Counts what is not good.
    fn find(&mut self, id: KeyId, verdict: Verdict, by: &str) {
        let what = match verdict {
            Verdict::Good(_) => return,
            Verdict::Missing => "shows nothing, where a write was acknowledged",
            Verdict::Stale => "shows an older version than the acknowledged one",
            Verdict::Resurrected => "shows what was deleted",
            Verdict::Corrupt => "shows what was never written",
        };
        if verdict == Verdict::Corrupt {
            self.corrupt += 1;
        } else {
            self.stale += 1;
        }
        if verdict == Verdict::Resurrected {
            self.resurrected.insert(id);
        }
        let path = self.keys[id].path.clone();
        self.tell(|| format!("`{path}`: {by} {what}"));
    }

    fn tell(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < MOST_EXAMPLES {
            self.examples.push(text());
        }
    }
}

/// The folder of this number.
pub(crate) fn folder(number: usize) -> Path {
    Path::from(ROOT).join(format!("{number:02}"))
}

#[cfg(test)]
mod tests;
