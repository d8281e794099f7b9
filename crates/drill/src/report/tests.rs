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
fn wrong_data_weigh_more_than_failed_requests_wherever_they_occur() {
    let report = |harms: &[fn(&mut Outcome)]| {
        let mut report = Report::default();
        for harm in harms {
            let mut outcome = outcome(Scenario::Hang, 4);
            harm(&mut outcome);
            report.add(outcome);
        }
        report
    };
    let none: fn(&mut Outcome) = |_| {};
    let failed: fn(&mut Outcome) = |outcome| outcome.measured.failed_requests = 1;
    let wrong: [fn(&mut Outcome); 5] = [
        |outcome| outcome.findings.lost_writes = 1,
        |outcome| outcome.findings.resurrected_deletes = 1,
        |outcome| outcome.findings.stale_reads = 1,
        |outcome| outcome.findings.corrupt_reads = 1,
        |outcome| outcome.converged = false,
    ];
    assert_eq!(report(&[]).harm(), Harm::Requests, "nothing was shown");
    assert_eq!(report(&[none, none]).harm(), Harm::None);
    for harms in [[failed, none], [none, failed]] {
        assert_eq!(report(&harms).harm(), Harm::Requests);
    }
    for (number, wrong) in wrong.into_iter().enumerate() {
        for harms in [[wrong, none], [none, wrong], [failed, wrong], [wrong, failed]] {
            assert_eq!(report(&harms).harm(), Harm::Data, "{number}");
        }
    }
}

#[test]
fn naive_fallback_that_is_shown_beside_does_no_harm() {
    let mut naive = outcome(Scenario::Hang, 4);
    (naive.measured.failed_requests, naive.converged) = (1, false);
    let mut report = Report::default();
    report.add(outcome(Scenario::Hang, 4).with_naive(naive));
    assert_eq!((report.harm(), report.passed()), (Harm::None, true));
}

#[test]
fn page_has_a_cell_for_every_heading_and_the_times_in_their_places() {
    let mut report = Report::default();
    let mut shown = outcome(Scenario::BlackHole, 4);
    shown.measured.first_read_after_outage_ms = Some(30.0);
    report.add(shown);
    let page = report.to_html();
    let table = page.split("<table>").nth(1).unwrap().split("</table>").next().unwrap();
    let (head, body) = table.split_once("</thead>").unwrap();
    let headings: Vec<&str> = cells(head, "<th>");
    let row: Vec<&str> = cells(body, "<td");
    assert_eq!(headings.len(), row.len(), "{table}");
    for (heading, value) in [
        ("slowest ms", ">9"),
        ("first ok ms", ">20"),
        ("first read ms", ">30"),
        ("journal", ">17"),
        ("level ms", ">300"),
        ("catch-up ms", ">500"),
        ("equal", ">yes"),
    ] {
        let at = headings.iter().position(|named| *named == heading).expect(heading);
        assert_eq!(row[at], value, "{heading}");
    }
}

/// What stands behind each mark of a cell, up to the next one.
fn cells<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    let cells = text.split(mark).skip(1);
    cells.map(|cell| cell.split("</tr>").next().unwrap_or(cell).trim_end()).collect()
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
