//! What the builder makes of the catalogue and of the environment. Requests are looked at in
//! `tests/wire.rs`.

use lifeboat_core::BlobStore;

use super::*;

fn key() -> Credentials {
    Credentials::Static(StaticKey::new("access-key", "secret-key"))
}

fn no_variables(_: &str) -> Option<String> {
    None
}

/// Values that tell which variable they came from.
fn variables(names: &'static [&'static str]) -> impl Fn(&str) -> Option<String> {
    move |name| names.contains(&name).then(|| format!("value-of-{name}"))
}

#[test]
fn every_s3_provider_builds_and_carries_its_owners_jurisdiction() {
    for provider in Catalogue::builtin().providers().filter(|provider| provider.api == Api::S3) {
        let regions: Vec<_> = match provider.regions.as_slice() {
            [] => vec![None],
            regions => regions.iter().map(|region| Some(region.id.as_str())).collect(),
        };
        for region in regions {
            let mut builder = provider.s3_builder("bucket").with_credentials(key());
            builder.region = region.map(Into::into);
            builder.account = provider.needs_account().then(|| "sample1".into());
            builder.endpoint = provider.needs_endpoint().then(|| "https://s3.example.org".into());
            let store = builder.build().unwrap_or_else(|error| panic!("{region:?}: {error}"));
            assert_eq!(store.identity().jurisdiction(), provider.jurisdiction);
            assert_eq!(store.identity().region(), region.unwrap_or_default());
            assert_eq!(store.capabilities().parts, provider.limits.parts);
            assert_eq!(store.capabilities().bulk_delete, provider.quirks().bulk_delete);
        }
    }
}

#[test]
fn quirks_follow_the_catalogue() {
    let quirks = |id: &str| Catalogue::builtin().get(id).unwrap().quirks();
    assert_eq!(quirks("stackit").checksum, None);
    assert_eq!(quirks("stackit").create_if_absent, Support::No);
    assert_eq!(quirks("stackit").etags, EtagDigest::Learn);
    assert_eq!(quirks("scaleway").checksum, Some(UploadChecksum::Sha256));
    assert_eq!(quirks("cleura").etags, EtagDigest::Always);
    assert_eq!(quirks("alibaba-oss").addressing, lifeboat_s3::Addressing::Virtual);
    assert_eq!(quirks("hetzner").addressing, lifeboat_s3::Addressing::Path);
    assert_eq!(quirks("stackit").bulk_delete, None);
    assert_eq!(quirks("ionos").bulk_delete, Some(1_000));
    assert_eq!(quirks("alibaba-oss").bulk_delete, None);
    assert!(!quirks("cloudflare-r2").tagging);
    assert!(quirks("stackit").tagging);
    assert_eq!(quirks("aws").checksum, Quirks::AMAZON.checksum);
}

#[test]
fn unknown_names_and_other_apis_are_refused_with_the_remedy() {
    let error = S3Compatible::new("stakit", "b").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("did you mean stackit?"), "{error}");
    let error = S3Compatible::new("stackit", "b").with_region("eu9").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().ends_with("known are: eu01, eu02"), "{error}");
    let error = S3Compatible::new("azure", "b").build().unwrap_err();
    assert!(error.to_string().contains("use the crate lifeboat-azure"), "{error}");
    let error =
        S3Compatible::new("minio", "b").with_endpoint("s3.example.org").build().unwrap_err();
    assert!(error.to_string().contains("is not a URL"), "{error}");
    // The endpoint would do without a region, the signature would not.
    let upcloud = S3Compatible::new("upcloud", "b").with_account("mud5q").with_credentials(key());
    let error = upcloud.build().unwrap_err();
    assert!(error.to_string().contains("needs a region; known are: europe-1"), "{error}");
    let error = S3Compatible::new("aws", "b").with_credentials(key()).build().unwrap_err();
    assert!(error.to_string().contains("needs a region"), "{error}");
}

#[test]
fn place_is_read_from_the_providers_own_variables() {
    let set = |region: &'static str| {
        move |name: &str| match name {
            "UPCLOUD_REGION" => Some(region.to_owned()),
            "UPCLOUD_ACCOUNT" => Some("mud5q".to_owned()),
            "AWS_ENDPOINT" | "AWS_REGION" | "ENDPOINT" => Some("nowhere".to_owned()),
            _ => None,
        }
    };
    let builder = S3Compatible::from_variables("upcloud", "b", &set("us-1")).unwrap();
    assert_eq!(builder.region.as_deref(), Some("us-1"));
    assert_eq!(builder.account.as_deref(), Some("mud5q"));
    assert_eq!(builder.endpoint, None);
    let error = S3Compatible::from_variables("upcloud", "b", &set("us-9")).unwrap_err().to_string();
    assert!(error.contains("\"us-9\"") && error.contains("UPCLOUD_REGION"), "{error}");
    let error = S3Compatible::from_variables("minio", "b", &no_variables).unwrap_err().to_string();
    assert!(error.contains("MINIO_ENDPOINT"), "{error}");
    assert!(S3Compatible::from_variables("upclod", "b", &no_variables).is_err());
}

#[test]
fn keys_of_other_providers_are_never_used() {
    let provider = Catalogue::builtin().get("scaleway").unwrap();
    let amazon = variables(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    let error = credentials(provider, &amazon).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert_eq!(
        error.to_string(),
        "scaleway: no access key in the environment; set SCALEWAY_ACCESS_KEY_ID and \
         SCALEWAY_SECRET_ACCESS_KEY, or SCW_ACCESS_KEY and SCW_SECRET_KEY"
    );
    let own = variables(&["SCW_ACCESS_KEY", "SCW_SECRET_KEY"]);
    assert!(matches!(credentials(provider, &own), Ok(Credentials::Static(_))));
    let prefixed = variables(&["SCALEWAY_ACCESS_KEY_ID", "SCALEWAY_SECRET_ACCESS_KEY"]);
    assert!(matches!(credentials(provider, &prefixed), Ok(Credentials::Static(_))));
    // Half a key is none.
    assert!(credentials(provider, &variables(&["SCALEWAY_ACCESS_KEY_ID"])).is_err());
}

#[test]
fn amazon_uses_its_own_chain() {
    let provider = Catalogue::builtin().get("aws").unwrap();
    assert!(matches!(credentials(provider, &no_variables), Ok(Credentials::Default)));
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", S3Compatible::new("stackit", "b").with_credentials(key()));
    assert!(!shown.contains("secret-key") && !shown.contains("access-key"), "{shown}");
}
