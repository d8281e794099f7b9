//! One HTTP attempt, as it was seen on the wire.

use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use object_store::client::HttpErrorKind;

/// The operation that an attempt belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Read an object or a range of it.
    Get,
    /// Read an object's metadata.
    Head,
    /// List keys.
    List,
    /// Write an object.
    Put,
    /// Write an object under a condition (create-if-absent, compare-and-swap).
    ConditionalPut,
    /// Delete one or many objects.
    Delete,
    /// Copy on the server's side.
    Copy,
    /// Copy on the server's side, if the target is absent.
    ConditionalCopy,
    /// Begin a multipart upload.
    MultipartCreate,
    /// Send one part.
    MultipartPart,
    /// Put the parts together.
    MultipartComplete,
    /// Drop a multipart upload.
    MultipartAbort,
    /// Make a presigned URL.
    Sign,
    /// Ask what the bucket does by itself.
    Inquire,
}

impl Operation {
    /// The word used in errors and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
            Self::Put => "put",
            Self::ConditionalPut => "conditional put",
            Self::Delete => "delete",
            Self::Copy => "copy",
            Self::ConditionalCopy => "conditional copy",
            Self::MultipartCreate => "multipart create",
            Self::MultipartPart => "multipart part",
            Self::MultipartComplete => "multipart complete",
            Self::MultipartAbort => "multipart abort",
            Self::Sign => "sign",
            Self::Inquire => "inquiry",
        }
    }

    /// Whether a second attempt may be refused because the first one landed.
    pub fn is_conditional(self) -> bool {
        matches!(self, Self::ConditionalPut | Self::ConditionalCopy)
    }

    /// Whether the provider has work to do before it can answer.
    pub(super) fn is_assembly(self) -> bool {
        matches!(self, Self::Copy | Self::ConditionalCopy | Self::MultipartComplete)
    }

    /// Whether it changes nothing at the provider.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::List | Self::Sign | Self::Inquire)
    }

    /// Whether it changes an object: what is sent of an upload before its completion does not.
    pub fn changes_an_object(self) -> bool {
        let upload =
            matches!(self, Self::MultipartCreate | Self::MultipartPart | Self::MultipartAbort);
        !self.is_read() && !upload
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom an attempt spoke to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// The object storage endpoint.
    Data,
    /// A credential source: STS, an instance metadata service, an OAuth endpoint.
    Credential,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The server answered with this status, and the body, as far as it was read, was sound.
    Answered(StatusCode),
    /// No connection: refused, no such host, TLS failure, or no handshake within the deadline.
    NotConnected,
    /// No head of an answer within the deadline.
    NoFirstByte,
    /// The connection broke before the head of the answer.
    Broken(HttpErrorKind),
    /// The head came, then the body broke off.
    BodyBroken(StatusCode),
    /// The head came, then the body paused for longer than the deadline.
    BodyStalled(StatusCode),
    /// The answer is not one that an object store gives: HTML, the wrong document, an error
    /// document under a 200.
    Nonsense(StatusCode),
    /// The body does not match the checksum that came with it.
    Corrupt(StatusCode),
}

impl Outcome {
    /// The status, where a head came.
    pub fn status(self) -> Option<StatusCode> {
        match self {
            Self::Answered(status)
            | Self::BodyBroken(status)
            | Self::BodyStalled(status)
            | Self::Nonsense(status)
            | Self::Corrupt(status) => Some(status),
            _ => None,
        }
    }
}

/// One HTTP attempt: what was asked, and what came back. Holds no secret: neither request headers
/// nor the query.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Exchange {
    /// HTTP method.
    pub method: Method,
    /// Whom it spoke to.
    pub traffic: Traffic,
    /// Host and port.
    pub host: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The vendor's error code, such as `SlowDown` or `AuthenticationFailed`.
    pub code: Option<String>,
    /// The vendor's message, at most 500 characters.
    pub message: Option<String>,
    /// The region that the provider says the bucket is in.
    pub region: Option<String>,
    /// The provider's id of the request, for its support.
    pub request_id: Option<String>,
    /// What the provider said about waiting.
    pub retry_after: Option<Duration>,
    /// Server's clock minus ours, in seconds.
    pub clock_skew_seconds: Option<i64>,
    /// What the server calls itself.
    pub server: Option<String>,
    /// From sending the request to the head of the answer, or to the failure.
    pub latency: Duration,
}

impl Exchange {
    /// The status, where a head came.
    pub fn status(&self) -> Option<StatusCode> {
        self.outcome.status()
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Outcome::Answered(status) => write!(f, "{status}")?,
            Outcome::NotConnected => write!(f, "cannot connect to {}", self.host)?,
            Outcome::NoFirstByte => {
                write!(f, "no answer from {} within {:.1?}", self.host, self.latency)?;
            }
            Outcome::Broken(_) => write!(f, "{} broke the connection before answering", self.host)?,
            Outcome::BodyBroken(status) => write!(f, "the body of a {status} broke off")?,
            Outcome::BodyStalled(status) => write!(f, "the body of a {status} stalled")?,
            Outcome::Nonsense(status) => {
                write!(f, "{} answered {status} with what no object store sends", self.host)?;
            }
            Outcome::Corrupt(status) => {
                write!(f, "the body of a {status} does not match its checksum")?;
            }
        }
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}
