//! What the reader of the data file refuses.

use super::*;

const GOOD: &str = r#"
[[provider]]
id = "sample"
name = "Sample"
owner = "Sample SA"
owner_country = "FR"
jurisdiction = "eu"
api = "s3"
endpoint = "https://s3.{region}.example.org"
addressing = "path"
regions = [
  { id = "par", city = "Paris", country = "FR" },
  { id = "x1", city = "unknown", country = "FR" },
]
software = "own"
conditional_create = "yes"
conditional_update = "no"
sdk_checksums = "unknown"
etag_md5 = "unknown"
listing = "unknown"
limits = { max_parts = 7, bulk_delete = 0 }
limits_source = "made up"
docs = "https://example.org"
source = "made up"
confidence = "low"
"#;

#[test]
fn entry_is_read_and_limits_are_filled_up() {
    let providers = parse(GOOD).unwrap();
    let sample = &providers[0];
    assert_eq!(sample.regions[0].endpoint, "https://s3.par.example.org");
    assert_eq!(sample.regions[0].city.as_deref(), Some("Paris"));
    assert_eq!(sample.regions[1].city, None);
    assert_eq!(sample.limits.parts, PartLimits { max_parts: 7, ..PartLimits::S3 });
    assert_eq!(sample.limits.bulk_delete, None);
}

#[test]
fn malformed_entries_are_refused_with_the_reason() {
    let cases = [
        ("jurisdiction = \"eu\"", "jurisdiction = \"mars\"", "unknown jurisdiction"),
        (
            "conditional_create = \"yes\"",
            "conditional_create = \"maybe\"",
            "none of yes, no, unknown",
        ),
        ("id = \"x1\"", "id = \"par\"", "region par is listed twice"),
        ("{region}", "{zone}", "neither an https address"),
        ("https://s3", "http://s3", "neither an https address"),
        ("max_parts = 7", "max_parts = 0", "no room for any part"),
        ("max_parts = 7", "max_part_size = \"5MiB\"", "not a size"),
        ("max_parts = 7", "most_parts = 7", "unknown field"),
        ("limits_source = \"made up\"", "", "go together"),
        ("listing = \"unknown\"", "listing = \"random\"", "unknown variant"),
        ("name = \"Sample\"", "", "missing field"),
    ];
    for (from, to, reason) in cases {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(reason), "{to:?} gave {error}");
    }
}

#[test]
fn provider_listed_twice_is_refused() {
    let error = parse(&format!("{GOOD}{GOOD}")).unwrap_err().to_string();
    assert!(error.contains("provider sample is listed twice"), "{error}");
}
