//! How many instructions an operation in memory takes, by callgrind: a number that a busy machine does not change.
//! This program runs itself under valgrind, with few and with many operations; the difference counts.

use std::process::Command;

use tokio::runtime::Builder;

use crate::Options;
use crate::healthy::{IN_MEMORY, SMALL};
use crate::work::{What, Work, bare, doubled, prepare};

/// Says to the program under valgrind what to do.
const TASK: &str = "LIFEBOAT_BENCH_TASK";
const FEW: u64 = 100;
const MANY: u64 = 600;

/// What the program under valgrind does.
pub(crate) struct Task {
    failover: bool,
    what: What,
    times: u64,
}

/// The task, if this is the program under valgrind.
pub(crate) fn task() -> Option<Task> {
    let text = std::env::var(TASK).ok()?;
    let mut words = text.split(' ');
    let failover = words.next()? == "failover";
    let name = words.next()?;
    let what = IN_MEMORY.into_iter().find(|what| what.to_string() == name)?;
    Some(Task { failover, what, times: words.next()?.parse().ok()? })
}

impl Task {
    pub(crate) fn run(&self) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = if self.failover { doubled() } else { bare() };
            prepare(&*store, &[SMALL]).await;
            let work = Work::new(self.what, SMALL);
            for _ in 0..self.times {
                work.once(&*store).await;
            }
        });
    }
}

fn counted(subject: &str, what: What, times: u64) -> Option<u64> {
    let out = concat!("--callgrind-out-file=", env!("CARGO_TARGET_TMPDIR"), "/callgrind.out");
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", out])
        .arg(std::env::current_exe().ok()?)
        .env(TASK, format!("{subject} {what} {times}"))
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let line = said.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn each(subject: &str, what: What) -> Option<u64> {
    let (few, many) = (counted(subject, what, FEW)?, counted(subject, what, MANY)?);
    Some(many.saturating_sub(few) / (MANY - FEW))
}

/// Counts for every operation in memory.
pub(crate) fn all(options: &Options) {
    for what in IN_MEMORY {
        let name = format!("instructions/{what}");
        if !options.wants(&name) {
            continue;
        }
        match (each("bare", what), each("failover", what)) {
            (Some(bare), Some(ours)) => println!(
                "{name:<20} bare {bare:>8}  failover {ours:>8}  adds {:>8}",
                ours.saturating_sub(bare),
            ),
            _ => println!("{name:<20} not counted: valgrind is not installed, or it failed"),
        }
    }
}
