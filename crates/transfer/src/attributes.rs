//! Which attributes go over with an object, and when two sets of them say the same.

use std::collections::BTreeMap;

use object_store::{Attribute, Attributes};

/// Everything but the storage class, whose names are the provider's own.
pub(crate) fn carried(attributes: &Attributes) -> Attributes {
    let kept = attributes.iter().filter(|(name, _)| !matches!(name, Attribute::StorageClass));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether there is metadata of the user's own among them.
pub(crate) fn has_metadata(attributes: &Attributes) -> bool {
    attributes.iter().any(|(name, _)| matches!(name, Attribute::Metadata(_)))
}

/// The names of what differs between an object and its copy, sorted.
///
/// Names of user metadata are compared without case: HTTP does not keep it. A content type that
/// says no more than "bytes" counts as none, because S3, Azure and Google each add their own. Other
/// standard attributes that only the copy has are the provider's defaults and do not count.
pub(crate) fn differences(original: &Attributes, copy: &Attributes) -> Vec<String> {
    let (original, copy) = (normalized(original), normalized(copy));
    let changed = original.iter().filter(|(name, value)| copy.get(*name) != Some(value));
    let added =
        copy.iter().filter(|(name, _)| name.starts_with(METADATA) && !original.contains_key(*name));
    let mut names: Vec<_> = changed.chain(added).map(|(name, _)| name.clone()).collect();
    names.sort();
    names
}

const METADATA: &str = "metadata ";

fn normalized(attributes: &Attributes) -> BTreeMap<String, String> {
    let meaningful = attributes.iter().filter(|(name, value)| match name {
        Attribute::StorageClass => false,
        Attribute::ContentType => {
            !matches!(value.as_ref(), "application/octet-stream" | "binary/octet-stream")
        }
        _ => true,
    });
    meaningful.map(|(name, value)| (label(name), value.to_string())).collect()
}

fn label(name: &Attribute) -> String {
    match name {
        Attribute::ContentDisposition => "content-disposition".into(),
        Attribute::ContentEncoding => "content-encoding".into(),
        Attribute::ContentLanguage => "content-language".into(),
        Attribute::ContentType => "content-type".into(),
        Attribute::CacheControl => "cache-control".into(),
        Attribute::Metadata(name) => format!("{METADATA}{}", name.to_ascii_lowercase()),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(name: &'static str) -> Attribute {
        Attribute::Metadata(name.into())
    }

    #[test]
    fn defaults_that_a_provider_adds_are_no_difference_but_lost_values_are() {
        let original = Attributes::from_iter([(metadata("Owner"), "ann")]);
        let copy = Attributes::from_iter([
            (metadata("owner"), "ann"),
            (Attribute::ContentType, "application/octet-stream"),
            (Attribute::CacheControl, "private"),
            (Attribute::StorageClass, "STANDARD"),
        ]);
        assert!(differences(&original, &copy).is_empty());
        assert_eq!(differences(&copy, &original), ["cache-control"]);
    }

    #[test]
    fn metadata_that_only_the_copy_has_is_a_difference() {
        let copy = Attributes::from_iter([(metadata("stale"), "yes")]);
        assert_eq!(differences(&Attributes::new(), &copy), ["metadata stale"]);
    }
}
