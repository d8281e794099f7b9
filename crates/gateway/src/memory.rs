//! The memory of bodies: what is held for all clients together is bounded, and who finds no room
//! waits, for a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One permit is so many bytes: a `u32` of them covers 4 TiB.
const UNIT: u64 = 1 << 10;

/// Clients give a stalled request 20 to 60 seconds (Amazon's SDKs: 60); the answer must come before.
const PATIENCE: Duration = Duration::from_secs(15);

/// Memory that is granted; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Granted(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// Why memory is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// It would never fit.
    TooLarge,
    /// Others hold it.
    Busy,
}

/// A budget of bytes.
#[derive(Debug)]
pub(crate) struct Memory {
    total: u64,
    free: Arc<Semaphore>,
    early: Arc<Semaphore>,
}

impl Memory {
    pub(crate) fn new(bytes: u64) -> Self {
        let units = |bytes: u64| {
            let units = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
            Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)))
        };
        Self { total: bytes, free: units(bytes), early: units(bytes / 2) }
    }

    /// Waits for room for so many bytes. A request asks once, for all it will need, so that no two
    /// can wait for each other.
    pub(crate) async fn grant(&self, bytes: u64) -> Result<Granted, Full> {
        let units = self.units(bytes).ok_or(Full::TooLarge)?;
        let waiting = Arc::clone(&self.free).acquire_many_owned(units);
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(permit)) => Ok(Granted(permit)),
            // The semaphore is never closed; to a client it would look the same.
            Ok(Err(_)) | Err(_) => Err(Full::Busy),
        }
    }

    /// Takes room for a part that came before its predecessors. From a pool of its own: such parts
    /// must not take the room that their predecessors need.
    pub(crate) fn grant_early(&self, bytes: u64) -> Result<Granted, Full> {
        let units = self.units(bytes).ok_or(Full::TooLarge)?;
        Arc::clone(&self.early).try_acquire_many_owned(units).map(Granted).map_err(|_| Full::Busy)
    }

    fn units(&self, bytes: u64) -> Option<u32> {
        let fits = bytes <= self.total;
        fits.then(|| u32::try_from(bytes.div_ceil(UNIT)).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_never_fits_is_told_from_what_must_wait() {
        let memory = Memory::new(4096);
        assert_eq!(memory.grant(4097).await.unwrap_err(), Full::TooLarge);
        let held = memory.grant(4096).await.unwrap();
        assert_eq!(memory.grant(1).await.unwrap_err(), Full::Busy);
        drop(held);
        assert!(memory.grant(1).await.is_ok());
    }

    #[tokio::test]
    async fn early_parts_leave_the_room_of_their_predecessors_alone() {
        let memory = Memory::new(4096);
        let early = memory.grant_early(2048).unwrap();
        assert_eq!(memory.grant_early(1).unwrap_err(), Full::Busy);
        assert!(memory.grant(4096).await.is_ok());
        drop(early);
        assert!(memory.grant_early(1).is_ok());
    }
}
