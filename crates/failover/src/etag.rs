//! `ETag`s belong to a backend: one from another backend must fail a precondition, never pass by accident.
//!
//! Those of the first backend are passed on as they are, so that what an application has stored stays valid when it
//! puts a failover around its store. All others carry a label with their backend's id, and so does what carries one already: a
//! backend may be a failover itself.

const LABEL: &str = "lifeboat-";
const END: char = '|';

/// The `ETag` or version as callers see it.
pub(crate) fn label(backend: &str, first: bool, tag: Option<String>) -> Option<String> {
    match tag {
        Some(tag) if !first || tag.starts_with(LABEL) => {
            Some(format!("{LABEL}{backend}{END}{tag}"))
        }
        tag => tag,
    }
}

/// Whom a tag that a caller gives belongs to, and the backend's own text.
pub(crate) fn parse(tag: &str) -> (Option<&str>, &str) {
    match tag.strip_prefix(LABEL).and_then(|rest| rest.split_once(END)) {
        Some((backend, own)) => (Some(backend), own),
        None => (None, tag),
    }
}

/// The tag in `backend`'s own words; none if it belongs to another one.
pub(crate) fn own<'a>(backend: &str, first: bool, tag: &'a str) -> Option<&'a str> {
    match parse(tag) {
        (None, own) if first => Some(own),
        (Some(owner), own) if owner == backend => Some(own),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_tag_is_nobody_elses() {
        let tag = label("b1", false, Some("\"abc\"".into())).unwrap();
        assert_eq!(own("b1", false, &tag), Some("\"abc\""));
        assert_eq!(own("b0", true, &tag), None);
        assert_eq!(own("b2", false, &tag), None);
        assert_eq!(own("b0", true, "\"abc\""), Some("\"abc\""));
        assert_eq!(own("b1", false, "\"abc\""), None);
        let nested = label("b0", true, Some(tag.clone())).unwrap();
        assert_eq!(own("b0", true, &nested), Some(&*tag));
    }
}
