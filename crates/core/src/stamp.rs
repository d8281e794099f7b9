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
        let mut rest = text.as_bytes();
        let stamp = Self::read(&mut rest)?;
        if rest.is_empty() { Ok(stamp) } else { Err(NotAStamp) }
    }
}

impl Stamp {
    fn read(text: &mut &[u8]) -> Result<Self, NotAStamp> {
        let time = hexadecimal(text)?;
        separator(text, b'-')?;
        Ok(Self { time, writer: hexadecimal(text)? })
    }
}

/// Takes 16 hexadecimal digits from the beginning of a text. Every read parses a tag: this is on its path.
fn hexadecimal(text: &mut &[u8]) -> Result<u64, NotAStamp> {
    let (digits, rest) = text.split_first_chunk::<16>().ok_or(NotAStamp)?;
    *text = rest;
    let (mut number, mut none) = (0, false);
    for digit in digits {
        let value = VALUES[usize::from(*digit)];
        none |= value == NONE;
        number = number << 4 | u64::from(value & 0xf);
    }
    if none { Err(NotAStamp) } else { Ok(number) }
}

/// What is no digit.
const NONE: u8 = u8::MAX;

/// The value of each byte as a hexadecimal digit.
const VALUES: [u8; 256] = {
    let (mut values, mut value) = ([NONE; 256], 0);
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        values[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Takes a character from the beginning of a text.
fn separator(text: &mut &[u8], wanted: u8) -> Result<(), NotAStamp> {
    let (first, rest) = text.split_first().ok_or(NotAStamp)?;
    *text = rest;
    if *first == wanted { Ok(()) } else { Err(NotAStamp) }
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
        // There are few: looking at each costs less than one hash.
        let (_, text) = attributes.iter().find(|(name, _)| is_ours(name))?;
        text.as_ref().parse().ok()
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

fn is_ours(name: &Attribute) -> bool {
    matches!(name, Attribute::Metadata(name) if *name == STAMP_METADATA)
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
        let mut rest = text.as_bytes();
        let stamp = Stamp::read(&mut rest)?;
        separator(&mut rest, b'.')?;
        let key = hexadecimal(&mut rest)?;
        if rest.is_empty() {
            return Ok(Self { stamp, key, checksum: None });
        }
        separator(&mut rest, b'.')?;
        let checksum = Some(hexadecimal(&mut rest)?);
        if rest.is_empty() { Ok(Self { stamp, key, checksum }) } else { Err(NotAStamp) }
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
