//! What drills came to: a document for programs; a table, a verdict and the first failures for people.

use lifeboat_drill::{Outcome, Report};

use crate::context::Context;
use crate::exit::Result;
use crate::output::{Table, escape, print_document, print_line, print_text};

/// More would scroll the verdict away; the document and the page have them all.
const MOST_EXAMPLES: usize = 10;

/// Prints what came of it.
pub(super) fn show(context: &Context, report: &Report) -> Result {
    if context.output.json {
        return print_document(report);
    }
    print_text(&table(report))?;
    for outcome in report.outcomes() {
        tell(context, outcome);
    }
    print_line(&verdict(report))
}

fn table(report: &Report) -> String {
    let mut table = Table::new(&[
        "scenario",
        ">requests",
        ">failed",
        ">p50 ms",
        ">p99 ms",
        ">slowest ms",
        ">first ok ms",
        ">first read ms",
        ">lost",
        ">back",
        ">stale",
        ">journal",
        ">level ms",
        ">catch-up ms",
        "equal",
    ]);
    for outcome in report.outcomes() {
        row(&mut table, outcome.scenario.name(), outcome);
        if let Some(naive) = &outcome.naive {
            row(&mut table, "  naive fallback", naive);
        }
    }
    table.render()
}

fn row(table: &mut Table, name: &str, outcome: &Outcome) {
    let (measured, findings) = (&outcome.measured, &outcome.findings);
    let time = |time: Option<f64>| time.map_or("never".into(), |time| format!("{time:.0}"));
    table.row([
        name.to_owned(),
        measured.requests.to_string(),
        measured.failed_requests.to_string(),
        format!("{:.1}", measured.p50_ms),
        format!("{:.1}", measured.p99_ms),
        format!("{:.0}", measured.slowest_ms),
        time(measured.first_success_after_outage_ms),
        time(measured.first_read_after_outage_ms),
        findings.lost_writes.to_string(),
        findings.resurrected_deletes.to_string(),
        (findings.stale_reads + findings.corrupt_reads).to_string(),
        outcome.journal_peak.to_string(),
        time(outcome.level_ms),
        time(outcome.catch_up_ms),
        if outcome.converged { "yes" } else { "NO" }.to_owned(),
    ]);
}

fn tell(context: &Context, outcome: &Outcome) {
    let examples = outcome.measured.failures.iter().chain(&outcome.findings.examples);
    for example in examples.take(MOST_EXAMPLES) {
        context.output.note(&format!("{}: {}", outcome.scenario, escape(example)));
    }
}

fn verdict(report: &Report) -> String {
    if report.passed() {
        return "passed: no request failed, nothing was lost, all sides are equal".into();
    }
    let totals = report.totals();
    let counts = [
        (totals.failed_requests, "requests failed"),
        (totals.lost_writes, "acknowledged writes lost"),
        (totals.resurrected_deletes, "deleted objects back"),
        (totals.stale_reads, "stale reads"),
        (totals.corrupt_reads, "corrupt reads"),
    ];
    let wrong = counts.into_iter().filter(|(count, _)| *count > 0);
    let mut wrong: Vec<String> = wrong.map(|(count, what)| format!("{count} {what}")).collect();
    if !totals.converged {
        wrong.push("the sides differ, or had not caught up in time".into());
    }
    format!("NOT passed: {}", wrong.join(", "))
}
