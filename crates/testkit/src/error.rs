//! The one error type of the crate: what failed, on which server, and what to do about it.

use std::path::PathBuf;

/// The cause of a failed exchange, from whatever library reported it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while installing, starting or using a test server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tests run without the servers that they need.
    #[error(
        "{variable} is not set: run the tests through `cargo testbed test`, which starts the servers and sets it"
    )]
    NotRunning {
        /// The environment variable that says where the server is.
        variable: &'static str,
    },
    /// Nowhere to put the servers.
    #[error(
        "no place to install the test servers: run inside a cargo workspace or set {variable} to a folder"
    )]
    NoFolder {
        /// The environment variable that names the folder.
        variable: &'static str,
    },
    /// A program that installs or runs a server is absent.
    #[error("{tool} is needed and was not found: {remedy}")]
    MissingTool {
        /// The program.
        tool: &'static str,
        /// How to get it.
        remedy: &'static str,
    },
    /// The package client refused or failed.
    #[error("installing {what} failed, see {}, which ends with:\n{tail}", log.display())]
    Install {
        /// The server.
        what: &'static str,
        /// Everything the package client printed.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A server that does not exist for this kind of machine.
    #[error(
        "{what} is not published for {platform}: run these tests on Linux x86_64, or leave this server out with --servers"
    )]
    Platform {
        /// The server.
        what: &'static str,
        /// Operating system and architecture.
        platform: String,
    },
    /// A server came up wrong, or not within its time.
    #[error("{what} {problem}, see {}, which ends with:\n{tail}", log.display())]
    Start {
        /// The server.
        what: &'static str,
        /// What was seen.
        problem: String,
        /// What the server printed.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A server answered a set-up request with an error.
    #[error("{what} refused to {action}: HTTP {status}: {body}")]
    Refused {
        /// The server.
        what: String,
        /// What was asked of it.
        action: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of its answer.
        body: String,
    },
    /// An HTTP exchange broke.
    #[error("the request to {url} failed")]
    Request {
        /// Where it went.
        url: String,
        /// What broke.
        #[source]
        source: BoxError,
    },
    /// The operating system refused something.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: String,
        /// Its answer.
        #[source]
        source: std::io::Error,
    },
    /// A value that makes no sense here.
    #[error("{0}")]
    Invalid(String),
}

/// Makes a closure that wraps an I/O error with what was tried.
pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { action: action.into(), source }
}
