//! The report as a page: a verdict, a table, and the course of every scenario.

use std::fmt::Write;

use super::plot::{Line, escape, health, lines};
use super::{Outcome, Report};
use crate::frame::Frame;

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1b1f24;--dim:#667;--line:#dde;--bg:#fff;--ok:#1a7f4b;--bad:#c0392b;--one:#2463b8;--two:#1a7f4b;--three:#8a5a00}
@media(prefers-color-scheme:dark){:root{--text:#e6e8eb;--dim:#9aa;--line:#334;--bg:#15181c;--ok:#4cc38a;--bad:#ff7b6b;--one:#6aa9ff;--two:#4cc38a;--three:#e0b050}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--bg);max-width:900px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.5rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.88rem}
th,td{padding:.25rem .5rem;border-bottom:1px solid var(--line);text-align:right}th:first-child,td:first-child{text-align:left}
.good{color:var(--ok);font-weight:600}.bad{color:var(--bad);font-weight:600}.dim{color:var(--dim)}
svg{width:100%;height:auto;display:block;margin:.4rem 0}
svg text{font:11px system-ui,sans-serif;fill:var(--dim)}svg text.name{font-weight:600;fill:var(--text)}
polyline{fill:none;stroke-width:1.6}.grid{stroke:var(--line)}.broken{fill:var(--bad);opacity:.12}
polyline.one{stroke:var(--one)}polyline.two{stroke:var(--two)}polyline.three{stroke:var(--three)}polyline.failed{stroke:var(--bad)}
svg text.one{fill:var(--one)}svg text.two{fill:var(--two)}svg text.three{fill:var(--three)}svg text.failed{fill:var(--bad)}
rect.serving{fill:var(--ok)}rect.suspect{fill:#e0b050}rect.probing{fill:#7a8cd0}rect.ejected{fill:var(--bad)}
";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Lifeboat drill</title><style>{STYLE}</style></head><body>\n<h1>Lifeboat drill</h1>\n"
    );
    page += &verdict(report);
    page += &table(report);
    for outcome in report.outcomes() {
        page += &course(outcome.scenario.name(), outcome);
        if let Some(naive) = &outcome.naive {
            page += &course(&format!("{}: naive fallback", outcome.scenario), naive);
        }
    }
    page + "</body></html>\n"
}

fn verdict(report: &Report) -> String {
    let totals = report.totals();
    let (class, word) = if report.passed() {
        ("good", "The outages were non-events.")
    } else {
        ("bad", "The outages were noticed.")
    };
    format!(
        "<p class=\"{class}\">{word}</p>\n<p>{} requests, {} failed; {} acknowledged writes, {} lost; \
         {} deleted objects back; {} stale and {} corrupt reads; sides {}.</p>\n",
        totals.requests,
        totals.failed_requests,
        totals.acked_writes,
        totals.lost_writes,
        totals.resurrected_deletes,
        totals.stale_reads,
        totals.corrupt_reads,
        if totals.converged { "equal" } else { "NOT equal" },
    )
}

fn table(report: &Report) -> String {
    let mut text = String::from(
        "<table><thead><tr><th>scenario<th>requests<th>failed<th>p50 ms<th>p99 ms<th>slowest ms\
         <th>first ok ms<th>first read ms<th>lost<th>back<th>stale<th>journal<th>level ms<th>catch-up ms<th>equal</tr></thead><tbody>\n",
    );
    for outcome in report.outcomes() {
        row(&mut text, outcome.scenario.name(), outcome);
        if let Some(naive) = &outcome.naive {
            row(&mut text, "— naive fallback", naive);
        }
    }
    text + "</tbody></table>\n"
}

fn row(text: &mut String, name: &str, outcome: &Outcome) {
    let measured = &outcome.measured;
    let class = if outcome.passed() { "good" } else { "bad" };
    let _ = writeln!(
        text,
        "<tr><td class=\"{class}\">{name}<td>{}<td>{}<td>{:.1}<td>{:.1}<td>{:.0}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
        measured.requests,
        measured.failed_requests,
        measured.p50_ms,
        measured.p99_ms,
        measured.slowest_ms,
        time(measured.first_success_after_outage_ms),
        time(measured.first_read_after_outage_ms),
        outcome.findings.lost_writes,
        outcome.findings.resurrected_deletes,
        outcome.findings.stale_reads + outcome.findings.corrupt_reads,
        outcome.journal_peak,
        time(outcome.level_ms),
        time(outcome.catch_up_ms),
        if outcome.converged { "yes" } else { "NO" },
    );
}

fn time(milliseconds: Option<f64>) -> String {
    milliseconds.map_or_else(|| "never".into(), |milliseconds| format!("{milliseconds:.0}"))
}

fn course(title: &str, outcome: &Outcome) -> String {
    let frames = &outcome.frames;
    let mut text = format!("<h2>{title}</h2>\n");
    if let Some(first) = frames.first() {
        text += &lines("requests served per second", frames, &by_backend(first));
        text += &health(frames);
        let p99 = Line {
            name: "p99".into(),
            class: "one",
            value: Box::new(|frame: &Frame| frame.p99_ms),
        };
        text += &lines("latency in ms", frames, &[p99]);
        #[expect(clippy::cast_precision_loss, reason = "a picture")]
        let depth = Line {
            name: "markers".into(),
            class: "three",
            value: Box::new(|frame: &Frame| frame.journal as f64),
        };
        text += &lines("journal", frames, &[depth]);
    }
    for example in outcome.measured.failures.iter().chain(&outcome.findings.examples) {
        let _ = writeln!(text, "<p class=\"dim\">{}</p>", escape(example));
    }
    text
}

fn by_backend(first: &Frame) -> Vec<Line<'static>> {
    const CLASSES: [&str; 3] = ["one", "two", "three"];
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (number, backend) in first.backends.iter().enumerate() {
        let served = move |frame: &Frame| {
            frame.backends.get(number).map_or(0.0, |backend| backend.served_per_second)
        };
        let class = CLASSES[number % CLASSES.len()];
        lines.push(Line { name: backend.name.clone(), class, value: Box::new(served) });
    }
    let failed = Box::new(|frame: &Frame| frame.failed_per_second);
    lines.push(Line { name: "failed".into(), class: "failed", value: failed });
    lines
}
