//! One page of a listing, as S3 means it: keys and rolled-up prefixes in one byte order, from any
//! point on. Stores list in orders of their own, so a page is what is smallest of all that came.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use object_store::ObjectMeta;

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) prefix: String,
    pub(super) delimiter: Option<String>,
    pub(super) from: From,
    /// Most entries of the page.
    pub(super) most: usize,
}

/// Where a page begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum From {
    #[default]
    Start,
    /// After this key.
    Key(String),
    /// After all keys that begin like this.
    Prefix(String),
}

impl From {
    /// Whether a key comes in this page or later.
    pub(super) fn admits(&self, key: &str) -> bool {
        match self {
            Self::Start => true,
            Self::Key(after) => key > after.as_str(),
            Self::Prefix(after) => key > after.as_str() && !key.starts_with(after),
        }
    }

    /// The name that everything here comes after.
    pub(super) fn after(&self) -> Option<&str> {
        match self {
            Self::Start => None,
            Self::Key(after) | Self::Prefix(after) => Some(after),
        }
    }

    /// A continuation token: opaque, and printable whatever the key.
    pub(super) fn token(&self) -> String {
        let text = match self {
            Self::Start => String::new(),
            Self::Key(after) => format!("k{after}"),
            Self::Prefix(after) => format!("p{after}"),
        };
        BASE64_URL_SAFE_NO_PAD.encode(text)
    }

    /// Reads a token, if it is one.
    pub(super) fn from_token(token: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        match text.split_at_checked(1)? {
            ("k", after) => Some(Self::Key(after.to_owned())),
            ("p", after) => Some(Self::Prefix(after.to_owned())),
            _ => None,
        }
    }
}

/// An entry of a page.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Object(ObjectMeta),
    /// Stands for all keys that begin so.
    Prefix,
}

/// Collects a page. It holds one entry more than it will have, whatever is listed.
#[derive(Debug)]
pub(super) struct Page {
    query: Query,
    entries: BTreeMap<String, Entry>,
}

impl Page {
    pub(super) fn new(query: Query) -> Self {
        Self { query, entries: BTreeMap::new() }
    }

    /// Takes an object of the listing.
    pub(super) fn object(&mut self, meta: ObjectMeta) {
        let key = meta.location.as_ref();
        let Some(rest) = key.strip_prefix(self.query.prefix.as_str()) else { return };
        if !self.query.from.admits(key) {
            return;
        }
        let delimiter = self.query.delimiter.as_deref();
        match delimiter.and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len())) {
            Some(end) => {
                let name = key[..self.query.prefix.len() + end].to_owned();
                self.insert(name, Entry::Prefix);
            }
            None => self.insert(key.to_owned(), Entry::Object(meta)),
        }
    }

    /// Takes a prefix that was rolled up already and is known to have keys to show.
    pub(super) fn prefix(&mut self, name: String) {
        if name.starts_with(&self.query.prefix) {
            self.insert(name, Entry::Prefix);
        }
    }

    fn insert(&mut self, name: String, entry: Entry) {
        self.entries.insert(name, entry);
        if self.entries.len() > self.query.most + 1 {
            self.entries.pop_last();
        }
    }

    /// Whether keys that come later in byte order would change nothing.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() > self.query.most
    }

    /// The entries, and where the next page begins if there is one.
    pub(super) fn finish(mut self) -> (BTreeMap<String, Entry>, Option<From>) {
        if !self.is_full() {
            return (self.entries, None);
        }
        self.entries.pop_last();
        let next = self.entries.last_key_value().map(|(name, entry)| match entry {
            Entry::Object(_) => From::Key(name.clone()),
            Entry::Prefix => From::Prefix(name.clone()),
        });
        (self.entries, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::seq::SliceRandom;

    fn meta(key: &str) -> ObjectMeta {
        ObjectMeta {
            location: object_store::path::Path::parse(key).unwrap(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 0,
            e_tag: None,
            version: None,
        }
    }

    fn pages(
        keys: &[&str],
        prefix: &str,
        delimiter: Option<&str>,
        most: usize,
    ) -> Vec<Vec<String>> {
        let mut query = Query {
            prefix: prefix.into(),
            delimiter: delimiter.map(Into::into),
            from: From::Start,
            most,
        };
        let mut pages = Vec::new();
        loop {
            let mut page = Page::new(query.clone());
            for key in keys {
                page.object(meta(key));
            }
            let (entries, next) = page.finish();
            pages.push(entries.into_keys().collect());
            match next {
                Some(next) => query.from = From::from_token(&next.token()).unwrap(),
                None => return pages,
            }
        }
    }

    #[test]
    fn pages_are_in_byte_order_and_complete_whatever_order_the_store_lists_in() {
        let mut keys = vec!["a", "a-b", "a/b", "a/c/d", "a/c/e", "a0", "b/x", "ü", "Z"];
        for most in 1..12 {
            keys.shuffle(&mut rand::rng());
            let all = pages(&keys, "", None, most).concat();
            assert_eq!(all, ["Z", "a", "a-b", "a/b", "a/c/d", "a/c/e", "a0", "b/x", "ü"]);
            let rolled = pages(&keys, "", Some("/"), most).concat();
            assert_eq!(rolled, ["Z", "a", "a-b", "a/", "a0", "b/", "ü"]);
            let deeper = pages(&keys, "a/", Some("/"), most).concat();
            assert_eq!(deeper, ["a/b", "a/c/"]);
        }
    }

    #[test]
    fn a_full_page_without_more_is_not_truncated() {
        assert_eq!(pages(&["a", "b"], "", None, 2), [["a", "b"]]);
        assert_eq!(pages(&["a/x", "a/y", "a/z"], "", Some("/"), 1), [["a/"]]);
    }

    #[test]
    fn starting_within_a_prefix_still_shows_it_if_keys_follow() {
        let query = Query {
            delimiter: Some("/".into()),
            from: From::Key("a/b".into()),
            most: 10,
            ..Query::default()
        };
        let mut page = Page::new(query);
        for key in ["a/a", "a/b", "a/c", "b/x"] {
            page.object(meta(key));
        }
        assert_eq!(page.finish().0.into_keys().collect::<Vec<_>>(), ["a/", "b/"]);
    }

    #[test]
    fn tokens_of_others_are_no_tokens() {
        for token in ["", "k", "!!", "eA"] {
            assert_eq!(From::from_token(token), None, "{token}");
        }
    }
}
