//! `cp`, single objects and trees.

use insta::assert_snapshot;
use lifeboat_testkit::s3::Options;

use crate::sandbox::{Sandbox, tree};

const ODD_NAMES: [&str; 9] = [
    "with space",
    "plus+percent%20ampersand&hash#question?",
    "ünï/çödé/名前.txt",
    "quotes'\"`",
    "semi;colon,comma=equals@at",
    "~tilde(and)[brackets]{braces}",
    "back\\slash",
    "-starts-with-dash",
    "a/a/a/a/a/a/a/a/a/a/a/deep",
];

fn odd_tree(sandbox: &Sandbox) {
    for (number, name) in ODD_NAMES.iter().enumerate() {
        sandbox.write(&format!("tree/{name}"), vec![b'x'; number * 1_000]);
    }
    sandbox.write("tree/large", vec![7; 9_000_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_go_to_s3_and_come_back_the_same() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    odd_tree(&sandbox);
    let report = sandbox.run(&["cp", "-r", "--verify", "--json", "tree", "tiny:some/where"]).json();
    assert_eq!((&report["objects"], &report["failed"]), (&10.into(), &0.into()));
    assert_eq!(report["verified"]["identical"], true);
    let run =
        sandbox.run(&["cp", "-r", "--memory", "16MiB", "--jobs", "3", "tiny:some/where/", "back"]);
    assert!(run.stderr.starts_with("copied 10 objects, 8.6 MiB in "), "{}", run.stderr);
    run.ok();
    assert!(tree(&sandbox.path("back")) == tree(&sandbox.path("tree")), "the trees differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn single_object_goes_where_cp_would_put_it() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    sandbox.write("file.txt", "x");
    std::fs::create_dir(sandbox.path("folder")).unwrap();
    let copies = [
        ("file.txt", "tiny:named"),
        ("file.txt", "tiny:in/"),
        ("file.txt", "tiny:"),
        ("tiny:named", "tiny:within/one/store"),
        ("tiny:named", "folder"),
        ("tiny:named", "new-name"),
    ];
    for (from, to) in copies {
        sandbox.run(&["cp", "--verify", from, to]).ok();
    }
    assert_eq!(
        sandbox.server().keys("data"),
        ["file.txt", "in/file.txt", "named", "within/one/store"]
    );
    assert_eq!(std::fs::read(sandbox.path("folder/named")).unwrap(), b"x");
    assert_eq!(std::fs::read(sandbox.path("new-name")).unwrap(), b"x");
    sandbox.run(&["cp", "-r", "--verify", "file.txt", "tiny:r"]).ok();
    assert!(sandbox.server().contents("data", "r/file.txt").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_survive_the_way_through_a_folder() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    let put = ["put", "-", "tiny:a/x", "--content-type", "text/css", "--meta", "color=blue"];
    sandbox.run_with_input(&put, b"x").ok();
    sandbox.run(&["cp", "-r", "--verify", "tiny:a", "here"]).ok();
    sandbox.run(&["cp", "-r", "--verify", "here", "tiny:b"]).ok();
    let stat = sandbox.run(&["stat", "--json", "tiny:b/x"]).json();
    assert_eq!(stat["attributes"]["content-type"], "text/css");
    assert_eq!(stat["metadata"]["color"], "blue");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told_and_the_rest_is_copied() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    // `x` and `x/y` can both be keys, but not both be files.
    for key in ["t/x", "t/x/y", "t/z"] {
        sandbox.run_with_input(&["put", "-", &format!("tiny:{key}")], b"1").ok();
    }
    let run = sandbox.run(&["cp", "-r", "--jobs", "1", "tiny:t", "out"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("error: ") && run.stderr.contains("copied 2 objects, "),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains(", 1 failed"), "{}", run.stderr);
    let run = sandbox.run(&["cp", "-r", "--jobs", "1", "--json", "tiny:t", "out"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &report["failed"]), (Some(1), &1.into()));
    assert!(report["failures"][0]["error"]["message"].is_string());
    assert_eq!(run.stderr, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_make_no_sense_are_refused() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    sandbox.write("tree/file", "x");
    assert_snapshot!(sandbox.run(&["cp", "tree", "tiny:"]).failure(), @r#"
2
error: `tree` is a folder
  try: add -r to copy everything below it
"#);
    let inside = sandbox.run(&["cp", "-r", "tree", "tree/inside"]);
    assert!(inside.stderr.contains("the target lies inside the source"), "{}", inside.stderr);
    assert_eq!(inside.code, Some(2));
    assert_snapshot!(sandbox.run(&["cp", "-r", "tiny:nothing", "out"]).failure(), @r#"
4
error: tiny: nothing is at `tiny:nothing`
  try: check the name
"#);
}
