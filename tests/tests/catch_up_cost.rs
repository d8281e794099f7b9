//! What catch-up costs, in requests: it is in proportion to what was diverted, not to what the buckets hold.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use lifeboat_core::{AnyStore, Capabilities, Identity, Support, is_reserved};
use lifeboat_failover::{Failover, HealthState};
use lifeboat_testkit::fault_store::{Failure, FaultStore, Faults, Rule, Strike};
use lifeboat_tests::show;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use tokio::time::{Instant, sleep};

/// Writes that the outage diverts.
const DIVERTED: usize = 1_000;
/// Entries on a page of a listing, as at Amazon, Azure and Google.
const PAGE: usize = 1_000;

/// Requests by kind.
#[derive(Debug, Clone, Default)]
struct Count(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Count {
    fn add(&self, kind: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    fn take(&self) -> BTreeMap<&'static str, usize> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A store in memory that counts what it is asked.
#[derive(Debug, Clone)]
struct Counting {
    inner: Arc<InMemory>,
    count: Count,
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl Counting {
    fn pages(
        &self,
        listing: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let count = self.count.clone();
        count.add("list page");
        let counted = listing.enumerate().then(move |(at, object)| {
            let count = count.clone();
            async move {
                if at > 0 && at % PAGE == 0 {
                    // A page takes its time.
                    tokio::task::yield_now().await;
                    count.add("list page");
                }
                if object.as_ref().is_ok_and(|object| !is_reserved(&object.location)) {
                    count.add("listed object");
                }
                object
            }
        });
        counted.boxed()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Counting {
    async fn put_opts(
        &self,
        at: &Path,
        body: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.count.add("put");
        self.inner.put_opts(at, body, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.count.add("multipart");
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.count.add(if options.head { "head" } else { "get" });
        self.inner.get_opts(at, options).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.count.add("get");
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let count = self.count.clone();
        self.inner.delete_stream(keys.inspect(move |_| count.add("delete")).boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pages(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pages(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.count.add("list page");
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.count.add("copy");
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.count.add("copy");
        self.inner.rename_opts(from, to, options).await
    }
}

fn key(number: usize) -> Path {
    Path::from(format!("bulk/{number:06}"))
}

async fn filled(objects: usize, count: &Count) -> Counting {
    let inner = Arc::new(InMemory::new());
    for number in 0..objects {
        inner.put(&key(number), "old".into()).await.unwrap();
    }
    Counting { inner, count: count.clone() }
}

fn backend(store: impl ObjectStore, name: &str) -> AnyStore {
    let mut can = Capabilities::CONSERVATIVE;
    can.create_if_absent = Support::Yes;
    can.compare_and_swap = Support::Yes;
    can.ordered_listing = Support::Yes;
    AnyStore::new(store, Identity::new("memory", "", name)).with_capabilities(can)
}

/// Diverts writes from a primary that is down, half of them to objects that exist, and counts the requests from
/// its return to the empty journal.
async fn cost_of_catch_up(objects: usize) -> BTreeMap<&'static str, usize> {
    let count = Count::default();
    let (first, second) = (filled(objects, &count).await, filled(objects, &count).await);
    let way = Faults::seeded(1);
    let failover = Failover::builder()
        .seeded_backend(backend(FaultStore::new(first.clone(), way.clone()), "first"))
        .seeded_backend(backend(second.clone(), "second"))
        .seed(1)
        .build()
        .unwrap();
    // An object without a stamp that is younger than clocks are exact would be kept as a conflict, at extra cost.
    for number in objects - DIVERTED / 2..objects {
        failover.put(&key(number), "old".into()).await.unwrap();
    }
    // What compares the copies of a write has done so, and counts no more.
    sleep(Duration::from_mins(1)).await;
    way.add(Rule::new(Strike::Fail(Failure::Refused)));
    let written = objects - DIVERTED / 2..objects + DIVERTED / 2;
    for number in written.clone() {
        failover.put(&key(number), "new".into()).await.unwrap();
    }
    let status = failover.status();
    assert_eq!(status.journal.keys, DIVERTED as u64);
    assert_eq!(status.backends[0].health, HealthState::Ejected);

    way.clear();
    count.take();
    // Paused time: neither the rate of catch-up nor the settling time is waited for.
    let end = Instant::now() + Duration::from_mins(5);
    while failover.status().journal.markers > 0 {
        assert!(Instant::now() < end, "the journal does not drain: {:?}", failover.status());
        sleep(Duration::from_millis(50)).await;
    }
    let cost = count.take();
    for number in written {
        let there = first.inner.get(&key(number)).await.unwrap().bytes().await.unwrap();
        assert_eq!(there, "new", "object {number}");
    }
    cost
}

#[tokio::test(start_paused = true)]
async fn catch_up_costs_requests_for_what_was_diverted_and_not_for_what_the_bucket_holds() {
    let small = cost_of_catch_up(10_000).await;
    let large = cost_of_catch_up(100_000).await;
    show(format_args!(
        "requests to catch up with {DIVERTED} writes, among  10,000 objects: {small:?}\n\
         requests to catch up with {DIVERTED} writes, among 100,000 objects: {large:?}"
    ));
    let requests = |cost: &BTreeMap<_, usize>| cost.values().sum::<usize>();
    let (few, many) = (requests(&small), requests(&large));
    // A look at both sides before and after, one get, one put, one marker removed; the rest are polls and probes.
    assert!(many <= DIVERTED * 7 + DIVERTED / 10, "{many} requests: {large:?}");
    // Polls of the journal may fall differently.
    assert!(many.abs_diff(few) <= 20, "{few} requests among 10,000 objects, {many} among 100,000");
    assert_eq!(large.get("listed object"), None, "catch-up lists the bucket");
    for once in ["get", "put", "delete"] {
        let background = 10;
        assert!((DIVERTED..DIVERTED + background).contains(&large[once]), "{once}: {large:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_passes_over_a_long_journal_without_paging_through_it() {
    let count = Count::default();
    let store = filled(10, &count).await;
    for number in 0..PAGE * 20 {
        // No marker, so that nobody reads it in the background.
        let private = Path::from(format!(".lifeboat/conflicts/{number:06}"));
        store.inner.put(&private, "x".into()).await.unwrap();
    }
    let failover = Failover::builder()
        .seeded_backend(backend(store.clone(), "first"))
        .seeded_backend(backend(filled(10, &Count::default()).await, "second"))
        .seed(1)
        .build()
        .unwrap();
    failover.get(&key(0)).await.unwrap();
    count.take();
    let listed: Vec<ObjectMeta> = failover.list(None).try_collect().await.unwrap();
    assert_eq!(listed.len(), 10);
    // The page that begins with what is private, and the one after all that is.
    assert_eq!(count.take()["list page"], 2);
}
