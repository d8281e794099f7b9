//! What strikes which requests: operations, key patterns, and rules that join them to a strike.

use std::time::Duration;

use object_store::path::Path;

use super::{Failure, Gate};
use crate::random::Random;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// A put that overwrites.
    Put,
    /// A put that must find nothing.
    Create,
    /// A put that must find a certain version.
    Update,
    /// A read of a whole object.
    Get,
    /// A read of one or more ranges.
    GetRange,
    /// A read of metadata alone.
    Head,
    /// A delete; each key of a bulk delete is one.
    Delete,
    /// A listing, and each further page of it.
    List,
    /// A copy; the key is the target's.
    Copy,
    /// A rename; the key is the target's.
    Rename,
    /// The beginning of a multipart upload.
    MultipartBegin,
    /// A part of a multipart upload.
    MultipartPart,
    /// The completion of a multipart upload.
    MultipartComplete,
    /// The abortion of a multipart upload.
    MultipartAbort,
}

impl Operation {
    /// Every operation.
    pub const ALL: &[Self] = &[
        Self::Put,
        Self::Create,
        Self::Update,
        Self::Get,
        Self::GetRange,
        Self::Head,
        Self::Delete,
        Self::List,
        Self::Copy,
        Self::Rename,
        Self::MultipartBegin,
        Self::MultipartPart,
        Self::MultipartComplete,
        Self::MultipartAbort,
    ];

    /// Those that change nothing.
    pub const READS: &[Self] = &[Self::Get, Self::GetRange, Self::Head, Self::List];

    /// Those that change something.
    pub const WRITES: &[Self] = &[
        Self::Put,
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Copy,
        Self::Rename,
        Self::MultipartBegin,
        Self::MultipartPart,
        Self::MultipartComplete,
        Self::MultipartAbort,
    ];

    /// Puts of every mode.
    pub const PUTS: &[Self] = &[Self::Put, Self::Create, Self::Update];

    /// Whether it changes something.
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::GetRange | Self::Head | Self::List)
    }
}

/// Where in a body something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// After this many bytes (entries, in a listing).
    Offset(u64),
    /// Somewhere, drawn from the seed.
    Anywhere,
}

/// What happens to a request that is struck.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Strike {
    /// Fails before it has any effect.
    Fail(Failure),
    /// Has its effect, and is answered with a failure all the same.
    FailAfter(Failure),
    /// Is answered with a failure at once and has its effect later, at a time within this bound drawn from the seed.
    /// Needs a tokio runtime that outlives the request.
    FailLate(Failure, Duration),
    /// Waits this long before it goes on as usual.
    Delay(Duration),
    /// Is lost: no effect, no answer, ever.
    Hang,
    /// Has its effect; the answer is lost.
    HangAfter,
    /// Waits at the gate before it has its effect.
    Hold(Gate),
    /// Has its effect, and waits at the gate before it is answered.
    HoldAfter(Gate),
    /// The body that is read breaks with a failure. Positions in bodies count bytes from the beginning of what is sent, over
    /// all ranges of one request; in listings, which these strikes hit as well, entries of a page.
    Break(At, Failure),
    /// The body that is read stops coming, without an end.
    Stall(At),
    /// Each piece of the body that is read, or entry of a listing, takes this long.
    Drip(Duration),
    /// The body that is read ends early, as if that were all.
    Truncate(At),
    /// One byte of the body that is read is wrong. Listings are left as they are.
    Corrupt(At),
}

/// Which keys a rule strikes.
#[derive(Clone, Debug)]
enum Keys {
    Any,
    Exact(String),
    Prefix(String),
    Containing(String),
}

impl Keys {
    fn match_key(&self, key: &Path) -> bool {
        let key = key.as_ref();
        match self {
            Self::Any => true,
            Self::Exact(wanted) => key == wanted,
            Self::Prefix(prefix) => key.starts_with(prefix),
            Self::Containing(part) => key.contains(part),
        }
    }
}

/// A strike and the requests that it hits: by default all of them, every time.
///
/// ```
/// use lifeboat_testkit::fault_store::{Failure, Operation, Rule, Strike};
/// // The second and third put below `logs/` happen, and look as if they had not.
/// let rule = Rule::new(Strike::FailAfter(Failure::Reset))
///     .on(Operation::PUTS)
///     .prefix("logs/")
///     .skip(1)
///     .times(2);
/// # drop(rule);
/// ```
#[derive(Clone, Debug)]
pub struct Rule {
    strike: Strike,
    operations: Vec<Operation>,
    keys: Keys,
    permille: u32,
    skip: u64,
    times: Option<u64>,
}

impl Rule {
    /// Strikes every request.
    pub fn new(strike: Strike) -> Self {
        let operations = Vec::new();
        Self { strike, operations, keys: Keys::Any, permille: 1000, skip: 0, times: None }
    }

    /// Strikes only these operations.
    pub fn on(mut self, operations: &[Operation]) -> Self {
        self.operations = operations.to_vec();
        self
    }

    /// Strikes only this key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.keys = Keys::Exact(key.into());
        self
    }

    /// Strikes only keys that begin so (for a listing: its prefix).
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.keys = Keys::Prefix(prefix.into());
        self
    }

    /// Strikes only keys that contain this.
    pub fn containing(mut self, part: impl Into<String>) -> Self {
        self.keys = Keys::Containing(part.into());
        self
    }

    /// Strikes this many of a thousand matching requests, drawn from the seed.
    pub fn permille(mut self, cases: u32) -> Self {
        self.permille = cases;
        self
    }

    /// Leaves the first matching requests alone.
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Strikes this many times, then never again.
    pub fn times(mut self, strikes: u64) -> Self {
        self.times = Some(strikes);
        self
    }

    /// The strike for a request, where this rule hits it; counts and draws.
    pub(super) fn consult(
        &mut self,
        operation: Operation,
        key: &Path,
        random: &mut Random,
    ) -> Option<Strike> {
        let operations = &self.operations;
        if !(operations.is_empty() || operations.contains(&operation)) || !self.keys.match_key(key)
        {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        if self.times == Some(0) || (self.permille < 1000 && !random.permille(self.permille)) {
            return None;
        }
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        Some(self.strike.clone())
    }
}
