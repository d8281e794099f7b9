//! Every scenario through `Failover`, on the drill's own endpoints: an outage of whatever kind is a non-event.

use std::time::Duration;

use lifeboat_drill::{Outcome, Plan, Scenario, Site, settings};
use lifeboat_failover::Settings;

/// Less than a second before the outage, more than a second in it, and a second after it.
const LENGTH: Duration = Duration::from_secs(3);

/// No outage lasts longer: three fifths of the length.
const LONGEST: Duration = Duration::from_secs(2);

/// With its defaults each drill would wait for most of a minute: the marker of a delete stays until its key has stood
/// still for as long as a write may take, and every journal has been read once more after that.
fn brisk() -> Settings {
    let mut settings = settings(LONGEST);
    // Three times what a slow backend is given: whoever writes a key next waits for that as well.
    settings.write_deadline = Duration::from_secs(6);
    settings.journal_poll = Duration::from_millis(500);
    settings.settling = Duration::from_millis(500);
    settings.settle_after = Duration::from_millis(500);
    settings
}

async fn go_through(scenario: Scenario) -> Outcome {
    let mut plan = Plan::new(scenario);
    plan.length = LENGTH;
    plan.rate = 40;
    // Copies have been compared by then.
    plan.steady = Duration::from_millis(500);
    Site::embedded().await.unwrap().drill(&plan, brisk(), &()).await.unwrap()
}

/// What an outage must not do.
fn assert_non_event(outcome: &Outcome) {
    let found = &outcome.findings;
    let broken = [
        outcome.measured.failed_requests,
        found.lost_writes,
        found.resurrected_deletes,
        found.stale_reads,
    ];
    assert_eq!(broken, [0; 4], "{outcome}");
    assert!(outcome.converged && outcome.passed(), "{outcome}");
    assert!(outcome.level_ms.is_some() && outcome.level_ms <= outcome.catch_up_ms, "{outcome}");
}

/// One test for each scenario, so that a few of them pass the time of waiting together.
macro_rules! scenarios {
    ($($name:ident => $scenario:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                assert_non_event(&go_through(Scenario::$scenario).await);
            }
        )*

        #[test]
        fn every_scenario_is_gone_through_here() {
            assert_eq!([$(Scenario::$scenario),*], Scenario::ALL);
        }
    };
}

scenarios! {
    refused_connections_are_a_non_event => Refused,
    a_black_hole_is_a_non_event => BlackHole,
    answers_that_never_come_are_a_non_event => Hang,
    resets_are_a_non_event => Reset,
    a_slow_primary_is_a_non_event => Slow,
    errors_are_a_non_event => Errors,
    throttling_is_a_non_event => Throttle,
    credentials_that_are_not_accepted_are_a_non_event => Credentials,
    being_locked_out_is_a_non_event => LockedOut,
    a_name_that_does_not_resolve_is_a_non_event => Dns,
    flapping_is_a_non_event => Flap,
    the_outage_of_february_2017_is_a_non_event => Aws20170228,
    the_outage_of_october_2025_is_a_non_event => Aws20251020,
}
