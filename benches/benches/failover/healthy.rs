//! While all is well: a failover beside a bare store, in memory and over loopback S3.

use std::sync::Arc;

use futures::FutureExt;
use lifeboat_benches::{Operation, Pair, paired};
use lifeboat_core::BlobStore;
use lifeboat_testkit::servers::Server;
use lifeboat_testkit::{ServerKind, bed};

use crate::site::{Site, Sites, connect, failover};
use crate::work::{Store, What, Work, bare, doubled, prepare};
use crate::{Options, client, runtime};

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
        "{name:<30} bare {:>9.2} µs  failover {:>9.2} µs  adds {:>8.2} µs  \
         ratio {median:.3} ({low:.3} – {high:.3})",
        micros(first),
        micros(second),
        micros(second) - micros(first),
    );
}

/// On one thread, over stores in memory: what the code itself costs.
pub(crate) fn memory(options: &Options) {
    client().block_on(async {
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
    if WIRE.iter().any(|wire| options.wants(&wire.name("s3"))) {
        let (servers, client) = (runtime(1), client());
        let sites = Sites::start(&servers);
        let [first, second] = [&sites.primary, &sites.replica].map(Site::direct);
        client.block_on(on_the_wire(options, "s3", first, second));
    }
}

/// The same on a real server, which the test bed installs: its answers take longer.
pub(crate) fn seaweedfs(options: &Options) {
    const NAME: &str = "failover-seaweedfs";
    if !WIRE.iter().any(|wire| options.wants(&wire.name(NAME))) {
        return;
    }
    let client = client();
    client.block_on(async {
        let server = Server::start(ServerKind::SeaweedFs).await.unwrap();
        let endpoint = server.endpoint().clone();
        let mut stores = Vec::new();
        for bucket in ["first", "second"] {
            bed::create_bucket(&endpoint, bucket).await.unwrap();
            let known = &endpoint.credentials;
            stores.push(connect("seaweedfs", bucket, &endpoint.url, "us-east-1", known));
        }
        if let [first, second] = &stores[..] {
            on_the_wire(options, NAME, Arc::clone(first), Arc::clone(second)).await;
        }
        server.stop().await.unwrap();
    });
}

/// An operation over the wire.
struct Wire {
    what: What,
    size: usize,
    shown: &'static str,
    /// Operations between two looks at the clock.
    batch: usize,
}

const WIRE: [Wire; 7] = [
    Wire { what: What::Get, size: SMALL, shown: "/1KiB", batch: 20 },
    Wire { what: What::Head, size: SMALL, shown: "", batch: 20 },
    Wire { what: What::Range(4 << 10), size: MIDDLE, shown: "/4KiB", batch: 20 },
    Wire { what: What::Get, size: LARGE, shown: "/16MiB", batch: 1 },
    Wire { what: What::List, size: 0, shown: "", batch: 10 },
    Wire { what: What::Put, size: SMALL, shown: "/1KiB", batch: 10 },
    Wire { what: What::Put, size: LARGE, shown: "/16MiB", batch: 1 },
];

impl Wire {
    fn name(&self, group: &str) -> String {
        format!("{group}/{}{}", self.what, self.shown)
    }
}

async fn on_the_wire(
    options: &Options,
    group: &str,
    first: Arc<dyn BlobStore>,
    second: Arc<dyn BlobStore>,
) {
    let bare: Store = Arc::clone(&first) as Store;
    let ours = failover(first, second, None);
    // One set of objects, with stamps, for both sides.
    prepare(&*ours, &[SMALL, MIDDLE, LARGE]).await;
    for wire in WIRE {
        let name = wire.name(group);
        if options.wants(&name) {
            let work = Work::new(wire.what, wire.size);
            let (a, b) = (operation(&bare, &work, 1), operation(&ours, &work, 1));
            report(&name, paired(a, b, options.rounds, wire.batch).await, 1);
        }
    }
}
