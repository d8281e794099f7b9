//! The test kit's failures mean to the engine what they say, although the test kit knows nothing of it.

use std::time::Duration;

use lifeboat_core::{BlobStore, Class, Effect, Fault, Verdict, classify_default};
use lifeboat_testkit::fault_store::{Failure, FaultStore, Faults, Rule, Strike};
use lifeboat_testkit::simulation::{BackendSettings, SimBackend};
use lifeboat_tests::simulated;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, integration};

#[test]
fn failures_are_classified_as_what_they_stand_for() {
    let expected = [
        (Failure::Refused, Class::Fault(Fault::Down), Effect::None, true),
        (Failure::Reset, Class::Fault(Fault::Down), Effect::Unknown, true),
        (Failure::Down, Class::Fault(Fault::Down), Effect::Unknown, true),
        (Failure::Slow, Class::Fault(Fault::Slow), Effect::Unknown, true),
        // `object_store` leaves no typed trace of a 429 or 503: to a store that nothing is known of it is a fault, and no
        // proof of anything.
        (Failure::Throttled, Class::Fault(Fault::Down), Effect::Unknown, false),
        (Failure::IdentityLost, Class::Fault(Fault::IdentityLost), Effect::None, true),
        (Failure::Denied, Class::Denied, Effect::None, true),
        (Failure::NotSupported, Class::Answer, Effect::None, true),
        (Failure::NotFound, Class::Answer, Effect::None, true),
        (Failure::AlreadyExists, Class::Answer, Effect::None, true),
        (Failure::Precondition, Class::Answer, Effect::None, true),
    ];
    for (failure, class, effect, certain) in expected {
        let verdict = classify_default(&failure.error(&Path::from("some/key")));
        assert_eq!(
            (verdict.class, verdict.effect, verdict.certain),
            (class, effect, certain),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn throttled_answers_of_a_simulated_backend_are_judged_as_on_the_wire() {
    let sim = SimBackend::new("b0", BackendSettings::default());
    let (faults, key) = (Faults::seeded(0), Path::from("some/key"));
    let store = simulated::backend(FaultStore::new(sim.as_seen_by(0), faults.clone()), &sim);
    let (pause, late) = (Duration::from_secs(3), Duration::from_secs(1));
    let throttled = |effect| Verdict::fault(Fault::Throttled, effect);
    for (strike, verdict) in [
        (Strike::Fail(Failure::Throttled), throttled(Effect::None)),
        (
            Strike::Fail(Failure::ThrottledFor(pause)),
            throttled(Effect::None).with_retry_after(Some(pause)),
        ),
        // What was sent before the throttled repetition may land.
        (Strike::FailAfter(Failure::Throttled), throttled(Effect::Unknown)),
        (Strike::FailLate(Failure::Throttled, late), throttled(Effect::Unknown)),
    ] {
        faults.set([Rule::new(strike.clone())]);
        let error = store.put(&key, "x".into()).await.unwrap_err();
        assert_eq!(store.classify(&error), verdict, "{strike:?}");
    }
    let down = Failure::Down.error(&key);
    assert_eq!(store.classify(&down), classify_default(&down), "all others stay what they were");
}

#[tokio::test]
async fn store_without_faults_passes_object_stores_own_suite() {
    for detached in [false, true] {
        let store = FaultStore::new(InMemory::new(), Faults::seeded(0));
        let store = if detached { store.detached() } else { store };
        integration::put_get_delete_list(&store).await;
        integration::get_opts(&store).await;
        integration::put_opts(&store, true).await;
        integration::list_uses_directories_correctly(&store).await;
        integration::list_with_delimiter(&store).await;
        integration::rename_and_copy(&store).await;
        integration::copy_if_not_exists(&store).await;
        integration::stream_get(&store).await;
        integration::put_get_attributes(&store).await;
    }
}

#[tokio::test]
async fn simulated_backend_passes_object_stores_own_suite() {
    let fresh = || SimBackend::new("b0", BackendSettings::default()).as_seen_by(0);
    integration::put_get_delete_list(&fresh()).await;
    integration::get_opts(&fresh()).await;
    integration::put_opts(&fresh(), true).await;
    integration::list_uses_directories_correctly(&fresh()).await;
    integration::list_with_delimiter(&fresh()).await;
    integration::rename_and_copy(&fresh()).await;
    integration::copy_if_not_exists(&fresh()).await;
    integration::stream_get(&fresh()).await;
}
