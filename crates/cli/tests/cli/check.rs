//! What `check` finds out.

use insta::assert_snapshot;
use lifeboat_testkit::s3::{ConditionalWrites, Options};

use crate::sandbox::{Run, Sandbox};

/// The lines that are the same in each run.
fn stable(run: &Run) -> String {
    let changes = |line: &str| ["latency", "clock skew"].iter().any(|name| line.contains(name));
    let lines = run.stdout.lines().filter(|line| !changes(line));
    format!("{}\n{}", run.code.unwrap(), lines.collect::<Vec<_>>().join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_backend_passes_and_nothing_is_left_behind() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    assert_snapshot!(stable(&sandbox.run(&["check"])), @r#"
0
tiny: ok
  backend        s3 us-east-1 data (owner unknown)
  reachable      yes
  authenticated  yes
  writable       yes
  object lock    unknown (the provider answers 501 NotImplemented)
  expiry         unknown (the provider answers 501 NotImplemented)
  capability        declared  probed
  create if absent  unknown   yes     a second create of the same key was refused, as it must be
  compare and swap  unknown   yes     a wrong ETag was refused and the right one accepted, as it must be
  user metadata     yes       yes     user metadata came back as it was sent
  ordered listing   unknown   yes     listings come in the byte order of keys
  presigned urls    yes       -
"#);
    assert!(sandbox.server().keys("data").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_ignores_conditions_is_found_out_in_words() {
    let options = Options::default().conditional_writes(ConditionalWrites::Ignore);
    let sandbox = Sandbox::with_s3(options).await;
    assert_snapshot!(stable(&sandbox.run(&["check", "tiny"])), @r#"
0
tiny: ok
  backend        s3 us-east-1 data (owner unknown)
  reachable      yes
  authenticated  yes
  writable       yes
  object lock    unknown (the provider answers 501 NotImplemented)
  expiry         unknown (the provider answers 501 NotImplemented)
  capability        declared  probed
  create if absent  unknown   no      a second create of the same key was accepted: the condition is ignored
  compare and swap  unknown   no      an update with a wrong ETag was accepted: the condition is ignored
  user metadata     yes       yes     user metadata came back as it was sent
  ordered listing   unknown   yes     listings come in the byte order of keys
  presigned urls    yes       -
  warning: accepts If-None-Match and ignores it: locks and table commits would be overwritten
  warning: accepts If-Match and ignores it: locks and table commits would be overwritten
"#);
    assert_eq!(sandbox.run(&["check", "--strict"]).code, Some(8));
    let report = sandbox.run(&["check", "--json"]).json();
    assert_eq!(report[0]["capabilities"][0]["probed"], "no");
    assert!(report[0]["clock_skew_seconds"].is_i64());
    assert!(report[0]["latency_ms"].as_f64().is_some_and(|latency| latency > 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn t29_rules_of_the_bucket_that_would_harm_the_journal_are_told() {
    let lock = "<ObjectLockConfiguration><Rule><DefaultRetention><Mode>COMPLIANCE</Mode>\
        <Years>1</Years></DefaultRetention></Rule></ObjectLockConfiguration>";
    let expiry = "<LifecycleConfiguration><Rule><ID>tidy</ID><Prefix/><Status>Enabled</Status>\
        <Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>";
    let options = Options::default().document("object-lock", lock).document("lifecycle", expiry);
    let sandbox = Sandbox::with_s3(options).await;
    let run = sandbox.run(&["check", "--read-only"]);
    assert_snapshot!(stable(&run), @r"
0
tiny: ok
  backend        s3 us-east-1 data (owner unknown)
  reachable      yes
  authenticated  yes
  writable       unknown
  object lock    yes (new objects are kept for 1 year in compliance mode)
  expiry         yes (rule `tidy` deletes objects after 30 days)
  capability        declared  probed
  create if absent  unknown   -
  compare and swap  unknown   -
  user metadata     yes       -
  ordered listing   unknown   -
  presigned urls    yes       -
  warning: object lock: new objects are kept for 1 year in compliance mode, the journal's markers too: each stays as a locked version, or cannot be deleted at all; use a bucket without a default retention
  warning: lifecycle: rule `tidy` deletes objects after 30 days, the journal's markers too: an outage that lasts longer loses writes; keep the rule off .lifeboat/
");
    assert_eq!(sandbox.run(&["check", "--read-only", "--strict"]).code, Some(8));
    let report = sandbox.run(&["check", "--json"]).json();
    assert_eq!(report[0]["object_lock"]["present"], "yes");
    assert_eq!(report[0]["expiry"]["present"], "yes");

    let harmless = "<LifecycleConfiguration><Rule><Filter><Prefix>logs/</Prefix></Filter>\
        <Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>";
    let none = "<ObjectLockConfiguration/>";
    let options = Options::default().document("object-lock", none).document("lifecycle", harmless);
    let sandbox = Sandbox::with_s3(options).await;
    sandbox.run(&["check", "--strict"]).ok();
    // A document of another kind is no answer.
    let listing = "<ListBucketResult/>";
    let options =
        Options::default().document("object-lock", listing).document("lifecycle", listing);
    let report = Sandbox::with_s3(options).await.run(&["check", "--json"]).json();
    assert_eq!(report[0]["object_lock"]["present"], "unknown");
    assert_eq!(report[0]["expiry"]["present"], "unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_writes_nothing() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    let run = sandbox.run(&["check", "--read-only"]);
    assert!(run.stdout.contains("writable       unknown"), "{}", run.stdout);
    run.ok();
    let methods = sandbox.server().request_log().into_iter().map(|request| request.method);
    let methods: Vec<_> = methods.collect();
    assert!(methods.iter().all(|method| method == "GET" || method == "HEAD"), "{methods:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_with_cause_remedy_and_exit_code() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    let url = sandbox.server().url();
    let missing = format!("s3://nowhere?region=us-east-1&endpoint={url}&allow_http=true&env=TINY");
    assert_snapshot!(stable(&sandbox.run(&["check", &missing])), @r#"
4
s3://nowhere?region=us-east-1&endpoint=http://127.0.0.1:PORT&allow_http=true&env=TINY: FAILED
  backend        s3 us-east-1 nowhere (owner unknown)
  reachable      yes
  authenticated  unknown
  writable       unknown
  object lock    unknown
  expiry         unknown
  error: s3:us-east-1/nowhere: there is no such bucket
    cause: s3:us-east-1/nowhere: get of `.lifeboat/beacon`: 404 Not Found NoSuchBucket: The specified bucket does not exist
    try: bucket not found at 127.0.0.1:PORT: check its name and the region us-east-1
"#);
    let mut command = sandbox.command(&["check"]);
    command.env("TINY_SECRET_ACCESS_KEY", "wrong");
    assert_snapshot!(stable(&sandbox.finish(&command.output().unwrap())), @r#"
3
tiny: FAILED
  backend        s3 us-east-1 data (owner unknown)
  reachable      yes
  authenticated  no
  writable       unknown
  object lock    unknown
  expiry         unknown
  error: tiny: the provider does not accept the credentials (403 SignatureDoesNotMatch)
    cause: s3:us-east-1/data: get of `.lifeboat/beacon`: 403 Forbidden SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. Check your key and signing method.
    try: check the secret access key, and the region that requests are signed for
"#);
    let dead = "s3://data?region=us-east-1&endpoint=http://127.0.0.1:1&allow_http=true&env=TINY";
    assert_snapshot!(stable(&sandbox.run(&["check", dead])), @r#"
6
s3://data?region=us-east-1&endpoint=http://127.0.0.1:1&allow_http=true&env=TINY: FAILED
  backend        s3 us-east-1 data (owner unknown)
  reachable      no
  authenticated  unknown
  writable       unknown
  object lock    unknown
  expiry         unknown
  error: s3:us-east-1/data: the provider cannot be reached or cannot serve
    cause: s3:us-east-1/data: get of `.lifeboat/beacon`: cannot connect to 127.0.0.1:1, after 3 attempts
    cause: Connection refused (os error 111)
    try: check the endpoint, the region and the network path to it
"#);
    // One of several: the exit code does not speak of one of them.
    assert_eq!(sandbox.run(&["check", "tiny", dead]).code, Some(6));
    assert_eq!(sandbox.run(&["check", &missing, dead]).code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn backend_that_cannot_be_set_up_is_told_and_the_others_are_checked() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    let mut text = std::fs::read_to_string(sandbox.path("lifeboat.toml")).unwrap();
    text += "[[backend]]\nname = \"odd\"\nurl = \"stackit://data?region=eu99\"\n";
    sandbox.write("lifeboat.toml", text);
    let run = sandbox.run(&["check"]);
    assert!(run.stdout.contains("tiny: ok\n") && run.stdout.contains("odd: FAILED\n"), "{run:?}");
    assert!(run.stdout.contains("eu99") && run.stdout.contains("eu01"), "{run:?}");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.ends_with("1 of 2 backends did not pass\n"), "{run:?}");
    let run = sandbox.run(&["check", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&report[0]["ok"], &report[1]["ok"]), (&true.into(), &false.into()));
    assert_eq!(report[1]["error"]["kind"], "configuration");
    assert_eq!(sandbox.run(&["check", "odd"]).code, Some(2));
    assert_eq!(sandbox.run(&["check", "tiny"]).code, Some(0));
}
