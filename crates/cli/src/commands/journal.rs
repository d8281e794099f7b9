//! `lifeboat journal`: what backends have missed, bringing it to them, what was written on two sides at once, and
//! what no marker knows of.

use std::time::{Duration, Instant, SystemTime};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lifeboat::{Error, ErrorKind};
use lifeboat_failover::{
    CatchUpReport, Failover, HealthState, Marker, MendReport, RefusedKey, UncleanEnd,
};
use serde::Serialize;

use crate::cli::{JournalAction, Mend};
use crate::context::{Context, failover};
use crate::exit::{Exit, Failure, Result, to_text};
use crate::output::{Table, escape, print_document, print_line, print_record, print_text, say};
use crate::size::human_size;

/// How often a replay says how far it is, where no terminal is there.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How often it shows that on a terminal.
const TICK: Duration = Duration::from_millis(200);

/// How long a replay goes on without any marker going: markers about keys that are gone wait until nothing has moved for the
/// default of `write_deadline`, and every journal has been read after that.
const PATIENCE: Duration = Duration::from_secs(45);

/// Pause between two passes.
const PASS_EVERY: Duration = Duration::from_secs(1);

/// Does one of them.
pub(crate) async fn run(context: &Context, action: JournalAction) -> Result {
    let fleet = context.fleet()?;
    for (_, error) in fleet.failures() {
        context.output.note(to_text(error).trim_end());
    }
    let failover = failover(&fleet)?;
    let result = match action {
        JournalAction::Ls => list(context, &failover).await,
        JournalAction::Replay => replay(context, &failover).await,
        JournalAction::Conflicts => conflicts(context, &failover).await,
        JournalAction::Mend(arguments) => mend(context, &failover, &arguments).await,
    };
    failover.close().await;
    result
}

async fn list(context: &Context, failover: &Failover) -> Result {
    let markers = failover.journal().await.map_err(failed)?;
    say_away(failover);
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

/// What a replay came to.
#[derive(Debug, Default, Serialize)]
struct Replayed {
    /// Bytes written.
    bytes: u64,
    /// Markers removed.
    removed: u64,
    /// Markers that are still there.
    left: u64,
    /// Backends that could not be asked.
    away: Vec<String>,
    /// Keys that a backend does not take as they are, the first few.
    refused: Vec<Refused>,
}

/// A key that no replay brings to a backend before its cause is gone.
#[derive(Debug, Serialize)]
struct Refused {
    key: String,
    /// What the backend answered.
    why: String,
}

impl From<RefusedKey> for Refused {
    fn from(RefusedKey { key, why, .. }: RefusedKey) -> Self {
        Self { key, why }
    }
}

async fn replay(context: &Context, failover: &Failover) -> Result {
    let progress = Progress::new(context);
    let mut replayed = Replayed::default();
    let mut moved = Instant::now();
    // One look is not enough: a backend without conditions is not written to before every process has had time
    // to see the markers, and that time begins when this one has seen them.
    loop {
        let pass = progress.watch(failover).await;
        replayed.bytes += pass.bytes;
        replayed.removed += pass.removed;
        (replayed.left, replayed.away) = (pass.left, away(failover));
        if pass.removed > 0 || pass.bytes > 0 {
            moved = Instant::now();
        }
        if pass.left == 0 || moved.elapsed() > PATIENCE {
            break;
        }
        tokio::time::sleep(PASS_EVERY).await;
    }
    drop(progress);
    replayed.refused = failover.status().refused.into_iter().map(Refused::from).collect();
    if context.output.json {
        print_document(&replayed)?;
    } else {
        print_text(&replayed.in_words())?;
    }
    // Markers that only wait for time to pass are no failure.
    if replayed.away.is_empty() { Ok(()) } else { Err(Failure::Reported(Exit::Unavailable)) }
}

/// Backends that may have missed something and cannot be told, or know of more.
fn away(failover: &Failover) -> Vec<String> {
    let backends = failover.status().backends;
    let away = backends.into_iter().filter(|backend| {
        let ejected = matches!(backend.health, HealthState::Ejected | HealthState::Probing);
        ejected || !backend.journal_read
    });
    away.map(|backend| backend.name).collect()
}

/// Says on standard error whose markers or conflicts may be missing, to programs as well: the records have no place for it.
fn say_away(failover: &Failover) {
    let away = away(failover);
    if !away.is_empty() {
        say(&format!(
            "not shown is what only these know, and they do not answer: {}",
            away.join(", ")
        ));
    }
}

impl Replayed {
    fn in_words(&self) -> String {
        let Self { bytes, removed, left, away, refused } = self;
        let done = format!("{} settled, {} written", markers(*removed), human_size(*bytes));
        let first = match (left, &**away, &**refused) {
            (0, [], _) => format!("{done}; the journal is empty"),
            (left, [], []) => {
                format!("{done}; {left} markers stay until nothing can land late any more")
            }
            (left, [], _) => format!("{done}; {} left", markers(*left)),
            (left, away, _) => {
                format!("{done}; {} left; away: {}", markers(*left), away.join(", "))
            }
        };
        let refused = refused.iter().map(|Refused { key, why }| format!("refused: {key}: {why}"));
        std::iter::once(first)
            .chain(refused)
            .map(|line| escape(&line).into_owned() + "\n")
            .collect()
    }
}

fn markers(count: u64) -> String {
    if count == 1 { "1 marker".into() } else { format!("{count} markers") }
}

/// How far a replay is: a spinner on a terminal, a line now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    lines: bool,
}

impl Progress {
    fn new(context: &Context) -> Self {
        let bar = if context.progress {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        // The template is right; the default bar would do, too.
        let style = ProgressStyle::with_template("{spinner} catching up: {msg} {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let lines = context.progress && bar.is_hidden();
        Self { bar, lines }
    }

    /// One pass, watched.
    async fn watch(&self, failover: &Failover) -> CatchUpReport {
        let mut ticks = tokio::time::interval(if self.lines { LINE_EVERY } else { TICK });
        ticks.tick().await;
        let pass = failover.catch_up();
        tokio::pin!(pass);
        loop {
            tokio::select! {
                report = &mut pass => return report,
                _ = ticks.tick() => self.show(failover.status().journal.markers),
            }
        }
    }

    fn show(&self, count: u64) {
        let left = format!("{} left", markers(count));
        if self.lines {
            say(&format!("catching up: {left}"));
        }
        self.bar.set_message(left);
        self.bar.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

async fn conflicts(context: &Context, failover: &Failover) -> Result {
    // Whose journal was read could also be asked for what it keeps.
    let (_, conflicts) = tokio::join!(failover.journal(), failover.conflicts());
    let conflicts = conflicts.map_err(failed)?;
    say_away(failover);
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

async fn mend(context: &Context, failover: &Failover, arguments: &Mend) -> Result {
    let now = SystemTime::now();
    let since = if arguments.unclean {
        // Whose journal was read could also be asked for writers.
        let (_, ends) = tokio::join!(failover.journal(), failover.unclean_ends());
        let Some(first) = ends.iter().map(UncleanEnd::compare_since).min() else {
            return match away(failover) {
                away if away.is_empty() => print_mended(context, &MendReport::default()),
                away => Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("not known whether a writer was killed: away: {}", away.join(", ")),
                )
                .with_remedy("repeat it when they are back")
                .into()),
            };
        };
        first
    } else {
        arguments.since.and_then(|ago| now.checked_sub(ago)).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let report = failover.mend_since(None, since).await;
    print_mended(context, &report)?;
    let whole = report.unreachable.is_empty() && report.mended == report.different;
    if whole { Ok(()) } else { Err(Failure::Reported(Exit::Unavailable)) }
}

fn print_mended(context: &Context, report: &MendReport) -> Result {
    if context.output.json {
        return print_document(report);
    }
    let MendReport { compared, different, mended, bytes, unreachable, .. } = report;
    let mut text = format!(
        "{compared} keys compared, {different} differed, {mended} mended, {} written",
        human_size(*bytes)
    );
    if different > mended {
        text += "; what still differs is being written, or waits for a backend: repeat it";
    }
    if !unreachable.is_empty() {
        text = format!("{text}; not compared: {}", unreachable.join(", "));
    }
    print_line(&text)
}

/// No backend could be asked.
fn failed(error: object_store::Error) -> Failure {
    Error::new(ErrorKind::Unavailable, "no backend's journal can be read")
        .with_remedy("see `lifeboat check`")
        .with_source(error)
        .into()
}
