//! A drill while it runs: a chart that moves on a terminal, a line now and then elsewhere, on standard
//! error.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lifeboat_drill::{Frame, Watcher};

use crate::context::Context;
use crate::output::{escape, say};

/// How many frames a chart shows: the latest 24 seconds, with room for names within 80 columns.
const COLUMNS: usize = 48;

/// Where nobody watches a chart: often enough to follow an outage of some seconds.
const LINE_EVERY: f64 = 2.0;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Shows one drill.
pub(super) struct Chart {
    label: String,
    length: Duration,
    bar: ProgressBar,
    /// Whether lines are printed, as no terminal is there.
    lines: bool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    frames: Vec<Frame>,
    last_line: f64,
    primary: String,
}

impl Chart {
    pub(super) fn new(context: &Context, label: &str, length: Duration) -> Self {
        let bar = if context.progress {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        // The template is right; the default bar would do, too.
        let style = ProgressStyle::with_template("{msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let lines = context.progress && bar.is_hidden();
        Self { label: label.into(), length, bar, lines, seen: Mutex::default() }
    }
}

impl Drop for Chart {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Watcher for Chart {
    fn frame(&self, frame: &Frame) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lines {
            // What changes is said at once.
            if seen.primary != frame.primary || frame.seconds - seen.last_line >= LINE_EVERY {
                say(&line(&self.label, frame));
                seen.last_line = frame.seconds;
                seen.primary.clone_from(&frame.primary);
            }
            return;
        }
        if seen.frames.len() == COLUMNS {
            seen.frames.remove(0);
        }
        seen.frames.push(frame.clone());
        self.bar.set_message(picture(&self.label, self.length, &seen.frames));
    }
}

/// A moment as one line.
fn line(label: &str, frame: &Frame) -> String {
    let backends = frame.backends.iter().map(|backend| {
        format!(", {} {} {:.0}/s", escape(&backend.name), backend.health, backend.served_per_second)
    });
    format!(
        "{label} {:5.1} s: primary {}; {:.0}/s, failed {:.0}/s, p99 {:.0} ms{}, journal {}",
        frame.seconds,
        frame.primary,
        frame.requests_per_second,
        frame.failed_per_second,
        frame.p99_ms,
        backends.collect::<String>(),
        frame.journal,
    )
}

/// The latest frames as a chart.
fn picture(label: &str, length: Duration, frames: &[Frame]) -> String {
    let Some(now) = frames.last() else { return String::new() };
    let length = length.as_secs_f64();
    let phase = if now.seconds > length { ", catching up" } else { "" };
    let mut rows = vec![
        format!("{label}  {:.1} s of {length:.0} s{phase}", now.seconds),
        format!("the primary: {}", now.primary),
    ];
    let names = now.backends.iter().map(|backend| backend.name.chars().count());
    let width = names.max().unwrap_or_default().max("journal".len());
    let mut row = |name: &str, picture: String, value: String| {
        rows.push(format!("{name:width$}  {picture:COLUMNS$}  {value}"));
    };
    row("outage", marks(frames, |frame| if frame.broken { '▀' } else { ' ' }), String::new());
    for (number, backend) in now.backends.iter().enumerate() {
        let served = |frame: &Frame| {
            frame.backends.get(number).map_or(0.0, |backend| backend.served_per_second)
        };
        let name = escape(&backend.name);
        row(&name, sparks(frames, served), format!("{:.0}/s", backend.served_per_second));
        let health = marks(frames, |frame| {
            frame.backends.get(number).map_or(' ', |backend| mark(&backend.health))
        });
        row("", health, backend.health.clone());
    }
    let failed = format!("{:.0}/s", now.failed_per_second);
    row("failed", sparks(frames, |frame| frame.failed_per_second), failed);
    row("p99", sparks(frames, |frame| frame.p99_ms), format!("{:.0} ms", now.p99_ms));
    #[expect(clippy::cast_precision_loss, reason = "a picture of eight heights")]
    let depth = sparks(frames, |frame| frame.journal as f64);
    row("journal", depth, format!("{} markers", now.journal));
    rows.join("\n")
}

fn mark(health: &str) -> char {
    match health {
        "serving" => '━',
        "suspect" => '╍',
        "probing" => '?',
        "ejected" => '×',
        _ => ' ',
    }
}

fn marks(frames: &[Frame], mark: impl Fn(&Frame) -> char) -> String {
    frames.iter().map(mark).collect()
}

/// Heights against the highest; nothing is a blank.
fn sparks(frames: &[Frame], value: impl Fn(&Frame) -> f64) -> String {
    let top = frames.iter().map(&value).fold(0.0, f64::max);
    let bar = |value: f64| {
        if value <= 0.0 {
            return ' ';
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between none and seven"
        )]
        let height = (value / top * 7.0).round() as usize;
        BARS[height.min(7)]
    };
    frames.iter().map(|frame| bar(value(frame))).collect()
}

#[cfg(test)]
mod tests {
    use lifeboat_drill::BackendFrame;

    use super::*;

    fn frames() -> Vec<Frame> {
        let course =
            [(100.0, 0.0, "serving", 0), (20.0, 80.0, "ejected", 40), (0.0, 100.0, "probing", 80)];
        let frame = |(number, (one, two, health, journal)): (usize, (f64, f64, &str, u64))| {
            let backend =
                |name: &str, health: &str, served| BackendFrame::new(name, health, served);
            let mut frame = Frame::default();
            frame.seconds = [0.5, 1.0, 1.5][number];
            frame.primary = if number > 0 { "black hole" } else { "healthy" }.into();
            frame.broken = number > 0;
            frame.requests_per_second = one + two;
            frame.p99_ms = 12.4;
            frame.backends =
                vec![backend("primary", health, one), backend("replica", "serving", two)];
            frame.journal = journal;
            frame
        };
        course.into_iter().enumerate().map(frame).collect()
    }

    #[test]
    fn chart_shows_who_served_and_how_everyone_was() {
        let picture = picture("blackhole", Duration::from_secs(20), &frames());
        let rows: Vec<&str> = picture.lines().map(str::trim_end).collect();
        let gap = " ".repeat(COLUMNS - 3 + 2);
        let expected = [
            "blackhole  1.5 s of 20 s".to_owned(),
            "the primary: black hole".to_owned(),
            "outage    ▀▀".to_owned(),
            format!("primary  █▂ {gap}0/s"),
            format!("         ━×?{gap}probing"),
            format!("replica   ▇█{gap}100/s"),
            format!("         ━━━{gap}serving"),
            format!("failed      {gap}0/s"),
            format!("p99      ███{gap}12 ms"),
            format!("journal   ▅█{gap}80 markers"),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn line_says_the_same_without_a_terminal() {
        let expected = "blackhole   1.0 s: primary black hole; 100/s, failed 0/s, p99 12 ms, \
                        primary ejected 20/s, replica serving 80/s, journal 40";
        assert_eq!(line("blackhole", &frames()[1]), expected);
    }
}
