//! The public error type: what failed, where, and what to do about it.

use std::fmt;

/// The kind of an [`Error`]; the command line derives its exit codes from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is missing, malformed or contradicts another.
    Configuration,
    /// Credentials are missing, or their source cannot be used.
    Credentials,
    /// A provider, region, backend or key that does not exist.
    NotFound,
    /// The provider refused this request.
    Denied,
    /// The object is not in the state that was expected: it exists already, or has changed.
    Conflict,
    /// The provider cannot do what was asked.
    NotSupported,
    /// The provider, or the path to it, failed.
    Unavailable,
    /// What was read is not what was written.
    Integrity,
    /// The local machine failed: disk, permissions, interrupted.
    Local,
}

impl ErrorKind {
    /// The word used in JSON output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Credentials => "credentials",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Conflict => "conflict",
            Self::NotSupported => "not-supported",
            Self::Unavailable => "unavailable",
            Self::Integrity => "integrity",
            Self::Local => "local",
        }
    }
}

/// An error with its context: the backend and key it speaks of, and what to do next.
///
/// `Display` shows message, backend, key and remedy; the cause is behind
/// [`source`](std::error::Error::source) and is not repeated in the text.
///
/// ```
/// use lifeboat_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Configuration, "unknown region `eu09`")
///     .with_backend("stackit")
///     .with_remedy("use one of eu01, eu02");
/// assert_eq!(error.to_string(), "stackit: unknown region `eu09`; use one of eu01, eu02");
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    backend: Option<String>,
    key: Option<String>,
    remedy: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Describes what failed: lower-case, no full stop, naming the thing.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), backend: None, key: None, remedy: None, source: None }
    }

    /// Names the backend.
    pub fn with_backend(mut self, backend: impl fmt::Display) -> Self {
        self.backend = Some(backend.to_string());
        self
    }

    /// Names the key.
    pub fn with_key(mut self, key: impl fmt::Display) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// Says what to do next.
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Keeps the cause.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What failed, without backend, key and remedy.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The backend it speaks of.
    pub fn backend(&self) -> Option<&str> {
        self.backend.as_deref()
    }

    /// The key it speaks of.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What to do next.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.backend, &self.key) {
            (Some(backend), Some(key)) => write!(f, "{backend}, key `{key}`: ")?,
            (Some(backend), None) => write!(f, "{backend}: ")?,
            (None, Some(key)) => write!(f, "key `{key}`: ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for object_store::Error {
    fn from(error: Error) -> Self {
        let source = Box::new(error);
        match source.kind {
            ErrorKind::NotSupported => Self::NotSupported { source },
            _ => Self::Generic { store: "Lifeboat", source },
        }
    }
}
