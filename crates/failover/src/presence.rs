//! Presence: who is writing. A process that is killed between two legs of a write leaves a difference that no marker
//! knows of; so a writer keeps a small object at every backend while it writes, and takes it away when it ends. One
//! that stays behind tells the next process that there was an unclean end, and since when a comparison has to look.
//!
//! `.lifeboat/writers/<writer>-<since, milliseconds since 1970>-<beat, milliseconds>`, written anew with every beat: what
//! the provider says of its age is the sign of life. Nothing here decides about data, and nothing waits for it longer than
//! for a slow backend: a comparison that was not needed costs requests, and one that is missed is what
//! [`mend`](crate::Failover::mend) without a limit is for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use lifeboat_core::RESERVED_PREFIX;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, Result};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use crate::backend::Mask;
use crate::engine::Engine;
use crate::error::{is_missing, within};
use crate::events::{Event, Operation};
use crate::flag::Flag;

/// Where writers are.
const FOLDER: &str = "writers";
/// Beats without a sign of life after which a writer has ended: one may be lost, and one may be late.
const SILENT_BEATS: u32 = 3;
/// Beats without a write after which a writer takes its object away: who writes more often pays for it once.
const IDLE_BEATS: u32 = 10;
/// How far a clock may be off: a quarter of an hour, beyond which Amazon and Azure refuse what is signed by it.
pub(crate) const CLOCK_ERROR: Duration = Duration::from_mins(15);
/// A day, in milliseconds. A name that claims a longer beat is none of ours.
const LONGEST_BEAT: u64 = 24 * 60 * 60 * 1000;
/// The end of the year 9999, in milliseconds since 1970. A name that claims a later time is none of ours.
const END_OF_TIME: u64 = 253_402_300_799_000;

/// A process that stopped writing without saying so: it was killed, or is cut off from the backends. What it had under way
/// and never acknowledged may be at some backends and not at others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UncleanEnd {
    /// The id of the writer, as in its stamps.
    pub writer: String,
    /// When it began to write, in milliseconds since 1970, by its own clock.
    pub since_unix_ms: u64,
    /// Its last sign of life, in milliseconds since 1970, by the clock of a provider.
    pub until_unix_ms: u64,
}

impl UncleanEnd {
    /// From when on [`mend_since`](crate::Failover::mend_since) has to compare: a quarter of an hour before the writer began,
    /// which is what its clock may be ahead of a provider's.
    pub fn compare_since(&self) -> SystemTime {
        let since = Duration::from_millis(self.since_unix_ms);
        SystemTime::UNIX_EPOCH + since.saturating_sub(CLOCK_ERROR)
    }
}

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name {
    writer: u64,
    since: u64,
    beat: u64,
}

impl Name {
    fn path(self) -> Path {
        let Self { writer, since, beat } = self;
        let name = format!("{writer:016x}-{since:016x}-{beat:x}");
        Path::from_iter([RESERVED_PREFIX, FOLDER, &name])
    }

    fn parse(path: &Path) -> Option<Self> {
        let mut fields = path.filename()?.split('-');
        let mut number = || u64::from_str_radix(fields.next()?, 16).ok();
        let name = Self { writer: number()?, since: number()?, beat: number()? };
        let sane = name.beat <= LONGEST_BEAT && name.since <= END_OF_TIME;
        (sane && name.path() == *path).then_some(name)
    }

    fn silence(self) -> Duration {
        Duration::from_millis(self.beat) * SILENT_BEATS
    }
}

/// A writer that this process knows of.
#[derive(Debug)]
struct Seen {
    name: Name,
    /// Who keeps its object, and from when that is.
    signs: BTreeMap<usize, i64>,
    /// Since when it has given no sign, by our own clock.
    silent: Instant,
    told: bool,
}

impl Seen {
    fn last_sign(&self) -> u64 {
        self.signs.values().max().and_then(|millis| u64::try_from(*millis).ok()).unwrap_or(0)
    }

    /// Whether it has ended: it was silent while we listened, or for so long that no clock explains it.
    fn has_ended(&self, now: u64) -> bool {
        let age = Duration::from_millis(now.saturating_sub(self.last_sign()));
        let silence = self.name.silence();
        self.silent.elapsed() >= silence || age >= silence + CLOCK_ERROR
    }

    fn end(&self) -> UncleanEnd {
        UncleanEnd {
            writer: format!("{:016x}", self.name.writer),
            since_unix_ms: self.name.since,
            until_unix_ms: self.last_sign(),
        }
    }
}

/// The own object, and those of others.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// The own object is there.
    announced: AtomicBool,
    /// Writes under way.
    writing: AtomicUsize,
    /// Something was written since the last beat.
    wrote: AtomicBool,
    /// The own object, and beats without a write. Held while it is written or removed.
    own: tokio::sync::Mutex<Option<(Name, u32)>>,
    others: Mutex<BTreeMap<Path, Seen>>,
}

impl Presence {
    fn others(&self) -> MutexGuard<'_, BTreeMap<Path, Seen>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was listed at `home`. The names of those who are known to have ended only now.
    fn saw(&self, home: usize, listed: &BTreeMap<Path, i64>) {
        let mut others = self.others();
        for (path, sign) in listed {
            let Some(name) = Name::parse(path) else { continue };
            let seen = others.entry(path.clone()).or_insert_with(|| Seen {
                name,
                signs: BTreeMap::new(),
                silent: Instant::now(),
                told: false,
            });
            if seen.signs.insert(home, *sign).is_some_and(|before| before != *sign) {
                seen.silent = Instant::now();
                seen.told = false;
            }
        }
        others.retain(|path, seen| {
            if !listed.contains_key(path) {
                seen.signs.remove(&home);
            }
            !seen.signs.is_empty()
        });
    }

    /// Those who have ended, with the names of their objects and who keeps those.
    fn ended(&self, now: u64) -> Vec<(Path, Mask, UncleanEnd)> {
        let others = self.others();
        let ended = others.iter().filter(|(_, seen)| seen.has_ended(now));
        ended
            .map(|(path, seen)| (path.clone(), seen.signs.keys().copied().collect(), seen.end()))
            .collect()
    }
}

/// A write under way: while it is held the own object stays.
#[derive(Debug)]
pub(crate) struct Writing(Arc<Engine>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.presence.writing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Engine {
    /// Whether this process says that it writes. With one backend there is nothing that could differ, and an intent says
    /// more.
    fn keeps_presence(&self) -> bool {
        let settings = &self.settings;
        !settings.presence_beat.is_zero() && self.backends.len() > 1 && !settings.intent
    }

    /// Begins a write: whoever comes after a crash must be able to know that there was a writer. The first write waits for
    /// that, no longer than for a slow backend, and at most as long for its turn; nobody else waits.
    pub(crate) async fn begin_writing(self: &Arc<Self>) -> Writing {
        self.presence.writing.fetch_add(1, Ordering::SeqCst);
        let writing = Writing(Arc::clone(self));
        if self.keeps_presence() {
            self.presence.wrote.store(true, Ordering::Release);
            if !self.presence.announced.load(Ordering::SeqCst) {
                self.announce().await;
            }
        }
        writing
    }

    async fn announce(self: &Arc<Self>) {
        let patience = self.settings.rescue_after;
        let Ok(mut own) = timeout(patience, self.presence.own.lock()).await else { return };
        if self.presence.announced.load(Ordering::SeqCst) {
            return;
        }
        let beat = u64::try_from(self.settings.presence_beat.as_millis()).unwrap_or(LONGEST_BEAT);
        let name = Name { writer: self.clock.writer(), since: self.clock.unix_millis(), beat };
        *own = Some((name, 0));
        let known = Arc::new(Flag::default());
        let (engine, raise) = (Arc::clone(self), Arc::clone(&known));
        self.spawn(async move { engine.show(name, &raise).await });
        // What cannot be said now is said with the next beat.
        let _ = timeout(patience, known.wait()).await;
        self.presence.announced.store(true, Ordering::SeqCst);
    }

    /// Writes the own object at every backend that is in use; raises `known` with the first that has it.
    async fn show(&self, name: Name, known: &Flag) {
        let path = name.path();
        let bound = self.settings.attempt_deadline;
        let puts = self.in_use().iter().map(|at| {
            let path = &path;
            async move {
                let store = &self.backends[at].store;
                (at, within(bound, store.put(path, PutPayload::default())).await)
            }
        });
        let mut puts: FuturesUnordered<_> = puts.collect();
        while let Some((at, put)) = puts.next().await {
            match put {
                Ok(_) => {
                    self.backends[at].answered();
                    known.raise();
                }
                Err(error) => {
                    self.judge(at, Operation::Journal, &error).await;
                }
            }
        }
        // Nobody has it: waiting longer would change nothing.
        known.raise();
    }

    /// Gives signs of life while there is something to say, and listens for those of others.
    pub(crate) async fn run_presence(self: Arc<Self>) {
        let work = async {
            loop {
                self.look_for_writers().await;
                // Not in step with other processes, and never later than promised.
                let beat = self.settings.presence_beat;
                sleep(beat.mul_f64(0.8 + self.randomness.fraction() * 0.2)).await;
                self.beat().await;
            }
        };
        tokio::select! {
            biased;
            () = self.until_closed() => {}
            () = work => {}
        }
        // Also where nobody waits for the end: a handle was dropped, not closed.
        if self.legs_end().await {
            self.withdraw().await;
        }
    }

    async fn beat(&self) {
        let mut own = self.presence.own.lock().await;
        let Some((name, idle)) = *own else { return };
        let wrote = self.presence.wrote.swap(false, Ordering::AcqRel);
        let idle = if wrote { 0 } else { idle.saturating_add(1) };
        *own = Some((name, idle));
        if idle >= IDLE_BEATS && self.is_quiet(&mut own) {
            drop(own);
            self.remove_presence(&name.path(), self.in_use()).await;
        } else {
            self.show(name, &Flag::default()).await;
        }
    }

    /// Takes the own object away, if nothing is under way. For the end of the process.
    pub(crate) async fn withdraw(&self) {
        let mut own = self.presence.own.lock().await;
        if let Some((name, _)) = *own
            && self.is_quiet(&mut own)
        {
            drop(own);
            self.remove_presence(&name.path(), self.in_use()).await;
        }
    }

    /// Whether nothing is under way: then the own object goes, and whoever begins to write announces it anew.
    fn is_quiet(&self, own: &mut Option<(Name, u32)>) -> bool {
        // First this, then the look: who begins to write does it in the other order.
        self.presence.announced.store(false, Ordering::SeqCst);
        let over = self.presence.writing.load(Ordering::SeqCst) == 0
            && self.legs.load(Ordering::Acquire) == 0;
        if over {
            *own = None;
        } else {
            self.presence.announced.store(true, Ordering::SeqCst);
        }
        over
    }

    /// Removes a writer's object. What cannot be removed now makes somebody compare once more than needed.
    async fn remove_presence(&self, path: &Path, homes: Mask) {
        let removals = homes.iter().map(|at| async move {
            let store = &self.backends[at].store;
            match within(self.settings.attempt_deadline, store.delete(path)).await {
                Err(error) if !is_missing(&**store, &error) => {
                    self.judge(at, Operation::Journal, &error).await;
                }
                _ => self.backends[at].answered(),
            }
        });
        futures::future::join_all(removals).await;
    }

    /// Lists the writers at every backend in use, and tells of those who have ended.
    pub(crate) async fn look_for_writers(&self) {
        let looks = self.in_use().iter().map(|at| async move {
            match self.writers_at(at).await {
                Ok(listed) => {
                    self.backends[at].answered();
                    self.presence.saw(at, &listed);
                }
                Err(error) => {
                    self.judge(at, Operation::Journal, &error).await;
                }
            }
        });
        futures::future::join_all(looks).await;
        let now = self.clock.unix_millis();
        let mut news = Vec::new();
        for seen in self.presence.others().values_mut() {
            if !seen.told && seen.has_ended(now) {
                seen.told = true;
                news.push(seen.end());
            }
        }
        for end in news {
            let UncleanEnd { writer, since_unix_ms, .. } = &end;
            tracing::warn!(%writer, since_unix_ms, "a writer ended without saying so: what it had under way may differ between backends");
            self.observers.tell(|| Event::UncleanEnd(end.clone()));
        }
    }

    async fn writers_at(&self, at: usize) -> Result<BTreeMap<Path, i64>> {
        let folder = Path::from_iter([RESERVED_PREFIX, FOLDER]);
        let mut listing = self.backends[at].store.list(Some(&folder));
        let mut listed = BTreeMap::new();
        while let Some(object) = within(self.settings.stall_deadline, listing.try_next()).await? {
            let ObjectMeta { location, last_modified, .. } = object;
            let own = Name::parse(&location).is_some_and(|name| name.writer == self.clock.writer());
            if !own {
                listed.insert(location, last_modified.timestamp_millis());
            }
        }
        Ok(listed)
    }

    /// The ends that are known.
    pub(crate) fn unclean_ends(&self) -> Vec<UncleanEnd> {
        self.presence.ended(self.clock.unix_millis()).into_iter().map(|(_, _, end)| end).collect()
    }

    /// The ends that a comparison of everything since then would cover.
    pub(crate) fn ends_since(&self, since: SystemTime) -> Vec<(Path, Mask)> {
        let ended = self.presence.ended(self.clock.unix_millis()).into_iter();
        ended
            .filter(|(_, _, end)| end.compare_since() >= since)
            .map(|(path, homes, _)| (path, homes))
            .collect()
    }

    /// What these writers may have left behind has been compared.
    pub(crate) async fn forget_writers(&self, ends: Vec<(Path, Mask)>) {
        let removals = ends.into_iter().map(|(path, homes)| async move {
            self.remove_presence(&path, homes).await;
            self.presence.others().remove(&path);
        });
        futures::future::join_all(removals).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name { writer: 0xab, since: 1_000_000, beat: 60_000 };

    fn presence(sign: i64) -> Presence {
        let presence = Presence::default();
        presence.saw(0, &BTreeMap::from([(NAME.path(), sign)]));
        presence
    }

    #[test]
    fn names_say_who_since_when_and_how_often() {
        assert_eq!(Name::parse(&NAME.path()), Some(NAME));
        let forged = Name { since: u64::MAX, ..NAME }.path();
        for other in ["x", "1-2", "1-2-3", "1-2-3-4", forged.filename().unwrap()] {
            let path = Path::from_iter([RESERVED_PREFIX, FOLDER, other]);
            assert_eq!(Name::parse(&path), None, "{other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn writer_has_ended_after_three_beats_without_a_sign_whatever_the_clocks_say() {
        let presence = presence(1_000);
        tokio::time::advance(NAME.silence().saturating_sub(Duration::from_secs(1))).await;
        assert!(presence.ended(1_000).is_empty());
        // A sign, by a provider whose clock goes backwards.
        presence.saw(0, &BTreeMap::from([(NAME.path(), 500)]));
        tokio::time::advance(NAME.silence().saturating_sub(Duration::from_secs(1))).await;
        assert!(presence.ended(1_000).is_empty());
        tokio::time::advance(Duration::from_secs(1)).await;
        let [(_, homes, end)] = &presence.ended(1_000)[..] else { panic!("it has ended") };
        assert_eq!((*homes, end.since_unix_ms), (Mask::only(0), NAME.since));
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_clock_explains_is_an_end_at_first_sight() {
        let silence = NAME.silence() + CLOCK_ERROR;
        let late = 1_000 + u64::try_from(silence.as_millis()).unwrap();
        assert!(presence(1_000).ended(late - 1).is_empty());
        assert_eq!(presence(1_000).ended(late).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn writer_whose_object_is_gone_everywhere_ended_cleanly() {
        let presence = presence(1_000);
        presence.saw(1, &BTreeMap::from([(NAME.path(), 1_000)]));
        tokio::time::advance(NAME.silence()).await;
        presence.saw(0, &BTreeMap::new());
        assert_eq!(presence.ended(0).len(), 1, "another backend still has it");
        presence.saw(1, &BTreeMap::new());
        assert!(presence.ended(0).is_empty());
    }
}
