//! What servers do differently from what `object_store`'s own suite expects, as data.
//!
//! A deviation is asserted: a server that stops deviating makes its test fail, so that the entry
//! goes away.

use crate::Kind;

/// One known deviation.
#[derive(Debug, Clone, Copy)]
pub struct Deviation {
    /// On which server.
    pub kind: Kind,
    /// In which function of the suite.
    pub function: &'static str,
    /// What it does, and why that is the server's doing.
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
];

/// The deviation of `kind` in `function`, if there is one.
pub fn find(kind: Kind, function: &str) -> Option<&'static Deviation> {
    DEVIATIONS.iter().find(|entry| entry.kind == kind && entry.function == function)
}
