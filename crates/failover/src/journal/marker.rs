//! Markers and their names. A name holds everything, so that one page of a listing loads a thousand markers
//! without reading any; only a key too long for a name lies in the marker's body.

use std::fmt::Write;

use lifeboat_core::stamp::{NotAStamp, key_hash};
use lifeboat_core::{RESERVED_PREFIX, Stamp, VersionTag};
use object_store::path::Path;
use serde::Serialize;

/// "Backend `target` may lack the latest state of `key`."
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag in the marker's name, and they combine freely"
)]
pub struct Marker {
    /// Id of the backend that may lack it.
    pub target: String,
    /// The object.
    pub key: Path,
    /// Whether the latest state is that there is none.
    pub delete: bool,
    /// Orders the write among all writes of the key.
    pub stamp: Stamp,
    /// The stamp that the object carries, where it is another: a copy carries that of its source, an
    /// upload that of its beginning.
    pub version: Option<Stamp>,
    /// The newest write of the key that the writer knew of when it dated this one, which is no competitor of it.
    pub after: Option<Stamp>,
    /// A request to the target may still land.
    pub ambiguous: bool,
    /// The write was, or may have been, acknowledged.
    pub acknowledged: bool,
    /// Written after the keeper of the marker confirmed the write. Otherwise the write may be under way.
    pub confirmed: bool,
    /// Size of the marked version in bytes, where the writer knew it; none for a delete.
    pub size: Option<u64>,
    /// Makes the name unique.
    pub(crate) nonce: u64,
}

/// As a line of `journal ls --json`.
impl Serialize for Marker {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut line = serializer.serialize_struct("Marker", 8)?;
        line.serialize_field("target", &self.target)?;
        line.serialize_field("key", self.key.as_ref())?;
        line.serialize_field("delete", &self.delete)?;
        line.serialize_field("stamp", &self.stamp.to_string())?;
        line.serialize_field("written_unix_ms", &self.stamp.unix_millis())?;
        line.serialize_field("ambiguous", &self.ambiguous)?;
        line.serialize_field("acknowledged", &self.acknowledged)?;
        line.serialize_field("size", &self.size)?;
        line.end()
    }
}

/// Where all markers lie.
pub(crate) const FOLDER: &str = "journal";
/// Longest segment of a name: file systems allow 255 bytes.
const LONGEST_SEGMENT: usize = 180;
/// Longest encoded key in a name: S3 allows 1024 bytes for the whole.
const LONGEST_KEY: usize = 640;

/// The folder of all markers.
pub(crate) fn folder() -> Path {
    Path::from_iter([RESERVED_PREFIX, FOLDER])
}

impl Marker {
    /// The stamp that a copy of the marked version carries.
    pub(crate) fn version_stamp(&self) -> Stamp {
        self.version.unwrap_or(self.stamp)
    }

    /// Whether its writer knew of an earlier write: that is the one it came after, or an earlier one of the same writer, whose
    /// writes of a key are in order.
    pub(crate) fn follows(&self, earlier: Stamp) -> bool {
        self.after.is_some_and(|after| {
            after == earlier || (after.writer() == earlier.writer() && after > earlier)
        })
    }

    /// Whether it is a delete, and a version of its key comes before it.
    pub(crate) fn buries(&self, key: &Path, tag: VersionTag) -> bool {
        self.delete && tag.belongs_to(key) && tag.stamp < self.stamp
    }

    /// The marker's name.
    pub(crate) fn path(&self) -> Path {
        let encoded = encode(self.key.as_ref());
        let long = encoded.len() > LONGEST_KEY;
        let key = if long { format!("{:016x}", key_hash(&self.key)) } else { encoded };
        let size = self.size.map_or_else(String::new, |size| format!("_{size:x}"));
        let head = format!(
            "{}_{}_{}_{:016x}_{}{size}",
            self.stamp,
            optional(self.version),
            optional(self.after),
            self.nonce,
            self.flags(long)
        );
        let mut parts =
            vec![RESERVED_PREFIX.to_owned(), FOLDER.to_owned(), self.target.clone(), head];
        let mut rest = &*key;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(LONGEST_SEGMENT));
            parts.push(now.to_owned());
            rest = later;
        }
        Path::from_iter(parts)
    }

    fn flags(&self, long: bool) -> String {
        let mut flags = String::from(if self.delete { "d" } else { "p" });
        let set =
            [(self.ambiguous, 'a'), (!self.acknowledged, 'u'), (self.confirmed, 'c'), (long, 'k')];
        flags.extend(set.into_iter().filter_map(|(on, flag)| on.then_some(flag)));
        flags
    }

    /// What the marker's object contains: the key, for those names that have no room for it.
    pub(crate) fn body(&self) -> String {
        self.key.as_ref().to_owned()
    }

    /// Reads a name.
    pub(crate) fn parse(path: &Path) -> Parsed {
        Self::read(path).unwrap_or(Parsed::Foreign)
    }

    fn read(path: &Path) -> Option<Parsed> {
        let mut parts = path.as_ref().split('/');
        if parts.next()? != RESERVED_PREFIX || parts.next()? != FOLDER {
            return None;
        }
        let target = parts.next()?.to_owned();
        let mut fields = parts.next()?.split('_');
        let stamp = fields.next()?.parse().ok()?;
        let version = parse_optional(fields.next()?).ok()?;
        let after = parse_optional(fields.next()?).ok()?;
        let nonce = u64::from_str_radix(fields.next()?, 16).ok()?;
        let flags = fields.next()?;
        let size = match fields.next() {
            Some(text) => Some(u64::from_str_radix(text, 16).ok()?),
            None => None,
        };
        let key: String = parts.collect();
        let marker = |key| Self {
            target,
            key,
            delete: flags.starts_with('d'),
            stamp,
            version,
            after,
            ambiguous: flags.contains('a'),
            acknowledged: !flags.contains('u'),
            confirmed: flags.contains('c'),
            size,
            nonce,
        };
        if flags.contains('k') {
            return Some(Parsed::KeyInBody(marker(Path::default())));
        }
        Some(Parsed::Whole(marker(Path::parse(decode(&key)?).ok()?)))
    }
}

/// What a name says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Whole(Marker),
    /// All but the key, which lies in the body.
    KeyInBody(Marker),
    /// Not a marker.
    Foreign,
}

fn optional(stamp: Option<Stamp>) -> String {
    stamp.map_or_else(|| "-".to_owned(), |stamp| stamp.to_string())
}

fn parse_optional(text: &str) -> Result<Option<Stamp>, NotAStamp> {
    match text {
        "-" => Ok(None),
        stamp => stamp.parse().map(Some),
    }
}

/// Bytes other than letters, digits and `-` become `=XX`. A percent sign would be decoded once too often by some server
/// on the way, a lone `.` is no segment, and a `~` is encoded by `object_store` itself.
fn encode(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => text.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(text, "={byte:02X}")),
        }
    }
    text
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        // The percent sign is `object_store`'s, in names that an earlier version wrote.
        if byte != b'=' && byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let pair = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marker(key: Path) -> Marker {
        Marker {
            target: "stackit.eu01.b".into(),
            key,
            delete: false,
            stamp: Stamp::new(77 << 16, 1),
            version: None,
            after: Some(Stamp::new(76 << 16, 2)),
            ambiguous: true,
            acknowledged: true,
            confirmed: false,
            size: Some(1 << 40),
            nonce: 5,
        }
    }

    #[test]
    fn a_long_key_lies_in_the_body_and_the_name_stays_within_a_thousand_bytes() {
        let marker = marker(Path::from("ä".repeat(500)));
        assert!(marker.path().as_ref().len() < 1_000);
        assert!(matches!(Marker::parse(&marker.path()), Parsed::KeyInBody(_)));
        assert_eq!(marker.body(), marker.key.as_ref());
    }

    #[test]
    fn other_objects_are_no_markers() {
        for other in ["a", ".lifeboat/journal/x", ".lifeboat/journal/x/y/z", ".lifeboat/beacon"] {
            assert_eq!(Marker::parse(&Path::from(other)), Parsed::Foreign, "{other}");
        }
    }

    proptest! {
        #[test]
        fn names_carry_markers(
            key in "[^\u{0}-\u{1f}/\u{7f}]{1,12}(/[^\u{0}-\u{1f}/\u{7f}]{1,12}){0,3}",
            delete: bool,
            acknowledged: bool,
            size: Option<u64>,
        ) {
            // As keys come from listings and from the gateway: nothing in them is encoded.
            let Ok(key) = Path::parse(key) else { return Ok(()) };
            let marker = Marker { delete, acknowledged, size, ..marker(key) };
            prop_assert_eq!(Marker::parse(&marker.path()), Parsed::Whole(marker.clone()));
            prop_assert!(marker.path().parts().all(|part| part.as_ref().len() <= LONGEST_SEGMENT));
        }
    }
}
