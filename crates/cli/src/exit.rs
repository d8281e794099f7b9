//! How a run ends: exit codes, and failures as they are shown to people and to programs.

use std::error::Error as StdError;
use std::io;
use std::process::ExitCode;

use lifeboat::http::WireFailure;
use lifeboat::{BlobStore, Error, ErrorKind};
use object_store::path::Path;
use serde_json::{Value, json};

use crate::output::{escape, say};

/// The exit codes; documented in `--help` and in the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything was done.
    Ok = 0,
    /// Some of several things failed, or something that no other code names.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// Credentials missing, expired or not accepted.
    Credentials = 3,
    /// Not found.
    NotFound = 4,
    /// Denied.
    Denied = 5,
    /// The provider or the path to it.
    Unavailable = 6,
    /// What was read is not what was written.
    Integrity = 7,
    /// The provider cannot do it.
    NotSupported = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Configuration => Self::Usage,
            ErrorKind::Credentials => Self::Credentials,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Denied => Self::Denied,
            ErrorKind::NotSupported => Self::NotSupported,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Integrity => Self::Integrity,
            _ => Self::Failed,
        }
    }
}

impl Exit {
    /// What an error ends with.
    pub(crate) fn of(error: &Error) -> Self {
        error.kind().into()
    }

    /// How a run of several things ends: with what they all failed of, or "some failed".
    pub(crate) fn of_all<'a>(
        any_done: bool,
        mut failures: impl Iterator<Item = &'a Error>,
    ) -> Self {
        let Some(first) = failures.next().map(Self::of) else { return Self::Ok };
        let same = !any_done && failures.all(|error| Self::of(error) == first);
        if same { first } else { Self::Failed }
    }
}

/// Why a run, or one of its steps, ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something failed: shown with its causes and what to do.
    Error {
        /// How the process ends.
        exit: Exit,
        /// What went wrong.
        error: Box<Error>,
    },
    /// Everything that went wrong has been said already.
    Reported(Exit),
    /// Whoever read our output has gone; not an error (`lifeboat ls … | head`).
    ReaderGone,
    /// Ctrl-C.
    Interrupted,
}

/// What commands return.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error { exit: Exit::of(&error), error: Box::new(error) }
    }
}

impl Failure {
    /// A mistake on the command line that clap cannot see.
    pub(crate) fn usage(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::new(ErrorKind::Configuration, message).with_remedy(remedy).into()
    }

    /// A place that is a folder, or a whole bucket, where an object is needed.
    pub(crate) fn no_object(text: &str) -> Self {
        Self::usage(format!("`{text}` names no object"), "name an object")
    }

    /// What a store answered about `key`.
    pub(crate) fn of_store(store: &dyn BlobStore, key: &Path, error: object_store::Error) -> Self {
        lifeboat::transfer::describe(store, key, error).into()
    }

    /// A failure of the local machine.
    pub(crate) fn local(doing: impl Into<String>, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Local,
        };
        Error::new(kind, doing).with_source(error).into()
    }

    /// What writing to standard output led to.
    pub(crate) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::local("cannot write to standard output", error),
        }
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Error { exit, .. } | Self::Reported(exit) => *exit,
            Self::ReaderGone => Exit::Ok,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// Says on standard error what happened, for a person or a program.
    pub(crate) fn report(&self, json: bool) {
        match self {
            Self::Error { error, .. } if json => {
                say(&json!({ "error": to_json(error) }).to_string());
            }
            Self::Error { error, .. } => say(to_text(error).trim_end()),
            Self::Interrupted if json => {
                let error = json!({ "kind": "interrupted", "message": "interrupted" });
                say(&json!({ "error": error }).to_string());
            }
            Self::Interrupted => say("interrupted"),
            Self::Reported(_) | Self::ReaderGone => {}
        }
    }
}

/// What is not found before anything was asked (a backend, a provider, a region) is wrong in the
/// configuration, or on the command line.
pub(crate) fn before_requests(error: Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    let mut told = Error::new(ErrorKind::Configuration, error.message());
    if let Some(backend) = error.backend() {
        told = told.with_backend(backend);
    }
    if let Some(remedy) = error.remedy() {
        told = told.with_remedy(remedy);
    }
    told.with_source(error)
}

/// The error's own text: without what is shown in fields or lines of its own.
pub(crate) fn message(error: &Error) -> String {
    let text = error.to_string();
    let end = error.remedy().map_or(String::new(), |remedy| format!("; {remedy}"));
    text.strip_suffix(&end).unwrap_or(&text).to_owned()
}

/// As lines for a person.
pub(crate) fn to_text(error: &Error) -> String {
    let causes = causes(error).into_iter().map(|cause| format!("  cause: {}\n", escape(&cause)));
    let remedy = error.remedy().map(|remedy| format!("  try: {}\n", escape(remedy)));
    let first = format!("error: {}\n", escape(&message(error)));
    std::iter::once(first).chain(causes).chain(remedy).collect()
}

/// As an object for a program.
pub(crate) fn to_json(error: &Error) -> Value {
    json!({
        "kind": error.kind().as_str(),
        "message": message(error),
        "backend": error.backend(),
        "key": error.key(),
        "remedy": error.remedy(),
        "causes": causes(error),
    })
}

/// The texts of the causes, without what was said above them.
fn causes(error: &Error) -> Vec<String> {
    let chain: Vec<_> = lifeboat::causes(error).skip(1).collect();
    let wire = chain.iter().position(|cause| cause.is::<WireFailure>());
    let told = match wire {
        // What lies below repeats it at length, and would show the queries of URLs. Where nothing
        // was answered the last cause is the one that counts.
        Some(wire) => {
            let last =
                chain.last().filter(|_| wire + 1 < chain.len() && !was_answered(chain[wire]));
            chain[..=wire].iter().chain(last).copied().collect()
        }
        None => chain,
    };
    let mut said = vec![error.to_string()];
    for cause in told {
        // The error above was made from it and says the same in our words.
        if cause.is::<object_store::Error>() && below(cause).is_some() {
            continue;
        }
        let text = own_text(cause, error.remedy());
        if adds_nothing(cause, &said[0]) {
            continue;
        }
        // Some texts escape the names they hold, and some do not.
        let is_said = |earlier: &String| escape(earlier).contains(&*escape(&text));
        if !text.is_empty() && !said.iter().any(is_said) {
            said.push(text);
        }
    }
    said.split_off(1)
}

/// Whether the point of a cause has been `said`, though in other words around it: what came back
/// at the only attempt, or the message of an error of ours.
fn adds_nothing(cause: &(dyn StdError + 'static), said: &str) -> bool {
    if let Some(own) = cause.downcast_ref::<Error>() {
        return said.contains(own.message());
    }
    let wire = cause.downcast_ref::<WireFailure>().filter(|wire| wire.attempts() <= 1);
    let exchange = wire.and_then(WireFailure::exchange).map(ToString::to_string);
    exchange.is_some_and(|exchange| said.contains(&exchange))
}

fn was_answered(cause: &(dyn StdError + 'static)) -> bool {
    let exchange = cause.downcast_ref::<WireFailure>().and_then(WireFailure::exchange);
    exchange.is_some_and(|exchange| exchange.status().is_some())
}

/// The text of a cause without that of the next one, which follows, and without the remedy.
fn own_text(cause: &(dyn StdError + 'static), remedy: Option<&str>) -> String {
    let text = cause.to_string();
    let deeper = below(cause).map(ToString::to_string).unwrap_or_default();
    let own = text.strip_suffix(&deeper).unwrap_or(&text).trim_end_matches([' ', ':', ',']);
    match remedy {
        Some(remedy) => own.replace(&format!("; {remedy}"), ""),
        None => own.to_owned(),
    }
}

/// The next level of a chain of causes.
fn below<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    lifeboat::causes(error).nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_shown_once_and_the_remedy_last() {
        let disk = io::Error::other("the disk\x1b[2J is full");
        let store = object_store::Error::Generic { store: "local", source: disk.into() };
        let error = Error::new(ErrorKind::Local, "cannot store it")
            .with_backend("disk")
            .with_key("a\nb")
            .with_remedy("make room")
            .with_source(store);
        let lines = "error: disk, key `a\\nb`: cannot store it\n  cause: the disk\\u{1b}[2J is full\n  try: make room\n";
        assert_eq!(to_text(&error), lines);
        let object = to_json(&error);
        assert_eq!(object["causes"], json!(["the disk\u{1b}[2J is full"]));
        assert_eq!(object["message"], "disk, key `a\nb`: cannot store it");
    }

    #[test]
    fn what_is_unknown_before_any_request_is_a_matter_of_configuration() {
        let error = Error::new(ErrorKind::NotFound, "no backend is called `a`").with_remedy("look");
        let error = before_requests(error);
        assert_eq!(Exit::of(&error), Exit::Usage);
        assert_eq!(to_text(&error), "error: no backend is called `a`\n  try: look\n");
    }

    #[test]
    fn reader_that_has_gone_is_no_error() {
        let gone = Failure::output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(gone.exit(), Exit::Ok);
        let full = Failure::output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit(), Exit::Failed);
    }
}
