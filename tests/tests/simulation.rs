//! The failover engine in a world drawn from a seed: processes that crash, providers that fail in every way, late
//! writes, skewed clocks. What is promised there is in the documentation of `lifeboat_testkit::simulation`.
//!
//! `LIFEBOAT_SIM_SEEDS=200000` or `LIFEBOAT_SIM_MINUTES=120` runs longer, `LIFEBOAT_SIM_SEED=123` replays one seed. With
//! `LIFEBOAT_SIM_LOSERS=1` losers of conflicts must be kept.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lifeboat_failover::{Failover, Settings, StaleReads};
use lifeboat_testkit::simulation::{
    Campaign, Effort, ProcessContext, Profile, Running, Variant, simulate,
};
use lifeboat_tests::show;
use lifeboat_tests::simulated::{backend, fast, process};
use object_store::ObjectStore;

/// Seeds of the fast suite.
const SEEDS: u64 = 2_000;

struct Process(Failover);

#[async_trait]
impl Running for Process {
    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.0.clone())
    }

    async fn converge(&self, effort: Effort) {
        self.0.loaded().await;
        match effort {
            Effort::CatchUp => {
                self.0.catch_up().await;
            }
            Effort::Mend => drop(self.0.mend(None).await),
        }
    }
}

/// As fast as in the traps; nothing waits for its turn. The rest is as the seed has it.
fn settings(variant: Variant) -> Settings {
    let mut settings = fast();
    settings.settle_rate = 1_000;
    settings.presence_beat = Duration::from_secs(2);
    settings.catch_up_rate = 10_000;
    settings.min_copies = variant.copies;
    settings.intent = variant.intent;
    if variant.asynchronous {
        settings.slow_after = Duration::ZERO;
    }
    if variant.stale {
        settings.stale_reads = StaleReads::Serve;
    }
    settings
}

fn profile() -> Profile {
    let mut profile = Profile::default();
    profile.read_bound = Duration::from_secs(12);
    // Six times the deadline, and a probe.
    profile.level_bound = Duration::from_mins(1);
    // The deadline, after a body has stalled once.
    profile.silence = Duration::from_secs(10);
    // The deadline, then the markers, then a probe.
    profile.write_bound = Duration::from_secs(18);
    profile.losers = std::env::var_os("LIFEBOAT_SIM_LOSERS").is_some();
    profile
}

fn failover(context: &ProcessContext) -> Arc<dyn Running> {
    let (clock, spawner) = (context.clock.clone(), context.spawner.clone());
    let mut builder = process(settings(context.variant), clock, spawner).seed(context.seed);
    let ways = context.stores.iter().zip(&context.backends).zip(&context.complete);
    for ((store, seen), complete) in ways {
        let backend = backend(Arc::clone(store), seen).repeating(context.seed % 2 == 1);
        builder =
            if *complete { builder.seeded_backend(backend) } else { builder.backend(backend) };
    }
    Arc::new(Process(builder.build().unwrap()))
}

#[test]
fn failover_keeps_its_promises() {
    let campaign = Campaign::from_env(SEEDS);
    let summary = campaign.run(&profile(), &failover);
    show(&summary);
    assert!(summary.failures.is_empty(), "{summary}");
}

#[test]
fn replay() {
    let seed = Campaign::replay();
    let report = simulate(seed.unwrap_or(0), &profile(), &failover);
    if seed.is_some() {
        println!("{report}");
    }
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

#[test]
fn same_seed_gives_the_same_history_bit_for_bit() {
    for seed in 0..20 {
        let [one, other] = [0, 1].map(|_| simulate(seed, &profile(), &failover).history);
        assert!(one.digest() == other.digest(), "{one}\n\nis not\n\n{other}");
    }
}
