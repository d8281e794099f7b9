//! What was transferred is not what was meant.

use super::checksum::Checksum;

/// What was transferred is not what was meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrityError {
    /// The body that was read does not have the checksum that came with it.
    #[error("the body has {actual}, but {expected} was announced with it")]
    Read {
        /// What the provider announced.
        expected: Checksum,
        /// What came.
        actual: Checksum,
    },
    /// The provider stored something else than what was sent.
    #[error("the provider stored {expected}, but what was sent has {actual}")]
    Stored {
        /// What the provider says it has.
        expected: Checksum,
        /// What was sent.
        actual: Checksum,
    },
    /// The body is shorter or longer than announced.
    #[error("the body has {actual} bytes, but {expected} were announced")]
    Length {
        /// Bytes announced.
        expected: u64,
        /// Bytes that came, as far as they were counted.
        actual: u64,
    },
}

impl IntegrityError {
    pub(super) fn stored(expected: Checksum, actual: Checksum) -> Self {
        Self::Stored { expected, actual }
    }
}
