//! The conditions on writes, evaluated while the store is locked.

use super::not_implemented;
use super::options::ConditionalWrites;
use super::store::Object;
use crate::call::Call;
use crate::conditions::names;
use crate::refusal::Refusal;

/// What a write demands of the object that it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing.
    None,
    /// That there is none.
    Absent,
    /// That it has one of these entity tags.
    Match(String),
}

impl Condition {
    /// Reads a write's headers.
    pub(super) fn of(call: &Call, mode: ConditionalWrites) -> Result<Self, Refusal> {
        if mode == ConditionalWrites::Ignore {
            return Ok(Self::None);
        }
        match (call.header("if-none-match"), call.header("if-match")) {
            (Some("*"), None) => Ok(Self::Absent),
            (Some(_), _) => Err(not_implemented("If-None-Match")),
            (None, Some(tags)) => Ok(Self::Match(tags.to_owned())),
            (None, None) => Ok(Self::None),
        }
    }

    /// Whether the write may go ahead.
    pub(super) fn check(&self, existing: Option<&Object>) -> Result<(), Refusal> {
        match (self, existing) {
            (Self::Match(_), None) => {
                Err(Refusal::new(404, "NoSuchKey", "The specified key does not exist."))
            }
            (Self::Absent, Some(_)) => Err(failed("If-None-Match")),
            (Self::Match(tags), Some(object)) if !names(tags, &object.etag) => {
                Err(failed("If-Match"))
            }
            _ => Ok(()),
        }
    }
}

/// 412, naming the condition.
pub(super) fn failed(condition: &str) -> Refusal {
    let text = "At least one of the pre-conditions you specified did not hold";
    Refusal::new(412, "PreconditionFailed", text).detail("Condition", condition)
}
