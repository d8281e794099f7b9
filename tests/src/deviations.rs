//! What servers do differently from what `object_store`'s own suite expects, as data; and what `Failover` does.
//!
//! A deviation is asserted: a server that stops deviating makes its test fail, so that the entry
//! goes away.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use crate::Kind;

/// One known deviation.
#[derive(Debug, Clone, Copy)]
pub struct Deviation {
    /// On which server, or through a failover over which.
    pub kind: Kind,
    /// In which function of the suite.
    pub function: &'static str,
    /// What it does, and why that is the server's doing, or meant.
    pub reason: &'static str,
}

/// All of them.
pub const DEVIATIONS: &[Deviation] = &[
    Deviation {
        kind: Kind::Folder,
        function: "put_opts",
        reason: "the suite wants `NotImplemented` for an update; a folder answers `NotSupported`, as \
             every Lifeboat backend does where a condition cannot be relied on",
    },
    Deviation {
        kind: Kind::Azurite,
        function: "multipart_with_opts",
        reason: "Azure takes attributes when an upload is completed, not when it is begun, and has no \
             upload to remember them in between; object_store refuses them",
    },
    Deviation { kind: Kind::SEAWEEDFS_AZURITE, function: "response_extensions", reason: LEVELS },
    Deviation { kind: Kind::DEAD_GCS_AZURITE, function: "response_extensions", reason: LEVELS },
];

/// Puts, reads and completions have theirs.
const LEVELS: &str = "a failover's `list_with_delimiter` has no extensions: it is put together from the pages of a backend \
     and from looks at keys that this backend lacks, and is nobody's response";

/// The deviation of `kind` in `function`, if there is one.
pub fn find(kind: Kind, function: &str) -> Option<&'static Deviation> {
    DEVIATIONS.iter().find(|entry| entry.kind == kind && entry.function == function)
}

/// Runs one function of a suite; a known deviation must still be one.
///
/// # Panics
/// If the function fails and that is not known, or does not fail although that is.
pub async fn run(kind: Kind, function: &str, test: impl Future<Output = ()>) {
    let outcome = AssertUnwindSafe(test).catch_unwind().await;
    match (find(kind, function), outcome) {
        (None, Ok(())) | (Some(_), Err(_)) => {}
        (None, Err(panic)) => std::panic::resume_unwind(panic),
        (Some(known), Ok(())) => {
            panic!("{kind} passes {function} now; remove the deviation: {}", known.reason)
        }
    }
}
