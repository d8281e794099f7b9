//! The demo, with nothing configured.

use crate::sandbox::{Sandbox, tree};

#[test]
fn demo_needs_no_configuration_and_ends_identical() {
    let run = Sandbox::empty().run(&["demo"]);
    assert!(run.stdout.ends_with("identical\n"), "{run:?}");
    let legs: Vec<_> = run.stdout.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(legs, ["leg", "folder -> s3", "s3 -> store", "store -> back", "identical"]);
    run.ok();
}

#[test]
fn demo_of_a_folder_leaves_it_alone_and_keeps_the_copies_on_request() {
    let sandbox = Sandbox::empty();
    sandbox.write("tree/a b/c", "1");
    sandbox.write("tree/d", "2");
    let before = tree(&sandbox.path("tree"));
    let report = sandbox.run(&["demo", "tree", "--json", "--keep"]).json();
    assert_eq!(report["identical"], true);
    assert_eq!(report["legs"][2]["objects"], 2);
    assert_eq!(tree(&sandbox.path("tree")), before);
    let kept = std::path::PathBuf::from(report["kept"].as_str().unwrap());
    assert_eq!(tree(&kept.join("back")), before);
    std::fs::remove_dir_all(kept).unwrap();
}

#[test]
fn demo_of_a_missing_folder_says_so() {
    let run = Sandbox::empty().run(&["demo", "nowhere"]);
    assert!(run.code != Some(0) && run.stderr.contains("nowhere"), "{run:?}");
}
