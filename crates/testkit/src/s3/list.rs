//! Listings, versions 2 and 1, in key order or in directory order.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

use super::options::Listing;
use super::store::Object;
use super::{NAMESPACE, Shared};
use crate::call::{Answer, Call};
use crate::refusal::{Refusal, xml};
use crate::signing::escape;
use crate::xml::Document;

/// The most that one page holds.
const PAGE: usize = 1000;

/// A time as S3's documents write it.
pub(super) fn iso_date(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// One line of a listing.
enum Entry {
    Object(String, Arc<Object>),
    Prefix(String),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Object(name, _) | Self::Prefix(name) => name,
        }
    }
}

/// One page.
struct Page {
    entries: Vec<Entry>,
    truncated: bool,
}

/// Where a page begins.
enum Start<'a> {
    Beginning,
    /// After a name that the client made up.
    AfterName(&'a str),
    /// After the last line of the previous page.
    AfterEntry(Mark),
}

/// The last line of a page, as a continuation token carries it.
#[derive(Debug, PartialEq, Eq)]
enum Mark {
    Key(String),
    Prefix(String),
}

impl Shared {
    pub(super) fn list(&self, call: &Call) -> Answer {
        let version_two = call.query.value("list-type") == Some("2");
        let token = call.query.text("continuation-token");
        let start = match (version_two, token) {
            (true, Some(token)) => Start::AfterEntry(untoken(token)?),
            (true, None) => {
                call.query.text("start-after").map_or(Start::Beginning, Start::AfterName)
            }
            (false, _) => call.query.text("marker").map_or(Start::Beginning, |marker| {
                // Version 1 does not tell the two apart.
                let prefix = call.query.text("delimiter").is_some_and(|end| marker.ends_with(end));
                let mark = if prefix { Mark::Prefix } else { Mark::Key };
                Start::AfterEntry(mark(marker.to_owned()))
            }),
        };
        let most = match call.query.text("max-keys").map(str::parse::<usize>) {
            None => PAGE,
            Some(Ok(most)) => most.min(PAGE),
            Some(Err(_)) => {
                let text = "Provided max-keys not an integer or within integer range";
                return Err(Refusal::new(400, "InvalidArgument", text));
            }
        };
        let page = self.page(call, &start, most)?;
        Ok(xml(200, document(call, version_two, most, &page), Vec::new()))
    }

    fn page(&self, call: &Call, start: &Start<'_>, most: usize) -> Result<Page, Refusal> {
        let prefix = call.query.value("prefix").unwrap_or_default();
        let delimiter = call.query.text("delimiter");
        let order = self.options.listing;
        let mut objects = self.store.objects(&call.bucket)?;
        objects.retain(|(key, _)| key.starts_with(prefix));
        if order == Listing::DirectoryOrder {
            objects.sort_by(|(left, _), (right, _)| left.split('/').cmp(right.split('/')));
        }
        let mut page = Page { entries: Vec::new(), truncated: false };
        for (key, object) in objects.into_iter().filter(|(key, _)| after(key, start, order)) {
            let rolled = delimiter.and_then(|delimiter| roll_up(&key, prefix, delimiter));
            let known = page.entries.last().map(Entry::name);
            if rolled.is_some_and(|rolled| known == Some(rolled)) {
                continue;
            }
            if page.entries.len() == most {
                page.truncated = most > 0;
                break;
            }
            page.entries.push(match rolled {
                Some(rolled) => Entry::Prefix(rolled.to_owned()),
                None => Entry::Object(key, object),
            });
        }
        Ok(page)
    }
}

/// The common prefix that a key disappears in.
fn roll_up<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let rest = key.get(prefix.len()..)?;
    let end = rest.find(delimiter)? + delimiter.len();
    key.get(..prefix.len() + end)
}

/// Whether a key comes after the start of a page.
fn after(key: &str, start: &Start<'_>, order: Listing) -> bool {
    let later = |other: &str| match order {
        Listing::KeyOrder => key > other,
        Listing::DirectoryOrder => key.split('/').gt(other.split('/')),
    };
    match start {
        Start::Beginning => true,
        // In directory order the name stands for the directory too.
        Start::AfterName(name) if order == Listing::DirectoryOrder => {
            later(name) && !key.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
        }
        Start::AfterName(name) => later(name),
        Start::AfterEntry(Mark::Key(name)) => later(name),
        // A common prefix stands for everything in it.
        Start::AfterEntry(Mark::Prefix(name)) => later(name) && !key.starts_with(name.as_str()),
    }
}

fn token(entry: &Entry) -> String {
    let kind = if matches!(entry, Entry::Prefix(_)) { 'p' } else { 'k' };
    BASE64_URL_SAFE_NO_PAD.encode(format!("{kind}{}", entry.name()))
}

fn untoken(token: &str) -> Result<Mark, Refusal> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let mark = text.and_then(|text| match (text.strip_prefix('p'), text.strip_prefix('k')) {
        (Some(prefix), _) => Some(Mark::Prefix(prefix.to_owned())),
        (_, Some(key)) => Some(Mark::Key(key.to_owned())),
        _ => None,
    });
    mark.ok_or_else(|| {
        Refusal::new(400, "InvalidArgument", "The continuation token provided is incorrect")
    })
}

fn document(call: &Call, version_two: bool, most: usize, page: &Page) -> Document {
    let query = |name: &str| call.query.text(name);
    let encoded = query("encoding-type") == Some("url");
    let name =
        |text: &str| if encoded { escape(text).replace("%2F", "/") } else { text.to_owned() };
    let last = page.entries.last().filter(|_| page.truncated);
    Document::new().nest(&format!("ListBucketResult {NAMESPACE}"), |document| {
        document
            .text("Name", &call.bucket)
            .text("Prefix", &name(query("prefix").unwrap_or_default()))
            .maybe("Delimiter", query("delimiter").map(name))
            .maybe("EncodingType", encoded.then_some("url"))
            .text("MaxKeys", &most)
            .text("IsTruncated", &page.truncated)
            .maybe("KeyCount", version_two.then_some(page.entries.len()))
            .maybe("StartAfter", query("start-after").filter(|_| version_two).map(name))
            .maybe("ContinuationToken", query("continuation-token").filter(|_| version_two))
            .maybe("NextContinuationToken", last.filter(|_| version_two).map(token))
            .maybe("Marker", query("marker").filter(|_| !version_two).map(name))
            .maybe("NextMarker", last.filter(|_| !version_two).map(Entry::name).map(name))
            .each(&page.entries, |document, entry| match entry {
                Entry::Object(key, object) => document.nest("Contents", |d| {
                    d.text("Key", &name(key))
                        .text("LastModified", &iso_date(object.modified))
                        .text("ETag", &object.etag)
                        .text("Size", &object.size)
                        .text("StorageClass", "STANDARD")
                }),
                Entry::Prefix(prefix) => {
                    document.nest("CommonPrefixes", |d| d.text("Prefix", &name(prefix)))
                }
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_order_skips_the_directory_that_it_starts_after() {
        let start = Start::AfterName("a");
        let kept = |key| after(key, &start, Listing::DirectoryOrder);
        assert!(!kept("a/b") && kept("a!") && kept("a0"));
        assert!(after("a/b", &start, Listing::KeyOrder));
    }

    #[test]
    fn a_page_after_a_common_prefix_skips_what_is_in_it() {
        let start = Start::AfterEntry(Mark::Prefix("a/".to_owned()));
        assert!(!after("a/b", &start, Listing::KeyOrder));
        assert!(after("a0", &start, Listing::KeyOrder));
        let start = Start::AfterEntry(Mark::Key("a/".to_owned()));
        assert!(after("a/b", &start, Listing::KeyOrder));
    }

    #[test]
    fn keys_roll_up_at_the_first_delimiter_after_the_prefix() {
        assert_eq!(roll_up("a/b/c", "", "/"), Some("a/"));
        assert_eq!(roll_up("a/b/c", "a/", "/"), Some("a/b/"));
        assert_eq!(roll_up("a/b", "a/", "/"), None);
    }
}
