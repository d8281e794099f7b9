//! Outages on purpose, through the real command.

use lifeboat_drill::STABLE_FIELDS;
use lifeboat_testkit::s3::Options;

use crate::sandbox::Sandbox;

#[test]
fn drill_needs_no_configuration_and_an_outage_is_a_non_event() {
    let sandbox = Sandbox::empty();
    let arguments = ["drill", "--seconds", "4", "--rate", "30", "--json", "--report", "drill.html"];
    let run = sandbox.run(&arguments);
    let report = run.json();
    for field in STABLE_FIELDS {
        assert!(!report[field].is_null(), "{field}: {report}");
        assert!(!report["scenarios"][0][field].is_null(), "{field}: {report}");
    }
    assert_eq!(report["scenarios"][0]["scenario"], "blackhole");
    assert_eq!((&report["requests"], &report["failed_requests"]), (&120.into(), &0.into()));
    assert!(report["journal_peak"].as_u64().is_some_and(|peak| peak > 0), "{report}");
    let page = std::fs::read_to_string(sandbox.path("drill.html")).unwrap();
    assert!(page.contains("<svg") && page.ends_with("</html>\n"));
}

#[test]
fn several_scenarios_are_told_in_a_table_and_a_verdict() {
    let arguments =
        ["drill", "--scenario", "refused,dns", "--seconds", "3", "--rate", "30", "--no-progress"];
    let run = Sandbox::empty().run(&arguments);
    let lines: Vec<&str> = run.stdout.lines().collect();
    let first_words: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(first_words, ["scenario", "refused", "dns", "passed:"], "{run:?}");
    let note = "two S3 endpoints of the drill's own on loopback; the first breaks on the wire\n";
    assert_eq!(run.stderr, note);
    run.ok();
}

/// A short drill on the backends of the sandbox.
fn on_configured(rate: &str) -> Vec<&str> {
    let place = ["drill", "--config", "lifeboat.toml", "--scenario", "errors"];
    let load = ["--seconds", "3", "--rate", rate, "--quarantine", "3s"];
    [&place[..], &load, &["--json", "--no-progress"]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn drill_on_configured_backends_leaves_nothing_behind() {
    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    let report = sandbox.run(&on_configured("30")).json();
    assert_eq!(report["passed"], true, "{report}");
    for server in sandbox.servers() {
        assert_eq!(server.keys("data"), Vec::<String>::new());
        assert!(server.request_log().iter().any(|request| request.method == "PUT"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drill_that_cannot_remove_what_it_wrote_fails_and_says_where_it_lies() {
    // The load deletes key by key, and what it leaves is removed by the hundred.
    let sandbox = Sandbox::with_two_s3(Options::default().bulk_delete(Some(1))).await;
    let run = sandbox.run(&on_configured("20"));
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["passed"], true, "{report}");
    let (code, error) = run.json_error();
    assert_eq!((code, &error["backend"]), (1, &"tiny".into()), "{error}");
    let remedy = error["remedy"].as_str().unwrap_or_default();
    assert!(remedy.contains("lifeboat rm -r tiny:.lifeboat/drill"), "{error}");
    for server in sandbox.servers() {
        let keys = server.keys("data");
        assert!(keys.len() > 100, "the clean-up was not kept from it: {keys:?}");
        assert!(keys.iter().all(|key| key.starts_with(".lifeboat/drill/")), "{keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drill_wants_two_backends_and_takes_no_file_that_was_not_named() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    insta::assert_snapshot!(
        sandbox.run(&["drill", "--config", "lifeboat.toml"]).failure(), @r"
    2
    error: a drill needs two backends, and there are 1
      try: configure a second one, or run the drill without --config
    ");
    sandbox.run(&["drill", "--scenario", "refused", "--seconds", "3", "--rate", "20"]).ok();
    assert!(sandbox.server().request_log().is_empty());
}

#[test]
fn unknown_scenario_is_a_matter_of_usage() {
    let run = Sandbox::empty().run(&["drill", "--scenario", "earthquake"]);
    assert!(run.stderr.contains("earthquake") && run.stderr.contains("blackhole"), "{run:?}");
    assert_eq!(run.code, Some(2));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_drill_removes_what_it_wrote_and_exits_with_130() {
    use std::time::{Duration, Instant};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    let arguments = ["drill", "--config", "lifeboat.toml", "--seconds", "60", "--rate", "20"];
    let child = sandbox.command(&arguments).spawn().unwrap();
    let started = Instant::now();
    // The load has begun when there are more objects than were there at first.
    while sandbox.server().keys("data").len() < 110 {
        assert!(started.elapsed() < Duration::from_mins(1), "the drill never began");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let run = sandbox.finish(&child.wait_with_output().unwrap());
    assert!(run.code == Some(130) && run.stderr.ends_with("\ninterrupted\n"), "{run:?}");
    for server in sandbox.servers() {
        assert_eq!(server.keys("data"), Vec::<String>::new());
    }
}
