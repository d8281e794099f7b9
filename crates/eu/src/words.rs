//! How the types of `lifeboat-core` are written in the data file and in JSON. That crate knows no
//! serde.

use std::fmt::Display;

use lifeboat_core::{Jurisdiction, Support};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// All jurisdictions that an owner can have.
const JURISDICTIONS: [Jurisdiction; 6] = [
    Jurisdiction::Eu,
    Jurisdiction::Ch,
    Jurisdiction::Uk,
    Jurisdiction::Us,
    Jurisdiction::Other,
    Jurisdiction::SelfHosted,
];

/// Reads a jurisdiction from its word.
pub(crate) fn parse_jurisdiction(word: &str) -> Option<Jurisdiction> {
    JURISDICTIONS.into_iter().find(|jurisdiction| jurisdiction.as_str().eq_ignore_ascii_case(word))
}

/// Serializes what has a word as that word.
pub(crate) fn word<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// Deserializes a jurisdiction from its word.
pub(crate) fn read_jurisdiction<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Jurisdiction, D::Error> {
    let word = String::deserialize(from)?;
    parse_jurisdiction(&word)
        .ok_or_else(|| D::Error::custom(format!("unknown jurisdiction {word:?}")))
}

/// Deserializes support from its word.
pub(crate) fn read_support<'de, D: Deserializer<'de>>(from: D) -> Result<Support, D::Error> {
    let word = String::deserialize(from)?;
    [Support::Yes, Support::No, Support::Unknown]
        .into_iter()
        .find(|support| support.as_str() == word)
        .ok_or_else(|| D::Error::custom(format!("{word:?} is none of yes, no, unknown")))
}

/// Serializes limits of multipart uploads, sizes in bytes.
pub(crate) mod part_limits {
    use lifeboat_core::PartLimits;
    use serde::{Serializer, ser::SerializeMap};

    /// Writes the limits into the object that holds them.
    pub(crate) fn serialize<S: Serializer>(value: &PartLimits, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(5))?;
        map.serialize_entry("max_parts", &value.max_parts)?;
        map.serialize_entry("min_part_size", &value.min_part_size)?;
        map.serialize_entry("max_part_size", &value.max_part_size)?;
        map.serialize_entry("max_object_size", &value.max_object_size)?;
        map.serialize_entry("equal_parts", &value.equal_parts)?;
        map.end()
    }
}
