//! Outages of a real backend, injected on our side of the wire: the provider notices nothing but that
//! fewer requests come. For drills against configured backends.
//!
//! What a drill's own endpoints do on connections is done to calls here, by the test kit's
//! `FaultStore`; this adds what makes a store a backend, and translates a scenario into its rules. A
//! silent server is a call that never ends: cutting it off is the business of the store under test.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lifeboat_core::{
    BlobStore, BucketRules, Capabilities, CapabilityReport, Effect, Fault, Identity, Probe,
    RESERVED_PREFIX, Verdict, forward_object_store,
};
use lifeboat_testkit::fault_store::{
    At, BucketMissing, Failure, FaultStore, Faults, Operation, Rule, SlowDown, Strike,
};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Error as StoreError, ObjectStoreExt, Result};

use crate::breaker::Breaker;
use crate::scenario::Disturbance;

/// Where a body is cut off.
const CUT_AT: u64 = 1_000;

/// What a throttled request is told to wait: as long as one at the drill's own endpoints.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The requests that store something.
const PUTS: &[Operation] = &[
    Operation::Put,
    Operation::Create,
    Operation::Update,
    Operation::Copy,
    Operation::Rename,
    Operation::MultipartBegin,
    Operation::MultipartPart,
    Operation::MultipartComplete,
];

/// All others.
const OTHERS: &[Operation] = &[
    Operation::Get,
    Operation::GetRange,
    Operation::Head,
    Operation::List,
    Operation::Delete,
    Operation::MultipartAbort,
];

/// A backend that breaks when it is told to.
#[derive(Clone)]
pub struct Injected {
    inner: Arc<dyn BlobStore>,
    store: Arc<FaultStore<Arc<dyn BlobStore>>>,
    faults: Faults,
}

impl Injected {
    /// Wraps a backend, which is healthy until told otherwise.
    pub fn new(inner: Arc<dyn BlobStore>) -> Self {
        let faults = Faults::seeded(1);
        let store = Arc::new(FaultStore::new(Arc::clone(&inner), faults.clone()));
        Self { inner, store, faults }
    }
}

#[async_trait]
impl Breaker for Injected {
    async fn apply(&self, disturbance: Disturbance) -> std::result::Result<(), String> {
        self.faults.set(rules(disturbance));
        Ok(())
    }
}

/// What strikes which calls.
fn rules(disturbance: Disturbance) -> Vec<Rule> {
    let all = |strike| vec![Rule::new(strike)];
    match disturbance {
        Disturbance::None => Vec::new(),
        Disturbance::Refuse | Disturbance::NoName => all(Strike::Fail(Failure::Refused)),
        Disturbance::BlackHole => all(Strike::Hang),
        Disturbance::Hang => all(Strike::HangAfter),
        Disturbance::LoseAnswers => all(Strike::FailAfter(Failure::Reset)),
        Disturbance::CutBodies => {
            let bodies = [Operation::Get, Operation::GetRange];
            vec![Rule::new(Strike::Break(At::Offset(CUT_AT), Failure::Reset)).on(&bodies)]
        }
        Disturbance::Slow(delay) => all(Strike::Delay(delay)),
        Disturbance::Errors { puts, others } => {
            let fail = || Rule::new(Strike::Fail(Failure::Down));
            vec![
                fail().on(PUTS).permille(permille(puts)),
                fail().on(OTHERS).permille(permille(others)),
            ]
        }
        Disturbance::Throttle(share) => {
            let throttled = Strike::Fail(Failure::ThrottledFor(RETRY_AFTER));
            vec![Rule::new(throttled).permille(permille(share))]
        }
        Disturbance::Credentials => all(Strike::Fail(Failure::IdentityLost)),
        Disturbance::LockedOut => all(Strike::Fail(Failure::Denied)),
    }
}

/// Whose fault a failure of the test kit's making is, where `object_store` has no variant that tells: a throttled answer
/// and a missing bucket are judged as those on the wire would be.
pub fn injected_verdict(error: &StoreError) -> Option<Verdict> {
    if BucketMissing::is_in(error) {
        return Some(Verdict::fault(Fault::Down, Effect::None));
    }
    let slow_down = SlowDown::find(error)?;
    let effect = if slow_down.may_land { Effect::Unknown } else { Effect::None };
    Some(Verdict::fault(Fault::Throttled, effect).with_retry_after(slow_down.retry_after))
}

fn permille(share: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    let permille = (share.clamp(0.0, 1.0) * 1000.0).round() as u32;
    permille
}

impl fmt::Debug for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Injected").field(&self.inner).finish()
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Injected({})", self.inner)
    }
}

forward_object_store!(Injected => store);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Injected {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn confirm_capabilities(&self) -> Result<CapabilityReport> {
        self.probe().await?;
        self.inner.confirm_capabilities().await
    }

    async fn bucket_rules(&self, prefix: &Path) -> BucketRules {
        self.inner.bucket_rules(prefix).await
    }

    async fn probe(&self) -> Result<Probe> {
        // Breaks where any other read would.
        let beacon = Path::from_iter([RESERVED_PREFIX, "beacon"]);
        match self.store.head(&beacon).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => self.inner.probe().await,
            Err(error) => Err(error),
        }
    }

    fn classify(&self, error: &StoreError) -> Verdict {
        injected_verdict(error).unwrap_or_else(|| self.inner.classify(error))
    }

    fn signer(&self) -> Option<Arc<dyn Signer>> {
        self.inner.signer()
    }

    /// None: what goes through it would not break.
    fn multipart_store(&self) -> Option<Arc<dyn MultipartStore>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_core::{AnyStore, Class};
    use object_store::memory::InMemory;
    use tokio::time::timeout;

    use super::*;

    async fn store() -> (Injected, Arc<dyn BlobStore>) {
        let inner = AnyStore::new(InMemory::new(), Identity::new("memory", "", "a"));
        let inner: Arc<dyn BlobStore> = Arc::new(inner);
        inner.put(&"k".into(), vec![7; 5_000].into()).await.unwrap();
        (Injected::new(Arc::clone(&inner)), inner)
    }

    #[tokio::test(start_paused = true)]
    async fn each_disturbance_is_classified_as_what_it_stands_for_and_ends() {
        let (store, _) = store().await;
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
            store.apply(disturbance).await.unwrap();
            let error = store.head(&"k".into()).await.unwrap_err();
            assert_eq!(store.classify(&error).class, class, "{disturbance}");
            assert!(store.probe().await.is_err(), "{disturbance}");
            store.apply(Disturbance::None).await.unwrap();
            assert!(store.probe().await.is_ok(), "{disturbance} does not end");
        }
        // A silent one never answers; that is for the caller to bound.
        for silent in [Disturbance::BlackHole, Disturbance::Hang] {
            store.apply(silent).await.unwrap();
            assert!(timeout(Duration::from_hours(1), store.head(&"k".into())).await.is_err());
            assert!(timeout(Duration::from_hours(1), store.probe()).await.is_err());
        }
    }

    #[tokio::test]
    async fn throttled_write_had_no_effect_and_says_how_long_to_wait() {
        let (store, inner) = store().await;
        store.apply(Disturbance::Throttle(1.0)).await.unwrap();
        let error = store.put(&"throttled".into(), "x".into()).await.unwrap_err();
        let expected = Verdict::fault(Fault::Throttled, Effect::None);
        assert_eq!(store.classify(&error), expected.with_retry_after(Some(RETRY_AFTER)));
        assert!(inner.head(&"throttled".into()).await.is_err());
    }

    #[tokio::test]
    async fn lost_answer_has_its_effect_and_a_refused_write_has_none() {
        let (store, inner) = store().await;
        store.apply(Disturbance::LoseAnswers).await.unwrap();
        store.put(&"lost".into(), "x".into()).await.unwrap_err();
        assert!(inner.head(&"lost".into()).await.is_ok());
        store.apply(Disturbance::Refuse).await.unwrap();
        store.put(&"refused".into(), "x".into()).await.unwrap_err();
        assert!(inner.head(&"refused".into()).await.is_err());
        assert!(store.delete(&"k".into()).await.is_err());
        assert!(inner.head(&"k".into()).await.is_ok());
    }

    #[tokio::test]
    async fn only_what_is_to_break_breaks() {
        let (store, _) = store().await;
        store.apply(Disturbance::Errors { puts: 1.0, others: 0.0 }).await.unwrap();
        assert!(store.put(&"new".into(), "x".into()).await.is_err());
        assert!(store.put_multipart(&"new".into()).await.is_err());
        assert!(store.get(&"k".into()).await.unwrap().bytes().await.is_ok());
        store.apply(Disturbance::CutBodies).await.unwrap();
        assert!(store.put(&"new".into(), "x".into()).await.is_ok());
        assert!(store.get(&"k".into()).await.unwrap().bytes().await.is_err());
        store.apply(Disturbance::None).await.unwrap();
        assert!(store.delete(&"k".into()).await.is_ok());
    }
}
