//! How long a key has looked the same. A difference that no marker explains may be a write on its way through;
//! when nothing has moved for as long as a write may take, it is none.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lifeboat_core::VersionTag;
use object_store::path::Path;
use tokio::time::Instant;

use super::Seen;

/// What tells one look at a key from another: for each backend that answered, its object's `ETag`, size and stamp.
type Look = Vec<(usize, Option<(Option<String>, u64, Option<VersionTag>)>)>;

/// Keys without markers that are remembered.
const MOST: usize = 10_000;

/// Since when each doubtful key has looked as it does.
#[derive(Debug, Default)]
pub(crate) struct Stillness(Mutex<BTreeMap<Path, (Instant, Look)>>);

impl Stillness {
    /// Since when exactly this has been seen. There are `markers` in the index: as many keys more are remembered. Beyond
    /// that the first names are forgotten, and their time begins anew.
    pub(crate) fn since(&self, key: &Path, seen: &[(usize, Seen)], markers: usize) -> Instant {
        let now = Instant::now();
        let look = look(seen);
        let mut keys = self.keys();
        if let Some((since, before)) = keys.get(key)
            && *before == look
        {
            return *since;
        }
        if keys.len() >= MOST.saturating_add(markers) {
            keys.pop_first();
        }
        keys.insert(key.clone(), (now, look));
        now
    }

    /// Since when it has looked as it did at the last look.
    pub(crate) fn known_since(&self, key: &Path) -> Option<Instant> {
        self.keys().get(key).map(|(since, _)| *since)
    }

    /// Nothing has to be known of the key any more.
    pub(crate) fn forget(&self, key: &Path) {
        self.keys().remove(key);
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, BTreeMap<Path, (Instant, Look)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look(seen: &[(usize, Seen)]) -> Look {
    let print =
        |seen: &Seen| seen.as_ref().map(|(meta, tag)| (meta.e_tag.clone(), meta.size, *tag));
    seen.iter().map(|(at, seen)| (*at, print(seen))).collect()
}
