//! Which keys had markers until a moment ago. Whoever caught such a key up may still have a create of it on its way,
//! which lands where the key is deleted meanwhile: a delete of it leaves a marker, as if the key still had some.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use object_store::path::Path;
use tokio::time::Instant;

use crate::backend::Mask;

/// Keys remembered; beyond it those that have waited longest are forgotten. Five minutes of catch-up at its usual rate.
const MOST: usize = 65_536;

/// The keys, and the backends that the markers were about.
#[derive(Debug)]
pub(crate) struct Departed {
    window: Duration,
    keys: Mutex<Keys>,
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Keys {
    targets: BTreeMap<Path, (Mask, Instant)>,
    /// In the order in which their markers went; a key whose markers went twice is there twice.
    order: VecDeque<(Instant, Path)>,
}

impl Departed {
    /// Remembers each key for `window` after its last marker went.
    pub(crate) fn new(window: Duration) -> Self {
        Self { window, keys: Mutex::default(), count: AtomicUsize::new(0) }
    }

    /// A marker about `target` has gone.
    pub(crate) fn note(&self, key: &Path, target: usize) {
        let now = Instant::now();
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = keys.targets.entry(key.clone()).or_insert((Mask::NONE, now));
        entry.0.set(target);
        entry.1 = now;
        keys.order.push_back((now, key.clone()));
        self.forget(&mut keys, now);
    }

    /// The backends about which a key had markers until a moment ago.
    pub(crate) fn targets(&self, key: &Path) -> Mask {
        // The usual case costs one load.
        if self.count.load(Ordering::Acquire) == 0 {
            return Mask::NONE;
        }
        let now = Instant::now();
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget(&mut keys, now);
        keys.targets.get(key).map_or(Mask::NONE, |(targets, _)| *targets)
    }

    fn forget(&self, keys: &mut Keys, now: Instant) {
        while let Some((went, key)) = keys.order.front() {
            if *went + self.window > now && keys.order.len() <= MOST {
                break;
            }
            if keys.targets.get(key).is_some_and(|(_, last)| last == went) {
                keys.targets.remove(key);
            }
            keys.order.pop_front();
        }
        self.count.store(keys.order.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_key_is_remembered_for_the_window_after_its_last_marker_went() {
        let departed = Departed::new(WINDOW);
        let (one, other) = (Path::from("one"), Path::from("other"));
        departed.note(&one, 1);
        assert_eq!([departed.targets(&one), departed.targets(&other)], [Mask::only(1), Mask::NONE]);
        tokio::time::advance(WINDOW / 2).await;
        departed.note(&one, 2);
        tokio::time::advance(WINDOW / 2).await;
        assert_eq!(departed.targets(&one), [1, 2].into_iter().collect());
        tokio::time::advance(WINDOW / 2).await;
        assert_eq!(departed.targets(&one), Mask::NONE);
        assert_eq!(departed.count.load(Ordering::Acquire), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_keys_are_remembered() {
        let departed = Departed::new(WINDOW);
        for number in 0..=MOST {
            departed.note(&Path::from(number.to_string()), 0);
        }
        assert_eq!(departed.targets(&Path::from("0")), Mask::NONE);
        assert_eq!(departed.targets(&Path::from("1")), Mask::only(0));
    }
}
