//! The primary falls silent: what the first readers wait for, and what the later ones pay.

use std::time::{Duration, Instant};

use futures::FutureExt;
use lifeboat_benches::{Operation, Pair, paired};
use lifeboat_testkit::proxy::Fault;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::healthy::SMALL;
use crate::site::{Sites, failover};
use crate::work::{Store, What, Work, key, prepare};
use crate::{Options, runtime};

/// Outages that are tried out.
const OUTAGES: usize = 5;
/// Reads before an outage, so that the usual times are known.
const BEFORE: usize = 200;
/// Reads that are timed one by one after the outage has begun.
const FIRST: usize = 100;
/// Of which so many are shown; of all of them the slowest.
const SHOWN: usize = 8;

async fn timed(store: &Store, work: &Work) -> Duration {
    let began = Instant::now();
    work.once(&**store).await;
    began.elapsed()
}

fn shown<'a>(times: impl IntoIterator<Item = &'a Duration>) -> String {
    let times: Vec<String> =
        times.into_iter().map(|time| format!("{:.1}", time.as_secs_f64() * 1e3)).collect();
    times.join("  ")
}

/// A failover that has seen `before` reads, and then the outage: the times of the first reads in it.
async fn outage(sites: &Sites, work: &Work, before: usize) -> (Store, Vec<Duration>) {
    sites.primary.proxy.set(Fault::Pass);
    let store = failover(sites.primary.proxied(), sites.replica.direct(), None);
    for _ in 0..before {
        work.once(&*store).await;
    }
    sites.primary.proxy.set(Fault::BlackHole);
    let mut times = Vec::new();
    for _ in 0..FIRST {
        times.push(timed(&store, work).await);
    }
    (store, times)
}

async fn measure(options: &Options, sites: &Sites) {
    let work = Work::new(What::Get, SMALL);
    let seeding = failover(sites.primary.direct(), sites.replica.direct(), None);
    prepare(&*seeding, &[SMALL]).await;
    let mut last = None;
    for (name, before) in [("known latencies", BEFORE), ("cold", 1), ("down at the start", 0)] {
        for _ in 0..OUTAGES {
            let (store, times) = outage(sites, &work, before).await;
            let verdict = if times[0] < Duration::from_secs(1) { "met" } else { "missed" };
            println!(
                "black-hole/first ({name}): reads in ms {} … slowest of {FIRST} {}   goal first < 1 s: {verdict}",
                shown(&times[..SHOWN]),
                shown(times.iter().max()),
            );
            last = Some(store);
        }
    }
    let Some(store) = last else { return };
    let direct: Store = sites.replica.direct();
    let (a, b) = (operation(&direct, &work), operation(&store, &work));
    let Pair { first, second, ratio: [low, median, high] } = paired(a, b, options.rounds, 20).await;
    println!(
        "black-hole/later: replica itself {:.1} µs  failover {:.1} µs  ratio {median:.3} \
         ({low:.3} – {high:.3})   goal at most 1.05",
        first.as_secs_f64() * 1e6,
        second.as_secs_f64() * 1e6,
    );
}

fn operation<'a>(store: &'a Store, work: &'a Work) -> Operation<'a> {
    Box::new(move || work.once(&**store).boxed())
}

/// What one writes without a library: the first store, and on an error the second, with the clients' defaults.
async fn naive(sites: &Sites) {
    let (first, second) = (sites.primary.foreign(), sites.replica.foreign());
    let began = Instant::now();
    let read = match read(&*first).await {
        Ok(read) => Ok(read),
        Err(error) => {
            println!("black-hole/naive: the first store gave up: {error}");
            read(&*second).await
        }
    };
    println!(
        "black-hole/naive: {} bytes after {:.1} s",
        read.unwrap(),
        began.elapsed().as_secs_f64()
    );
}

async fn read(store: &dyn ObjectStore) -> object_store::Result<usize> {
    Ok(store.get(&key(SMALL)).await?.bytes().await?.len())
}

/// Everything about silence.
pub(crate) fn run(options: &Options) {
    if !options.wants("black-hole") {
        return;
    }
    let (servers, client) = (runtime(1), runtime(1));
    let sites = Sites::start(&servers);
    client.block_on(measure(options, &sites));
    if std::env::var("LIFEBOAT_BENCH_NAIVE").is_ok_and(|value| value == "1") {
        client.block_on(naive(&sites));
    }
}
