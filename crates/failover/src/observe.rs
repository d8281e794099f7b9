//! Telling observers, and counting: metrics through the `metrics` facade, with handles made once.
//!
//! | name | kind | labels | meaning |
//! |---|---|---|---|
//! | `lifeboat_requests_total` | counter | backend, operation, outcome | requests answered, `ok` or `failed` |
//! | `lifeboat_request_seconds` | histogram | backend, operation | from the call to the answer |
//! | `lifeboat_health` | gauge | backend | 0 serving, 1 suspect, 2 ejected, 3 probing |
//! | `lifeboat_journal_markers` | gauge | | markers known |
//! | `lifeboat_journal_oldest_seconds` | gauge | | age of the oldest marker |
//! | `lifeboat_catch_up_keys_total` | counter | backend | keys brought up to date |
//! | `lifeboat_catch_up_bytes_total` | counter | backend | bytes written by catch-up |
//! | `lifeboat_hedges_total` | counter | outcome | hedges `fired` and `won` |
//! | `lifeboat_conflicts_total` | counter | | versions kept as conflicts |
//!
//! Handles are made when a failover is built: install the recorder before.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::events::{Event, Observer, Operation};

const OPERATIONS: [Operation; 7] = [
    Operation::Get,
    Operation::Head,
    Operation::List,
    Operation::Put,
    Operation::Multipart,
    Operation::Delete,
    Operation::Copy,
];

/// All observers and all numbers of one failover.
#[derive(Debug)]
pub(crate) struct Observers {
    told: Vec<Arc<dyn Observer>>,
    backends: Vec<Numbers>,
    pub(crate) markers: Gauge,
    pub(crate) oldest: Gauge,
    pub(crate) hedges_fired: Counter,
    pub(crate) hedges_won: Counter,
    pub(crate) conflicts: Counter,
}

/// The numbers of one backend.
pub(crate) struct Numbers {
    requests: Vec<(Counter, Counter, Histogram)>,
    pub(crate) health: Gauge,
    pub(crate) catch_up_keys: Counter,
    pub(crate) catch_up_bytes: Counter,
}

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Numbers").finish_non_exhaustive()
    }
}

impl Observers {
    pub(crate) fn new(observers: Vec<Arc<dyn Observer>>, ids: &[String]) -> Self {
        Self {
            told: observers,
            backends: ids.iter().map(|id| Numbers::new(id)).collect(),
            markers: gauge!("lifeboat_journal_markers"),
            oldest: gauge!("lifeboat_journal_oldest_seconds"),
            hedges_fired: counter!("lifeboat_hedges_total", "outcome" => "fired"),
            hedges_won: counter!("lifeboat_hedges_total", "outcome" => "won"),
            conflicts: counter!("lifeboat_conflicts_total"),
        }
    }

    pub(crate) fn numbers(&self, backend: usize) -> &Numbers {
        &self.backends[backend]
    }

    /// Tells all observers; the event is made only if there is one.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.told.is_empty() {
            return;
        }
        let event = event();
        self.told.iter().for_each(|observer| observer.event(&event));
    }

    /// A request was answered.
    pub(crate) fn served(
        &self,
        backend: usize,
        id: &str,
        operation: Operation,
        latency: Duration,
        ok: bool,
    ) {
        let counted =
            if operation == Operation::ConditionalPut { Operation::Put } else { operation };
        let at = OPERATIONS.iter().position(|known| *known == counted);
        if let Some((good, bad, took)) = at.map(|at| &self.backends[backend].requests[at]) {
            let outcome = if ok { good } else { bad };
            outcome.increment(1);
            took.record(latency.as_secs_f64());
        }
        self.tell(|| Event::Served { operation, backend: id.to_owned(), latency, ok });
    }
}

impl Numbers {
    fn new(id: &str) -> Self {
        let of = |operation: &Operation| {
            let name = operation.as_str();
            let count = |outcome: &'static str| counter!("lifeboat_requests_total", "backend" => id.to_owned(), "operation" => name, "outcome" => outcome);
            let took = histogram!("lifeboat_request_seconds", "backend" => id.to_owned(), "operation" => name);
            (count("ok"), count("failed"), took)
        };
        Self {
            requests: OPERATIONS.iter().map(of).collect(),
            health: gauge!("lifeboat_health", "backend" => id.to_owned()),
            catch_up_keys: counter!("lifeboat_catch_up_keys_total", "backend" => id.to_owned()),
            catch_up_bytes: counter!("lifeboat_catch_up_bytes_total", "backend" => id.to_owned()),
        }
    }
}
