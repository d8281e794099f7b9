//! The catalogue.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

#[test]
fn eu_owned_providers_come_as_json_with_an_endpoint_for_every_region() {
    let providers = Sandbox::empty().run(&["providers", "--jurisdiction", "eu", "--json"]).json();
    let providers = providers.as_array().unwrap();
    assert!(providers.len() > 20, "{} EU-owned providers", providers.len());
    for provider in providers {
        assert_eq!(provider["jurisdiction"], "eu", "{provider}");
        for region in provider["regions"].as_array().unwrap() {
            let endpoint = region["endpoint"].as_str().unwrap();
            assert!(
                endpoint.starts_with("https://") && !endpoint.contains("{region}"),
                "{endpoint}"
            );
        }
    }
    assert!(providers.iter().all(|provider| provider["id"] != "aws"));
}

#[test]
fn country_finds_regions_whoever_owns_them() {
    let table = Sandbox::empty().run(&["providers", "--country", "at"]).ok();
    let ids: Vec<_> = table.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert!(ids.contains(&"stackit") && ids.contains(&"exoscale"), "{ids:?}");
}

#[test]
fn one_provider_is_shown_in_detail() {
    assert_snapshot!(Sandbox::empty().run(&["providers", "stackit"]).ok(), @r#"
id                stackit
name              STACKIT Object Storage
owner             STACKIT GmbH & Co. KG (Schwarz Group) (DE)
jurisdiction      eu
api               s3, served by NetApp StorageGRID (inferred from policy URNs)
endpoint          https://object.storage.{region}.onstackit.cloud
addressing        path
create if absent  no
compare and swap  no
sdk checksums     no
etag is md5       unknown
listing           order unknown
tagging           unknown
multipart         10000 parts of 5.0 MiB to 5.0 GiB
largest object    5.0 TiB
bulk delete       1000 keys
credentials       STACKIT_ACCESS_KEY_ID, STACKIT_SECRET_ACCESS_KEY
documentation     https://docs.stackit.cloud/products/storage/object-storage/
confidence        high

region  city                   country  signed for  endpoint
eu01    Neckarsulm / Ellhofen  DE       eu01        https://object.storage.eu01.onstackit.cloud
eu02    Ostermiething          AT       eu02        https://object.storage.eu02.onstackit.cloud
"#);
}

#[test]
fn unknown_provider_and_jurisdiction_are_answered_with_suggestions() {
    let sandbox = Sandbox::empty();
    let run = sandbox.run(&["providers", "stakit"]);
    assert_eq!(run.code, Some(2));
    let first = "error: unknown provider \"stakit\" (did you mean stackit?); known are: stackit, ";
    assert!(run.stderr.starts_with(first), "{}", run.stderr);
    let run = sandbox.run(&["providers", "--country", "DEU"]);
    assert!(run.code == Some(2) && run.stderr.contains("give two letters"), "{run:?}");
    assert_snapshot!(sandbox.run(&["providers", "--jurisdiction", "mars"]).failure(), @r#"
2
error: unknown jurisdiction "mars"; known are: eu, ch, uk, us, other, self-hosted
"#);
}
