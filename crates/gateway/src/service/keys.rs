//! Keys and ETags, as S3 writes them and as `object_store` does.

use object_store::ObjectMeta;
use object_store::path::Path;
use s3s::dto::{ETag, Timestamp};
use s3s::{S3Result, s3_error};

/// The path of a key, if there is one that is the same.
pub(super) fn path(key: &str) -> S3Result<Path> {
    let same = |path: &Path| path.as_ref() == key && !key.is_empty();
    Path::parse(key).ok().filter(same).ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "the gateway's stores cannot carry this key; \
             use one without empty, '.' or '..' segments, leading or trailing slash, or control characters"
        )
    })
}

/// A backend's ETag, without the quotes that some put around it and S3 adds.
pub(super) fn etag(given: &str) -> Option<ETag> {
    let (weak, rest) = match given.strip_prefix("W/") {
        Some(rest) => (true, rest),
        None => (false, given),
    };
    let bare = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest);
    // What cannot stand between quotes in a header could not come back either.
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
    if bare.is_empty() || !bare.bytes().all(fits) {
        return None;
    }
    Some(if weak { ETag::Weak(bare.to_owned()) } else { ETag::Strong(bare.to_owned()) })
}

/// The ETag of an object.
pub(super) fn etag_of(meta: &ObjectMeta) -> Option<ETag> {
    meta.e_tag.as_deref().and_then(etag)
}

/// When an object was written.
pub(super) fn modified(meta: &ObjectMeta) -> Timestamp {
    Timestamp::from(std::time::SystemTime::from(meta.last_modified))
}

/// A length as S3's types have it.
pub(super) fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_would_change_on_the_way_are_refused() {
        for key in ["a//b", "/a", "a/", "/", "", ".", "a/../b", "a/./b", "a\u{7}b"] {
            assert!(path(key).is_err(), "{key:?}");
        }
        for key in ["a", "a/b", "a b", "a%2Fb", "%", "ü/é", "a..b", "a+b", "~", "#", "a\\b"] {
            assert_eq!(path(key).unwrap().as_ref(), key);
        }
    }

    #[test]
    fn etags_lose_their_quotes_and_keep_their_weakness() {
        assert_eq!(etag("\"1\""), Some(ETag::Strong("1".into())));
        assert_eq!(etag("0x8D"), Some(ETag::Strong("0x8D".into())));
        assert_eq!(etag("W/\"1\""), Some(ETag::Weak("1".into())));
        for unfit in ["", "\"\"", "a\"b", "a b", "a\r\nb", "ü"] {
            assert_eq!(etag(unfit), None, "{unfit:?}");
        }
    }
}
