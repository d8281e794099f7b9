//! The contents of objects: each says which operation wrote it, so that whatever is found can be told apart.

use bytes::Bytes;
use object_store::{Attribute, Attributes};

use super::history::Value;
use crate::random::Random;

/// Values from here on are written by nobody's client: someone writes behind our back.
pub(super) const FOREIGN: Value = 1_000_000;

/// Values from here on were there before anything began.
pub(super) const EARLIER: Value = 2_000_000;

/// Longest filler, in bytes: several pieces of a body, and more than one part of a multipart upload.
const FILLER: u64 = 240;

/// User metadata that names the value.
const NAME: &str = "n";

/// The content of a value.
pub(super) fn content(value: Value) -> Bytes {
    let mut random = Random::new(u64::from(value));
    let length = random.in_range(0..FILLER);
    let mut text = format!("v{value}:");
    for _ in 0..length {
        text.push(char::from(b'a' + u8::try_from(random.in_range(0..26)).unwrap_or_default()));
    }
    text.into()
}

/// The attributes that go with a value.
pub(super) fn attributes(value: Value) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, format!("text/v{value}").into());
    attributes.insert(Attribute::Metadata(NAME.into()), value.to_string().into());
    if value.is_multiple_of(3) {
        attributes.insert(Attribute::CacheControl, "no-cache".into());
    }
    attributes
}

/// The value whose content this is, complete and correct.
pub(super) fn value_of(bytes: &[u8]) -> Option<Value> {
    let value = claimed(bytes)?;
    (content(value) == bytes).then_some(value)
}

/// So many bytes from the beginning of a content name its value.
pub(super) const NAMED: u64 = 16;

/// The value that some bytes claim to be.
pub(super) fn claimed(bytes: &[u8]) -> Option<Value> {
    let text = bytes.strip_prefix(b"v")?;
    let end = text.iter().position(|byte| *byte == b':')?;
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}

/// The value whose attributes these are, complete and with nothing beside them.
pub(super) fn value_of_attributes(found: &Attributes) -> Option<Value> {
    let value = found.get(&Attribute::Metadata(NAME.into()))?.parse().ok()?;
    let wanted = attributes(value);
    (wanted == *found).then_some(value)
}
