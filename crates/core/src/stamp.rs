//! Stamps: the order of versions across backends, and the proof that two copies are one version.
//!
//! A stamp is a hybrid logical clock's reading and the id of the process that wrote. It travels with the
//! object as user metadata ([`STAMP_METADATA`]), beside a hash of the key it was made for and, where
//! the bytes were at hand, their checksum. What reads and advances the clock lives with the writer.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use object_store::path::Path;
use object_store::{Attribute, Attributes};

/// The name of the user metadata that holds a [`VersionTag`].
///
/// Letters only: Azure takes metadata names that are C# identifiers, and some servers turn an
/// underscore into a hyphen.
pub const STAMP_METADATA: &str = "lifeboatstamp";

/// When a version was written, by hybrid logical clock, and by whom. Later is greater.
///
/// The time has milliseconds since 1970 in its upper 48 bits and a counter in its lower 16. Two
/// stamps of one writer are never equal; equal times of two writers are ordered by writer id, so
/// that everybody orders them alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    time: u64,
    writer: u64,
}

impl Stamp {
    /// Length of a stamp as text: both halves in hexadecimal, and a hyphen.
    pub const TEXT_LENGTH: usize = 33;

    /// A stamp of `writer` at `time` (milliseconds in the upper 48 bits, counter in the lower 16).
    pub fn new(time: u64, writer: u64) -> Self {
        Self { time, writer }
    }

    /// Milliseconds since 1970, UTC.
    pub fn unix_millis(self) -> u64 {
        self.time >> 16
    }

    /// Milliseconds and counter as one number.
    pub fn time(self) -> u64 {
        self.time
    }

    /// Who wrote.
    pub fn writer(self) -> u64 {
        self.writer
    }

    /// The smallest stamp above this one.
    pub fn next(self) -> Self {
        match self.writer.checked_add(1) {
            Some(writer) => Self { writer, ..self },
            None => Self { time: self.time.saturating_add(1), writer: 0 },
        }
    }
}

/// As text: fixed width, so that text order is stamp order.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.time, self.writer)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a stamp: expected two hexadecimal numbers of 16 digits with a hyphen between them")]
pub struct NotAStamp;

impl FromStr for Stamp {
    type Err = NotAStamp;

    fn from_str(text: &str) -> Result<Self, NotAStamp> {
        let (time, writer) = text.split_once('-').ok_or(NotAStamp)?;
        Ok(Self { time: hexadecimal(time)?, writer: hexadecimal(writer)? })
    }
}

fn hexadecimal(text: &str) -> Result<u64, NotAStamp> {
    if text.len() != 16 {
        return Err(NotAStamp);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(u64::from).ok_or(NotAStamp);
    text.bytes().try_fold(0, |number, byte| Ok(number << 4 | digit(byte)?))
}

/// What an object carries to say which version of which key it is.
///
/// A server-side copy carries the tag of its *source*: the tag names its key, so that it is still
/// a proof of equal bytes, but says nothing about the order of versions of the new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionTag {
    /// When and by whom the version was written.
    pub stamp: Stamp,
    /// [`key_hash`] of the key it was written to.
    pub key: u64,
    /// CRC-64/NVME of the bytes, where the writer had them all at hand.
    pub checksum: Option<u64>,
}

impl VersionTag {
    /// The tag of a version of `key`.
    pub fn new(stamp: Stamp, key: &Path, checksum: Option<u64>) -> Self {
        Self { stamp, key: key_hash(key), checksum }
    }

    /// Whether the tag was made for `key`, and so orders its versions.
    pub fn belongs_to(&self, key: &Path) -> bool {
        self.key == key_hash(key)
    }

    /// The tag among an object's attributes, if there is a well-formed one.
    pub fn of(attributes: &Attributes) -> Option<Self> {
        attributes.get(&attribute())?.as_ref().parse().ok()
    }

    /// Writes the tag among `attributes`, over any that was there.
    pub fn write(&self, attributes: &mut Attributes) {
        attributes.insert(attribute(), self.to_string().into());
    }

    /// Takes the tag out of `attributes`: callers see what they wrote, and nothing else.
    pub fn take(attributes: &mut Attributes) -> Option<Self> {
        attributes.remove(&attribute())?.as_ref().parse().ok()
    }
}

fn attribute() -> Attribute {
    Attribute::Metadata(STAMP_METADATA.into())
}

impl fmt::Display for VersionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.stamp, self.key)?;
        match self.checksum {
            Some(checksum) => write!(f, ".{checksum:016x}"),
            None => Ok(()),
        }
    }
}

impl FromStr for VersionTag {
    type Err = NotAStamp;

    fn from_str(text: &str) -> Result<Self, NotAStamp> {
        let mut parts = text.split('.');
        let stamp = parts.next().ok_or(NotAStamp)?.parse()?;
        let key = hexadecimal(parts.next().ok_or(NotAStamp)?)?;
        let checksum = parts.next().map(hexadecimal).transpose()?;
        match parts.next() {
            Some(_) => Err(NotAStamp),
            None => Ok(Self { stamp, key, checksum }),
        }
    }
}

/// A short name of a key: CRC-64/NVME of its text.
///
/// It keeps a copied tag from passing for the key's own; it defends against accidents, not against
/// somebody who may write any metadata anyway.
pub fn key_hash(key: &Path) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, key.as_ref().as_bytes())
}

/// CRC-64/NVME of bytes in pieces.
pub fn content_checksum<'a>(pieces: impl IntoIterator<Item = &'a Bytes>) -> u64 {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_copied_tag_is_not_the_keys_own() {
        let (source, copy) = (Path::from("a"), Path::from("b"));
        let tag = VersionTag::new(Stamp::new(7 << 16, 1), &source, None);
        assert!(tag.belongs_to(&source));
        assert!(!tag.belongs_to(&copy));
    }

    #[test]
    fn what_is_no_tag_counts_as_none() {
        for text in ["", "x", "0-0", "0000000000000001-00000000000000zz.0", &"0".repeat(40)] {
            assert_eq!(text.parse::<VersionTag>(), Err(NotAStamp), "{text}");
        }
        let mut attributes = Attributes::new();
        attributes.insert(attribute(), "written by somebody".into());
        assert_eq!(VersionTag::of(&attributes), None);
    }

    #[test]
    fn next_stays_above_at_the_end_of_the_writers() {
        let last = Stamp::new(5, u64::MAX);
        assert!(last.next() > last);
    }

    proptest! {
        #[test]
        fn text_order_is_stamp_order(a: (u64, u64), b: (u64, u64)) {
            let (a, b) = (Stamp::new(a.0, a.1), Stamp::new(b.0, b.1));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(a.to_string().len(), Stamp::TEXT_LENGTH);
        }

        #[test]
        fn tags_survive_their_text(time: u64, writer: u64, key: u64, checksum: Option<u64>) {
            let tag = VersionTag { stamp: Stamp::new(time, writer), key, checksum };
            prop_assert_eq!(tag.to_string().parse(), Ok(tag));
        }
    }
}
