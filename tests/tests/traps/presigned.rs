//! Traps of presigned URLs: whoever holds one speaks to one backend, past the failover.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lifeboat_core::{AnyStore, BlobStore, Identity};
use lifeboat_failover::{Failover, FailoverError, HealthState, Reason};
use lifeboat_testkit::fault_store::{Failure, FaultStore, Faults, Operation, Rule, Strike};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::signer::{Method, Signer, Url};
use object_store::{ObjectStore, ObjectStoreExt, Result};

const FOR: Duration = Duration::from_mins(5);

/// Signs with its backend's name.
#[derive(Debug)]
struct Named(&'static str);

#[async_trait]
impl Signer for Named {
    async fn signed_url(&self, method: Method, path: &Path, _: Duration) -> Result<Url> {
        Ok(Url::parse(&format!("https://{}.test/{path}?method={method}", self.0)).unwrap())
    }
}

fn signing(store: impl ObjectStore, name: &'static str) -> AnyStore {
    let store = AnyStore::new(store, Identity::new("memory", "", name));
    store.with_signer(Arc::new(Named(name)))
}

fn pair() -> (Failover, [Faults; 2]) {
    let ways = [Faults::seeded(1), Faults::seeded(2)];
    let mut builder = Failover::builder().seed(1);
    for (way, name) in ways.iter().zip(["first", "second"]) {
        let store = FaultStore::new(InMemory::new(), way.clone());
        builder = builder.seeded_backend(signing(store, name));
    }
    (builder.build().unwrap(), ways)
}

async fn signed_by(store: &Failover, key: &Path) -> String {
    let url = store.signer().unwrap().signed_url(Method::GET, key, FOR).await.unwrap();
    url.host_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn urls_that_would_write_past_the_failover_are_refused_with_the_remedy() {
    let (store, _) = pair();
    let key = Path::from("data/k");
    let signer = store.signer().unwrap();
    for method in [Method::PUT, Method::DELETE, Method::POST] {
        for error in [
            signer.signed_url(method.clone(), &key, FOR).await.unwrap_err(),
            signer.signed_urls(method.clone(), std::slice::from_ref(&key), FOR).await.unwrap_err(),
        ] {
            let found = FailoverError::find(&error).expect("the failover's own error");
            assert_eq!(found.reason(), Reason::WouldBypass);
            let text = error.to_string();
            assert!(
                text.contains("through the failover") && text.contains("one backend"),
                "{text}"
            );
        }
    }
    for method in [Method::GET, Method::HEAD] {
        signer.signed_url(method, &key, FOR).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn urls_to_read_are_signed_by_the_backend_that_would_serve_the_key() {
    let (store, ways) = pair();
    let (dirty, clean) = (Path::from("data/dirty"), Path::from("data/clean"));
    store.put(&clean, "c".into()).await.unwrap();
    assert_eq!(signed_by(&store, &clean).await, "first.test");
    // The first backend misses one write.
    let missed = Rule::new(Strike::Fail(Failure::Refused)).on(Operation::WRITES);
    ways[0].add(missed.key(dirty.as_ref()));
    store.put(&dirty, "d".into()).await.unwrap();
    assert_eq!(signed_by(&store, &dirty).await, "second.test");
    // A fault makes it suspect: reads ask the other first, and so do URLs.
    ways[0].set([Rule::new(Strike::Fail(Failure::Refused))]);
    store.get(&clean).await.unwrap();
    assert_eq!(signed_by(&store, &clean).await, "second.test");
    // Down.
    for _ in 0..5 {
        let _ = store.put(&clean, "c".into()).await;
    }
    assert_eq!(signed_by(&store, &clean).await, "second.test");
}

#[tokio::test(start_paused = true)]
async fn url_of_a_key_whose_only_holder_is_down_is_refused() {
    let (store, ways) = pair();
    let key = Path::from("data/k");
    let missed = Rule::new(Strike::Fail(Failure::Refused)).on(Operation::WRITES);
    ways[0].add(missed.key(key.as_ref()));
    store.put(&key, "d".into()).await.unwrap();
    ways[1].set([Rule::new(Strike::Fail(Failure::Refused))]);
    let other = Path::from("data/other");
    for _ in 0..5 {
        let _ = store.put(&other, "c".into()).await;
    }
    let error = store.signer().unwrap().signed_url(Method::GET, &key, FOR).await.unwrap_err();
    let found = FailoverError::find(&error).expect("the failover's own error");
    assert_eq!(found.reason(), Reason::Unavailable, "{error}");
}

/// The provider that is being moved to comes first, and is not complete yet.
#[tokio::test(start_paused = true)]
async fn url_is_not_of_a_backend_that_has_yet_to_get_the_object() {
    let key = Path::from("data/k");
    let (new, old) = (InMemory::new(), InMemory::new());
    old.put(&key, "old".into()).await.unwrap();
    let builder = Failover::builder().seed(1);
    let builder = builder.backend(signing(new, "first")).seeded_backend(signing(old, "second"));
    let store = builder.build().unwrap();
    assert_eq!(signed_by(&store, &key).await, "second.test");
}

/// Nothing but URLs is ever asked of this process.
#[tokio::test(start_paused = true)]
async fn process_that_only_signs_finds_out_that_a_backend_is_down() {
    let (store, ways) = pair();
    ways[0].add(Rule::new(Strike::Fail(Failure::Refused)));
    let key = Path::from("data/k");
    signed_by(&store, &key).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(signed_by(&store, &key).await, "second.test");
}

/// Nobody can sign for the backend that has the object, and the other one may have it by the time that the URL is used.
#[tokio::test(start_paused = true)]
async fn url_is_of_the_only_backend_that_signs_whoever_has_the_object() {
    let key = Path::from("data/k");
    let first = AnyStore::new(InMemory::new(), Identity::new("memory", "", "first"));
    let second = signing(InMemory::new(), "second");
    let builder = Failover::builder().seed(1);
    let store = builder.seeded_backend(first).backend(second).build().unwrap();
    store.put(&key, "x".into()).await.unwrap();
    assert_eq!(signed_by(&store, &key).await, "second.test");
    let keys = [key, Path::from("data/nothing")];
    let signer = store.signer().unwrap();
    let urls = signer.signed_urls(Method::GET, &keys, FOR).await.unwrap();
    let paths: Vec<&str> = urls.iter().map(Url::path).collect();
    assert_eq!(paths, ["/data/k", "/data/nothing"]);
}

/// Never says anything: it asks for its credentials where nobody answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Signer for Silent {
    async fn signed_url(&self, _: Method, _: &Path, _: Duration) -> Result<Url> {
        std::future::pending().await
    }
}

/// A first backend that cannot sign, and a second one that can, and holds everything or not.
fn without_first_signature(seeded: bool) -> Failover {
    let first = AnyStore::new(InMemory::new(), Identity::new("memory", "", "first"));
    let builder = Failover::builder().seed(1).seeded_backend(first.with_signer(Arc::new(Silent)));
    let second = signing(InMemory::new(), "second");
    let builder = if seeded { builder.seeded_backend(second) } else { builder.backend(second) };
    builder.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn url_is_signed_by_the_next_backend_where_the_first_cannot_sign() {
    let store = without_first_signature(true);
    let key = Path::from("data/k");
    let signed = futures::future::join_all((0..8).map(|_| signed_by(&store, &key))).await;
    assert_eq!(signed, ["second.test"; 8]);
    let first = store.status().backends[0].health;
    assert_eq!(first, HealthState::Serving, "it was not asked for anything");
}

#[tokio::test(start_paused = true)]
async fn url_is_not_signed_by_the_next_backend_if_that_may_lack_the_object() {
    let signer = without_first_signature(false).signer().unwrap();
    let failed = signer.signed_url(Method::GET, &Path::from("data/k"), FOR).await.unwrap_err();
    let reason = FailoverError::find(&failed).map(FailoverError::reason);
    assert_eq!(reason, Some(Reason::Unavailable), "{failed}");
}
