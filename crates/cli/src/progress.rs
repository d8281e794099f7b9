//! How far a copy has come: a bar on a terminal, a line now and then elsewhere, on standard error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lifeboat::Error;
use lifeboat::transfer::Progress;
use object_store::path::Path;

use crate::context::Context;
use crate::exit::to_text;
use crate::interrupt::Interrupt;
use crate::output::say;
use crate::size::{human_rate, human_size};

/// Where nobody watches a bar: often enough to see that it lives, rarely enough for a log.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// More failures than these are counted, not told one by one: the first ones show what is wrong.
const MOST_TOLD: u64 = 20;

/// Watches one copy, for a person.
pub(crate) struct Meter {
    shared: Arc<Shared>,
    lines: Option<tokio::task::JoinHandle<()>>,
}

struct Shared {
    label: String,
    bar: ProgressBar,
    counts: Counts,
    /// Whether failures are told as they happen.
    tells: bool,
    interrupt: Interrupt,
}

#[derive(Default)]
struct Counts {
    objects_found: AtomicU64,
    bytes_found: AtomicU64,
    objects: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
}

impl Meter {
    /// Watches a tree. `label` says what is going on.
    pub(crate) fn new(context: &Context, label: impl Into<String>) -> Self {
        Self::start(context, label, style(TEMPLATE), !context.output.json)
    }

    /// Watches one object, whose failure is told by whoever asked for it.
    pub(crate) fn quiet(context: &Context, label: impl Into<String>) -> Self {
        Self::start(context, label, style(TEMPLATE), false)
    }

    /// Shows that something goes on that tells no progress.
    pub(crate) fn waiting(context: &Context, label: impl Into<String>) -> Self {
        let meter = Self::start(context, label, style(WAITING_TEMPLATE), false);
        meter.shared.bar.enable_steady_tick(Duration::from_millis(200));
        meter
    }

    fn start(
        context: &Context,
        label: impl Into<String>,
        style: ProgressStyle,
        tells: bool,
    ) -> Self {
        let bar = if context.progress {
            ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        let label = label.into();
        bar.set_style(style);
        bar.set_prefix(label.clone());
        let on_terminal = !bar.is_hidden();
        let shared = Arc::new(Shared {
            label,
            bar,
            counts: Counts::default(),
            tells,
            interrupt: context.interrupt.clone(),
        });
        let lines = (context.progress && !on_terminal)
            .then(|| tokio::spawn(Arc::clone(&shared).print_lines()));
        Self { shared, lines }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.shared.bar.finish_and_clear();
        if let Some(lines) = &self.lines {
            lines.abort();
        }
    }
}

const TEMPLATE: &str = "{prefix} {bar:24} {bytes}/{total_bytes} {binary_bytes_per_sec} {msg}";

/// Where no amount is known that the rest could be measured by.
const WAITING_TEMPLATE: &str = "{prefix} {spinner} {elapsed}";

fn style(template: &str) -> ProgressStyle {
    // The templates are right (a test reads them); the default bar would do, too.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Shared {
    async fn print_lines(self: Arc<Self>) {
        let started = Instant::now();
        let mut ticks = tokio::time::interval(LINE_EVERY);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let bytes = self.counts.bytes.load(Ordering::Relaxed);
            let found = self.counts.bytes_found.load(Ordering::Relaxed);
            if found == 0 {
                say(&format!("{}: {} s", self.label, started.elapsed().as_secs()));
                continue;
            }
            say(&format!(
                "{}: {}, {} of {}, {}",
                self.label,
                self.objects(),
                human_size(bytes),
                human_size(found),
                human_rate(bytes, started.elapsed())
            ));
        }
    }

    fn objects(&self) -> String {
        let done = self.counts.objects.load(Ordering::Relaxed);
        let found = self.counts.objects_found.load(Ordering::Relaxed);
        match self.counts.failed.load(Ordering::Relaxed) {
            0 => format!("{done} of {found} objects"),
            failed => format!("{done} of {found} objects, {failed} failed"),
        }
    }

    fn tell(&self, error: &Error) {
        let failed = self.counts.failed.load(Ordering::Relaxed);
        if !self.tells || self.interrupt.happened() || failed > MOST_TOLD {
            return;
        }
        self.bar.suspend(|| {
            say(to_text(error).trim_end());
            if failed == MOST_TOLD {
                say("further failures are counted, not shown");
            }
        });
    }
}

impl Progress for Meter {
    fn discovered(&self, objects: u64, bytes: u64) {
        let counts = &self.shared.counts;
        counts.objects_found.fetch_add(objects, Ordering::Relaxed);
        counts.bytes_found.fetch_add(bytes, Ordering::Relaxed);
        self.shared.bar.inc_length(bytes);
    }

    fn started(&self, _: &Path, _: u64) {}

    fn bytes(&self, count: u64) {
        self.shared.counts.bytes.fetch_add(count, Ordering::Relaxed);
        self.shared.bar.inc(count);
    }

    fn finished(&self, _: &Path) {
        self.shared.counts.objects.fetch_add(1, Ordering::Relaxed);
        self.shared.bar.set_message(self.shared.objects());
    }

    fn failed(&self, _: &Path, error: &Error) {
        self.shared.counts.failed.fetch_add(1, Ordering::Relaxed);
        self.shared.bar.set_message(self.shared.objects());
        self.shared.tell(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_understood() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
        assert!(ProgressStyle::with_template(WAITING_TEMPLATE).is_ok());
    }
}
