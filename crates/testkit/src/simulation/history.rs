//! What happened, in order: every operation of every client, the weather and the crashes, as text and as a digest.

use std::fmt::{self, Write as _};
use std::ops::Range;

use object_store::path::Path;
use sha2::{Digest, Sha256};

use crate::signing::hex;

/// Names a value: the number of the operation that wrote it.
pub type Value = u32;

/// What a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Writes a key.
    Put(Path),
    /// Writes a key that must not exist.
    Create(Path),
    /// Writes a key that must hold a certain version.
    Update(Path),
    /// Writes a key in parts.
    Multipart(Path),
    /// Begins to write a key in parts and thinks better of it.
    AbortedMultipart(Path),
    /// Reads a key.
    Get(Path),
    /// Reads a part of a key.
    GetRange(Path, Range<u64>),
    /// Reads several parts of a key in one go.
    GetRanges(Path, Vec<Range<u64>>),
    /// Reads the attributes of a key.
    Head(Path),
    /// Deletes keys, several in one go.
    Delete(Vec<Path>),
    /// Lists a prefix.
    List(Path),
    /// Lists one level of a folder.
    Level(Path),
    /// Copies the first to the second.
    Copy(Path, Path),
    /// Renames the first to the second.
    Rename(Path, Path),
}

impl Action {
    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        let lists = matches!(self, Self::List(_) | Self::Level(_));
        let ranges = matches!(self, Self::GetRange(..) | Self::GetRanges(..));
        lists || ranges || matches!(self, Self::Get(_) | Self::Head(_))
    }

    /// Whether it depends on a condition, which only the deciding backend can check.
    pub fn is_conditional(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Update(_))
    }
}

/// How a failed operation failed, as far as a caller can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such object.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// The condition does not hold.
    Precondition,
    /// Not supported, or refused in this state.
    NotSupported,
    /// Anything else: whether it happened is open.
    Other,
}

impl Refusal {
    pub(super) fn of(error: &object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            object_store::Error::AlreadyExists { .. } => Self::AlreadyExists,
            object_store::Error::Precondition { .. } => Self::Precondition,
            object_store::Error::NotSupported { .. } => Self::NotSupported,
            _ => Self::Other,
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It has not ended.
    Pending,
    /// A write was acknowledged.
    Done,
    /// A read found a value, or nothing.
    Saw(Option<Value>),
    /// A listing found keys.
    Listed(Vec<Path>),
    /// A listing of one level found objects and folders.
    Level {
        /// Keys of the objects.
        objects: Vec<Path>,
        /// The folders in it.
        folders: Vec<Path>,
    },
    /// A bulk delete: which keys are acknowledged.
    Deleted(Vec<bool>),
    /// It failed.
    Failed(Refusal, String),
    /// The client stopped waiting.
    GivenUp,
    /// The process crashed.
    Crashed,
}

/// An operation of a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// Its number, which is the value that it writes.
    pub id: Value,
    /// The process.
    pub process: usize,
    /// The life of the process.
    pub incarnation: u32,
    /// The client in the process.
    pub client: usize,
    /// What is done.
    pub action: Action,
    /// What it may write: its own number, or what it may find where it copies from.
    pub values: Vec<Value>,
    /// When it began, in milliseconds.
    pub invoked: u64,
    /// When it ended.
    pub completed: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Record {
    /// Whether it was acknowledged in full.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Done)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, process, incarnation, client, action, invoked, completed, outcome, .. } =
            self;
        write!(f, "{invoked:>8} ")?;
        match completed {
            Some(completed) => write!(f, "..{completed:<8}")?,
            None => write!(f, "..{:<8}", "")?,
        }
        write!(f, " p{process}.{incarnation}/c{client} #{id} {action:?} -> {outcome:?}")
    }
}

/// Everything that happened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct History {
    /// The operations, by number.
    pub records: Vec<Record>,
    /// The rest, with its time: weather, crashes, restarts, and at the end the changes at each backend.
    pub events: Vec<(u64, String)>,
}

impl History {
    /// A digest over all of it. Equal digests mean equal histories.
    pub fn digest(&self) -> String {
        let mut hasher = Hashing(Sha256::new());
        // Hashing cannot fail.
        let _ = write!(hasher, "{self}");
        hex(&hasher.0.finalize())
    }
}

impl fmt::Display for History {
    /// One line for each operation and event, in order of time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut records = self.records.iter().peekable();
        let mut events: Vec<_> = self.events.iter().collect();
        events.sort_by_key(|(at, _)| *at);
        for (at, event) in events {
            while let Some(record) = records.next_if(|record| record.invoked <= *at) {
                writeln!(f, "{record}")?;
            }
            writeln!(f, "{at:>8}           {event}")?;
        }
        records.try_for_each(|record| writeln!(f, "{record}"))
    }
}

struct Hashing(Sha256);

impl fmt::Write for Hashing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}
