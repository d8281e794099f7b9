//! A process that writes through a `Failover` until it is killed, by itself or from outside. It says on standard
//! output what it begins (`begin WORKER KEY SERIAL`, serial 0 for a delete), and how it ended (`done` or `failed`, the same words).

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use lifeboat_core::is_reserved;
use lifeboat_failover::Failover;
use lifeboat_tests::tapped::{Moment, Step};
use lifeboat_tests::writer::{self, KEYS, PART, WORKERS, content, key};
use object_store::path::Path;
use object_store::{ObjectStoreExt, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Dies as the power goes: nothing is flushed, nothing is said.
#[cfg(unix)]
fn die() {
    let own = nix::unistd::Pid::this();
    let _ = nix::sys::signal::kill(own, nix::sys::signal::Signal::SIGKILL);
}

#[cfg(not(unix))]
fn die() {
    std::process::abort();
}

/// Where to die: `before:put-data:3`, the third time that step comes.
#[derive(Clone)]
struct Trap {
    moment: Moment,
    step: String,
    left: Arc<AtomicI64>,
}

impl Trap {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(':');
        let moment = match words.next()? {
            "before" => Moment::Before,
            "after" => Moment::After,
            _ => return None,
        };
        let step = words.next()?.to_owned();
        let left = Arc::new(AtomicI64::new(words.next()?.parse().ok()?));
        Some(Self { moment, step, left })
    }

    fn passed(&self, moment: Moment, step: Step, key: &Path) {
        if moment != self.moment || self.step != name(step, key) {
            return;
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            die();
        }
    }
}

/// What a step is to the engine. The writer itself puts without conditions: a put on a condition is catch-up's.
fn name(step: Step, key: &Path) -> &'static str {
    let marker = is_reserved(key) && key.as_ref().contains("/journal/");
    match step {
        Step::Put if marker => "marker",
        Step::Delete if marker => "marker-removal",
        _ if is_reserved(key) => "other",
        Step::Put => "data",
        Step::ConditionalPut => "catch-up",
        Step::Part => "part",
        Step::Complete => "complete",
        Step::Copy => "copy",
        Step::Delete => "delete",
    }
}

fn say(what: &str, worker: usize, number: usize, serial: u64) {
    let mut out = std::io::stdout().lock();
    // Whoever listened is gone; so are we soon.
    let _ = writeln!(out, "{what} {worker} {number} {serial}").and_then(|()| out.flush());
}

async fn upload(failover: &Failover, key: &Path, serial: u64) -> Result<()> {
    let whole = content(serial, 2 * PART);
    let mut upload = failover.put_multipart(key).await?;
    for part in [whole.slice(..PART), whole.slice(PART..)] {
        upload.put_part(part.into()).await?;
    }
    upload.complete().await.map(drop)
}

async fn work(failover: Failover, worker: usize, seed: u64, serials: Arc<AtomicU64>) {
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(worker as u64));
    loop {
        let number = random.random_range(0..KEYS);
        let key = key(worker, number);
        let kind = random.random_range(0..10);
        let serial = if kind < 2 { 0 } else { serials.fetch_add(1, Ordering::SeqCst) };
        say("begin", worker, number, serial);
        let ended = match kind {
            0 | 1 => failover.delete(&key).await,
            2 => upload(&failover, &key, serial).await,
            3..=6 => failover.put(&key, content(serial, 1_000).into()).await.map(drop),
            _ => failover.put(&key, content(serial, 20_000).into()).await.map(drop),
        };
        match ended {
            Ok(()) => say("done", worker, number, serial),
            Err(error) => {
                eprintln!("{key}: {error}");
                say("failed", worker, number, serial);
            }
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let sites = writer::sites(&variable(writer::PLACES));
    let trap = Trap::parse(&variable(writer::KILL_AT));
    let Ok(seed) = variable(writer::SEED).parse::<u64>() else { return ExitCode::FAILURE };
    let watch = move |moment, step, key: &Path| {
        if let Some(trap) = &trap {
            trap.passed(moment, step, key);
        }
    };
    let failover = writer::failover(&sites, !variable(writer::INTENT).is_empty(), watch);
    // Serials of different lives do not meet.
    let serials = Arc::new(AtomicU64::new(seed * 1_000_000 + 1));
    let workers = (0..WORKERS)
        .map(|worker| tokio::spawn(work(failover.clone(), worker, seed, Arc::clone(&serials))));
    futures::future::join_all(workers).await;
    ExitCode::SUCCESS
}
