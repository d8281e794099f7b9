//! How long a key has looked the same. A difference that no marker explains may be a write on its way through;
//! when nothing has moved for as long as a write may take, it is none.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lifeboat_core::{Stamp, VersionTag};
use object_store::path::Path;
use tokio::time::Instant;

use super::Seen;
use crate::journal::index::Known;

/// What tells one look at a key from another: for each backend that answered, its object's `ETag`, size and stamp; and
/// the newest marker, because what is deleted again looks as it did before it was written.
pub(super) type Look = (Vec<(usize, Print)>, Option<Stamp>);
type Print = Option<(Option<String>, u64, Option<VersionTag>)>;

/// Keys without markers that are remembered.
const MOST: usize = 10_000;

/// Since when each doubtful key has looked as it does.
#[derive(Debug, Default)]
pub(crate) struct Stillness(Mutex<BTreeMap<Path, (Instant, Look)>>);

impl Stillness {
    /// Since when exactly this has been seen, by the side of these markers. There are `markers` in the index: as many keys
    /// more are remembered. Beyond that the first names are forgotten, and their time begins anew.
    pub(crate) fn since(
        &self,
        key: &Path,
        seen: &[(usize, Seen)],
        known: &[Known],
        markers: usize,
    ) -> Instant {
        let now = Instant::now();
        let look = look(seen, known);
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

    /// Whether no backend had anything at the last look.
    pub(crate) fn is_absent(&self, key: &Path) -> bool {
        let nothing =
            |(_, (seen, _)): &(Instant, Look)| seen.iter().all(|(_, print)| print.is_none());
        self.keys().get(key).is_some_and(nothing)
    }

    /// Nothing has to be known of the key any more.
    pub(crate) fn forget(&self, key: &Path) {
        self.keys().remove(key);
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, BTreeMap<Path, (Instant, Look)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn look(seen: &[(usize, Seen)], known: &[Known]) -> Look {
    let print =
        |seen: &Seen| seen.as_ref().map(|(meta, tag)| (meta.e_tag.clone(), meta.size, *tag));
    let prints = seen.iter().map(|(at, seen)| (*at, print(seen))).collect();
    (prints, known.iter().map(|known| known.marker.stamp).max())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::backend::Mask;
    use crate::journal::index::{Keeping, Origin};
    use crate::journal::{Marker, marker::Parsed};

    fn known(time: u64) -> Known {
        let stamp = Stamp::new(time << 16, 1);
        let path = Path::from(format!(".lifeboat/journal/b0/{stamp}_-_-_0000000000000001_p/k"));
        let Parsed::Whole(marker) = Marker::parse(&path) else { panic!("{path} is no marker") };
        Known {
            marker: Arc::new(marker),
            path,
            target: Some(0),
            homes: Mask::only(1),
            origin: Origin::Ended,
            landed: false,
            leveled: false,
            outlived: None,
            keeping: Keeping::Homes,
            added: Instant::now(),
        }
    }

    /// Simulation seed 163209: deleted, written and deleted again between two looks.
    #[tokio::test(start_paused = true)]
    async fn a_key_that_looks_as_before_but_has_a_newer_marker_has_not_stood_still() {
        let (still, key) = (Stillness::default(), Path::from("k"));
        let absent = [(0, None), (1, None)];
        let first = still.since(&key, &absent, &[known(1)], 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(still.since(&key, &absent, &[known(1)], 1), first);
        assert!(still.since(&key, &absent, &[known(1), known(2)], 2) > first);
    }
}
