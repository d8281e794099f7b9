//! Conditions of a request on the state of an object, as pure functions (RFC 9110, section 13).

use chrono::{DateTime, Utc};
use http::HeaderMap;
use object_store::ObjectMeta;
use s3s::dto::ETag;

use super::keys;

/// ETags that a header names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Etags {
    Any,
    Of(Vec<String>),
}

impl Etags {
    /// Reads a list such as `"a", "b"`; quotes may be missing, as clients leave them out.
    fn parse(text: &str) -> Self {
        if text.trim() == "*" {
            return Self::Any;
        }
        // A comma within quotes belongs to the ETag.
        let mut quoted = false;
        let parts = text.split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        Self::Of(parts.map(|part| bare(part.trim()).to_owned()).collect())
    }

    /// Whether the object's ETag is among them.
    pub(super) fn matches(&self, etag: Option<&ETag>) -> bool {
        match (self, etag) {
            (Self::Any, _) => true,
            (Self::Of(values), Some(etag)) => values.iter().any(|value| value == etag.value()),
            (Self::Of(_), None) => false,
        }
    }
}

fn bare(text: &str) -> &str {
    let text = text.strip_prefix("W/").unwrap_or(text);
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// The conditions of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) matching: Option<Etags>,
    pub(super) none_matching: Option<Etags>,
    modified_since: Option<DateTime<Utc>>,
    unmodified_since: Option<DateTime<Utc>>,
}

/// What conditions say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Met,
    NotModified,
    Failed,
}

impl Conditions {
    /// Conditions on the object that is asked for.
    pub(super) fn of_object(headers: &HeaderMap) -> Self {
        Self::read(headers, "")
    }

    /// Conditions on the source of a copy.
    pub(super) fn of_source(headers: &HeaderMap) -> Self {
        Self::read(headers, "x-amz-copy-source-")
    }

    fn read(headers: &HeaderMap, prefix: &str) -> Self {
        let text = |name: &str| headers.get(format!("{prefix}{name}"))?.to_str().ok();
        // A date that cannot be read is as good as none (RFC 9110, 13.1.3).
        let date = |name| Some(DateTime::parse_from_rfc2822(text(name)?).ok()?.to_utc());
        Self {
            matching: text("if-match").map(Etags::parse),
            none_matching: text("if-none-match").map(Etags::parse),
            modified_since: date("if-modified-since"),
            unmodified_since: date("if-unmodified-since"),
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Evaluates them. ETags come before dates, which are in whole seconds.
    pub(super) fn evaluate(&self, meta: &ObjectMeta) -> Outcome {
        let etag = keys::etag_of(meta);
        let seconds = meta.last_modified.timestamp();
        let unchanged = match (&self.matching, self.unmodified_since) {
            (Some(etags), _) => etags.matches(etag.as_ref()),
            (None, Some(date)) => seconds <= date.timestamp(),
            (None, None) => true,
        };
        let changed = match (&self.none_matching, self.modified_since) {
            (Some(etags), _) => !etags.matches(etag.as_ref()),
            (None, Some(date)) => seconds > date.timestamp(),
            (None, None) => true,
        };
        match (unchanged, changed) {
            (false, _) => Outcome::Failed,
            (true, false) => Outcome::NotModified,
            (true, true) => Outcome::Met,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn meta() -> ObjectMeta {
        ObjectMeta {
            location: "k".into(),
            last_modified: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            size: 1,
            e_tag: Some("\"a,b\"".into()),
            version: None,
        }
    }

    fn outcome(headers: &[(&'static str, &'static str)]) -> Outcome {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Conditions::of_object(&pairs.collect()).evaluate(&meta())
    }

    #[test]
    fn etag_lists_with_and_without_quotes_match() {
        assert_eq!(outcome(&[("if-match", "\"x\", \"a,b\"")]), Outcome::Met);
        assert_eq!(outcome(&[("if-match", "*")]), Outcome::Met);
        assert_eq!(outcome(&[("if-match", "\"x\"")]), Outcome::Failed);
        assert_eq!(outcome(&[("if-none-match", "\"a,b\"")]), Outcome::NotModified);
        assert_eq!(outcome(&[("if-none-match", "W/\"a,b\"")]), Outcome::NotModified);
        assert_eq!(outcome(&[("if-none-match", "x")]), Outcome::Met);
    }

    #[test]
    fn dates_are_compared_in_whole_seconds_and_only_without_etags() {
        let same = "Fri, 02 Jan 2026 03:04:05 GMT";
        let before = "Fri, 02 Jan 2026 03:04:04 GMT";
        assert_eq!(outcome(&[("if-modified-since", same)]), Outcome::NotModified);
        assert_eq!(outcome(&[("if-modified-since", before)]), Outcome::Met);
        assert_eq!(outcome(&[("if-unmodified-since", same)]), Outcome::Met);
        assert_eq!(outcome(&[("if-unmodified-since", before)]), Outcome::Failed);
        let both = [("if-match", "\"a,b\""), ("if-unmodified-since", before)];
        assert_eq!(outcome(&both), Outcome::Met);
        let both = [("if-none-match", "\"x\""), ("if-modified-since", same)];
        assert_eq!(outcome(&both), Outcome::Met);
    }
}
