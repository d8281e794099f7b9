//! From the wire to a class: real error bodies replayed to each backend, and servers that answer
//! with nonsense.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use lifeboat_core::http::{HttpSettings, Outcome, WireFailure};
use lifeboat_core::repeated::watched;
use lifeboat_core::{BlobStore, Class, Effect, Fault};
use lifeboat_testkit::Credentials;
use lifeboat_testkit::scripted::{Reply, Scripted};
use lifeboat_tests::{Kind, Site, http};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};

/// One attempt, short deadlines: these tests are about answers, not patience.
fn impatient() -> HttpSettings {
    let mut http = http();
    http.retries.max = 0;
    http.deadlines.connect = Duration::from_millis(300);
    http.deadlines.first_byte = Duration::from_millis(300);
    http.deadlines.stall = Duration::from_millis(300);
    http.deadlines.assembly = Duration::from_millis(300);
    http
}

/// A throw-away RSA key, so that the Google backend can be built without the test bed.
fn credentials(kind: Kind) -> Credentials {
    match kind {
        Kind::Azurite => {
            Credentials::new("devstoreaccount1", "c2VjcmV0LXRoYXQtbXVzdC1ub3QtbGVhaw==")
        }
        _ => Credentials::new("AKIDEXAMPLE", "secret-that-must-not-leak"),
    }
}

fn store(kind: Kind, server: &Scripted, http: HttpSettings) -> Arc<dyn BlobStore> {
    let url = match kind {
        Kind::Azurite => format!("{}/devstoreaccount1", server.url()),
        _ => server.url(),
    };
    if kind == Kind::Gcs {
        let store = lifeboat_gcs::GcsBuilder::new("bucket")
            .with_endpoint(url)
            .with_credentials(lifeboat_gcs::Credentials::Anonymous)
            .with_http(http)
            .build()
            .unwrap();
        return Arc::new(store);
    }
    let bucket = "bucket".into();
    let site = Site { kind, url, bucket, credentials: credentials(kind), http };
    site.connect().unwrap().0
}

#[derive(Debug, Clone, Copy)]
enum Ask {
    Get,
    Put,
    Create,
    List,
    Copy,
    Delete,
    Complete,
}

async fn ask(store: &Arc<dyn BlobStore>, what: Ask) -> Result<(), Error> {
    let key = Path::from("key");
    match what {
        Ask::Get => store.get(&key).await?.bytes().await.map(drop),
        Ask::Put => store.put(&key, "body".into()).await.map(drop),
        Ask::Create => store.put_opts(&key, "body".into(), PutMode::Create.into()).await.map(drop),
        Ask::List => store.list(None).try_collect::<Vec<_>>().await.map(drop),
        Ask::Copy => store.copy(&key, &Path::from("copy")).await,
        Ask::Delete => store.delete(&key).await,
        Ask::Complete => {
            let multipart = store.multipart_store().unwrap();
            let part = object_store::multipart::PartId { content_id: "\"etag\"".into() };
            multipart.complete_multipart(&key, &"upload".to_owned(), vec![part]).await.map(drop)
        }
    }
}

async fn fails(kind: Kind, what: Ask, reply: Reply) -> (Error, Arc<dyn BlobStore>) {
    let server = Scripted::always(reply).await.unwrap();
    let store = store(kind, &server, impatient());
    let error = ask(&store, what).await.expect_err("the answer is a failure");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("must-not-leak"), "a secret in {shown}");
    (error, store)
}

async fn is(kind: Kind, what: Ask, reply: Reply, class: Class, effect: Effect) {
    let shown = format!("{kind} {what:?} {reply:?}");
    let (error, store) = fails(kind, what, reply).await;
    let verdict = store.classify(&error);
    assert_eq!((verdict.class, verdict.effect), (class, effect), "{shown}: {error}");
    assert!(verdict.certain, "{shown}: {error}");
}

const DOWN: Class = Class::Fault(Fault::Down);
const SLOW: Class = Class::Fault(Fault::Slow);
const THROTTLED: Class = Class::Fault(Fault::Throttled);
const LOST: Class = Class::Fault(Fault::IdentityLost);

/// Documents as Amazon S3 sends them.
fn amazon(status: u16, code: &str, message: &str) -> Reply {
    Reply::xml(
        status,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
             <Message>{message}</Message><RequestId>4442587FB7D0A2F9</RequestId>\
             <HostId>8V9p/5HXcDkfLFGcyHG4e1O8h4n/bV3Ew</HostId></Error>"
        ),
    )
    .header("x-amz-request-id", "4442587FB7D0A2F9")
}

#[tokio::test]
async fn amazon_errors_are_classified() {
    let table = [
        (404, "NoSuchKey", "The specified key does not exist.", Class::Answer),
        (404, "NoSuchBucket", "The specified bucket does not exist", DOWN),
        (403, "AccessDenied", "Access Denied", Class::Denied),
        (403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist.", LOST),
        (403, "SignatureDoesNotMatch", "The request signature we calculated does not match", LOST),
        (
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            LOST,
        ),
        (403, "AccountProblem", "There is a problem with your account", LOST),
        (400, "ExpiredToken", "The provided token has expired.", LOST),
        (
            400,
            "AuthorizationHeaderMalformed",
            "the region 'us-east-1' is wrong; expecting 'eu-west-1'",
            LOST,
        ),
        (
            400,
            "InvalidArgument",
            "Argument maxKeys must be an integer between 0 and 2147483647",
            Class::Answer,
        ),
        (416, "InvalidRange", "The requested range is not satisfiable", Class::Answer),
        (429, "TooManyRequests", "Please reduce your request rate.", THROTTLED),
        (503, "SlowDown", "Please reduce your request rate.", THROTTLED),
        (503, "ServiceUnavailable", "Service is unable to handle request.", DOWN),
        (500, "InternalError", "We encountered an internal error. Please try again.", DOWN),
        (502, "", "", DOWN),
        (504, "", "", DOWN),
        (
            301,
            "PermanentRedirect",
            "The bucket must be addressed using the specified endpoint.",
            DOWN,
        ),
    ];
    for (status, code, message, class) in table {
        is(Kind::TinyS3, Ask::Get, amazon(status, code, message), class, Effect::None).await;
    }
}

#[tokio::test]
async fn azure_errors_are_classified() {
    let table = [
        (404, "BlobNotFound", Class::Answer),
        (404, "ContainerNotFound", DOWN),
        (412, "ConditionNotMet", Class::Answer),
        (403, "AuthenticationFailed", LOST),
        (403, "AuthorizationPermissionMismatch", Class::Denied),
        (403, "AccountIsDisabled", LOST),
        (401, "NoAuthenticationInformation", LOST),
        (503, "ServerBusy", THROTTLED),
        (500, "OperationTimedOut", SLOW),
        (500, "InternalError", DOWN),
        (416, "InvalidRange", Class::Answer),
    ];
    for (status, code, class) in table {
        let reply =
            Reply::azure_error(status, code, "The specified …").header("x-ms-error-code", code);
        is(Kind::Azurite, Ask::Get, reply, class, Effect::None).await;
    }
}

#[tokio::test]
async fn google_errors_are_classified() {
    let table = [
        (404, "NoSuchKey", Class::Answer),
        (404, "NoSuchBucket", DOWN),
        (403, "AccessDenied", Class::Denied),
        (401, "AuthenticationRequired", LOST),
        (403, "UserProjectAccountProblem", LOST),
        (429, "SlowDown", THROTTLED),
        (429, "RateLimitExceeded", THROTTLED),
        (503, "ServiceUnavailable", DOWN),
        (500, "InternalError", DOWN),
    ];
    for (status, code, class) in table {
        is(Kind::Gcs, Ask::Get, Reply::error(status, code, "…"), class, Effect::None).await;
    }
}

#[tokio::test]
async fn failed_writes_say_whether_they_may_have_happened() {
    for kind in [Kind::TinyS3, Kind::Azurite, Kind::Gcs] {
        let internal = || Reply::error(500, "InternalError", "We encountered an internal error.");
        is(kind, Ask::Put, internal(), DOWN, Effect::Unknown).await;
        is(kind, Ask::Put, Reply::hang_up(), DOWN, Effect::Unknown).await;
        is(kind, Ask::Put, Reply::silence(), SLOW, Effect::Unknown).await;
        is(kind, Ask::Put, Reply::error(429, "SlowDown", ""), THROTTLED, Effect::None).await;
        is(kind, Ask::Put, Reply::error(403, "AccessDenied", ""), Class::Denied, Effect::None)
            .await;
    }
}

#[tokio::test]
async fn retry_after_and_vendor_code_reach_the_verdict() {
    let reply =
        amazon(503, "SlowDown", "Please reduce your request rate.").header("retry-after", "7");
    let (error, store) = fails(Kind::TinyS3, Ask::Get, reply).await;
    assert_eq!(store.classify(&error).retry_after, Some(Duration::from_secs(7)));
    let exchange = WireFailure::find(&error).unwrap().exchange().unwrap();
    assert_eq!(exchange.code.as_deref(), Some("SlowDown"));
    assert_eq!(exchange.request_id.as_deref(), Some("4442587FB7D0A2F9"));
}

#[tokio::test]
async fn wrong_region_and_missing_bucket_say_what_to_do() {
    let wrong = amazon(400, "AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong")
        .header("x-amz-bucket-region", "eu-north-1");
    let (error, _) = fails(Kind::TinyS3, Ask::Get, wrong).await;
    assert!(error.to_string().contains("set region = \"eu-north-1\""), "{error}");
    let (error, _) = fails(Kind::TinyS3, Ask::Get, amazon(404, "NoSuchBucket", "…")).await;
    assert!(error.to_string().contains("check its name and the region"), "{error}");
    let (error, _) = fails(Kind::TinyS3, Ask::List, amazon(404, "NoSuchBucket", "…")).await;
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn skewed_clock_is_told_in_seconds() {
    let reply = amazon(403, "RequestTimeTooSkewed", "The difference is too large.")
        .header("date", "Mon, 01 Jan 2024 00:00:00 GMT");
    let (error, _) = fails(Kind::TinyS3, Ask::Get, reply).await;
    assert!(error.to_string().contains("s off: synchronise it"), "{error}");
}

/// Amazon repeats the canonical request, session token included, in this document.
#[tokio::test]
async fn error_documents_do_not_leak_into_errors() {
    let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message>\
        <CanonicalRequest>GET x-amz-security-token:secret-that-must-not-leak</CanonicalRequest></Error>";
    let (error, _) = fails(Kind::TinyS3, Ask::Get, Reply::xml(403, body)).await;
    assert!(error.to_string().contains("SignatureDoesNotMatch"), "{error}");
}

/// `object_store` takes any well-formed XML for an empty listing: a sync would delete everything.
#[tokio::test]
async fn listing_that_is_none_is_never_an_empty_listing() {
    for kind in [Kind::TinyS3, Kind::Azurite, Kind::Gcs] {
        let error_in_200 =
            || Reply::error(200, "InternalError", "We encountered an internal error.");
        is(kind, Ask::List, error_in_200(), DOWN, Effect::None).await;
        is(kind, Ask::List, Reply::html(200), DOWN, Effect::None).await;
        is(kind, Ask::List, Reply::xml(200, "<html><body/></html>"), DOWN, Effect::None).await;
        is(kind, Ask::List, Reply::xml(200, ""), DOWN, Effect::None).await;
        let (error, store) = fails(kind, Ask::List, Reply::malformed_xml(200)).await;
        assert!(store.classify(&error).is_fault(), "{error}");
    }
}

/// A copy, a completion and a bulk delete are only done if the document says so.
#[tokio::test]
async fn error_document_under_200_is_never_a_success() {
    for code in ["InternalError", "AccessDenied", "SlowDown"] {
        let reply = || amazon(200, code, "…");
        for what in [Ask::Copy, Ask::Complete] {
            let (error, store) = fails(Kind::TinyS3, what, reply()).await;
            assert_ne!(store.classify(&error).class, Class::Answer, "{what:?} {code}: {error}");
            let exchange = WireFailure::find(&error).unwrap().exchange().unwrap();
            assert_eq!(exchange.code.as_deref(), Some(code), "{what:?}");
        }
    }
    let (error, _) = fails(Kind::Gcs, Ask::Copy, amazon(200, "AccessDenied", "…")).await;
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    let (error, _) = fails(Kind::TinyS3, Ask::Delete, Reply::html(200)).await;
    assert!(WireFailure::find(&error).is_some(), "{error}");
}

/// A captive portal answers everything with 200 and a page.
#[tokio::test]
async fn web_page_is_never_an_object() {
    for kind in [Kind::TinyS3, Kind::Azurite, Kind::Gcs] {
        is(kind, Ask::Get, Reply::html(200), DOWN, Effect::None).await;
        is(kind, Ask::Put, Reply::html(200), DOWN, Effect::Unknown).await;
    }
}

fn object(kind: Kind, body: &'static [u8]) -> Reply {
    let reply = Reply::new(200)
        .header("etag", "\"0123\"")
        .header("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        .body(body);
    match kind {
        Kind::Azurite => reply.header("x-ms-request-id", "1").header("x-ms-blob-type", "BlockBlob"),
        Kind::Gcs => reply.header("x-goog-generation", "1"),
        _ => reply,
    }
}

#[tokio::test]
async fn truncated_and_stalled_bodies_are_faults() {
    for kind in [Kind::TinyS3, Kind::Azurite, Kind::Gcs] {
        is(kind, Ask::Get, object(kind, b"0123456789").truncated(5), DOWN, Effect::None).await;
        is(kind, Ask::Get, object(kind, b"0123456789").reset_after(4), DOWN, Effect::None).await;
        is(kind, Ask::Get, object(kind, b"0123456789").stall_after(4), SLOW, Effect::None).await;
    }
}

#[tokio::test]
async fn body_that_does_not_match_its_checksum_is_an_error_that_says_so() {
    let md5_of_something_else = "1B2M2Y8AsgTpgAmY7PhCfg==";
    let announced = [
        (Kind::TinyS3, "x-amz-checksum-crc32", "AAAAAA=="),
        (Kind::Azurite, "content-md5", md5_of_something_else),
        (Kind::Gcs, "x-goog-hash", "crc32c=AAAAAA=="),
    ];
    for (kind, name, value) in announced {
        let reply = object(kind, b"0123456789").header(name, value);
        let (error, store) = fails(kind, Ask::Get, reply).await;
        assert_eq!(store.classify(&error).class, DOWN, "{error}");
        assert!(error.to_string().contains("was announced with it"), "{error}");
    }
}

#[tokio::test]
async fn connection_that_is_refused_had_no_effect() {
    let server = Scripted::always(Reply::new(200)).await.unwrap();
    let store = store(Kind::TinyS3, &server, impatient());
    drop(server);
    let error = ask(&store, Ask::Put).await.unwrap_err();
    let verdict = store.classify(&error);
    assert_eq!((verdict.class, verdict.effect), (DOWN, Effect::None), "{error}");
    let failure = WireFailure::find(&error).unwrap();
    assert_eq!(failure.exchange().unwrap().outcome, Outcome::NotConnected);
}

#[tokio::test]
async fn silent_server_is_given_up_within_the_deadline() {
    let server = Scripted::always(Reply::silence()).await.unwrap();
    let mut http = impatient();
    http.retries.max = 1;
    let store = store(Kind::TinyS3, &server, http);
    for what in [Ask::Get, Ask::Put, Ask::List, Ask::Delete] {
        let started = Instant::now();
        let error = ask(&store, what).await.unwrap_err();
        assert_eq!(store.classify(&error).class, SLOW, "{error}");
        // Two attempts of 0.3 s + 0.3 s each, and a pause; the default would wait for 180 s.
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{what:?} took {:?}",
            started.elapsed()
        );
    }
}

/// A create that did land must not be repeated by itself and then refused by its own first attempt.
#[tokio::test]
async fn create_with_unknown_outcome_is_asked_once() {
    // Envoy says 503 without a code after it lost the connection behind it.
    let bare = |status| Reply::new(status).body("upstream connect error");
    let replies = [Reply::hang_up(), Reply::error(500, "InternalError", ""), bare(503), bare(408)];
    for reply in replies {
        let server = Scripted::always(reply).await.unwrap();
        let mut http = impatient();
        http.retries.max = 2;
        let store = store(Kind::Azurite, &server, http);
        let error = ask(&store, Ask::Create).await.unwrap_err();
        assert_eq!(store.classify(&error).effect, Effect::Unknown, "{error}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn throttle_is_retried_within_the_backend_and_then_succeeds() {
    let slow_down = || amazon(503, "SlowDown", "Please reduce your request rate.");
    let replies = [slow_down(), slow_down(), object(Kind::TinyS3, b"body")];
    let server = Scripted::in_order(replies).await.unwrap();
    let store = store(Kind::TinyS3, &server, http());
    ask(&store, Ask::Get).await.unwrap();
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn request_that_cannot_be_sent_is_the_callers_affair() {
    let server = Scripted::always(Reply::new(200)).await.unwrap();
    let store = store(Kind::TinyS3, &server, impatient());
    let attribute = object_store::Attribute::Metadata("name".into());
    let attributes = object_store::Attributes::from_iter([(attribute, "line\nbreak")]);
    let options = object_store::PutOptions { attributes, ..Default::default() };
    let error = store.put_opts(&Path::from("key"), "x".into(), options).await.unwrap_err();
    let verdict = store.classify(&error);
    assert_eq!((verdict.class, verdict.effect), (Class::Answer, Effect::None), "{error}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn probe_tells_a_missing_key_from_a_missing_bucket() {
    let server = Scripted::always(amazon(404, "NoSuchKey", "…").header("server", "Test/1")).await;
    let server = server.unwrap();
    let probe = store(Kind::TinyS3, &server, impatient()).probe().await.unwrap();
    assert_eq!(probe.server.as_deref(), Some("Test/1"));
    let server = Scripted::always(amazon(404, "NoSuchBucket", "…")).await.unwrap();
    let store = store(Kind::TinyS3, &server, impatient());
    let error = store.probe().await.unwrap_err();
    assert!(store.classify(&error).is_fault(), "{error}");
}

/// An ingress without backends says 404. Taken for "not found", a dead service is an empty one.
#[tokio::test]
async fn bare_404_is_never_not_found() {
    let bare =
        || Reply::new(404).header("content-type", "text/plain").body("default backend - 404");
    for kind in [Kind::TinyS3, Kind::Azurite, Kind::Gcs] {
        for what in [Ask::Get, Ask::List, Ask::Delete] {
            let (error, store) = fails(kind, what, bare()).await;
            assert!(store.classify(&error).is_fault(), "{kind} {what:?}: {error}");
            assert!(!matches!(error, Error::NotFound { .. }), "{kind} {what:?}: {error}");
            store.probe().await.expect_err("a dead service does not probe as alive");
        }
        let (error, store) = fails(kind, Ask::Get, Reply::html(403)).await;
        assert_eq!(store.classify(&error).class, DOWN, "a firewall's page: {error}");
    }
}

/// A HEAD has no body, so it cannot say which of the two is missing.
#[tokio::test]
async fn head_of_a_missing_bucket_is_a_fault_and_of_a_missing_key_an_answer() {
    for (code, fault) in [("NoSuchBucket", true), ("NoSuchKey", false)] {
        let server = Scripted::matching(move |_, request| match request.method.as_str() {
            "HEAD" => Reply::new(404),
            _ => amazon(404, code, "…"),
        })
        .await
        .unwrap();
        let store = store(Kind::TinyS3, &server, impatient());
        let error = store.head(&Path::from("key")).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        assert_eq!(store.classify(&error).is_fault(), fault, "{code}: {error}");
    }
}

#[tokio::test]
async fn head_with_an_expired_token_is_a_lost_identity() {
    let server = Scripted::matching(|_, request| match request.method.as_str() {
        "HEAD" => Reply::new(400),
        _ => amazon(400, "ExpiredToken", "The provided token has expired."),
    });
    let server = server.await.unwrap();
    let store = store(Kind::TinyS3, &server, impatient());
    let error = store.head(&Path::from("key")).await.unwrap_err();
    assert_eq!(store.classify(&error).class, LOST, "{error}");
}

/// The first answer is lost; `object_store` gives up on a delete then.
#[tokio::test]
async fn delete_is_repeated_if_the_connection_broke() {
    let done = "<DeleteResult><Deleted><Key>key</Key></Deleted></DeleteResult>";
    let server = Scripted::in_order([Reply::hang_up(), Reply::xml(200, done)]).await.unwrap();
    ask(&store(Kind::TinyS3, &server, http()), Ask::Delete).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

/// The first delete may have landed although the second was refused for good.
#[tokio::test]
async fn delete_that_was_repeated_remembers_its_first_try() {
    let slow_down = || amazon(503, "SlowDown", "Please reduce your request rate.");
    let server = Scripted::in_order([Reply::hang_up(), slow_down()]).await.unwrap();
    let store = store(Kind::TinyS3, &server, impatient());
    let error = ask(&store, Ask::Delete).await.unwrap_err();
    let verdict = store.classify(&error);
    assert_eq!((verdict.class, verdict.effect), (THROTTLED, Effect::Unknown), "{error}");
}

/// The first attempt may have landed, whatever the last one was told.
#[tokio::test]
async fn effect_is_unknown_if_any_attempt_may_have_landed() {
    let slow_down = || amazon(503, "SlowDown", "Please reduce your request rate.");
    let server = Scripted::in_order([Reply::hang_up(), slow_down(), slow_down()]).await.unwrap();
    let store = store(Kind::TinyS3, &server, http());
    let error = ask(&store, Ask::Put).await.unwrap_err();
    let verdict = store.classify(&error);
    assert_eq!((verdict.class, verdict.effect), (THROTTLED, Effect::Unknown), "{error}");
}

/// What was repeated within the backend may still land: whoever watches is told, although it succeeded in the end.
#[tokio::test]
async fn write_that_was_repeated_tells_that_its_first_request_may_land() {
    let done = "<DeleteResult><Deleted><Key>key</Key></Deleted></DeleteResult>";
    let slow_down = || amazon(503, "SlowDown", "Please reduce your request rate.");
    let broken = || amazon(500, "InternalError", "We encountered an internal error.");
    let put = || object(Kind::TinyS3, b"");
    for (what, replies, open) in [
        (Ask::Put, [Reply::hang_up(), put()], true),
        (Ask::Put, [broken(), put()], true),
        (Ask::Put, [slow_down(), put()], false),
        (Ask::Delete, [Reply::hang_up(), Reply::xml(200, done)], true),
        (Ask::Get, [Reply::hang_up(), object(Kind::TinyS3, b"body")], false),
    ] {
        let server = Scripted::in_order(replies).await.unwrap();
        let store = store(Kind::TinyS3, &server, http());
        let (result, told) = watched(ask(&store, what)).await;
        result.unwrap();
        assert_eq!((server.requests().len(), told), (2, open), "{what:?}");
    }
}

#[tokio::test]
async fn completion_whose_answer_was_lost_is_not_a_missing_object() {
    let gone = amazon(404, "NoSuchUpload", "The specified upload does not exist.");
    let server = Scripted::in_order([Reply::hang_up(), gone]).await.unwrap();
    let store = store(Kind::TinyS3, &server, http());
    let error = ask(&store, Ask::Complete).await.unwrap_err();
    assert!(!matches!(error, Error::NotFound { .. }), "{error}");
    let verdict = store.classify(&error);
    assert_eq!((verdict.class, verdict.effect), (DOWN, Effect::Unknown), "{error}");
}

/// Some providers send white space while they put the parts together.
#[tokio::test]
async fn completion_that_takes_its_time_is_not_cut_by_the_stall_deadline() {
    let done = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
    let server = Scripted::always(Reply::xml(200, done).drip(Duration::from_millis(15))).await;
    let server = server.unwrap();
    let mut http = impatient();
    http.deadlines.stall = Duration::from_millis(5);
    http.deadlines.assembly = Duration::from_secs(5);
    let store = store(Kind::TinyS3, &server, http);
    ask(&store, Ask::Complete).await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn azure_copy_that_is_still_pending_is_no_success() {
    let pending = Reply::new(202).header("x-ms-copy-status", "pending");
    is(Kind::Azurite, Ask::Copy, pending, DOWN, Effect::Unknown).await;
}

#[tokio::test]
async fn web_page_with_an_etag_is_no_object_either() {
    let page = Reply::html(200).header("etag", "\"5f3c-page\"");
    is(Kind::TinyS3, Ask::Get, page, DOWN, Effect::None).await;
}

/// `object_store` searches the whole answer for these words.
#[tokio::test]
async fn key_that_is_called_like_an_error_can_be_deleted() {
    let done = "<DeleteResult><Deleted><Key>key</Key></Deleted><Deleted><Key>SlowDown</Key>\
        </Deleted></DeleteResult>";
    let server = Scripted::always(Reply::xml(200, done)).await.unwrap();
    ask(&store(Kind::TinyS3, &server, http()), Ask::Delete).await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn key_that_may_not_be_deleted_is_denied_and_no_fault() {
    let denied = "<DeleteResult><Error><Key>key</Key><Code>AccessDenied</Code>\
        <Message>Access Denied</Message></Error></DeleteResult>";
    is(Kind::TinyS3, Ask::Delete, Reply::xml(200, denied), Class::Denied, Effect::None).await;
}

/// `object_store` panics on this.
#[tokio::test]
async fn bulk_delete_that_speaks_of_a_foreign_key_is_nonsense() {
    let foreign = "<DeleteResult><Error><Key>other</Key><Code>AccessDenied</Code>\
        <Message/></Error></DeleteResult>";
    let (error, store) = fails(Kind::TinyS3, Ask::Delete, Reply::xml(200, foreign)).await;
    assert!(store.classify(&error).is_fault(), "{error}");
}

#[tokio::test]
async fn upload_under_way_shows_no_key() {
    let server = Scripted::always(Reply::new(201)).await.unwrap();
    let store = store(Kind::Azurite, &server, impatient());
    let upload = store.put_multipart(&Path::from("key")).await.unwrap();
    // Azure's client would show the decoded key as a list of numbers.
    let bytes = format!("{:?}", b"secret-that").replace(['[', ']'], "");
    let shown = format!("{upload:?}");
    assert!(!shown.contains(&bytes) && !shown.contains("must-not-leak"), "{shown}");
}

#[tokio::test]
async fn azure_never_touches_another_key_for_one_with_a_backslash() {
    let server = Scripted::always(Reply::new(202)).await.unwrap();
    let store = store(Kind::Azurite, &server, impatient());
    let key = Path::parse("a\\b").unwrap();
    assert!(matches!(store.head(&key).await, Err(Error::NotFound { .. })));
    store.delete(&key).await.unwrap_err();
    store.put(&key, "x".into()).await.unwrap_err();
    assert!(server.requests().is_empty(), "{:?}", server.requests());
}
