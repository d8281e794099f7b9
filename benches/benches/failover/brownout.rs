//! The primary becomes a hundred times slower. Reads come at their times whether or not the ones before have been
//! answered, and each is timed from when it was due, so that nothing slow hides behind another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lifeboat_failover::{Event, Observer, Settings};
use lifeboat_testkit::proxy::Fault;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::healthy::SMALL;
use crate::site::{Sites, failover};
use crate::work::{Store, What, Work, key, prepare};
use crate::{Options, runtime};

/// How much the way to a healthy backend takes: another city.
const HEALTHY: Duration = Duration::from_millis(5);
const SLOWER: u32 = 100;
const PER_SECOND: u32 = 200;
const WARM_UP: u32 = 400;
/// Reads of a phase; the brownout outlasts the settling time, so that a relapse is in it.
const READS: u32 = 3_000;
const BROWNOUT_READS: u32 = 6_000;
/// Hedges that the budget allows before any was earned.
const BURST: usize = 20;

#[derive(Debug, Default)]
struct Hedges {
    fired: AtomicUsize,
    won: AtomicUsize,
}

impl Observer for Hedges {
    fn event(&self, event: &Event) {
        match event {
            Event::HedgeFired { .. } => self.fired.fetch_add(1, Ordering::Relaxed),
            Event::HedgeWon { .. } => self.won.fetch_add(1, Ordering::Relaxed),
            Event::Health { backend, from, to, .. } => {
                println!("brownout: {backend} {from} -> {to}");
                0
            }
            _ => 0,
        };
    }
}

/// The times of the reads of a phase, in order of length.
struct Times(Vec<Duration>);

impl Times {
    /// So many of a thousand came within this time.
    fn permille(&self, permille: usize) -> Duration {
        self.0[(self.0.len() * permille).div_ceil(1000).clamp(1, self.0.len()) - 1]
    }

    fn shown(&self) -> String {
        let ms = |permille| self.permille(permille).as_secs_f64() * 1e3;
        let (p50, p99, p999, most) = (ms(500), ms(990), ms(999), ms(1000));
        format!("p50 {p50:.1} ms  p99 {p99:.1} ms  p99.9 {p999:.1} ms  max {most:.1} ms")
    }
}

async fn phase(store: &Store, reads: u32) -> Times {
    let began = Instant::now();
    let mut under_way = JoinSet::new();
    for n in 0..reads {
        let due = began + Duration::from_secs(1) * n / PER_SECOND;
        sleep_until(due).await;
        let store = Arc::clone(store);
        under_way.spawn(async move {
            Work::new(What::Get, SMALL).once(&*store).await;
            due.elapsed()
        });
    }
    let mut times = under_way.join_all().await;
    times.sort();
    Times(times)
}

async fn measure(sites: &Sites) {
    let seeding = failover(sites.primary.direct(), sites.replica.direct(), None);
    prepare(&*seeding, &[SMALL]).await;
    sites.primary.proxy.set(Fault::Delay(HEALTHY));
    sites.replica.proxy.set(Fault::Delay(HEALTHY));
    let hedges = Arc::new(Hedges::default());
    let (first, second) = (sites.primary.proxied(), sites.replica.proxied());
    let store = failover(first, second, Some(Arc::clone(&hedges) as Arc<dyn Observer>));
    let replica: Store = sites.replica.proxied();
    // Connections are opened, journals read, and the usual times become known.
    phase(&replica, WARM_UP).await;
    phase(&store, WARM_UP).await;
    hedges.fired.store(0, Ordering::Relaxed);

    let own = phase(&replica, READS).await;
    println!("brownout: the replica itself   {}", own.shown());
    let healthy = phase(&store, READS).await;
    println!("brownout: failover, healthy    {}", healthy.shown());
    let in_fine_weather = hedges.fired.swap(0, Ordering::Relaxed);
    hedges.won.store(0, Ordering::Relaxed);
    println!("brownout: hedges while healthy {in_fine_weather} of {READS} reads");

    let name = key(SMALL);
    let asked = || sites.primary.requests(name.as_ref()) + sites.replica.requests(name.as_ref());
    let before = asked();
    sites.primary.proxy.set(Fault::Delay(HEALTHY * SLOWER));
    let slow = phase(&store, BROWNOUT_READS).await;
    let extra = (asked() - before).saturating_sub(BROWNOUT_READS as usize);
    println!("brownout: failover, brownout   {}", slow.shown());
    let bound = healthy.permille(990) * 2 + own.permille(990);
    let verdict = if slow.permille(999) <= bound { "met" } else { "missed" };
    println!(
        "brownout: p99.9 {:.1} ms, goal at most {:.1} ms (twice the healthy p99 and the replica's p99): {verdict}",
        slow.permille(999).as_secs_f64() * 1e3,
        bound.as_secs_f64() * 1e3,
    );
    let share = Settings::default().hedge_budget_percent as usize;
    let budget = BURST + BROWNOUT_READS as usize * share / 100;
    println!(
        "brownout: hedges {} fired, {} won; {extra} extra requests at the endpoints; budget {budget}",
        hedges.fired.load(Ordering::Relaxed),
        hedges.won.load(Ordering::Relaxed),
    );
}

/// Everything about slowness.
pub(crate) fn run(options: &Options) {
    if options.wants("brownout") {
        let (servers, client) = (runtime(1), runtime(1));
        let sites = Sites::start(&servers);
        client.block_on(measure(&sites));
    }
}
