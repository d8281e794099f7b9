//! The failover's own errors. Each says what every backend answered, whether the effect may have
//! happened, and what to do.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_core::{BlobStore, Class, Effect, Fault, Verdict, causes};
use object_store::path::Path;
use tokio::time::timeout;

use crate::backend::Backend;

/// Why no backend could do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No backend could be reached, or all failed.
    Unavailable,
    /// Those that answered are known to lack the latest version.
    Stale,
    /// Those that answered lack the key, but none of them can be believed that it does not exist.
    MissNotBelieved,
    /// Too few backends have the write.
    TooFewCopies,
    /// The data is written, but that others lack it could not be recorded.
    NotRecorded,
    /// A conditional write cannot be decided now.
    Undecidable,
    /// The request had to wait for others until its time was over.
    Busy,
    /// The body broke off and no other backend has the same version.
    BodyLost,
    /// The key belongs to the library itself.
    Reserved,
    /// The object does not fit the memory that writes may take.
    TooLarge,
    /// A presigned URL that writes would reach one backend alone, past markers, stamps and the others.
    WouldBypass,
}

/// What one backend answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) backend: String,
    pub(crate) text: String,
}

/// A request that no backend, or too few, could do.
#[derive(Debug)]
pub struct FailoverError {
    reason: Reason,
    key: Option<Path>,
    effect: Effect,
    answers: Vec<Answer>,
    /// The completion of an upload in parts, which cannot be sent again.
    completion: bool,
}

impl FailoverError {
    pub(crate) fn new(reason: Reason, key: Option<&Path>, effect: Effect) -> Self {
        let key = key.cloned();
        Self { reason, key, effect, answers: Vec::new(), completion: false }
    }

    pub(crate) fn answered(mut self, backend: &str, text: impl Into<String>) -> Self {
        self.answers.push(Answer { backend: backend.to_owned(), text: text.into() });
        self
    }

    /// Adds a backend's error, in words.
    pub(crate) fn failed(self, backend: &str, error: &object_store::Error) -> Self {
        self.answered(backend, describe(error))
    }

    /// Adds those that were not asked because they are not in use.
    pub(crate) fn away(mut self, backends: &[Arc<Backend>]) -> Self {
        for backend in backends.iter().filter(|backend| !backend.is_in_use()) {
            if !self.answers.iter().any(|answer| answer.backend == backend.id) {
                self = self.answered(&backend.id, backend.state().as_str());
            }
        }
        self
    }

    /// Says that it was the completion of an upload that failed.
    pub(crate) fn of_completion(mut self, completion: bool) -> Self {
        self.completion = completion;
        self
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Whether the effect may have happened.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// What each backend that was asked answered, in words, and of the others why they were not: pairs of a backend's id and
    /// a text for people, in no particular order.
    pub fn answers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.answers.iter().map(|answer| (answer.backend.as_str(), answer.text.as_str()))
    }

    /// The error in the cause of `error`, if it is one of this crate's.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|cause| cause.downcast_ref::<Self>())
    }

    /// Whose fault it is, seen from whoever uses the whole as one store.
    pub(crate) fn verdict(&self) -> Verdict {
        match self.reason {
            Reason::Reserved | Reason::TooLarge | Reason::WouldBypass => Verdict::answer(),
            Reason::Undecidable | Reason::Busy if self.effect == Effect::None => Verdict::answer(),
            _ => Verdict::new(Class::Fault(Fault::Down), self.effect),
        }
    }

    fn sentence(&self) -> &'static str {
        match self.reason {
            Reason::Unavailable => "no backend could serve",
            Reason::Stale => "the backends that answer are known to lack the latest version of",
            Reason::MissNotBelieved => {
                "no backend that is known to be complete could say whether there is"
            }
            Reason::TooFewCopies => "too few backends confirmed the write of",
            Reason::NotRecorded => "written, but it could not be recorded that other backends lack",
            Reason::Undecidable => "the condition cannot be decided now for",
            Reason::Busy => "earlier requests held what this one needs until its time was over:",
            Reason::BodyLost => "the body broke off, and no other backend has the same version of",
            Reason::Reserved => "the library keeps its own objects where the request wants",
            Reason::TooLarge => "the copy has to go through memory, which is too small for",
            Reason::WouldBypass => {
                "a presigned URL that writes reaches one backend only, and nobody would know that the others lack"
            }
        }
    }

    fn remedy(&self) -> &'static str {
        match self.reason {
            Reason::Unavailable | Reason::TooFewCopies if self.completion => {
                "begin the upload again: its parts are given away with the first completion"
            }
            Reason::Unavailable | Reason::NotRecorded => "repeat it when a backend is back",
            Reason::Stale => {
                "repeat it when the backend that has it is back; stale_reads = \"serve\" lets reads, and \
                 only those, have an older one"
            }
            Reason::MissNotBelieved => {
                "seed the other backends (a finished sync marks them), or declare them seeded"
            }
            Reason::TooFewCopies => "repeat it, or lower min_copies",
            Reason::Undecidable => {
                "repeat it when the first backend serves and is up to date, or set \
                 conditional_writes = \"active\" if only one process writes"
            }
            Reason::Busy => {
                "repeat it; raise the memory setting, or write the key from fewer places at once"
            }
            Reason::BodyLost => "read it again",
            Reason::Reserved => "choose a key outside of `.lifeboat/`",
            Reason::TooLarge => "raise the memory setting, or copy without a condition",
            Reason::WouldBypass => {
                "write through the failover (its gateway takes presigned writes too), or presign at \
                 one backend on purpose and run `mend` afterwards"
            }
        }
    }
}

impl fmt::Display for FailoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())?;
        match &self.key {
            Some(key) => write!(f, " `{key}`")?,
            None => f.write_str(" the request")?,
        }
        for (at, answer) in self.answers.iter().enumerate() {
            let before = if at == 0 { ": " } else { "; " };
            write!(f, "{before}{}: {}", answer.backend, answer.text)?;
        }
        if self.effect == Effect::Unknown {
            f.write_str("; the effect may have happened")?;
        }
        write!(f, "; {}", self.remedy())
    }
}

impl StdError for FailoverError {}

impl From<FailoverError> for object_store::Error {
    fn from(error: FailoverError) -> Self {
        Self::Generic { store: "Failover", source: Box::new(error) }
    }
}

/// An attempt that was cut off by our own deadline.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no answer within {0:?}")]
pub(crate) struct CutOff(pub(crate) Duration);

impl CutOff {
    /// As an error that every classification takes for slowness with unknown effect.
    pub(crate) fn into_error(self) -> object_store::Error {
        let source = std::io::Error::new(std::io::ErrorKind::TimedOut, self);
        object_store::Error::Generic { store: "Failover", source: Box::new(source) }
    }
}

/// Waits for `work` no longer than `bound`.
pub(crate) async fn within<T>(
    bound: Duration,
    work: impl Future<Output = object_store::Result<T>>,
) -> object_store::Result<T> {
    timeout(bound, work).await.unwrap_or_else(|_| Err(CutOff(bound).into_error()))
}

/// An error and its causes in one line, without repetition.
pub(crate) fn describe(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
    }
    text
}

/// Whether a backend says that there is no such object. That there is no such bucket is told by the same variant, and is a
/// fault of the backend.
pub(crate) fn is_missing(store: &dyn BlobStore, error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
        && store.classify(error).class == Class::Answer
}
