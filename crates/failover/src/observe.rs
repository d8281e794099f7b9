//! Telling observers, and counting: metrics through the `metrics` facade, with handles made once. Their names are in the
//! documentation of the crate.

use std::sync::Arc;
use std::time::Duration;

use lifeboat_core::Verdict;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use object_store::path::Path;
use tracing::Span;

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

/// The field of a request's span that names who served it.
pub(crate) const BACKEND: &str = "backend";

/// The span of a request.
pub(crate) fn span(operation: Operation, key: Option<&Path>) -> Span {
    let (operation, key) = (operation.as_str(), key.map(Path::as_ref));
    tracing::debug_span!(target: "lifeboat_failover", "request", operation, key, backend = tracing::field::Empty)
}

/// A count as a gauge has it.
#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the last digits say nothing")]
pub(crate) fn as_gauge(count: u64) -> f64 {
    count as f64
}

/// How a request to a backend ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// It was answered, and the answer is no: not found, a condition that does not hold, denied.
    Refused,
    /// It failed in a way that speaks about the backend.
    Failed,
}

impl Outcome {
    /// What a failure is told as.
    pub(crate) fn of(verdict: &Verdict) -> Self {
        if verdict.is_fault() { Self::Failed } else { Self::Refused }
    }
}

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
    requests: Vec<([Counter; 3], Histogram)>,
    pub(crate) health: Gauge,
    pub(crate) behind_keys: Gauge,
    pub(crate) behind_bytes: Gauge,
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

    /// A request to a backend ended.
    pub(crate) fn answered(
        &self,
        backend: usize,
        id: &str,
        operation: Operation,
        latency: Duration,
        outcome: Outcome,
    ) {
        let counted =
            if operation == Operation::ConditionalPut { Operation::Put } else { operation };
        let at = OPERATIONS.iter().position(|known| *known == counted);
        if let Some((counts, took)) = at.map(|at| &self.backends[backend].requests[at]) {
            counts[outcome as usize].increment(1);
            took.record(latency.as_secs_f64());
        }
        let ok = outcome == Outcome::Ok;
        self.tell(|| Event::Served { operation, backend: id.to_owned(), latency, ok });
    }
}

impl Numbers {
    fn new(id: &str) -> Self {
        let of = |operation: &Operation| {
            let name = operation.as_str();
            let count = |outcome: &'static str| counter!("lifeboat_requests_total", "backend" => id.to_owned(), "operation" => name, "outcome" => outcome);
            let took = histogram!("lifeboat_request_seconds", "backend" => id.to_owned(), "operation" => name);
            // In the order of `Outcome`.
            (["ok", "refused", "failed"].map(count), took)
        };
        Self {
            requests: OPERATIONS.iter().map(of).collect(),
            health: gauge!("lifeboat_health", "backend" => id.to_owned()),
            behind_keys: gauge!("lifeboat_behind_keys", "backend" => id.to_owned()),
            behind_bytes: gauge!("lifeboat_behind_bytes", "backend" => id.to_owned()),
            catch_up_keys: counter!("lifeboat_catch_up_keys_total", "backend" => id.to_owned()),
            catch_up_bytes: counter!("lifeboat_catch_up_bytes_total", "backend" => id.to_owned()),
        }
    }
}
