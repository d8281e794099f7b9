//! What a bucket does to objects by itself: rules that somebody has set at the provider, and that a store above would
//! otherwise meet as objects that cannot be deleted, or that vanish.

/// Whether a bucket has a rule of some kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketRule {
    /// It has none.
    Absent,
    /// It has one: what it does, in words.
    Present(String),
    /// Nobody knows: why, in words.
    Unknown(String),
}

/// What a bucket does to objects by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketRules {
    /// Keeps new objects from being deleted for a while.
    pub object_lock: BucketRule,
    /// Deletes objects after a while.
    pub expiry: BucketRule,
}

impl BucketRules {
    /// What was found out.
    pub fn new(object_lock: BucketRule, expiry: BucketRule) -> Self {
        Self { object_lock, expiry }
    }

    /// Nothing was found out.
    pub fn unknown(why: &str) -> Self {
        Self::new(BucketRule::Unknown(why.into()), BucketRule::Unknown(why.into()))
    }
}
