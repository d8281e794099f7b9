//! Reads the data file into providers and refuses what is malformed. How the result is searched is
//! in `catalogue`.

use std::collections::HashSet;

use lifeboat_core::{Jurisdiction, PartLimits, Support};
use serde::Deserialize;

use crate::error::CatalogueError;
use crate::provider::{
    Addressing, Api, Confidence, CredentialVariables, Limits, Listing, Provider, Region,
};
use crate::size::parse_size;
use crate::words;

/// Most keys in one bulk delete request. Source: Amazon S3 API Reference, `DeleteObjects`.
const S3_BULK_DELETE: u32 = 1_000;

/// The data file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Vec<Entry>,
}

/// One provider as the data file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    name: String,
    owner: String,
    owner_country: String,
    #[serde(deserialize_with = "words::read_jurisdiction")]
    jurisdiction: Jurisdiction,
    api: Api,
    endpoint: String,
    addressing: Addressing,
    sign_region: Option<String>,
    regions: Vec<RegionEntry>,
    env: Option<CredentialVariables>,
    software: String,
    #[serde(deserialize_with = "words::read_support")]
    conditional_create: Support,
    #[serde(deserialize_with = "words::read_support")]
    conditional_update: Support,
    #[serde(deserialize_with = "words::read_support")]
    sdk_checksums: Support,
    #[serde(default, deserialize_with = "words::read_support")]
    crc64nvme: Support,
    #[serde(deserialize_with = "words::read_support")]
    etag_md5: Support,
    listing: Listing,
    #[serde(default, deserialize_with = "words::read_support")]
    tagging: Support,
    limits: Option<LimitsEntry>,
    limits_source: Option<String>,
    note: Option<String>,
    docs: String,
    source: String,
    confidence: Confidence,
}

/// One region as the data file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionEntry {
    id: String,
    city: String,
    country: String,
    endpoint: Option<String>,
    sign_region: Option<String>,
}

/// Deviations from Amazon S3's limits as the data file writes them.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LimitsEntry {
    max_parts: Option<u32>,
    min_part_size: Option<String>,
    max_part_size: Option<String>,
    max_object_size: Option<String>,
    equal_parts: Option<bool>,
    bulk_delete: Option<u32>,
}

/// Reads all providers.
pub(crate) fn parse(text: &str) -> Result<Vec<Provider>, CatalogueError> {
    let file: File =
        toml::from_str(text).map_err(|error| CatalogueError::Data(error.to_string()))?;
    let mut ids = HashSet::new();
    for entry in &file.provider {
        if !ids.insert(entry.id.clone()) {
            return Err(CatalogueError::Data(format!("provider {} is listed twice", entry.id)));
        }
    }
    file.provider.into_iter().map(provider).collect()
}

/// Turns an entry into a provider.
fn provider(entry: Entry) -> Result<Provider, CatalogueError> {
    check_template(&entry.id, &entry.endpoint)?;
    let mut regions = Vec::with_capacity(entry.regions.len());
    for region in entry.regions {
        let template = region.endpoint.as_deref().unwrap_or(&entry.endpoint);
        check_template(&entry.id, template)?;
        if regions.iter().any(|known: &Region| known.id == region.id) {
            return Err(CatalogueError::Data(format!(
                "{}: region {} is listed twice",
                entry.id, region.id
            )));
        }
        regions.push(Region {
            endpoint: template.replace("{region}", &region.id),
            signing_region: region
                .sign_region
                .or_else(|| entry.sign_region.clone())
                .unwrap_or_else(|| region.id.clone()),
            city: (region.city != "unknown").then_some(region.city),
            country: region.country,
            id: region.id,
        });
    }
    let limits = limits(&entry.id, entry.limits, entry.limits_source)?;
    Ok(Provider {
        id: entry.id,
        name: entry.name,
        owner: entry.owner,
        owner_country: entry.owner_country,
        jurisdiction: entry.jurisdiction,
        api: entry.api,
        endpoint: entry.endpoint,
        addressing: entry.addressing,
        signing_region: entry.sign_region,
        regions,
        env: entry.env,
        software: entry.software,
        conditional_create: entry.conditional_create,
        conditional_update: entry.conditional_update,
        sdk_checksums: entry.sdk_checksums,
        crc64nvme: entry.crc64nvme,
        etag_md5: entry.etag_md5,
        listing: entry.listing,
        tagging: entry.tagging,
        limits,
        note: entry.note,
        docs: entry.docs,
        source: entry.source,
        confidence: entry.confidence,
    })
}

/// Fills Amazon S3's limits up with the deviations.
fn limits(
    id: &str,
    entry: Option<LimitsEntry>,
    source: Option<String>,
) -> Result<Limits, CatalogueError> {
    if entry.is_some() != source.is_some() {
        return Err(CatalogueError::Data(format!("{id}: limits and limits_source go together")));
    }
    let entry = entry.unwrap_or_default();
    let size = |text: Option<String>, default: u64| match text {
        None => Ok(default),
        Some(text) => parse_size(&text).ok_or_else(|| {
            CatalogueError::Data(format!("{id}: {text:?} is not a size such as \"5 MiB\""))
        }),
    };
    let s3 = PartLimits::S3;
    let parts = PartLimits {
        min_part_size: size(entry.min_part_size, s3.min_part_size)?,
        max_part_size: size(entry.max_part_size, s3.max_part_size)?,
        max_parts: entry.max_parts.unwrap_or(s3.max_parts),
        equal_parts: entry.equal_parts.unwrap_or(s3.equal_parts),
        max_object_size: size(entry.max_object_size, s3.max_object_size)?,
    };
    if parts.max_parts == 0 || parts.min_part_size > parts.max_part_size {
        return Err(CatalogueError::Data(format!("{id}: limits leave no room for any part")));
    }
    let bulk_delete = Some(entry.bulk_delete.unwrap_or(S3_BULK_DELETE)).filter(|keys| *keys > 0);
    Ok(Limits { parts, bulk_delete, source })
}

/// Refuses a template with placeholders that nothing fills in.
fn check_template(id: &str, template: &str) -> Result<(), CatalogueError> {
    let rest = template.replace("{region}", "").replace("{account}", "");
    let whole = template == "{endpoint}";
    if whole || (rest.starts_with("https://") && !rest.contains(['{', '}'])) {
        return Ok(());
    }
    Err(CatalogueError::Data(format!(
        "{id}: endpoint {template:?} is neither an https address with {{region}} and {{account}} \
         nor {{endpoint}}"
    )))
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
