//! The path and query of a request, taken apart and decoded once.

use hyper::Uri;
use percent_encoding::percent_decode_str;

use crate::signing::escape;

/// Decodes `%xx`; bytes that are not UTF-8 become replacement characters.
pub(crate) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Splits a path-style path into bucket and key, both decoded. Either may be empty.
pub(crate) fn bucket_and_key(path: &str) -> (String, String) {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    (decode(bucket), decode(key))
}

/// The decoded parameters of a query, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a URI's query apart; `+` is a space, as in forms.
    pub(crate) fn of(uri: &Uri) -> Self {
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let decode = |text: &str| decode(&text.replace('+', " "));
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    /// The first value of a parameter.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter, unless it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// Whether a parameter is there, with or without a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// All parameters, decoded.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The canonical query that signatures cover: escaped strictly, sorted, without `except`.
    pub(crate) fn canonical(&self, except: &str) -> String {
        let mut pairs: Vec<(String, String)> = self
            .0
            .iter()
            .filter(|(name, _)| name != except)
            .map(|(name, value)| (escape(name), escape(value)))
            .collect();
        pairs.sort();
        let pairs: Vec<String> =
            pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_query_is_sorted_by_escaped_name_and_strictly_escaped() {
        let uri = "/b?prefix=a+b%2Fc&list-type=2&uploads&Sig=1".parse().expect("a URI");
        let query = Query::of(&uri);
        assert_eq!(query.canonical("Sig"), "list-type=2&prefix=a%20b%2Fc&uploads=");
        assert_eq!(query.text("uploads"), None);
        assert!(query.has("uploads"));
    }

    #[test]
    fn keys_keep_their_slashes_and_decode_once() {
        assert_eq!(bucket_and_key("/b/x%2520/y+z"), ("b".to_owned(), "x%20/y+z".to_owned()));
        assert_eq!(bucket_and_key("/b"), ("b".to_owned(), String::new()));
    }
}
