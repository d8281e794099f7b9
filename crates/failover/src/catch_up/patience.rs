//! Patience with keys that a backend refuses, its metadata or its size for instance: they are tried again after longer
//! and longer pauses. And what is known of conflicts that were kept, so that a key which is tried again and
//! again is not a new conflict each time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::path::Path;
use serde::Serialize;
use tokio::time::Instant;

use super::runner::PASS_PAUSE;
use crate::backend::Mask;
use crate::journal::index::Known;

/// The longest pause: an operator who has removed the cause sees the effect within a coffee, or asks for a catch-up.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Refused keys, and kept conflicts, that are remembered; beyond it the first names are forgotten and tried, or kept, anew.
const MOST: usize = 10_000;
/// Refused keys in a status.
const MOST_TOLD: usize = 20;

/// A key that catch-up could not bring to a backend because the backend refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RefusedKey {
    /// The object.
    pub key: String,
    /// What the backend answered, in words.
    pub why: String,
    /// How many times in a row.
    pub times: u32,
    /// When it is tried again by itself, in milliseconds from now.
    pub next_try_ms: u64,
}

#[derive(Debug)]
struct Setback {
    times: u32,
    at: Instant,
    why: String,
}

impl Setback {
    fn until(&self) -> Instant {
        let doubled = PASS_PAUSE.saturating_mul(1 << (self.times - 1).min(16));
        self.at + doubled.min(LONGEST_PAUSE)
    }
}

/// What is remembered between two rounds.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    refused: Mutex<BTreeMap<Path, Setback>>,
    kept: Mutex<BTreeMap<Path, Mask>>,
}

impl Patience {
    /// The key was refused.
    pub(crate) fn refused(&self, key: &Path, why: &str) {
        let mut refused = self.setbacks();
        let times = refused.get(key).map_or(0, |before| before.times).saturating_add(1);
        if refused.len() >= MOST {
            refused.pop_first();
        }
        refused.insert(key.clone(), Setback { times, at: Instant::now(), why: why.to_owned() });
    }

    /// Nobody refused the key.
    pub(crate) fn taken(&self, key: &Path) {
        self.setbacks().remove(key);
    }

    /// Everything may be tried at once.
    pub(crate) fn forget(&self) {
        self.setbacks().clear();
    }

    /// Whether a key may be tried: it was not refused, its pause is over, or there is a marker since.
    pub(crate) fn is_over(&self, key: &Path, known: &[Known]) -> bool {
        self.setbacks().get(key).is_none_or(|setback| {
            setback.until() <= Instant::now() || known.iter().any(|known| known.added > setback.at)
        })
    }

    /// Refused keys, the first few in order.
    pub(crate) fn told(&self) -> Vec<RefusedKey> {
        let now = Instant::now();
        let refused = self.setbacks();
        let told = refused.iter().take(MOST_TOLD).map(|(key, setback)| {
            let left = setback.until().saturating_duration_since(now);
            RefusedKey {
                key: key.to_string(),
                why: setback.why.clone(),
                times: setback.times,
                next_try_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            }
        });
        told.collect()
    }

    /// The backends that keep a conflict, as far as this process has seen to it.
    pub(crate) fn kept(&self, at: &Path) -> Option<Mask> {
        self.conflicts().get(at).copied()
    }

    /// These backends keep a conflict now.
    pub(crate) fn keep(&self, at: &Path, homes: Mask) {
        let mut kept = self.conflicts();
        if kept.len() >= MOST {
            kept.pop_first();
        }
        kept.insert(at.clone(), homes);
    }

    fn setbacks(&self) -> MutexGuard<'_, BTreeMap<Path, Setback>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn conflicts(&self) -> MutexGuard<'_, BTreeMap<Path, Mask>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest() {
        let patience = Patience::default();
        let key = Path::from("k");
        assert!(patience.is_over(&key, &[]));
        let mut pause = PASS_PAUSE;
        for times in 1..40 {
            patience.refused(&key, "too large");
            let told = patience.told();
            assert_eq!((told.len(), told[0].times, told[0].why.as_str()), (1, times, "too large"));
            tokio::time::advance(pause * 99 / 100).await;
            assert!(!patience.is_over(&key, &[]), "before {pause:?}");
            tokio::time::advance(pause / 100).await;
            assert!(patience.is_over(&key, &[]), "after {pause:?}");
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        patience.taken(&key);
        assert!(patience.told().is_empty());
    }
}
