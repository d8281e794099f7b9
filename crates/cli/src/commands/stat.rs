//! `lifeboat stat`: what is known of an object.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use lifeboat::transfer::backend_name;
use object_store::{Attribute, Attributes, GetOptions};
use serde::Serialize;

use crate::cli::Stat;
use crate::context::Context;
use crate::exit::{Failure, Result};
use crate::output::{facts, print_document, print_text};
use crate::size::human_size;

#[derive(Serialize)]
struct Report {
    backend: String,
    key: String,
    size: u64,
    last_modified: String,
    e_tag: Option<String>,
    version: Option<String>,
    attributes: BTreeMap<&'static str, String>,
    metadata: BTreeMap<String, String>,
}

/// Shows what is known of an object.
pub(crate) async fn run(context: &Context, arguments: &Stat) -> Result {
    let place = context.locate_object(&arguments.location)?;
    let options = GetOptions { head: true, ..GetOptions::default() };
    let found = place.store.get_opts(&place.path, options).await;
    let found = found.map_err(|error| Failure::of_store(&*place.store, &place.path, error))?;
    let (attributes, metadata) = split(&found.attributes);
    let report = Report {
        backend: backend_name(&*place.store),
        key: place.path.to_string(),
        size: found.meta.size,
        last_modified: found.meta.last_modified.to_rfc3339_opts(SecondsFormat::Secs, true),
        e_tag: found.meta.e_tag,
        version: found.meta.version,
        attributes,
        metadata,
    };
    if context.output.json {
        return print_document(&report);
    }
    print_text(&report.lines())
}

impl Report {
    fn lines(&self) -> String {
        let mut lines = vec![
            ("backend".to_owned(), self.backend.clone()),
            ("key".to_owned(), self.key.clone()),
            ("size".to_owned(), self.size_in_words()),
            ("last modified".to_owned(), self.last_modified.clone()),
        ];
        lines.extend(self.e_tag.clone().map(|tag| ("etag".to_owned(), tag)));
        lines.extend(self.version.clone().map(|version| ("version".to_owned(), version)));
        lines.extend(self.attributes.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
        lines.extend(self.metadata.iter().map(|(k, v)| (format!("metadata {k}"), v.clone())));
        facts(&lines)
    }

    fn size_in_words(&self) -> String {
        match self.size {
            size if size < 1024 => human_size(size),
            size => format!("{size} B ({})", human_size(size)),
        }
    }
}

/// Standard attributes, and the user's metadata.
fn split(attributes: &Attributes) -> (BTreeMap<&'static str, String>, BTreeMap<String, String>) {
    let (mut standard, mut metadata) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in attributes {
        let name = match name {
            Attribute::CacheControl => "cache-control",
            Attribute::ContentDisposition => "content-disposition",
            Attribute::ContentEncoding => "content-encoding",
            Attribute::ContentLanguage => "content-language",
            Attribute::ContentType => "content-type",
            Attribute::StorageClass => "storage-class",
            Attribute::Metadata(name) => {
                metadata.insert(name.to_string(), value.to_string());
                continue;
            }
            _ => continue,
        };
        standard.insert(name, value.to_string());
    }
    (standard, metadata)
}
