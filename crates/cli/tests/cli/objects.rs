//! Single objects: put, cat, stat, ls, rm.

use std::io::Read;

use insta::assert_snapshot;
use lifeboat_testkit::s3::Options;

use crate::sandbox::Sandbox;

#[tokio::test(flavor = "multi_thread")]
async fn object_goes_in_with_attributes_and_comes_out() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    sandbox.write("report.txt", "0123456789");
    let put =
        ["put", "report.txt", "tiny:2026/", "--content-type", "text/plain", "--meta", "owner=ann"];
    let run = sandbox.run(&put);
    assert_eq!((run.code, &*run.stderr), (Some(0), "stored 2026/report.txt in tiny (10 B)\n"));
    assert_eq!(sandbox.run(&["cat", "tiny:2026/report.txt"]).ok(), "0123456789");
    for (range, expected) in [("2-4", "234"), ("7-", "789"), ("-2", "89"), ("8-99", "89")] {
        let arguments = ["cat", "tiny:2026/report.txt", "--range", range];
        assert_eq!(sandbox.run(&arguments).ok(), expected, "{range}");
    }
    let stat = sandbox.run(&["stat", "tiny:2026/report.txt", "--json"]).json();
    assert_eq!((&stat["size"], &stat["key"]), (&10.into(), &"2026/report.txt".into()));
    assert_eq!(stat["attributes"]["content-type"], "text/plain");
    assert_eq!(stat["metadata"]["owner"], "ann");
    let text = sandbox.run(&["stat", "tiny:2026/report.txt"]).ok();
    let lines = text.lines().filter(|line| !line.starts_with("last modified"));
    assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r#"
backend         tiny
key             2026/report.txt
size            10 B
etag            "781e5e245d69b566979b86e28d23f2c7"
content-type    text/plain
metadata owner  ann
"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_stored_in_parts_and_comes_out_the_same() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    let input: Vec<u8> = (0..20_000_000_u32).map(|number| (number % 251) as u8).collect();
    sandbox.run_with_input(&["put", "-", "tiny:large"], &input).ok();
    assert!(sandbox.server().contents("data", "large").unwrap() == input);
    let parts = sandbox.server().request_log();
    let parts = parts.iter().filter(|r| r.query.contains("partNumber"));
    assert_eq!(parts.count(), 3);
    let output = sandbox.command(&["cat", "tiny:large"]).output().unwrap();
    assert!(output.stdout == input);
}

#[tokio::test(flavor = "multi_thread")]
async fn if_absent_stores_once() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    sandbox.run_with_input(&["put", "-", "tiny:lock", "--if-absent"], b"first").ok();
    let second = sandbox.run_with_input(&["put", "-", "tiny:lock", "--if-absent"], b"second");
    assert_snapshot!(second.failure(), @r#"
1
error: tiny, key `lock`: the object exists already
  cause: s3:us-east-1/data: conditional put of `lock`: 412 Precondition Failed PreconditionFailed: At least one of the pre-conditions you specified did not hold
  try: choose another key, or leave --if-absent out to overwrite it
"#);
    assert_eq!(sandbox.server().contents("data", "lock").unwrap(), "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_shows_folders_and_objects_and_hides_what_is_reserved() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    for key in ["a", "a/b", "a/c/d", "e", ".lifeboat/journal"] {
        sandbox.run_with_input(&["put", "-", &format!("tiny:{key}")], b"12345").ok();
    }
    assert_eq!(sandbox.run(&["ls", "tiny:"]).ok(), "a/\na\ne\n");
    assert_eq!(sandbox.run(&["ls", "tiny:a"]).ok(), "a\nc/\nb\n");
    assert_eq!(sandbox.run(&["ls", "tiny:a/"]).ok(), "c/\nb\n");
    assert_eq!(sandbox.run(&["ls", "-r", "tiny:"]).ok(), "a\na/b\na/c/d\ne\n");
    assert_eq!(sandbox.run(&["ls", "tiny:.lifeboat/"]).ok(), "journal\n");
    let long = sandbox.run(&["ls", "-l", "tiny:e"]).ok();
    let fields: Vec<_> = long.split_whitespace().collect();
    assert_eq!((fields[0], fields[3]), ("5", "e"), "{long}");
    let lines = sandbox.run(&["ls", "-r", "--json", "tiny:a/"]).ok();
    let keys: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!((&keys[1]["key"], &keys[1]["kind"]), (&"a/c/d".into(), &"object".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_things_exit_with_4_and_say_what_to_do() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    assert_snapshot!(sandbox.run(&["cat", "tiny:nothing"]).failure(), @r#"
4
error: tiny, key `nothing`: no such object (404 NoSuchKey)
  cause: s3:us-east-1/data: get of `nothing`: 404 Not Found NoSuchKey: The specified key does not exist.
"#);
    assert_snapshot!(sandbox.run(&["rm", "tiny:nothing"]).failure(), @r#"
4
error: tiny, key `nothing`: no such object (404 NoSuchKey)
  cause: s3:us-east-1/data: head of `nothing`: 404 Not Found NoSuchKey: The specified key does not exist.
  try: add -r if it is a folder
"#);
    assert_snapshot!(sandbox.run(&["ls", "tiny:nothing"]).failure(), @r#"
4
error: tiny: nothing is at `tiny:nothing`
  try: list the folder above it
"#);
    assert_snapshot!(sandbox.run(&["cp", "tiny:nothing", "here"]).failure(), @r#"
4
error: tiny, key `nothing`: no such object (404 NoSuchKey)
  cause: s3:us-east-1/data: get of `nothing`: 404 Not Found NoSuchKey: The specified key does not exist.
  try: check the name; add -r if it is a folder
"#);
    assert_snapshot!(sandbox.run(&["put", "nothing", "tiny:x"]).failure(), @r#"
4
error: cannot read nothing
  cause: No such file or directory (os error 2)
"#);
    let (code, error) = sandbox.run(&["stat", "tiny:nothing", "--json"]).json_error();
    assert_eq!((code, &error["kind"]), (4, &"not-found".into()));
    assert_eq!((&error["backend"], &error["key"]), (&"tiny".into(), &"nothing".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn rm_removes_what_is_named_and_below_only_on_request() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    for key in ["a", "a/b", "a/c", "keep", ".lifeboat/journal"] {
        sandbox.run_with_input(&["put", "-", &format!("tiny:{key}")], b"x").ok();
    }
    sandbox.run(&["rm", "tiny:a"]).ok();
    assert_eq!(sandbox.server().keys("data"), [".lifeboat/journal", "a/b", "a/c", "keep"]);
    // No terminal is there to answer.
    assert_snapshot!(sandbox.run(&["rm", "-r", "tiny:"]).failure(), @r#"
2
error: nobody is there to ask whether to remove everything: nothing was removed
  try: add --yes
"#);
    assert_eq!(sandbox.server().keys("data").len(), 4);
    let removed = sandbox.run(&["rm", "-r", "--yes", "tiny:a", "--json"]).json();
    assert_eq!(removed["removed"], 2);
    let partly = sandbox.run(&["rm", "tiny:keep", "tiny:nothing"]);
    assert_eq!(partly.code, Some(1));
    sandbox.run(&["rm", "-r", "--yes", "tiny:"]).ok();
    assert_eq!(sandbox.server().keys("data"), [".lifeboat/journal"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_bucket_is_no_object() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    for command in [&["stat", "tiny:"][..], &["cat", "tiny:"], &["rm", "tiny:"], &["stat", "."]] {
        let run = sandbox.run(command);
        assert!(run.code == Some(2) && run.stderr.contains("names no object"), "{run:?}");
    }
    for command in [&["put", "-", "tiny:"], &["cp", "tiny:", "new-name"]] {
        let run = sandbox.run(command);
        assert!(run.code == Some(2) && run.stderr.contains("is a folder"), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_what_it_asks_is_not_denied() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    sandbox.run_with_input(&["put", "-", "tiny:ten"], b"0123456789").ok();
    let run = sandbox.run(&["cat", "tiny:ten", "--range", "10-"]);
    assert!(run.code == Some(2) && run.stderr.contains("beyond the end"), "{run:?}");
    sandbox.write("ten", "0123456789");
    let run = sandbox.run(&["cat", "ten", "--range", "10-"]);
    assert!(run.code == Some(2) && run.stderr.contains("beyond the end"), "{run:?}");
    let long = format!("tiny:{}", "k".repeat(2_000));
    let run = sandbox.run_with_input(&["put", "-", &long], b"x");
    assert!(run.code == Some(8) && run.stderr.contains("exceeds the provider's limits"), "{run:?}");
    let lock = ["put", "-", "tiny:ten", "--if-absent", "--json"];
    let (code, error) = sandbox.run_with_input(&lock, b"x").json_error();
    assert_eq!((code, error["kind"].as_str()), (1, Some("conflict")));
}

#[test]
fn folder_is_called_by_its_path() {
    let sandbox = Sandbox::empty();
    assert_snapshot!(sandbox.run(&["cat", "./nothing"]).failure(), @r#"
4
error: DIR, key `nothing`: no such object
  cause: No such file or directory (os error 2)
"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    sandbox.run_with_input(&["put", "-", "tiny:large"], &vec![b'x'; 8_000_000]).ok();
    let mut child = sandbox.command(&["cat", "tiny:large"]).spawn().unwrap();
    let mut first = [0; 10];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn verbose_runs_show_requests_and_no_secret() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    // The sandbox looks for the secret in every run.
    let run = sandbox.run(&["-vv", "cat", "tiny:nothing"]);
    assert!(run.stderr.contains("attempt failed"), "{}", run.stderr);
    assert!(!run.stderr.contains("Signature="), "{}", run.stderr);
    sandbox.run_with_input(&["put", "-", "tiny:there"], b"x").ok();
    let run = sandbox.run(&["-v", "cat", "tiny:there"]);
    assert!(run.stderr.contains("attempt answered"), "{}", run.stderr);
}

#[test]
fn file_whose_name_is_no_key_is_told_and_the_rest_is_listed() {
    let sandbox = Sandbox::empty();
    sandbox.write("tree/a", "x");
    sandbox.write("tree/line\nbreak", "x");
    sandbox.write("tree/z", "x");
    let run = sandbox.run(&["ls", "-r", "tree"]);
    assert_eq!((run.code, &*run.stdout), (Some(1), "a\nz\n"));
    assert!(run.stderr.contains("line\\nbreak") && !run.stderr.contains("line\nbreak"), "{run:?}");
}
