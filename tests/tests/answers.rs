//! What backends say of themselves and of what they were sent, and what the failover makes of it: conditions that
//! nobody has declared, objects that were stored otherwise than sent, completions that one side refuses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lifeboat_core::{BlobStore, Class, Support};
use lifeboat_failover::{Failover, Settings};
use lifeboat_s3::{Credentials, S3Builder, StaticKey};
use lifeboat_testkit::interposer::Interposer;
use lifeboat_testkit::proxy::{Fault, FaultProxy};
use lifeboat_testkit::s3::{ConditionalWrites, LoggedRequest, Options, TinyS3};
use lifeboat_testkit::scripted::Reply;
use lifeboat_tests::{Kind, Site, TestStore, fresh, http, tiny_s3};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

/// Until something that happens in the background must have happened, on a busy machine.
const SOON: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// Bytes of an object; a corrupted request is one that has a byte here.
const SIZE: usize = 300_000;
const FLIPPED: u64 = 123_456;
/// The smallest part that S3 takes.
const PART: usize = 5 << 20;

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.settling = Duration::from_millis(200);
    settings.journal_poll = Duration::from_millis(300);
    settings.quarantine = Duration::from_secs(2);
    // Markers about a key that is gone wait until nothing has moved for so long.
    settings.write_deadline = Duration::from_secs(5);
    settings.health.probe_initial = Duration::from_millis(50);
    settings.health.probe_max = Duration::from_millis(200);
    settings
}

fn over(first: Arc<dyn BlobStore>, second: Arc<dyn BlobStore>) -> Failover {
    Failover::builder()
        .settings(settings())
        .seeded_backend(first)
        .seeded_backend(second)
        .build()
        .unwrap()
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn drain(failover: &Failover) {
    until("the journal is empty", async || failover.status().journal.markers == 0).await;
}

async fn bytes(store: &dyn BlobStore, key: &Path) -> Bytes {
    store.get(key).await.unwrap().bytes().await.unwrap()
}

/// A service that is S3, and of which nothing else is known.
async fn somebodys_s3(options: Options) -> (TinyS3, Arc<dyn BlobStore>) {
    let server = TinyS3::start(options.bucket("bucket")).await.unwrap();
    let key = server.credentials().unwrap();
    let key = StaticKey::new(&key.id, &key.secret);
    let store = S3Builder::compatible("s3", server.url(), "bucket", "us-east-1")
        .with_credentials(Credentials::Static(key))
        .with_http(http())
        .build()
        .unwrap();
    assert_eq!(store.capabilities().create_if_absent, Support::Unknown);
    (server, Arc::new(store))
}

fn probes(server: &TinyS3) -> usize {
    let log = server.request_log();
    let is_probe = |request: &&LoggedRequest| request.key.starts_with(".lifeboat/probe/");
    log.iter().filter(is_probe).count()
}

async fn confirmed_as(options: Options, expected: Support) {
    let (server, store) = somebodys_s3(options).await;
    let second = fresh(Kind::Memory).await;
    let failover = over(Arc::clone(&store), Arc::clone(&second.store));
    failover.journal().await.unwrap();
    assert_eq!(probes(&server), 0, "looking asks nothing");
    failover.start();
    let known = async || store.capabilities().compare_and_swap == expected;
    until("it is known whether conditions hold", known).await;
    assert_eq!(store.capabilities().create_if_absent, expected);
    let asked = async || server.keys("bucket").iter().all(|key| !key.contains("/probe/"));
    until("what was asked with is gone", asked).await;
    let before = probes(&server);
    failover.put(&"a".into(), "1".into()).await.unwrap();
    failover.catch_up().await;
    failover.close().await;
    assert_eq!(probes(&server), before, "once is enough");
}

#[tokio::test]
async fn conditions_that_hold_are_confirmed_after_the_start() {
    confirmed_as(Options::default(), Support::Yes).await;
}

#[tokio::test]
async fn conditions_that_are_ignored_are_found_out_after_the_start() {
    let options = Options::default().conditional_writes(ConditionalWrites::Ignore);
    confirmed_as(options, Support::No).await;
}

#[tokio::test]
async fn what_is_declared_is_not_asked() {
    let (first, second) = (fresh(Kind::TinyS3).await, fresh(Kind::Memory).await);
    assert_eq!(first.store.capabilities().create_if_absent, Support::Yes);
    let failover = over(Arc::clone(&first.store), Arc::clone(&second.store));
    failover.put(&"a".into(), "1".into()).await.unwrap();
    // Longer than it takes until somebody who is unknown is asked.
    tokio::time::sleep(Duration::from_secs(3)).await;
    failover.catch_up().await;
    assert_eq!(probes(first.tiny_s3()), 0);
}

#[tokio::test]
async fn confirmation_is_tried_again_when_the_backend_is_back() {
    let (server, _) = somebodys_s3(Options::default()).await;
    let interposer = Interposer::start(server.address()).await.unwrap();
    let key = server.credentials().unwrap();
    let store: Arc<dyn BlobStore> = Arc::new(
        S3Builder::compatible("s3", interposer.url(), "bucket", "us-east-1")
            .with_credentials(Credentials::Static(StaticKey::new(&key.id, &key.secret)))
            .with_http(http())
            .build()
            .unwrap(),
    );
    // Everything works but what the confirmation asks.
    interposer.script(|request| {
        let asks = request.target.contains("/.lifeboat/probe/");
        asks.then(|| Reply::error(500, "InternalError", "We encountered an internal error."))
    });
    let second = fresh(Kind::Memory).await;
    let failover = over(Arc::clone(&store), Arc::clone(&second.store));
    failover.start();
    until("it was asked", async || interposer.answered() > 0).await;
    failover.put(&"a".into(), "1".into()).await.unwrap();
    let status = failover.status();
    assert_eq!(status.backends[0].last_fault, None, "no evidence: {status:?}");
    interposer.pass();
    let known = async || store.capabilities().compare_and_swap == Support::Yes;
    until("it is asked again", known).await;
}

/// Azurite stores whatever arrives, and answers with the checksum of that: a failover over one whose requests can be
/// spoilt on their way, and a store in memory.
struct Spoiling {
    azurite: TestStore,
    second: TestStore,
    proxy: FaultProxy,
    failover: Failover,
}

async fn spoiling() -> Spoiling {
    let azurite = fresh(Kind::Azurite).await;
    let second = fresh(Kind::Memory).await;
    let mut once = http();
    once.retries.max = 0;
    let (proxy, through) = azurite.through_proxy(once).await;
    let failover = over(through, Arc::clone(&second.store));
    // The connection and what is asked once are no part of the requests that are spoilt.
    failover.put(&"warm".into(), "1".into()).await.unwrap();
    Spoiling { azurite, second, proxy, failover }
}

fn body() -> Bytes {
    (0..SIZE).map(|at| u8::try_from(at % 253).unwrap()).collect()
}

#[tokio::test]
async fn object_that_was_stored_otherwise_than_sent_is_put_once_more() {
    let Spoiling { azurite, proxy, failover, .. } = spoiling().await;
    let key = Path::from("object");
    proxy.set_times(Fault::CorruptRequest(FLIPPED), 1);
    failover.put(&key, body().into()).await.unwrap();
    assert_eq!(proxy.strikes(), 1, "the fault struck");
    assert!(bytes(&*azurite.store, &key).await == body());
}

#[tokio::test]
async fn object_that_is_stored_otherwise_twice_is_left_nowhere() {
    let Spoiling { azurite, second, proxy, failover } = spoiling().await;
    let key = Path::from("object");
    proxy.set_times(Fault::CorruptRequest(FLIPPED), 2);
    failover.put(&key, body().into()).await.unwrap();
    assert_eq!(proxy.strikes(), 2, "the fault struck");
    assert!(bytes(&*second.store, &key).await == body());
    drain(&failover).await;
    assert!(bytes(&*azurite.store, &key).await == body(), "catch-up takes it for level");
}

#[tokio::test]
async fn created_object_that_was_stored_otherwise_than_sent_is_put_once_more() {
    let Spoiling { azurite, second, proxy, failover } = spoiling().await;
    let key = Path::from("object");
    proxy.set_times(Fault::CorruptRequest(FLIPPED), 1);
    failover.put_opts(&key, body().into(), PutMode::Create.into()).await.unwrap();
    assert_eq!(proxy.strikes(), 1, "the fault struck");
    assert!(bytes(&*azurite.store, &key).await == body());
    assert!(bytes(&*second.store, &key).await == body());
}

#[tokio::test]
async fn created_object_that_is_stored_otherwise_twice_is_not_acknowledged() {
    let Spoiling { azurite, second, proxy, failover } = spoiling().await;
    let key = Path::from("object");
    proxy.set_times(Fault::CorruptRequest(FLIPPED), 2);
    let created = failover.put_opts(&key, body().into(), PutMode::Create.into()).await;
    assert!(created.is_err(), "{created:?}");
    assert_eq!(proxy.strikes(), 2, "the fault struck");
    drain(&failover).await;
    for store in [&azurite.store, &second.store] {
        let found = store.get(&key).await;
        assert!(matches!(found, Err(object_store::Error::NotFound { .. })), "{found:?}");
    }
}

#[tokio::test]
async fn catch_up_puts_once_more_what_was_stored_otherwise_than_sent() {
    let Spoiling { azurite, proxy, failover, .. } = spoiling().await;
    let key = Path::from("object");
    proxy.set(Fault::Refuse);
    failover.put(&key, body().into()).await.unwrap();
    proxy.set_times(Fault::CorruptRequest(FLIPPED), 1);
    drain(&failover).await;
    assert_eq!(proxy.strikes(), 1, "the fault struck");
    assert!(bytes(&*azurite.store, &key).await == body());
}

/// An embedded S3 that takes uploads but refuses to complete them, as one whose document was spoilt on the way.
async fn refusing_completions(bucket: &str) -> (TestStore, Interposer, Arc<dyn BlobStore>) {
    let tiny = tiny_s3(Options::default().bucket(bucket)).await;
    let interposer = Interposer::start(tiny.tiny_s3().address()).await.unwrap();
    let site = Site { url: interposer.url(), bucket: bucket.into(), ..tiny.site.clone() };
    interposer.script(|request| {
        let completes = request.method == "POST" && request.target.contains("uploadId=");
        completes.then(|| Reply::error(400, "MalformedXML", "The XML was not well-formed."))
    });
    let store = site.connect().unwrap().0;
    (tiny, interposer, store)
}

fn large() -> Bytes {
    body().iter().copied().cycle().take(PART + 1_000).collect()
}

async fn upload(failover: &Failover, key: &Path) -> object_store::Result<()> {
    let mut upload = failover.put_multipart(key).await?;
    for part in [large().slice(..PART), large().slice(PART..)] {
        upload.put_part(part.into()).await?;
    }
    upload.complete().await.map(drop)
}

#[tokio::test]
async fn completion_that_one_side_refuses_stands_where_the_other_confirms() {
    let (tiny, interposer, first) = refusing_completions("bucket").await;
    let second = fresh(Kind::Memory).await;
    let failover = over(first, Arc::clone(&second.store));
    let key = Path::from("large");
    upload(&failover, &key).await.unwrap();
    assert_eq!(interposer.answered(), 1, "the first backend refused");
    assert!(failover.get(&key).await.unwrap().bytes().await.unwrap() == large());
    drain(&failover).await;
    assert!(bytes(&*tiny.store, &key).await == large());
    let uploads = async || {
        let log = tiny.tiny_s3().request_log();
        log.iter().any(|request| request.method == "DELETE" && request.query.contains("uploadId"))
    };
    until("what was refused is aborted", uploads).await;
}

#[tokio::test]
async fn completion_that_everybody_refuses_is_the_callers_refusal() {
    let (_one, interposer, first) = refusing_completions("bucket").await;
    let (_other, _interposer, second) = refusing_completions("other").await;
    let failover = over(first, second);
    let refused = upload(&failover, &Path::from("large")).await.unwrap_err();
    assert_eq!(interposer.answered(), 1, "the first backend refused");
    assert_eq!(failover.classify(&refused).class, Class::Answer, "{refused}");
    assert!(format!("{refused:?}").contains("MalformedXML"), "{refused:?}");
    drain(&failover).await;
}
