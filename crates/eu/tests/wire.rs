//! Shows on the wire that the catalogue's facts are kept to. The server is an in-process S3
//! endpoint that is as particular as the provider it stands for.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use lifeboat_core::http::HttpSettings;
use lifeboat_core::{BlobStore, Jurisdiction, Support};
use lifeboat_eu::{S3Compatible, Scaleway, ScalewayRegion, Stackit, StackitRegion};
use lifeboat_s3::{Credentials, S3Store, StaticKey};
use lifeboat_testkit::s3::{ConditionalWrites, LoggedRequest, Options, TinyS3};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

const BUCKET: &str = "bucket";

async fn server(options: Options) -> TinyS3 {
    TinyS3::start(options.bucket(BUCKET)).await.unwrap()
}

/// The provider as it is in the catalogue, but for where the endpoint is.
fn store(server: &TinyS3, builder: impl Into<S3Compatible>) -> S3Store {
    let mut http = HttpSettings::default();
    http.allow_http = true;
    let key = server.credentials().unwrap();
    builder
        .into()
        .with_endpoint(server.url())
        .with_http(http)
        .with_credentials(Credentials::Static(StaticKey::new(&key.id, &key.secret)))
        .build()
        .unwrap()
}

/// The sizes of the parts that were sent, by their number.
fn parts(log: &[LoggedRequest]) -> Vec<(u32, u64)> {
    let number = |request: &LoggedRequest| {
        request.query.split('&').find_map(|pair| pair.strip_prefix("partNumber=")?.parse().ok())
    };
    let size = |request: &LoggedRequest| request.headers.get("content-length")?.parse().ok();
    let mut parts: Vec<_> = log
        .iter()
        .filter(|request| request.method == "PUT")
        .filter_map(|request| Some((number(request)?, size(request)?)))
        .collect();
    parts.sort_unstable();
    parts
}

async fn upload(store: &S3Store, key: &Path, sizes: impl IntoIterator<Item = usize>) -> usize {
    let mut upload = store.put_multipart(key).await.unwrap();
    let mut total = 0;
    let mut waiting = Vec::new();
    for (index, size) in sizes.into_iter().enumerate() {
        let byte = u8::try_from(index % 251).unwrap();
        waiting.push(upload.put_part(PutPayload::from(vec![byte; size])));
        total += size;
    }
    futures::future::try_join_all(waiting).await.unwrap();
    upload.complete().await.unwrap();
    total
}

async fn put(store: &S3Store, key: &Path, mode: PutMode) -> Result<(), Error> {
    let body = PutPayload::from_static(b"body");
    store.put_opts(key, body, PutOptions::from(mode)).await.map(|_| ())
}

#[tokio::test]
async fn stackit_gets_path_style_and_no_checksum_headers() {
    // Answers 501 to checksum headers and trailers, and verifies the region of the signature.
    let server = server(Options::default().region("eu01").checksums(false)).await;
    let store = store(&server, Stackit::new(StackitRegion::Eu01, BUCKET));
    let key = Path::from("a/b");
    store.put(&key, PutPayload::from_static(b"body")).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), Bytes::from("body"));
    upload(&store, &key, [5 << 20, 1 << 20]).await;
    store.delete(&key).await.unwrap();

    let log = server.request_log();
    assert!(log.len() >= 6, "{log:?}");
    for request in log {
        assert!(request.path.starts_with("/bucket"), "{}", request.path);
        let checksums = request
            .headers
            .keys()
            .filter(|name| name.contains("checksum") || name.as_str() == "x-amz-trailer");
        assert_eq!(checksums.count(), 0, "{request:?}");
    }
    assert_eq!(store.identity().to_string(), "stackit:eu01/bucket");
    assert_eq!(store.identity().jurisdiction(), Jurisdiction::Eu);
}

#[tokio::test]
async fn stackit_is_never_sent_a_condition_that_it_would_ignore() {
    let options = Options::default().region("eu01").conditional_writes(ConditionalWrites::Ignore);
    let server = server(options).await;
    let store = store(&server, Stackit::new(StackitRegion::Eu01, BUCKET));
    let error = put(&store, &Path::from("lock"), PutMode::Create).await.unwrap_err();
    assert!(matches!(error, Error::NotSupported { .. }), "{error:?}");
    assert_eq!(server.request_log(), []);
    assert_eq!(server.keys(BUCKET), [""; 0]);
}

#[tokio::test]
async fn unknown_conditions_are_probed_and_believed_only_if_they_hold() {
    for (behaviour, holds) in
        [(ConditionalWrites::Ignore, false), (ConditionalWrites::Enforce, true)]
    {
        let server =
            server(Options::default().region("eu-central-2").conditional_writes(behaviour)).await;
        let builder = S3Compatible::new("ionos", BUCKET).with_region("eu-central-2");
        let store = store(&server, builder);
        assert_eq!(store.capabilities().create_if_absent, Support::Unknown);
        let key = Path::from("lock");
        let first = put(&store, &key, PutMode::Create).await;
        if holds {
            first.unwrap();
            let second = put(&store, &key, PutMode::Create).await.unwrap_err();
            assert!(matches!(second, Error::AlreadyExists { .. }), "{second:?}");
        } else {
            let error = first.unwrap_err();
            assert!(matches!(error, Error::NotSupported { .. }), "{error:?}");
            assert_eq!(server.keys(BUCKET), [""; 0]);
        }
        assert_eq!(store.capabilities().create_if_absent, Support::from(holds));
    }
}

#[tokio::test]
async fn scaleway_gets_a_thousand_parts_at_most() {
    // 1,050 parts as a careless writer sends them; the server refuses part 1,001.
    let server = server(Options::default().region("fr-par").max_parts(1_000)).await;
    let store = store(&server, Scaleway::new(ScalewayRegion::FrPar, BUCKET));
    let key = Path::from("large");
    let total = upload(&store, &key, std::iter::repeat_n(64 << 10, 1_050)).await;
    assert_eq!(server.contents(BUCKET, "large").unwrap().len(), total);
    let sent = parts(&server.request_log());
    assert!(sent.len() < 20, "{sent:?}");
    let read = store.get(&key).await.unwrap().bytes().await.unwrap();
    assert_eq!(read, server.contents(BUCKET, "large").unwrap());

    // Who numbers parts himself is told before anything is sent.
    let multipart = store.multipart_store().unwrap();
    let id = multipart.create_multipart(&key).await.unwrap();
    server.clear_request_log();
    let error = multipart.put_part(&key, &id, 1_000, "x".into()).await.unwrap_err();
    assert!(error.to_string().contains("this provider takes 1000"), "{error}");
    assert_eq!(server.request_log(), []);
}

#[tokio::test]
async fn scaleway_gets_a_checksum_with_each_upload() {
    let server = server(Options::default().region("nl-ams")).await;
    let store = store(&server, Scaleway::new(ScalewayRegion::NlAms, BUCKET));
    store.put(&Path::from("a"), PutPayload::from_static(b"body")).await.unwrap();
    let put = server.request_log().pop().unwrap();
    assert!(put.headers.contains_key("x-amz-checksum-sha256"), "{put:?}");
}

#[tokio::test]
async fn r2_gets_equal_parts() {
    // The server refuses parts of different sizes at completion.
    let server = server(Options::default().region("auto").equal_parts(true)).await;
    let builder = S3Compatible::new("cloudflare-r2", BUCKET).with_region("eu");
    let store = store(&server, builder);
    let sizes = [5 << 20, 7 << 20, 30 << 20, 1 << 20];
    let total = upload(&store, &Path::from("uneven"), sizes).await;
    assert_eq!(server.contents(BUCKET, "uneven").unwrap().len(), total);
    let sent = parts(&server.request_log());
    let (_, last) = sent.split_last().unwrap();
    assert!(last.len() >= 2 && last.windows(2).all(|pair| pair[0].1 == pair[1].1), "{sent:?}");
}

#[tokio::test]
async fn requests_are_signed_for_the_region_the_provider_expects() {
    // The server takes signatures for us-east-1 only.
    let server = server(Options::default().region("us-east-1")).await;
    for (id, region) in [("infomaniak", "dc3-a"), ("cleura", "sto2"), ("nine", "es34")] {
        let store = store(&server, S3Compatible::new(id, BUCKET).with_region(region));
        store.put(&Path::from(id), PutPayload::from_static(b"body")).await.unwrap();
        assert_eq!(store.identity().region(), region);
    }
    let wrong = store(&server, S3Compatible::new("hetzner", BUCKET).with_region("fsn1"));
    assert!(wrong.put(&Path::from("x"), PutPayload::from_static(b"body")).await.is_err());
}

#[tokio::test]
async fn bulk_deletes_name_no_more_keys_than_the_provider_takes() {
    let server = server(Options::default().region("at-vie-1").bulk_delete(Some(1_000))).await;
    let builder = S3Compatible::new("exoscale", BUCKET).with_region("at-vie-1");
    let store = store(&server, builder);
    let keys: Vec<_> = (0..1_001).map(|index| Path::from(format!("k{index:04}"))).collect();
    stream::iter(keys.clone())
        .for_each_concurrent(16, |key| async {
            let key = key;
            store.put(&key, PutPayload::from_static(b"x")).await.unwrap();
        })
        .await;
    assert_eq!(server.keys(BUCKET).len(), keys.len());
    server.clear_request_log();
    let targets = stream::iter(keys).map(Ok).boxed();
    let deleted: Vec<_> = store.delete_stream(targets).try_collect().await.unwrap();
    assert_eq!(deleted.len(), 1_001);
    assert_eq!(server.keys(BUCKET), [""; 0]);
    let bulk = server.request_log();
    assert!(
        bulk.iter().all(|request| request.method == "POST" && request.query.contains("delete"))
    );
    assert_eq!(bulk.len(), 2, "{bulk:?}");
}
