//! `lifeboat status`: how the configured backends are, and what they have missed.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use lifeboat::{BlobStore, Error, Fleet, Probe, transfer::describe};
use lifeboat_failover::{BackendStatus, Failover, JournalStatus, Status, UncleanEnd};
use object_store::path::Path;
use serde::Serialize;
use serde_json::Value;

use crate::cli;
use crate::context::{Context, failover};
use crate::exit::{Exit, Failure, Result, before_requests, to_json, to_text};
use crate::output::{Table, escape, print_document, print_record, print_text};

/// How often `--watch` looks: often enough to follow a catch-up, rarely enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What shows the versions that are kept.
const CONFLICTS: &str = "`lifeboat journal conflicts` lists them\n";

/// Clears the screen and goes to its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Shows it once, or again and again.
pub(crate) async fn run(context: &Context, arguments: &cli::Status) -> Result {
    let fleet = context.fleet()?;
    let failover = failover(&fleet)?;
    let shown = loop {
        let snapshot = Snapshot::take(&fleet, &failover).await;
        snapshot.show(context, arguments.watch)?;
        if !arguments.watch {
            break snapshot;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    failover.close().await;
    match shown.exit() {
        Exit::Ok => Ok(()),
        exit => Err(Failure::Reported(exit)),
    }
}

/// One look.
#[derive(Serialize)]
struct Snapshot {
    backends: Vec<Backend>,
    journal: Journal,
    /// Writers that were killed, or are cut off.
    unclean_ends: Vec<UncleanEnd>,
    /// Versions that lost against others and are kept; not known if no backend lists them.
    conflicts: Option<u64>,
}

#[derive(Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a document for programs: each holds or does not"
)]
struct Backend {
    id: String,
    name: String,
    reachable: bool,
    latency_ms: Option<f64>,
    health: &'static str,
    settling: bool,
    seeded: bool,
    /// Whether its journal was read: otherwise it may know of more that others have missed.
    journal_read: bool,
    /// Keys of which it may lack the latest state.
    behind: u64,
    last_fault: Option<String>,
    error: Option<Value>,
    #[serde(skip)]
    failure: Option<Error>,
}

#[derive(Serialize)]
struct Journal {
    markers: u64,
    keys: u64,
    quarantined: u64,
    oldest_ms: Option<u64>,
    /// Backends whose journals were not read.
    unread: Vec<String>,
}

impl Snapshot {
    async fn take(fleet: &Fleet, failover: &Failover) -> Self {
        // Journals that cannot be read are told with the backends; nothing is changed by looking.
        let (probes, _, unclean_ends, conflicts) = tokio::join!(
            join_all(fleet.names().map(|name| probe(fleet, name))),
            failover.journal(),
            failover.unclean_ends(),
            failover.conflicts()
        );
        // Those that this process counted would be none: it has just begun.
        let conflicts = conflicts.ok().and_then(|kept| u64::try_from(kept.len()).ok());
        let Status { backends, journal, .. } = failover.status();
        let journal = Journal::new(&journal, &backends);
        let backends = backends.into_iter().zip(probes);
        let backends = backends.map(|(status, probe)| Backend::new(status, probe)).collect();
        Self { backends, journal, unclean_ends, conflicts }
    }

    fn show(&self, context: &Context, watch: bool) -> Result {
        match (context.output.json, watch) {
            (true, false) => print_document(self),
            (true, true) => print_record(self),
            (false, true) if std::io::stdout().is_terminal() => {
                print_text(&format!("{CLEAR}{}", self.in_words()))
            }
            (false, _) => print_text(&self.in_words()),
        }
    }

    fn in_words(&self) -> String {
        let mut table = Table::new(&[
            "backend",
            "reachable",
            ">ms",
            "health",
            "seeded",
            "journal",
            ">behind",
            "last fault",
        ]);
        for backend in &self.backends {
            table.row([
                backend.name.clone(),
                yes(backend.reachable),
                backend.latency_ms.map_or("-".into(), |latency| format!("{latency:.1}")),
                if backend.settling { "settling" } else { backend.health }.to_owned(),
                yes(backend.seeded),
                if backend.journal_read { "read" } else { "UNREAD" }.to_owned(),
                backend.behind.to_string(),
                backend.last_fault.clone().unwrap_or_else(|| "-".into()),
            ]);
        }
        let failures = self.backends.iter().filter_map(|backend| backend.failure.as_ref());
        let failures = failures.map(to_text);
        table.render()
            + &failures.collect::<String>()
            + &self.journal.in_words()
            + &self.conflicts_in_words()
            + &self.ends_in_words()
    }

    /// Nothing if none is kept, or none is known.
    fn conflicts_in_words(&self) -> String {
        match self.conflicts {
            None | Some(0) => String::new(),
            Some(1) => format!("conflicts: 1 version is kept: {CONFLICTS}"),
            Some(count) => format!("conflicts: {count} versions are kept: {CONFLICTS}"),
        }
    }

    /// Nothing if every writer ended as it should.
    fn ends_in_words(&self) -> String {
        let Some(first) = self.unclean_ends.iter().map(|end| end.since_unix_ms).min() else {
            return String::new();
        };
        let since = SystemTime::UNIX_EPOCH + Duration::from_millis(first);
        let count = match self.unclean_ends.len() {
            1 => "1 writer".to_owned(),
            count => format!("{count} writers"),
        };
        format!(
            "unclean ends: {count} since {}: `lifeboat journal mend --unclean` compares what they may have left\n",
            humantime::format_rfc3339_seconds(since)
        )
    }

    /// What the backends that do not answer failed of.
    fn exit(&self) -> Exit {
        Exit::of_all(false, self.backends.iter().filter_map(|backend| backend.failure.as_ref()))
    }
}

/// Whether a backend answers; one that could not be built does not.
async fn probe(fleet: &Fleet, name: &str) -> std::result::Result<Probe, Error> {
    let store = fleet.backend(name).map_err(before_requests)?;
    store.probe().await.map_err(|error| describe(&store, &Path::ROOT, error))
}

impl Backend {
    fn new(status: BackendStatus, probe: std::result::Result<Probe, Error>) -> Self {
        let error = probe.as_ref().err().map(to_json);
        Self {
            id: status.id,
            name: status.name,
            reachable: probe.is_ok(),
            latency_ms: probe.as_ref().ok().map(|probe| probe.latency.as_secs_f64() * 1e3),
            health: status.health.as_str(),
            settling: status.settling,
            seeded: status.seeded,
            journal_read: status.journal_read,
            behind: status.dirty_keys,
            last_fault: status.last_fault,
            error,
            failure: probe.err(),
        }
    }
}

impl Journal {
    fn new(journal: &JournalStatus, backends: &[BackendStatus]) -> Self {
        let unread = backends.iter().filter(|backend| !backend.journal_read);
        Self {
            markers: journal.markers,
            keys: journal.keys,
            quarantined: journal.quarantined,
            oldest_ms: journal.oldest_ms,
            unread: unread.map(|backend| backend.name.clone()).collect(),
        }
    }

    fn in_words(&self) -> String {
        let mut parts = match self.markers {
            0 => vec!["journal: empty".to_owned()],
            count => vec![format!("journal: markers {count}, keys {}", self.keys)],
        };
        if let Some(age) = self.oldest_ms {
            let age = humantime::format_duration(Duration::from_secs(age / 1000));
            parts.push(format!("the oldest {age} old"));
        }
        if self.quarantined > 0 {
            parts.push(format!("{} in quarantine", self.quarantined));
        }
        if !self.unread.is_empty() {
            parts.push(format!("not read: {}", self.unread.join(" and ")));
        }
        let text = parts.join(", ");
        escape(&text).into_owned() + "\n"
    }
}

fn yes(holds: bool) -> String {
    if holds { "yes" } else { "NO" }.to_owned()
}
