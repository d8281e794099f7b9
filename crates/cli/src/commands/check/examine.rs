//! Examines one backend: probe, write and read back, capabilities. Within a bound.

use std::sync::Arc;
use std::time::Duration;

use lifeboat::http::WireFailure;
use lifeboat::transfer::{backend_name, describe};
use lifeboat::{
    BlobStore, BucketRule, Capabilities, CapabilityReport, Class, Error, ErrorKind, Fault,
    RESERVED_PREFIX,
};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::report::{Capability, Report, Rule, Verdict};
use crate::exit::to_json;

/// The capability probe sends some fifteen requests; with each at its first-byte deadline (5 s) and
/// none failing that is 75 s, and a backend that slow does not pass anyway.
const LONGEST: Duration = Duration::from_mins(1);

/// The first probe opens the connection; the median of the others is the latency.
const LATENCY_PROBES: usize = 3;

/// Differences of whole seconds arise from rounding and from the way of the answer.
const SKEW_THAT_MEANS_NOTHING: u64 = 2;

/// From here on signatures will soon be refused: Amazon and Azure tolerate 15 minutes.
const SKEW_THAT_IS_DANGEROUS: u64 = 300;

/// Finds out what can be said about a backend.
pub(crate) async fn examine(name: String, store: Arc<dyn BlobStore>, read_only: bool) -> Report {
    let mut report = Report::new(name, &*store);
    let examination = Examination { store: &*store, report: &mut report };
    let outcome = tokio::time::timeout(LONGEST, examination.run(read_only)).await;
    let error = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some(
            Error::new(ErrorKind::Unavailable, format!("no end within {} s", LONGEST.as_secs()))
                .with_backend(backend_name(&*store))
                .with_remedy("see what it waits for with -v"),
        ),
    };
    report.finish(error);
    report
}

struct Examination<'a> {
    store: &'a dyn BlobStore,
    report: &'a mut Report,
}

impl Examination<'_> {
    async fn run(mut self, read_only: bool) -> Result<(), Error> {
        let declared = self.store.capabilities();
        self.report.declare(&declared);
        self.probe().await?;
        self.rules().await;
        if read_only {
            return Ok(());
        }
        self.write().await?;
        self.confirm(&declared).await
    }

    async fn probe(&mut self) -> Result<(), Error> {
        let mut latencies = Vec::with_capacity(LATENCY_PROBES);
        for attempt in 0..=LATENCY_PROBES {
            let probe = match self.store.probe().await {
                Ok(probe) => probe,
                Err(error) => return Err(self.not_reached(error)),
            };
            if attempt > 0 {
                latencies.push(probe.latency);
            }
            self.report.clock_skew_seconds = probe.clock_skew_seconds;
            self.report.server = probe.server;
        }
        latencies.sort();
        self.report.reachable = Verdict::Yes;
        self.report.authenticated = Verdict::Yes;
        self.report.latency_ms =
            latencies.get(LATENCY_PROBES / 2).map(|latency| latency.as_secs_f64() * 1e3);
        self.judge_the_clock();
        Ok(())
    }

    /// An answer of whatever kind shows that the provider is there.
    fn not_reached(&mut self, error: object_store::Error) -> Error {
        let answered = WireFailure::find(&error)
            .and_then(WireFailure::exchange)
            .is_some_and(|exchange| exchange.status().is_some());
        let class = self.store.classify(&error).class;
        self.report.reachable = Verdict::from(answered);
        self.report.authenticated = match class {
            Class::Fault(Fault::IdentityLost) => Verdict::No,
            _ if answered && class == Class::Answer => Verdict::Yes,
            _ => Verdict::Unknown,
        };
        let exchange = WireFailure::find(&error).and_then(WireFailure::exchange);
        self.report.clock_skew_seconds = exchange.and_then(|exchange| exchange.clock_skew_seconds);
        self.judge_the_clock();
        // The probe asks for a key that need not be there: what is missing is the bucket.
        if matches!(error, object_store::Error::NotFound { .. }) {
            return bucket_not_found(self.store, error);
        }
        describe(self.store, &Path::ROOT, error)
    }

    fn judge_the_clock(&mut self) {
        let Some(skew) = self.report.clock_skew_seconds else { return };
        let warn = match skew.unsigned_abs() {
            0..=SKEW_THAT_MEANS_NOTHING => return,
            SKEW_THAT_IS_DANGEROUS.. => ": requests will be refused; synchronise this clock",
            _ => ": synchronise this clock",
        };
        let side = if skew > 0 { "behind" } else { "ahead of" };
        self.report.warn(format!("this clock is {} s {side} the server's{warn}", skew.abs()));
    }

    /// Looks for what the bucket does to the objects that Lifeboat itself keeps there, the journal's markers above all.
    async fn rules(&mut self) {
        let rules = self.store.bucket_rules(&Path::from(RESERVED_PREFIX)).await;
        if let BucketRule::Present(rule) = &rules.object_lock {
            self.report.warn(format!(
                "object lock: {rule}, the journal's markers too: each stays as a locked version, or cannot be \
                 deleted at all; use a bucket without a default retention"
            ));
        }
        if let BucketRule::Present(rule) = &rules.expiry {
            self.report.warn(format!(
                "lifecycle: {rule}, the journal's markers too: an outage that lasts longer loses writes; keep the \
                 rule off {RESERVED_PREFIX}/"
            ));
        }
        self.report.object_lock = Rule::from(rules.object_lock);
        self.report.expiry = Rule::from(rules.expiry);
    }

    /// Writes, reads back and removes an object of a few bytes.
    async fn write(&mut self) -> Result<(), Error> {
        let name = format!("{:032x}", rand::random::<u128>());
        let key = Path::from_iter([RESERVED_PREFIX, "check", &name]);
        let failed = |error| describe(self.store, &key, error);
        let body = PutPayload::from_static(b"lifeboat check");
        self.report.writable = Verdict::No;
        self.store.put(&key, body).await.map_err(failed)?;
        self.report.writable = Verdict::Yes;
        let read = async { self.store.get(&key).await?.bytes().await };
        let read = read.await.map_err(failed);
        self.store.delete(&key).await.map_err(failed)?;
        if read? == b"lifeboat check".as_slice() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Integrity, "what was read is not what was written")
            .with_backend(backend_name(self.store))
            .with_key(&key))
    }

    async fn confirm(&mut self, declared: &Capabilities) -> Result<(), Error> {
        let found = self.store.confirm_capabilities().await;
        let found = found.map_err(|error| describe(self.store, &Path::ROOT, error))?;
        self.report.confirm(&found);
        self.warn_of_conditions(declared, &found);
        let order = found.ordered_listing;
        if order.support == lifeboat::Support::No {
            self.report.warn(order.detail.to_owned());
        }
        if !found.conditions.user_metadata.support.is_yes() {
            self.report.warn(found.conditions.user_metadata.detail.to_owned());
        }
        Ok(())
    }

    fn warn_of_conditions(&mut self, declared: &Capabilities, found: &CapabilityReport) {
        let conditions = [
            ("If-None-Match", declared.create_if_absent, found.conditions.create_if_absent),
            ("If-Match", declared.compare_and_swap, found.conditions.compare_and_swap),
        ];
        for (header, declared, found) in conditions {
            if found.support.is_yes() {
                continue;
            }
            let consequence = if found.ignored {
                format!(
                    "accepts {header} and ignores it: locks and table commits would be overwritten"
                )
            } else {
                format!("{header}: {}", found.detail)
            };
            let contradiction =
                if declared.is_yes() { " (its provider declares the opposite)" } else { "" };
            self.report.contradicted |= declared.is_yes();
            self.report.warn(format!("{consequence}{contradiction}"));
        }
    }
}

fn bucket_not_found(store: &dyn BlobStore, error: object_store::Error) -> Error {
    let told = Error::new(ErrorKind::NotFound, "there is no such bucket")
        .with_backend(backend_name(store));
    match WireFailure::find(&error).and_then(WireFailure::remedy).map(str::to_owned) {
        Some(remedy) => told.with_remedy(remedy),
        None => told,
    }
    .with_source(error)
}

impl Report {
    fn declare(&mut self, declared: &Capabilities) {
        self.capabilities = vec![
            Capability::declared("create if absent", declared.create_if_absent),
            Capability::declared("compare and swap", declared.compare_and_swap),
            Capability::declared("user metadata", declared.user_metadata),
            Capability::declared("ordered listing", declared.ordered_listing),
            Capability::declared("presigned urls", declared.presigned_urls),
        ];
    }

    fn confirm(&mut self, found: &CapabilityReport) {
        let findings = [
            found.conditions.create_if_absent,
            found.conditions.compare_and_swap,
            found.conditions.user_metadata,
            found.ordered_listing,
        ];
        for (capability, finding) in self.capabilities.iter_mut().zip(findings) {
            capability.confirm(finding.support, finding.detail);
        }
    }

    pub(super) fn finish(&mut self, error: Option<Error>) {
        self.ok = error.is_none();
        self.error = error.as_ref().map(to_json);
        self.failure = error;
    }
}
