//! Traps of what is rationed: memory for bodies, keys that catch-up works on, hedges. Each has its bound in a setting.

use std::time::Duration;

use lifeboat_core::Effect;
use lifeboat_failover::Reason;
use lifeboat_testkit::fault_store::{Gate, Operation, Strike};
use object_store::path::Path;
use object_store::{ObjectStoreExt, Result};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::lab::{Lab, Process, come_to_rest, key, reason, wait_until};

/// A process whose memory is full, by a write that is held on its way to every backend.
struct Full {
    lab: Lab,
    process: Process,
    gate: Gate,
    first: JoinHandle<Result<()>>,
}

impl Full {
    async fn new() -> Self {
        // Large enough to add seconds to its bound: it outlasts whoever comes after it.
        let body = vec![0; 1 << 20];
        let mut lab = Lab::new(2);
        lab.settings.memory = body.len() as u64;
        let process = lab.process(1);
        let gate = Gate::new();
        for backend in [0, 1] {
            process.strike(backend, Operation::PUTS, &key(), Strike::Hold(gate.clone()));
        }
        let store = process.store.clone();
        let first = process.run(async move { store.put(&key(), body.into()).await.map(drop) });
        gate.reached_by(2).await;
        Self { lab, process, gate, first }
    }
}

fn other() -> Path {
    Path::from("data/other")
}

#[tokio::test(start_paused = true)]
async fn write_without_memory_sends_nothing_and_fails_when_its_time_is_over() {
    let Full { lab, process, .. } = Full::new().await;
    let sent = [0, 1].map(|backend| process.count(backend, &[], &other()));
    let began = Instant::now();
    let error = process.put(&other(), "x").await.unwrap().unwrap_err();
    assert_eq!(reason(&error), (Reason::Busy, Effect::None), "{error}");
    let (took, bound) = (began.elapsed(), lab.settings.write_deadline);
    assert!((bound..bound + Duration::from_millis(100)).contains(&took), "{took:?}");
    assert_eq!(sent.map(|sent| sent.count()), [0; 2], "it was sent");
    assert!(lab.journal_is_empty());
}

#[tokio::test(start_paused = true)]
async fn write_without_memory_sends_nothing_until_another_gives_it_back() {
    let Full { lab, process, gate, first } = Full::new().await;
    let sent = [0, 1].map(|backend| process.count(backend, &[], &other()));
    let second = process.put(&other(), "x");
    sleep(lab.settings.write_deadline / 2).await;
    assert_eq!((sent.each_ref().map(Gate::count), second.is_finished()), ([0; 2], false));
    gate.open();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    come_to_rest().await;
    assert_eq!([0, 1].map(|at| lab.at(at, &other())), [Some("x".into()), Some("x".into())]);
}

#[tokio::test(start_paused = true)]
async fn acknowledged_write_whose_slow_leg_holds_the_memory_gives_it_back() {
    let mut lab = Lab::new(2);
    let body = vec![0; 1 << 20];
    lab.settings.memory = body.len() as u64;
    let process = lab.process(1);
    process.strike(0, Operation::PUTS, &key(), Strike::Hang);
    let store = process.store.clone();
    let first = process.run(async move { store.put(&key(), body.into()).await.map(drop) });
    first.await.unwrap().unwrap();
    // Its leg would hold all there is for longer than the next write may take.
    process.must_put(&other(), "x").await;
    lab.drain(&[&process]).await;
    assert_eq!(lab.backends[0].object(&key()).map(|stored| stored.bytes.len()), Some(1 << 20));
}

#[tokio::test(start_paused = true)]
async fn catch_up_takes_no_more_keys_in_a_second_than_it_may() {
    // A hundred keys; it may be ahead by what it works on at once.
    for (rate, seconds) in [(10, 9.0..12.0), (1000, 0.0..3.0)] {
        let mut lab = Lab::new(2);
        lab.settings.catch_up_rate = rate;
        let process = lab.process(1);
        process.store.loaded().await;
        process.refuse(0);
        let keys: Vec<Path> = (0..100).map(|number| Path::from(format!("data/{number}"))).collect();
        for key in &keys {
            process.must_put(key, "x").await;
        }
        process.clear(0);
        let there = || keys.iter().filter(|key| lab.at(0, key).is_some()).count();
        wait_until(|| there() > 0).await;
        let began = Instant::now();
        wait_until(|| there() == keys.len()).await;
        let took = began.elapsed().as_secs_f64();
        assert!(seconds.contains(&took), "{took} seconds at {rate} keys in a second");
        lab.drain(&[&process]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn brownout_costs_the_other_backend_no_more_than_the_hedge_budget() {
    const READS: u32 = 400;
    /// What may be hedged before anything was earned.
    const BURST: u32 = 20;
    for percent in [0, 5, 20] {
        let mut lab = Lab::new(2);
        lab.settings.hedge_budget_percent = percent;
        // Nothing but the budget sends a read elsewhere: not a rescue, nor that it is outrun again and again.
        lab.settings.rescue_after = lab.settings.attempt_deadline;
        lab.settings.health.slow_in_row = u32::MAX;
        let process = lab.process(1);
        process.must_put(&key(), "v1").await;
        for _ in 0..100 {
            process.get(&key()).await.unwrap();
        }
        let hedges = process.count(1, &[Operation::Get], &key());
        for read in 0..READS {
            // Slower all the time: a read is late by what is known of those before it.
            process.ways[0].slower(10 + read / 5);
            assert_eq!(process.get(&key()).await.unwrap(), "v1");
        }
        let most = if percent == 0 { 0 } else { BURST + READS * percent / 100 };
        let (least, most) = (u64::from(most * 9 / 10), u64::from(most));
        let sent = hedges.count();
        assert!((least..=most).contains(&sent), "{sent} of {most} at {percent} of a hundred");
    }
}

/// Copies count against a budget of their own, and so do those of them that are slow somewhere.
#[tokio::test(start_paused = true)]
async fn slow_leg_of_an_acknowledged_copy_gives_its_memory_back_to_other_copies() {
    let mut lab = Lab::new(2);
    lab.settings.memory = 64 << 10;
    let process = lab.process(1);
    let from = Path::from("data/from");
    let body = vec![7; 40 << 10];
    process.store.put(&from, body.into()).await.unwrap();
    process.strike(1, Operation::PUTS, &key(), Strike::Hang);
    let copies = [key(), other()].map(|to| {
        let (store, from) = (process.store.clone(), from.clone());
        process.run(async move { store.copy(&from, &to).await })
    });
    let began = Instant::now();
    for copy in copies {
        copy.await.unwrap().unwrap();
    }
    assert!(began.elapsed() < lab.settings.write_deadline / 2, "{:?}", began.elapsed());
}
