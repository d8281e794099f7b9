//! Checks every entry of the built-in catalogue, and what it answers to questions.

use std::collections::HashSet;

use lifeboat_core::{Jurisdiction, Support};
use lifeboat_eu::{Addressing, Api, Catalogue, CatalogueError, Listing, Provider, jurisdiction};
use url::Url;

/// The member states of the European Union, ISO 3166-1 alpha-2.
const EU: [&str; 27] = [
    "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV",
    "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE",
];

fn get(id: &str) -> &'static Provider {
    Catalogue::builtin().get(id).expect(id)
}

fn is_alpha2(country: &str) -> bool {
    country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[test]
fn builtin_catalogue_is_complete() {
    let catalogue = Catalogue::builtin();
    assert_eq!(catalogue.providers().count(), 73);
    assert_eq!(catalogue.providers().map(|provider| provider.regions.len()).sum::<usize>(), 226);
}

#[test]
fn ids_are_unique_and_fit_for_url_schemes() {
    let mut seen = HashSet::new();
    for provider in Catalogue::builtin().providers() {
        assert!(seen.insert(&provider.id), "{} twice", provider.id);
        assert!(
            provider.id.starts_with(|first: char| first.is_ascii_lowercase()),
            "{}",
            provider.id
        );
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(provider.id.chars().all(fits), "{}", provider.id);
        let url: Url = format!("{}://bucket/prefix?region=x", provider.id).parse().unwrap();
        assert_eq!((url.scheme(), url.host_str()), (&*provider.id, Some("bucket")));
        let mut regions = HashSet::new();
        for region in &provider.regions {
            assert!(regions.insert(&region.id), "{}: {} twice", provider.id, region.id);
        }
    }
}

#[test]
fn every_region_resolves_to_an_https_address() {
    let own: Url = "https://s3.example.org".parse().unwrap();
    for provider in Catalogue::builtin().providers() {
        let account = provider.needs_account().then_some("sample1");
        let custom = provider.needs_endpoint().then_some(&own);
        let ids = provider.regions.iter().map(|region| Some(region.id.as_str()));
        let ids: Vec<_> = if provider.regions.is_empty() { vec![None] } else { ids.collect() };
        for region in ids {
            let endpoint = provider.endpoint(region, account, custom).unwrap();
            assert_eq!(endpoint.scheme(), "https", "{endpoint}");
            let host = endpoint.host_str().unwrap();
            assert!(host.contains('.') && !host.contains(['{', '}', '%']), "{endpoint}");
            assert_eq!(endpoint.path(), "/", "{endpoint}");
            assert!(!provider.signing_region(region).is_empty());
        }
    }
}

#[test]
fn countries_have_the_shape_of_iso_codes() {
    for provider in Catalogue::builtin().providers() {
        let owner = provider.owner_country.as_str();
        assert!(
            is_alpha2(owner) || matches!(owner, "global" | "unknown"),
            "{}: {owner}",
            provider.id
        );
        for region in &provider.regions {
            let country = region.country.as_str();
            assert!(
                is_alpha2(country) || country == "global",
                "{} {}: {country}",
                provider.id,
                region.id
            );
            assert_ne!(country, "UK", "the code is GB");
        }
    }
}

#[test]
fn jurisdiction_agrees_with_the_owners_country() {
    for provider in Catalogue::builtin().providers() {
        let country = provider.owner_country.as_str();
        let agrees = match provider.jurisdiction {
            Jurisdiction::Eu => EU.contains(&country),
            Jurisdiction::Ch => country == "CH",
            Jurisdiction::Uk => country == "GB",
            Jurisdiction::Us => country == "US",
            Jurisdiction::SelfHosted => provider.needs_endpoint(),
            Jurisdiction::Other => true,
            _ => false,
        };
        assert!(agrees, "{}: {} {country}", provider.id, provider.jurisdiction);
    }
}

#[test]
fn filter_by_owner_leaves_out_us_owned_providers_with_european_regions() {
    let catalogue = Catalogue::builtin();
    let european: Vec<_> =
        catalogue.owned_in(Jurisdiction::Eu).map(|provider| &*provider.id).collect();
    for id in [
        "stackit",
        "ovhcloud",
        "scaleway",
        "hetzner",
        "ionos",
        "upcloud",
        "open-telekom-cloud",
        "cleura",
    ] {
        assert!(european.contains(&id), "{id}");
    }
    for id in [
        "aws",
        "aws-eusc",
        "azure",
        "gcs",
        "cloudflare-r2",
        "backblaze-b2",
        "wasabi",
        "exoscale",
        "ovhcloud-us",
    ] {
        assert!(!european.contains(&id), "{id}");
        assert_ne!(get(id).jurisdiction, Jurisdiction::Eu);
    }
    let german: Vec<_> = catalogue.with_region_in("de").map(|provider| &*provider.id).collect();
    assert!(german.contains(&"aws") && german.contains(&"hetzner") && german.contains(&"exoscale"));
    assert!(!german.contains(&"cloudscale"));
}

#[test]
fn us_owned_providers_are_the_only_ones_under_us_law() {
    for provider in Catalogue::builtin().owned_in(Jurisdiction::Us) {
        assert_eq!(provider.owner_country, "US", "{}", provider.id);
    }
    assert_eq!(jurisdiction("EU"), Ok(Jurisdiction::Eu));
    assert_eq!(jurisdiction("self-hosted"), Ok(Jurisdiction::SelfHosted));
    let error = jurisdiction("europe").unwrap_err().to_string();
    assert!(error.ends_with("known are: eu, ch, uk, us, other, self-hosted"), "{error}");
}

#[test]
fn unknown_provider_offers_near_names_then_all() {
    let error = Catalogue::builtin().get("hetzer").unwrap_err();
    let CatalogueError::UnknownProvider { near, known, .. } = &error else { panic!("{error}") };
    assert_eq!(near, &["hetzner"]);
    assert_eq!(known.len(), 73);
    let text = error.to_string();
    assert!(
        text.starts_with(
            "unknown provider \"hetzer\" (did you mean hetzner?); known are: stackit,"
        ),
        "{text}"
    );
}

#[test]
fn unknown_region_lists_the_known_ones() {
    let error = get("stackit").region("eu1").unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown region \"eu1\" of provider stackit (did you mean eu01 or eu02?); \
         known are: eu01, eu02"
    );
    assert!(get("stackit").endpoint(Some("eu1"), None, None).is_err());
    assert_eq!(get("stackit").region("eu01").unwrap().country, "DE");
}

#[test]
fn region_may_be_left_out_only_where_it_makes_no_difference() {
    let error = get("scaleway").endpoint(None, None, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "provider scaleway needs a region; known are: fr-par, nl-ams, pl-waw, it-mil"
    );
    assert_eq!(
        get("leafcloud").endpoint(None, None, None).unwrap().as_str(),
        "https://leafcloud.store/"
    );
    assert_eq!(
        get("gcs").endpoint(None, None, None).unwrap().as_str(),
        "https://storage.googleapis.com/"
    );
    assert_eq!(
        get("upcloud").endpoint(None, Some("mud5q"), None).unwrap().as_str(),
        "https://mud5q.upcloudobjects.com/"
    );
    // A region that has an endpoint of its own.
    assert_eq!(
        get("cloudflare-r2").endpoint(Some("eu"), Some("abc"), None).unwrap().as_str(),
        "https://abc.eu.r2.cloudflarestorage.com/"
    );
}

#[test]
fn account_can_not_break_out_of_the_template() {
    let r2 = get("cloudflare-r2");
    let error = r2.endpoint(Some("auto"), None, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "provider cloudflare-r2 needs an account: what stands for {account} in \
         https://{account}.r2.cloudflarestorage.com"
    );
    let long = "a".repeat(64);
    for account in
        ["evil.org/", "a.b", "a@b", "a#", "a?", "-a", "a-", "a b", "ä", "a%2e", "{region}", &long]
    {
        let error = r2.endpoint(Some("auto"), Some(account), None).unwrap_err();
        assert!(matches!(error, CatalogueError::InvalidAccount { .. }), "{account}: {error}");
    }
    assert!(r2.endpoint(Some("auto"), Some("0123456789abcdef0123456789abcdef"), None).is_ok());
}

#[test]
fn self_hosted_software_needs_an_endpoint_and_others_may_have_one() {
    let error = get("minio").endpoint(None, None, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "provider minio is self-hosted and needs an endpoint, such as https://s3.example.org"
    );
    let own: Url = "http://127.0.0.1:9000".parse().unwrap();
    for id in ["minio", "stackit", "cloudflare-r2"] {
        assert_eq!(get(id).endpoint(Some("anywhere"), None, Some(&own)).unwrap(), own);
    }
    for bad in [
        "ftp://example.org",
        "s3:bucket",
        "https://user:secret@example.org",
        "https://example.org/?x=1",
    ] {
        let error = get("minio").endpoint(None, None, Some(&bad.parse().unwrap())).unwrap_err();
        assert!(matches!(error, CatalogueError::InvalidEndpoint { .. }), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn requests_are_signed_for_the_region_the_provider_expects() {
    assert_eq!(get("stackit").signing_region(Some("eu02")), "eu02");
    assert_eq!(get("contabo").signing_region(Some("eu2")), "default");
    assert_eq!(get("infomaniak").signing_region(Some("dc3-a")), "us-east-1");
    assert_eq!(get("cloudflare-r2").signing_region(Some("eu")), "auto");
    assert_eq!(get("minio").signing_region(None), "us-east-1");
    assert_eq!(get("minio").signing_region(Some("rack-7")), "rack-7");
    assert_eq!(get("garage").signing_region(Some("rack-7")), "garage");
}

#[test]
fn limits_and_behaviour_reach_the_capabilities() {
    let stackit = get("stackit").capabilities();
    assert_eq!((stackit.create_if_absent, stackit.compare_and_swap), (Support::No, Support::No));
    assert_eq!(get("scaleway").capabilities().parts.max_parts, 1_000);
    let r2 = get("cloudflare-r2").capabilities().parts;
    assert!(r2.equal_parts);
    assert_eq!(r2.max_part_size, (5 << 30) - (5 << 20));
    assert_eq!(r2.max_object_size, (5 << 40) - (5 << 30));
    let azure = get("azure").capabilities();
    assert_eq!(azure.parts, lifeboat_core::PartLimits::AZURE);
    assert_eq!(azure.bulk_delete, Some(256));
    assert_eq!(get("hetzner").capabilities().bulk_delete, Some(1_000));
    assert_eq!(get("aws").capabilities().ordered_listing, Support::Yes);
    assert_eq!(get("seaweedfs").capabilities().ordered_listing, Support::No);
    assert_eq!(get("storj").capabilities().ordered_listing, Support::No);
    assert_eq!(get("stackit").capabilities().ordered_listing, Support::Unknown);
}

#[test]
fn facts_do_not_contradict_each_other() {
    for provider in Catalogue::builtin().providers() {
        let id = &provider.id;
        // The headers do not exist in these APIs.
        assert!(provider.api == Api::S3 || provider.sdk_checksums == Support::No, "{id}");
        assert!(provider.api != Api::Azure || provider.etag_md5 == Support::No, "{id}");
        assert_eq!(
            provider.needs_endpoint(),
            provider.jurisdiction == Jurisdiction::SelfHosted,
            "{id}"
        );
        assert!(
            provider.docs.starts_with("https://") && provider.docs.parse::<Url>().is_ok(),
            "{id}"
        );
        assert!(
            !provider.source.is_empty()
                && !provider.software.is_empty()
                && !provider.owner.is_empty(),
            "{id}"
        );
        assert_eq!(provider.path_style(), provider.addressing != Addressing::Virtual, "{id}");
        // A plain MD5 is claimed of nothing that is only guessed to be the software.
        let guessed = provider.software.contains("inferred") || provider.software == "unknown";
        assert!(!guessed || provider.etag_md5 == Support::Unknown, "{id}");
        assert!(!guessed || provider.listing == Listing::Unknown, "{id}");
        if provider.software.starts_with("Ceph RGW") && !guessed {
            assert_eq!(
                (provider.etag_md5, provider.listing),
                (Support::Yes, Listing::KeyOrder),
                "{id}"
            );
        }
    }
}

#[test]
fn json_carries_words_bytes_and_endpoints() {
    let json = serde_json::to_value(get("scaleway")).unwrap();
    assert_eq!(json["jurisdiction"], "eu");
    assert_eq!(json["api"], "s3");
    assert_eq!(json["conditional_create"], "yes");
    assert_eq!(json["listing"], "unknown");
    assert_eq!(json["regions"][0]["endpoint"], "https://s3.fr-par.scw.cloud");
    assert_eq!(json["regions"][0]["country"], "FR");
    assert_eq!(json["limits"]["max_parts"], 1_000);
    assert_eq!(json["limits"]["min_part_size"], 5 << 20);
    assert_eq!(json["limits"]["bulk_delete"], 1_000);
    assert!(json["limits"]["source"].as_str().unwrap().contains("426260"));
}
