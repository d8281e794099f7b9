//! User metadata under names that Azure refuses.
//!
//! Azure wants names to be C# identifiers; S3 and Google take `x-team`. An object that moves
//! between them must keep its metadata, so names that do not fit are encoded: `lbenc_`, then the
//! name with every byte that is no ASCII letter or digit as `_` and two hex digits.

use std::borrow::Cow;
use std::fmt::Write as _;

use object_store::{Attribute, Attributes};

const ENCODED: &str = "lbenc_";

/// The attributes with names that Azure takes.
pub(crate) fn encode(attributes: &Attributes) -> Attributes {
    map_names(attributes, |name| {
        let fits = is_identifier(name) && !name.starts_with(ENCODED);
        (!fits).then(|| encode_name(name))
    })
}

/// The attributes with the names they were given.
pub(crate) fn decode(attributes: &Attributes) -> Attributes {
    map_names(attributes, |name| decode_name(name.strip_prefix(ENCODED)?))
}

fn map_names(attributes: &Attributes, rename: impl Fn(&str) -> Option<String>) -> Attributes {
    attributes
        .into_iter()
        .map(|(attribute, value)| {
            let renamed = match attribute {
                Attribute::Metadata(name) => rename(name).map(Cow::Owned).map(Attribute::Metadata),
                _ => None,
            };
            (renamed.unwrap_or_else(|| attribute.clone()), value.clone())
        })
        .collect()
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn encode_name(name: &str) -> String {
    name.bytes().fold(ENCODED.to_owned(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "_{byte:02x}");
        }
        encoded
    })
}

fn decode_name(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'_' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Attributes {
        Attributes::from_iter([(Attribute::Metadata(name.to_owned().into()), "v")])
    }

    #[test]
    fn names_that_fit_are_left_alone() {
        assert_eq!(encode(&named("plain_name1")), named("plain_name1"));
    }

    #[test]
    fn other_names_come_back_as_they_were() {
        for name in ["x-team", "1st", "a.b", "lbenc_x", "with_and-both"] {
            let encoded = encode(&named(name));
            assert_ne!(encoded, named(name), "{name}");
            let (key, _) = encoded.iter().next().unwrap();
            assert!(matches!(key, Attribute::Metadata(key) if is_identifier(key)), "{key:?}");
            assert_eq!(decode(&encoded), named(name), "{name}");
        }
    }

    #[test]
    fn what_only_looks_encoded_is_left_alone() {
        assert_eq!(decode(&named("lbenc_zz_q")), named("lbenc_zz_q"));
    }
}
