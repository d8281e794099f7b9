//! Whether `ETag`s serve as checksums: known, or learnt.

use std::sync::atomic::{AtomicU8, Ordering};

/// Whether the plain `ETag` of an object is the MD5 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EtagDigest {
    /// It is not; it says nothing about the bytes.
    Never,
    /// Nobody knows. The first match proves it (an MD5 does not match by chance); until then a
    /// mismatch proves nothing, and the first one ends the attempt.
    #[default]
    Learn,
    /// It is, as documented by the provider.
    Always,
}

/// What has been learnt about `ETag`s in the life of a store.
#[derive(Debug)]
pub(super) struct EtagKnowledge(AtomicU8);

impl EtagKnowledge {
    pub(super) fn new(start: EtagDigest) -> Self {
        Self(AtomicU8::new(start as u8))
    }

    pub(super) fn get(&self) -> EtagDigest {
        match self.0.load(Ordering::Relaxed) {
            0 => EtagDigest::Never,
            1 => EtagDigest::Learn,
            _ => EtagDigest::Always,
        }
    }

    /// Settles the question; what was settled first stays.
    pub(super) fn settle(&self, learnt: EtagDigest) {
        let open = EtagDigest::Learn as u8;
        // Whoever came first has found out; nothing is lost.
        let _ = self.0.compare_exchange(open, learnt as u8, Ordering::Relaxed, Ordering::Relaxed);
    }
}
