//! Who carries out what a scenario says.

use async_trait::async_trait;

use crate::scenario::Disturbance;

/// Breaks the primary, and heals it.
#[async_trait]
pub trait Breaker: Send + Sync {
    /// From now on this holds, in place of what held before.
    ///
    /// # Errors
    /// The primary cannot be broken like this, or cannot be healed; in words.
    async fn apply(&self, disturbance: Disturbance) -> Result<(), String>;
}
