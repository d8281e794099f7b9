//! The hybrid logical clock: stamps that rise with the wall clock, never fall, and follow every stamp
//! that was read, within a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifeboat_core::Stamp;

use crate::seam::Clock;

/// How far ahead of our own clock a stamp may be and still be followed: a minute, which is what
/// machines without time synchronisation reach within weeks. One beyond it is believed for its own key only.
const FURTHEST_AHEAD: Duration = Duration::from_mins(1);

/// Makes stamps for one writer.
#[derive(Debug)]
pub(crate) struct HybridClock {
    wall: Arc<dyn Clock>,
    last: AtomicU64,
    writer: u64,
}

impl HybridClock {
    pub(crate) fn new(wall: Arc<dyn Clock>, writer: u64) -> Self {
        Self { wall, last: AtomicU64::new(0), writer }
    }

    /// Milliseconds since 1970 by the wall clock.
    pub(crate) fn unix_millis(&self) -> u64 {
        self.wall.unix_millis()
    }

    /// Whose stamps these are.
    pub(crate) fn writer(&self) -> u64 {
        self.writer
    }

    /// A new stamp, above all that this clock has made or followed, and above `floor`.
    pub(crate) fn tick(&self, floor: Option<Stamp>) -> Stamp {
        let now = self.wall.unix_millis() << 16;
        let advance = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, advance);
        let time = now.max(last.unwrap_or_default().saturating_add(1));
        let stamp = Stamp::new(time, self.writer);
        match floor {
            Some(floor) if floor >= stamp => {
                Stamp::new(floor.time().saturating_add(1), self.writer)
            }
            _ => stamp,
        }
    }

    /// Follows a stamp that was read. False if it is too far ahead to be followed.
    pub(crate) fn follow(&self, seen: Stamp) -> bool {
        // The usual case, a stamp of the past, costs one load.
        if seen.time() <= self.last.load(Ordering::Acquire) {
            return true;
        }
        let bound = self.wall.unix_millis().saturating_add(millis(FURTHEST_AHEAD));
        if seen.unix_millis() > bound {
            return false;
        }
        self.last.fetch_max(seen.time(), Ordering::AcqRel);
        true
    }

    /// How long ago `stamp` was made, by the wall clock; zero if it lies ahead.
    pub(crate) fn age(&self, stamp: Stamp) -> Duration {
        Duration::from_millis(self.wall.unix_millis().saturating_sub(stamp.unix_millis()))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Still(u64);

    impl Clock for Still {
        fn unix_millis(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn stamps_rise_while_the_wall_clock_stands_still() {
        let clock = HybridClock::new(Arc::new(Still(1_000)), 7);
        let stamps: Vec<Stamp> = (0..3).map(|_| clock.tick(None)).collect();
        assert!(stamps.is_sorted() && stamps[0] != stamps[1], "{stamps:?}");
    }

    #[test]
    fn a_stamp_that_was_read_is_followed() {
        let clock = HybridClock::new(Arc::new(Still(1_000)), 7);
        let seen = Stamp::new(30_000 << 16, 9);
        assert!(clock.follow(seen));
        assert!(clock.tick(None) > seen);
    }

    #[test]
    fn a_clock_an_hour_ahead_is_not_followed_but_its_key_can_be_overwritten() {
        let clock = HybridClock::new(Arc::new(Still(1_000)), 7);
        let ahead = Stamp::new(3_600_000 << 16, 9);
        assert!(!clock.follow(ahead));
        assert!(clock.tick(None) < ahead);
        assert!(clock.tick(Some(ahead)) > ahead);
        assert!(clock.tick(None) < ahead);
    }
}
