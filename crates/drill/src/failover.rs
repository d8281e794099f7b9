//! A `Failover` as what a drill is done to: health and journal from its status, requests by backend
//! from its events.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifeboat_failover::{Event, Failover, HealthState, Observer, Settings, Status};
use object_store::ObjectStore;

use crate::subject::{BackendGlance, Glance, Subject};

/// Longer than the outage by this: what was held back lands at once when it ends.
const LANDING: Duration = Duration::from_secs(2);

/// Settings for a drill against endpoints of its own, whose outage lasts `outage` at most.
///
/// Everything is as it is by default but the quarantine, which is the longest time for which a request
/// may land after its client has given up. A provider refuses a signed request after fifteen minutes;
/// the drill's own proxies hold nothing back longer than the outage, so that a drill need not wait.
pub fn settings(outage: Duration) -> Settings {
    let mut settings = Settings::default();
    settings.quarantine = outage + LANDING;
    settings
}

/// Counts the requests that each backend served.
#[derive(Debug, Default)]
pub struct Served(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Served {
    fn counter(&self, backend: &str) -> Arc<AtomicU64> {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get(backend) {
            return Arc::clone(counter);
        }
        Arc::clone(counters.entry(backend.to_owned()).or_default())
    }
}

impl Observer for Served {
    fn event(&self, event: &Event) {
        if let Event::Served { backend, ok: true, .. } = event {
            self.counter(backend).fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A `Failover`, and what was counted of it.
#[derive(Debug)]
pub struct Watched {
    failover: Failover,
    served: Arc<Served>,
}

impl Watched {
    /// `served` is the observer that `failover` was built with.
    pub fn new(failover: Failover, served: Arc<Served>) -> Self {
        Self { failover, served }
    }
}

impl Subject for Watched {
    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.failover.clone())
    }

    fn glance(&self) -> Glance {
        let status = self.failover.status();
        let backends = status.backends.iter().map(|backend| BackendGlance {
            name: backend.name.clone(),
            health: backend.health.as_str().into(),
            served: self.served.counter(&backend.id).load(Ordering::Relaxed),
        });
        Glance { backends: backends.collect(), journal: status.journal.markers }
    }

    fn is_level(&self) -> bool {
        let status = self.failover.status();
        everybody_was_asked(&status) && status.journal.unlevel == 0
    }

    /// Nothing is known to be missing anywhere, and everybody was asked.
    fn is_settled(&self) -> bool {
        let status = self.failover.status();
        let clean = status.backends.iter().all(|backend| backend.dirty_keys == 0);
        everybody_was_asked(&status)
            && clean
            && status.journal.markers == 0
            && !status.settling_checks_pending
    }
}

/// Whether every backend has said what it knows. One may still be suspected for having been away: that changes who is read
/// from, not what is there.
fn everybody_was_asked(status: &Status) -> bool {
    status.backends.iter().all(|backend| {
        let away = matches!(backend.health, HealthState::Ejected | HealthState::Probing);
        backend.journal_read && !away
    })
}
