//! Conditional and range requests on reads (RFC 9110 sections 13 and 14), the same for S3 and GCS.

use chrono::{DateTime, Utc};
use hyper::HeaderMap;
use hyper::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE};

/// What the conditions of a read say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// A date as HTTP writes it.
pub(crate) fn http_date(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn seconds(headers: &HeaderMap, name: &hyper::header::HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text).ok().map(|time| time.timestamp())
}

/// Whether a list of entity tags names this one; quotes do not matter, as at AWS.
pub(crate) fn names(list: &str, etag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_matches('"').to_owned();
    list.trim() == "*" || list.split(',').any(|tag| bare(tag) == bare(etag))
}

/// Evaluates a read's conditions against an object. Tags win over dates.
pub(crate) fn evaluate(headers: &HeaderMap, etag: &str, modified: DateTime<Utc>) -> Verdict {
    let tags = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let modified = modified.timestamp();
    let failed = match tags(IF_MATCH) {
        Some(list) => !names(list, etag),
        None => seconds(headers, &IF_UNMODIFIED_SINCE).is_some_and(|limit| modified > limit),
    };
    if failed {
        return Verdict::Failed;
    }
    let unmodified = match tags(IF_NONE_MATCH) {
        Some(list) => names(list, etag),
        None => seconds(headers, &IF_MODIFIED_SINCE).is_some_and(|limit| modified <= limit),
    };
    if unmodified { Verdict::NotModified } else { Verdict::Proceed }
}

/// Which bytes a read asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// All of them: no range, or one that is not understood.
    All,
    /// From the first up to but not including the second.
    Some(u64, u64),
    /// 416.
    Unsatisfiable,
}

/// Reads a single `Range: bytes=…`, clipped to the object's size.
pub(crate) fn range(headers: &HeaderMap, size: u64) -> Bytes {
    let text = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let spec = text.and_then(|text| text.strip_prefix("bytes="));
    let Some((first, last)) = spec.and_then(|spec| spec.split_once('-')) else {
        return Bytes::All;
    };
    let bounds = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(size)),
        (Ok(first), Err(_)) if last.trim().is_empty() => (first, size),
        (Err(_), Ok(0)) => return Bytes::Unsatisfiable,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => (size.saturating_sub(suffix), size),
        _ => return Bytes::All,
    };
    if bounds.0 >= size { Bytes::Unsatisfiable } else { Bytes::Some(bounds.0, bounds.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header value"));
        headers
    }

    #[test]
    fn ranges_are_clipped_and_those_past_the_end_refused() {
        let of = |text| range(&with("range", text), 10);
        assert_eq!(of("bytes=0-3"), Bytes::Some(0, 4));
        assert_eq!(of("bytes=8-99"), Bytes::Some(8, 10));
        assert_eq!(of("bytes=4-"), Bytes::Some(4, 10));
        assert_eq!(of("bytes=-3"), Bytes::Some(7, 10));
        assert_eq!(of("bytes=-99"), Bytes::Some(0, 10));
        assert_eq!(of("bytes=10-12"), Bytes::Unsatisfiable);
        assert_eq!(of("bytes=-0"), Bytes::Unsatisfiable);
        assert_eq!(of("bytes=5-2"), Bytes::All);
        assert_eq!(of("lines=1-2"), Bytes::All);
    }

    #[test]
    fn tags_win_over_dates_and_quotes_do_not_matter() {
        let now = DateTime::from_timestamp(1_000_000, 0).expect("a time");
        assert_eq!(evaluate(&with("if-match", "abc"), "\"abc\"", now), Verdict::Proceed);
        assert_eq!(evaluate(&with("if-match", "\"x\""), "\"abc\"", now), Verdict::Failed);
        assert_eq!(evaluate(&with("if-none-match", "*"), "\"abc\"", now), Verdict::NotModified);
        let mut both = with("if-match", "\"abc\"");
        let old = http_date(DateTime::UNIX_EPOCH);
        both.insert(IF_UNMODIFIED_SINCE, old.parse().expect("a header value"));
        assert_eq!(evaluate(&both, "\"abc\"", now), Verdict::Proceed);
        both.remove(IF_MATCH);
        assert_eq!(evaluate(&both, "\"abc\"", now), Verdict::Failed);
    }
}
