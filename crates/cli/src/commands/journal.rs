//! `lifeboat journal`: what backends have missed, bringing it to them, and what was written on two
//! sides at once.

use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lifeboat::{Error, ErrorKind};
use lifeboat_failover::{CatchUpReport, Failover, Marker};

use crate::cli::JournalAction;
use crate::context::Context;
use crate::exit::{Exit, Failure, Result};
use crate::output::{Table, print_document, print_line, print_record, print_text, say};
use crate::size::human_size;

/// How often a replay says how far it is, where no terminal is there.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How often it shows that on a terminal.
const TICK: Duration = Duration::from_millis(200);

/// Does one of the three.
pub(crate) async fn run(context: &Context, action: JournalAction) -> Result {
    let failover = context.failover(&context.fleet()?)?;
    let result = match action {
        JournalAction::Ls => list(context, &failover).await,
        JournalAction::Replay => replay(context, &failover).await,
        JournalAction::Conflicts => conflicts(context, &failover).await,
    };
    failover.close().await;
    result
}

async fn list(context: &Context, failover: &Failover) -> Result {
    let markers = failover.journal().await.map_err(failed)?;
    if context.output.json {
        return markers.iter().try_for_each(print_record);
    }
    if markers.is_empty() {
        return print_line("no backend has missed anything that the reachable journals know of");
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut table = Table::new(&["may lack it", "state", ">age", "certain", "key"]);
    for marker in &markers {
        table.row([
            marker.target.clone(),
            if marker.delete { "deleted" } else { "written" }.to_owned(),
            age(now, marker),
            if marker.ambiguous { "no" } else { "yes" }.to_owned(),
            marker.key.to_string(),
        ]);
    }
    print_text(&table.render())
}

/// In whole seconds; clocks of several machines are involved.
fn age(now: Duration, marker: &Marker) -> String {
    let written = Duration::from_millis(marker.stamp.unix_millis());
    let seconds = now.saturating_sub(written).as_secs();
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

async fn replay(context: &Context, failover: &Failover) -> Result {
    let report = watched(context, failover).await;
    if context.output.json {
        print_document(&report)?;
    } else {
        print_line(&in_words(&report))?;
    }
    if report.left == 0 { Ok(()) } else { Err(Failure::Reported(Exit::Failed)) }
}

fn in_words(report: &CatchUpReport) -> String {
    let CatchUpReport { keys, bytes, left, .. } = report;
    let done = format!("{keys} keys looked at, {} written", human_size(*bytes));
    match left {
        0 => format!("{done}; the journal is empty"),
        left => format!(
            "{done}; {left} markers are left: their backends cannot be reached, or their writes may \
             still land"
        ),
    }
}

/// Catches up, and shows how far that is.
async fn watched(context: &Context, failover: &Failover) -> CatchUpReport {
    let bar = if context.progress {
        ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
    } else {
        ProgressBar::hidden()
    };
    let style = ProgressStyle::with_template("{spinner} catching up: {msg} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let lines = context.progress && bar.is_hidden();
    let mut ticks = tokio::time::interval(if lines { LINE_EVERY } else { TICK });
    ticks.tick().await;
    let catch_up = failover.catch_up();
    tokio::pin!(catch_up);
    let report = loop {
        tokio::select! {
            report = &mut catch_up => break report,
            _ = ticks.tick() => {
                let left = format!("{} markers left", failover.status().journal.markers);
                if lines {
                    say(&format!("catching up: {left}"));
                }
                bar.set_message(left);
                bar.tick();
            }
        }
    };
    bar.finish_and_clear();
    report
}

async fn conflicts(context: &Context, failover: &Failover) -> Result {
    let conflicts = failover.conflicts().await.map_err(failed)?;
    if context.output.json {
        return conflicts.iter().try_for_each(print_record);
    }
    if conflicts.is_empty() {
        return print_line("no conflicts");
    }
    let mut table = Table::new(&["backend", "loser kept as", "key"]);
    for conflict in &conflicts {
        table.row([
            conflict.backend.clone(),
            conflict.kept_at.to_string(),
            conflict.key.to_string(),
        ]);
    }
    print_text(&table.render())
}

/// No backend could be asked.
fn failed(error: object_store::Error) -> Failure {
    Error::new(ErrorKind::Unavailable, "no backend's journal can be read")
        .with_remedy("see `lifeboat check`")
        .with_source(error)
        .into()
}
