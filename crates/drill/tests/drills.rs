//! Whole drills on the drill's own endpoints: a store that does the obvious thing does not pass, and
//! is found out for the right reasons.

use std::time::Duration;

use async_trait::async_trait;
use lifeboat_drill::{Breaker, Disturbance, Embedded, NaiveFallback, Plan, Scenario, Site, drill};
use object_store::ObjectStore;

fn plan(scenario: Scenario) -> Plan {
    let mut plan = Plan::new(scenario);
    plan.length = Duration::from_secs(3);
    plan.rate = 60;
    plan.steady = Duration::from_millis(100);
    plan
}

/// Breaks nothing.
struct Mercy;

#[async_trait]
impl Breaker for Mercy {
    async fn apply(&self, _: Disturbance) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn naive_fallback_passes_as_long_as_nothing_breaks() {
    let endpoints = Embedded::start().await.unwrap();
    let clients = endpoints.plain_clients().unwrap();
    let subject = NaiveFallback::new(clients[0].clone(), clients[1].clone());
    let sides = endpoints.sides().unwrap();
    let sides: Vec<&dyn ObjectStore> = sides.iter().map(|side| &**side as _).collect();
    let outcome = drill(&plan(Scenario::Refused), &subject, &Mercy, &sides, &()).await.unwrap();
    assert!(outcome.passed(), "{outcome}");
    assert_eq!(outcome.measured.requests, 180);
    assert!(outcome.findings.acked_writes > 100, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn naive_fallback_forgets_what_it_wrote_while_the_primary_was_locked() {
    let site = Site::embedded().await.unwrap();
    let outcome = site.drill_naive(&plan(Scenario::LockedOut), &()).await.unwrap();
    // Every request was served, and that is all that can be said for it.
    assert_eq!(outcome.measured.failed_requests, 0, "{outcome}");
    assert!(outcome.findings.stale_reads > 0, "{outcome}");
    assert!(!outcome.converged && !outcome.passed() && outcome.audit.different > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_that_waits_for_an_outage_to_end_counts_its_waiting() {
    let site = Site::embedded().await.unwrap();
    let outcome = site.drill_naive(&plan(Scenario::BlackHole), &()).await.unwrap();
    // The outage lasts 1.2 s, and what was due at its beginning waited for all of it.
    assert!(outcome.measured.slowest_ms > 1_000.0, "{outcome}");
    assert!(outcome.measured.first_read_after_outage_ms.is_some_and(|latency| latency > 500.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_disturbance_on_the_wire_is_one_to_the_backend_and_ends() {
    use lifeboat_core::{BlobStore, Class, Fault};
    let endpoints = Embedded::start().await.unwrap();
    let backends = endpoints.backends().unwrap();
    let (primary, replica): (&dyn BlobStore, &dyn BlobStore) = (&backends[0], &backends[1]);
    let fault = Class::Fault;
    for (disturbance, class) in [
        (Disturbance::Refuse, fault(Fault::Down)),
        (Disturbance::NoName, fault(Fault::Down)),
        (Disturbance::LoseAnswers, fault(Fault::Down)),
        (Disturbance::Errors { puts: 1.0, others: 1.0 }, fault(Fault::Down)),
        (Disturbance::Throttle(1.0), fault(Fault::Throttled)),
        (Disturbance::Credentials, fault(Fault::IdentityLost)),
        (Disturbance::LockedOut, Class::Denied),
    ] {
        endpoints.apply(disturbance).await.unwrap();
        let error = primary.probe().await.unwrap_err();
        assert_eq!(primary.classify(&error).class, class, "{disturbance}: {error}");
        // The port refuses as well: what fails must be the name.
        let unknown = format!("{error:?}").contains("name or service not known");
        assert_eq!(unknown, disturbance == Disturbance::NoName, "{disturbance}: {error:?}");
        assert!(replica.probe().await.is_ok(), "{disturbance}");
        endpoints.apply(Disturbance::None).await.unwrap();
        assert!(primary.probe().await.is_ok(), "{disturbance} does not end");
    }
}
