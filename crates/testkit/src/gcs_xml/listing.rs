//! Listings: version 2 of the XML API's, from the JSON API's pages.

use super::Shared;
use super::backend::Metadata;
use crate::call::{Answer, Call};
use crate::refusal::{Refusal, xml};
use crate::signing::escape;
use crate::xml::Document;

/// The most that one page holds.
const PAGE: usize = 1000;

impl Shared {
    pub(super) async fn list(&self, call: &Call) -> Answer {
        let after = call.query.text("start-after");
        let url = format!("{}?{}", self.backend.objects_url(&call.bucket), parameters(call)?);
        let mut page = match self.backend.json("GET", &url).await {
            Ok(page) => page,
            // The backend has no good word for a missing bucket.
            Err(refusal) => {
                self.backend.bucket(&call.bucket).await?;
                return Err(refusal);
            }
        };
        let items = page["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let items: Vec<Metadata> = items.into_iter().map(Metadata).collect();
        // The JSON API starts *at* an offset, this one after it.
        let items = items.iter().filter(|item| Some(item.name()) != after);
        let prefixes = page["prefixes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let token = page["nextPageToken"].as_str().filter(|token| !token.is_empty());
        let document = Document::new().nest("ListBucketResult", |document| {
            document
                .text("Name", &call.bucket)
                .text("IsTruncated", &token.is_some())
                .maybe("NextContinuationToken", token)
                .each(items, contents)
                .each(prefixes.iter().filter_map(|prefix| prefix.as_str()), |document, prefix| {
                    document.nest("CommonPrefixes", |inner| inner.text("Prefix", prefix))
                })
        });
        Ok(xml(200, document, Vec::new()))
    }
}

fn contents(document: Document, item: &Metadata) -> Document {
    document.nest("Contents", |inner| {
        inner
            .text("Key", item.name())
            .text("Generation", item.generation())
            .text("LastModified", item.updated())
            .text("ETag", &item.etag())
            .text("Size", &item.size())
    })
}

/// The JSON API's parameters for this listing.
fn parameters(call: &Call) -> Result<String, Refusal> {
    let most = match call.query.text("max-keys").map(str::parse::<usize>) {
        Some(Ok(most)) => most.min(PAGE),
        Some(Err(_)) => {
            return Err(Refusal::new(400, "InvalidArgument", "max-keys is not a number."));
        }
        None => PAGE,
    };
    let mut parameters = format!("maxResults={most}");
    let names = [
        ("prefix", "prefix"),
        ("delimiter", "delimiter"),
        ("continuation-token", "pageToken"),
        ("start-after", "startOffset"),
    ];
    for (name, field) in names {
        if let Some(value) = call.query.text(name) {
            parameters.extend(["&", field, "=", &escape(value)]);
        }
    }
    Ok(parameters)
}
