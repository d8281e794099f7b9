//! What failover costs while all is well, and what a caller notices when it is not: `memory` and `instructions`
//! over stores in memory, `s3` and `failover-seaweedfs` over loopback, `black-hole` and `brownout` behind a fault proxy.
//!
//! `cargo bench -p lifeboat-benches --bench failover`, or with a filter behind `--`: `-- memory/get`, `-- brownout`. But for
//! SeaweedFS the endpoints are the test kit's own, in this process. `LIFEBOAT_BENCH_ROUNDS` makes more rounds of the paired
//! measurements. `instructions` needs valgrind. `LIFEBOAT_BENCH_NAIVE=1` adds to `black-hole` what a caller
//! without any of this waits for: three minutes.

mod black_hole;
mod brownout;
mod healthy;
mod instructions;
mod site;
mod work;

use tokio::runtime::{Builder, Runtime};

/// What was asked for on the command line.
struct Options {
    filters: Vec<String>,
    rounds: usize,
}

impl Options {
    fn from_environment() -> Self {
        // Cargo passes `--bench`; what else comes is a filter.
        let filters = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
        let rounds = std::env::var("LIFEBOAT_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
        Self { filters, rounds: rounds.unwrap_or(60) }
    }

    fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter))
    }
}

/// A runtime for the endpoints, so that they do not run on the threads that are measured.
fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}

/// A runtime for what is measured: on the thread that drives its sockets, as a task of a server is. A `block_on` beside worker
/// threads would measure how threads wake each other.
fn client() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn main() {
    if let Some(task) = instructions::task() {
        return task.run();
    }
    let options = Options::from_environment();
    healthy::memory(&options);
    instructions::all(&options);
    healthy::s3(&options);
    healthy::seaweedfs(&options);
    black_hole::run(&options);
    brownout::run(&options);
}
