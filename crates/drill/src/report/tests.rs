//! What programs and people get to see.

use super::*;
use crate::frame::BackendFrame;
use crate::oracle::Findings;

fn outcome(scenario: Scenario, slow: u64) -> Outcome {
    let measured = Measured {
        requests: 10,
        slowest_ms: 9.0,
        first_success_after_outage_ms: Some(20.0),
        latencies: vec![Duration::from_millis(1), Duration::from_millis(slow)],
        ..Measured::default()
    };
    let findings = Findings { acked_writes: 3, ..Findings::default() };
    let backend = |name: &str, health: &str| BackendFrame {
        name: name.into(),
        health: health.into(),
        served_per_second: 40.0,
    };
    let frame = |seconds, broken| Frame {
        seconds,
        primary: "<black> hole".into(),
        broken,
        requests_per_second: 80.0,
        failed_per_second: 0.0,
        p99_ms: 12.5,
        backends: vec![backend("primary", "ejected"), backend("replica", "serving")],
        journal: 17,
    };
    Outcome {
        scenario,
        measured,
        findings,
        journal_peak: 17,
        level_ms: Some(300.0),
        catch_up_ms: Some(500.0),
        converged: true,
        audit: Audit::default(),
        seconds: 1.0,
        frames: vec![frame(0.5, false), frame(1.0, true)],
        naive: None,
    }
}

#[test]
fn document_has_what_programs_rely_on_for_each_scenario_and_in_total() {
    let mut report = Report::default();
    report.add(outcome(Scenario::Refused, 4));
    report.add(outcome(Scenario::BlackHole, 8));
    let document = serde_json::to_value(&report).unwrap();
    for name in STABLE_FIELDS {
        assert!(!document[name].is_null(), "{name} in total");
        assert!(!document["scenarios"][1][name].is_null(), "{name} of a scenario");
    }
    assert_eq!(document["scenarios"][1]["scenario"], "blackhole");
    assert_eq!((&document["requests"], &document["acked_writes"]), (&20.into(), &6.into()));
    assert_eq!(document["slowest_ms"], 8.0);
    assert_eq!(document["passed"], true);
}

#[test]
fn anything_wrong_anywhere_fails_the_whole() {
    assert!(!Report::default().passed(), "nothing was shown");
    let harms: [fn(&mut Outcome); 7] = [
        |outcome| outcome.measured.failed_requests = 1,
        |outcome| outcome.findings.lost_writes = 1,
        |outcome| outcome.findings.resurrected_deletes = 1,
        |outcome| outcome.findings.stale_reads = 1,
        |outcome| outcome.findings.corrupt_reads = 1,
        |outcome| outcome.converged = false,
        |outcome| outcome.catch_up_ms = None,
    ];
    for (number, harm) in harms.into_iter().enumerate() {
        let mut report = Report::default();
        report.add(outcome(Scenario::Refused, 4));
        assert!(report.passed());
        let mut bad = outcome(Scenario::Hang, 4);
        harm(&mut bad);
        report.add(bad);
        assert_eq!(report.passed(), number == 6, "converged says it for the last: {number}");
    }
}

#[test]
fn page_stands_alone_and_escapes_what_it_shows() {
    let mut report = Report::default();
    report.add(outcome(Scenario::BlackHole, 4));
    let page = report.to_html();
    for needed in
        ["<!doctype html>", "blackhole", "<svg", "polyline", "class=\"broken\"", "ejected"]
    {
        assert!(page.contains(needed), "{needed}");
    }
    assert!(page.contains("&lt;black&gt; hole") && !page.contains("<black>"));
    for foreign in ["http://", "https://", "src=", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}
