//! `lifeboat providers`: the catalogue, as a table, one entry in detail, or JSON.

use lifeboat::eu::{Api, Catalogue, Listing, Provider, jurisdiction};
use lifeboat::{Error, Support};

use crate::cli::Providers;
use crate::context::Context;
use crate::exit::{Result, before_requests};
use crate::output::{Table, facts, print_document, print_text, shorten};
use crate::size::human_size;

/// Longer names and owners are cut in the table; the details show them whole.
const NAME_WIDTH: usize = 30;
const OWNER_WIDTH: usize = 34;
const COUNTRIES_WIDTH: usize = 22;

/// Shows providers.
pub(crate) fn run(context: &Context, arguments: &Providers) -> Result {
    let catalogue = Catalogue::builtin();
    if let Some(id) = &arguments.id {
        let provider = catalogue.get(id).map_err(|error| before_requests(error.into()))?;
        if context.output.json {
            return print_document(provider);
        }
        return print_text(&details(provider));
    }
    let owned = arguments.jurisdiction.as_deref().map(jurisdiction).transpose();
    let owned = owned.map_err(Error::from)?;
    let country = arguments.country.as_deref();
    let providers: Vec<&Provider> = catalogue
        .providers()
        .filter(|provider| owned.is_none_or(|owned| provider.jurisdiction == owned))
        .filter(|provider| country.is_none_or(|code| provider.regions_in(code).next().is_some()))
        .collect();
    if context.output.json {
        return print_document(&providers);
    }
    print_text(&table(&providers))?;
    let regions: usize = providers.iter().map(|provider| provider.regions.len()).sum();
    context.output.note(&format!(
        "{} providers, {regions} regions; `lifeboat providers ID` shows one in detail",
        providers.len()
    ));
    Ok(())
}

fn table(providers: &[&Provider]) -> String {
    let mut table = Table::new(&[
        "id",
        "name",
        "owner",
        "owned in",
        ">regions",
        "countries",
        "conditional writes",
        "checksums",
    ]);
    for provider in providers {
        table.row([
            provider.id.clone(),
            shorten(&provider.name, NAME_WIDTH),
            shorten(&provider.owner, OWNER_WIDTH),
            provider.jurisdiction.to_string(),
            provider.regions.len().to_string(),
            shorten(&countries(provider), COUNTRIES_WIDTH),
            conditional_writes(provider).to_owned(),
            provider.sdk_checksums.to_string(),
        ]);
    }
    table.render()
}

/// The countries of the regions, each once.
fn countries(provider: &Provider) -> String {
    let mut codes: Vec<&str> = provider.regions.iter().map(|region| &*region.country).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.join(" ")
}

fn conditional_writes(provider: &Provider) -> &'static str {
    match (provider.conditional_create, provider.conditional_update) {
        (Support::Yes, Support::Yes) => "yes",
        (Support::No, Support::No) => "no",
        (Support::Yes, _) => "create only",
        (_, Support::Yes) => "update only",
        (Support::No, _) => "no create",
        (_, Support::No) => "no update",
        _ => "unknown",
    }
}

fn details(provider: &Provider) -> String {
    let parts = &provider.limits.parts;
    let mut lines = vec![
        ("id", provider.id.clone()),
        ("name", provider.name.clone()),
        ("owner", format!("{} ({})", provider.owner, provider.owner_country)),
        ("jurisdiction", provider.jurisdiction.to_string()),
        ("api", format!("{}, served by {}", provider.api.as_str(), provider.software)),
        ("endpoint", provider.endpoint.clone()),
        ("addressing", if provider.path_style() { "path" } else { "virtual host" }.to_owned()),
        ("create if absent", provider.conditional_create.to_string()),
        ("compare and swap", provider.conditional_update.to_string()),
        ("sdk checksums", provider.sdk_checksums.to_string()),
        ("etag is md5", provider.etag_md5.to_string()),
        ("listing", listing(provider.listing).to_owned()),
        ("tagging", provider.tagging.to_string()),
        ("multipart", multipart(parts)),
        ("largest object", human_size(parts.max_object_size)),
        (
            "bulk delete",
            provider.limits.bulk_delete.map_or("none".into(), |most| format!("{most} keys")),
        ),
        ("credentials", credentials(provider)),
        ("documentation", provider.docs.clone()),
        ("confidence", format!("{:?}", provider.confidence).to_lowercase()),
    ];
    lines.extend(provider.note.clone().map(|note| ("note", note)));
    let text = facts(&lines);
    if provider.regions.is_empty() {
        return text;
    }
    let mut table = Table::new(&["region", "city", "country", "signed for", "endpoint"]);
    for region in &provider.regions {
        table.row([
            region.id.clone(),
            region.city.clone().unwrap_or_default(),
            region.country.clone(),
            region.signing_region.clone(),
            region.endpoint.clone(),
        ]);
    }
    format!("{text}\n{}", table.render())
}

fn listing(order: Listing) -> &'static str {
    match order {
        Listing::KeyOrder => "in the order of keys",
        Listing::DirectoryOrder => "folder by folder",
        Listing::Unordered => "in no order",
        _ => "order unknown",
    }
}

fn multipart(parts: &lifeboat::PartLimits) -> String {
    let equal = if parts.equal_parts { ", all but the last equal" } else { "" };
    format!(
        "{} parts of {} to {}{equal}",
        parts.max_parts,
        human_size(parts.min_part_size),
        human_size(parts.max_part_size)
    )
}

/// The variables that are read without any configuration.
fn credentials(provider: &Provider) -> String {
    if provider.api != Api::S3 {
        return "the provider's own chain; see its documentation".into();
    }
    let prefix = provider.env_prefix();
    let own = format!("{prefix}_ACCESS_KEY_ID, {prefix}_SECRET_ACCESS_KEY");
    match &provider.env {
        Some(env) => format!("{own}, or {}, {}", env.access_key_id, env.secret_access_key),
        None => own,
    }
}
