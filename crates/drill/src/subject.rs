//! What a drill is done to: a store over two sides, and what it says of itself.

use std::sync::Arc;

use object_store::ObjectStore;
use serde::Serialize;

/// What a store over several backends says of itself at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Glance {
    /// The backends, in order of preference.
    pub backends: Vec<BackendGlance>,
    /// Markers in the journal.
    pub journal: u64,
}

/// One backend at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BackendGlance {
    /// Its name.
    pub name: String,
    /// Its health, in a word.
    pub health: String,
    /// Requests that it served so far.
    pub served: u64,
}

/// What a drill is done to.
pub trait Subject: Send + Sync {
    /// The store that requests go to.
    fn store(&self) -> Arc<dyn ObjectStore>;

    /// How it is. Asked some times in a second.
    fn glance(&self) -> Glance;

    /// Whether every side has what was held back, as far as it knows; it may still wait for what could land late.
    fn is_level(&self) -> bool;

    /// Whether everything that was held back has been brought to every side, as far as it knows, and nothing is left to
    /// wait for.
    fn is_settled(&self) -> bool;
}
