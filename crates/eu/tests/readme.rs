//! Checks that the README says what the catalogue says.

use lifeboat_eu::Catalogue;

#[test]
fn readme_agrees_with_the_catalogue() {
    let readme = include_str!("../README.md");
    let builders = [
        ("Stackit", "stackit"),
        ("Ovhcloud", "ovhcloud"),
        ("Scaleway", "scaleway"),
        ("Hetzner", "hetzner"),
        ("Ionos", "ionos"),
        ("Exoscale", "exoscale"),
        ("UpCloud", "upcloud"),
        ("OpenTelekomCloud", "open-telekom-cloud"),
        ("Infomaniak", "infomaniak"),
        ("Cleura", "cleura"),
    ];
    for (builder, id) in builders {
        let provider = Catalogue::builtin().get(id).unwrap();
        let row = format!(
            "| `{builder}` | {} | {} | {} |",
            provider.owner_country, provider.conditional_create, provider.conditional_update
        );
        assert!(readme.contains(&row), "no row beginning {row}");
    }
    let regions: usize = Catalogue::builtin().providers().map(|p| p.regions.len()).sum();
    let counts =
        format!("{} providers,\n{regions} regions", Catalogue::builtin().providers().len());
    assert!(readme.contains(&counts), "{counts}");
}
