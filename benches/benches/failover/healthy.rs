//! While all is well: a failover beside a bare store, in memory and over loopback S3.

use futures::FutureExt;
use lifeboat_benches::{Operation, Pair, paired};
use tokio::runtime::Builder;

use crate::site::{Sites, failover};
use crate::work::{Store, What, Work, bare, doubled, prepare};
use crate::{Options, runtime};

/// The object that is small.
pub(crate) const SMALL: usize = 1 << 10;
/// The one that ranges are read from.
const MIDDLE: usize = 64 << 10;
const LARGE: usize = 16 << 20;
/// Operations between two looks at the clock, where one takes less than a microsecond.
const INNER: u32 = 500;

/// The operations in memory.
pub(crate) const IN_MEMORY: [What; 4] = [What::Get, What::Head, What::Put, What::List];

fn operation<'a>(store: &'a Store, work: &'a Work, inner: u32) -> Operation<'a> {
    Box::new(move || {
        async move {
            for _ in 0..inner {
                work.once(&**store).await;
            }
        }
        .boxed()
    })
}

fn report(name: &str, Pair { first, second, ratio: [low, median, high] }: Pair, inner: u32) {
    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6 / f64::from(inner);
    println!(
        "{name:<16} bare {:>9.2} µs  failover {:>9.2} µs  adds {:>8.2} µs  \
         ratio {median:.3} ({low:.3} – {high:.3})",
        micros(first),
        micros(second),
        micros(second) - micros(first),
    );
}

/// On one thread, over stores in memory: what the code itself costs.
pub(crate) fn memory(options: &Options) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for what in IN_MEMORY {
            let name = format!("memory/{what}");
            if !options.wants(&name) {
                continue;
            }
            let (bare, ours) = (bare(), doubled());
            prepare(&*bare, &[SMALL]).await;
            prepare(&*ours, &[SMALL]).await;
            let work = Work::new(what, SMALL);
            let (a, b) = (operation(&bare, &work, INNER), operation(&ours, &work, INNER));
            report(&name, paired(a, b, options.rounds, 1).await, INNER);
        }
    });
}

/// Over loopback: both sides use the same backend of ours.
pub(crate) fn s3(options: &Options) {
    let wanted = [
        ("s3/get/1KiB", What::Get, SMALL, 20),
        ("s3/head", What::Head, SMALL, 20),
        ("s3/range/4KiB", What::Range(4 << 10), MIDDLE, 20),
        ("s3/get/16MiB", What::Get, LARGE, 1),
        ("s3/list", What::List, 0, 10),
        ("s3/put/1KiB", What::Put, SMALL, 10),
        ("s3/put/16MiB", What::Put, LARGE, 1),
    ];
    if !wanted.iter().any(|(name, ..)| options.wants(name)) {
        return;
    }
    let (servers, client) = (runtime(1), runtime(1));
    let sites = Sites::start(&servers);
    client.block_on(async {
        let bare: Store = sites.primary.direct();
        let ours = failover(sites.primary.direct(), sites.replica.direct(), None);
        // One set of objects, with stamps, for both sides.
        prepare(&*ours, &[SMALL, MIDDLE, LARGE]).await;
        for (name, what, size, batch) in wanted {
            if options.wants(name) {
                let work = Work::new(what, size);
                let (a, b) = (operation(&bare, &work, 1), operation(&ours, &work, 1));
                report(name, paired(a, b, options.rounds, batch).await, 1);
            }
        }
    });
}
