//! One key: its versions, and what an answer that shows it means.
//!
//! Versions are numbered in the order in which their writes began; writes of one key never overlap,
//! reads overlap with anything. The *floor* of a key is its last acknowledged version. A read must
//! show the floor that held when it began, or something newer. A write that failed may have happened
//! or not, until a later write of the key is acknowledged; from then on it must not be seen again.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attribute, AttributeValue, Attributes};

use crate::content;

/// The user metadata that every small object carries. A valid C# identifier, as Azure wants.
const METADATA: &str = "drill";

/// What every small object says it is.
const CONTENT_TYPE: &str = "application/x-lifeboat-drill";

/// One version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Absent,
    Present(Object),
}

/// What is known of an object that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object {
    /// The bytes follow from it.
    pub(super) nonce: u64,
    pub(super) size: u64,
    /// Whether content type and metadata were given. Multipart uploads go without: some emulators
    /// cannot take attributes there.
    pub(super) attributes: bool,
}

impl Object {
    /// All bytes.
    pub(crate) fn body(&self) -> Bytes {
        content::body(self.nonce, self.size)
    }

    /// What goes along with the bytes.
    pub(crate) fn attributes(&self) -> Attributes {
        if !self.attributes {
            return Attributes::new();
        }
        Attributes::from_iter([
            (Attribute::ContentType, AttributeValue::from(CONTENT_TYPE)),
            (Attribute::Metadata(METADATA.into()), self.nonce.to_string().into()),
        ])
    }

    /// Whether all that was given is there. There may be more: stamps, defaults of a provider.
    fn has_attributes(&self, found: &Attributes) -> bool {
        self.attributes().iter().all(|(name, value)| found.get(name) == Some(value))
    }
}

/// What an answer showed of a key.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// Not found.
    Absent,
    /// An object, or a range of it.
    Object {
        /// Size of the whole object.
        size: u64,
        /// Where the bytes begin.
        offset: u64,
        bytes: Bytes,
        attributes: Attributes,
    },
    /// A line of a listing.
    Listed { size: u64 },
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The floor, or something newer: the version of this number.
    Good(usize),
    /// Nothing, where something was acknowledged.
    Missing,
    /// An older version than the one that was acknowledged.
    Stale,
    /// Something that was deleted.
    Resurrected,
    /// Nothing that was ever written.
    Corrupt,
}

/// A key as it is kept.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) path: Path,
    versions: Vec<Version>,
    /// The last acknowledged version.
    pub(super) floor: usize,
    /// Whether a write is on its way.
    pub(super) busy: bool,
    pub(super) large: bool,
}

impl Key {
    /// A key that was never written.
    pub(super) fn new(path: Path, large: bool) -> Self {
        Self { path, versions: vec![Version::Absent], floor: 0, busy: false, large }
    }

    /// Notes that a write begins; its number.
    pub(super) fn begin(&mut self, version: Version) -> usize {
        self.busy = true;
        self.versions.push(version);
        self.versions.len() - 1
    }

    /// Notes how a write ended.
    pub(super) fn end(&mut self, version: usize, acknowledged: bool) {
        self.busy = false;
        if acknowledged {
            self.floor = version;
        }
    }

    /// Whether an object was acknowledged last.
    pub(super) fn is_there(&self) -> bool {
        self.size().is_some()
    }

    /// The size of what was acknowledged last.
    pub(super) fn size(&self) -> Option<u64> {
        match self.versions[self.floor] {
            Version::Present(object) => Some(object.size),
            Version::Absent => None,
        }
    }

    /// What an answer means that should show `floor` or something newer.
    pub(super) fn judge(&self, floor: usize, seen: &Seen) -> Verdict {
        let newest = self.versions.iter().rposition(|version| fits(version, seen));
        match newest {
            Some(number) if number >= floor => Verdict::Good(number),
            _ if matches!(seen, Seen::Absent) => Verdict::Missing,
            Some(_) if self.versions[floor] == Version::Absent => Verdict::Resurrected,
            Some(_) => Verdict::Stale,
            None => Verdict::Corrupt,
        }
    }
}

/// Whether an answer can be this version.
fn fits(version: &Version, seen: &Seen) -> bool {
    match (version, seen) {
        (Version::Absent, Seen::Absent) => true,
        (Version::Present(object), Seen::Listed { size }) => object.size == *size,
        (Version::Present(object), Seen::Object { size, offset, bytes, attributes }) => {
            object.size == *size
                && content::is_of(object.nonce, *offset, bytes)
                && object.has_attributes(attributes)
        }
        _ => false,
    }
}
