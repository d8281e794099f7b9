//! Proves the small S3 endpoint with `object_store`'s own client and its own integration functions, and what that
//! client does not do with plain requests. Needs no other server.

use std::sync::Arc;
use std::time::Duration;

use crate::plain::request;
use lifeboat_testkit::Credentials;
use lifeboat_testkit::s3::{Addressing, ConditionalWrites, Listing, Options, TinyS3};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::aws::{S3ConditionalPut, S3CopyIfNotExists};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use object_store::{RetryConfig, integration};

const BUCKET: &str = "data";

async fn start(options: Options) -> TinyS3 {
    TinyS3::start(options.bucket(BUCKET)).await.expect("a server")
}

fn builder(server: &TinyS3) -> AmazonS3Builder {
    let credentials = server.credentials().expect("a key pair");
    AmazonS3Builder::new()
        .with_endpoint(server.url())
        .with_allow_http(true)
        .with_region(server.region())
        .with_bucket_name(BUCKET)
        .with_access_key_id(&credentials.id)
        .with_secret_access_key(&credentials.secret)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(integration::MarkerHttpConnector::default())
}

fn client(server: &TinyS3) -> AmazonS3 {
    builder(server).build().expect("a client")
}

macro_rules! integration {
    ($($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            let server = start(Options::default()).await;
            integration::$name(&client(&server)).await;
        }
    )*};
}

integration! {
    put_get_delete_list put_get_attributes get_opts list_uses_directories_correctly list_with_delimiter
    rename_and_copy copy_if_not_exists copy_rename_nonexistent_object stream_get multipart_out_of_order
    list_with_offset_exclusivity
}

#[tokio::test]
async fn put_opts() {
    let server = start(Options::default()).await;
    integration::put_opts(&client(&server), true).await;
}

#[tokio::test]
async fn multipart() {
    let server = start(Options::default()).await;
    let store = client(&server);
    integration::multipart(&store, &store).await;
    integration::multipart_with_opts(&store, &store).await;
    integration::multipart_put_part_out_of_order(&store, &store).await;
    integration::multipart_race_condition(&store, true).await;
}

#[tokio::test]
async fn list_paginated() {
    let server = start(Options::default()).await;
    let store = client(&server);
    integration::list_paginated(&store, &store).await;
    integration::response_extensions(&store, true).await;
}

#[tokio::test]
async fn every_checksum_and_an_unsigned_payload_are_taken() {
    let server = start(Options::default()).await;
    let unsigned = builder(&server).with_unsigned_payload(true);
    let sha256 = builder(&server).with_checksum_algorithm(Checksum::SHA256);
    let crc64 = builder(&server).with_checksum_algorithm(Checksum::CRC64NVME);
    for builder in [unsigned, sha256, crc64] {
        let store = builder.build().expect("a client");
        integration::put_get_delete_list(&store).await;
        integration::multipart(&store, &store).await;
    }
}

async fn put(store: &AmazonS3, key: &str, data: &'static str) -> Result<UpdateVersion, Error> {
    store.put(&Path::from(key), data.into()).await.map(UpdateVersion::from)
}

#[tokio::test]
async fn missing_objects_and_buckets_have_different_codes() {
    let server = start(Options::default().credentials([])).await;
    for (path, code) in
        [("data/x", "NoSuchKey"), ("none/x", "NoSuchBucket"), ("none", "NoSuchBucket")]
    {
        let answer = request("GET", &format!("{}/{path}", server.url()), &[], "").await;
        assert_eq!((answer.status, answer.code().as_str()), (404, code), "{path}");
    }
}

#[tokio::test]
async fn twenty_racing_creates_and_twenty_racing_updates_have_one_winner_each() {
    let server = start(Options::default()).await;
    let store = Arc::new(client(&server));
    let old = put(&store, "update", "old").await.expect("stored");
    for (key, mode) in [("create", PutMode::Create), ("update", PutMode::Update(old))] {
        let racers = (0..20).map(|number: u8| {
            let (store, mode) = (Arc::clone(&store), mode.clone());
            let payload = PutPayload::from(vec![number; 100]);
            tokio::spawn(
                async move { store.put_opts(&Path::from(key), payload, mode.into()).await },
            )
        });
        let mut winners = 0;
        for racer in racers.collect::<Vec<_>>() {
            winners += usize::from(racer.await.expect("no panic").is_ok());
        }
        assert_eq!(winners, 1, "{key}");
    }
}

#[tokio::test]
async fn ignored_conditions_overwrite_and_say_nothing() {
    let options = Options::default().conditional_writes(ConditionalWrites::Ignore);
    let server = start(options).await;
    let store = client(&server);
    put(&store, "x", "first").await.expect("stored");
    let created = store.put_opts(&Path::from("x"), "second".into(), PutMode::Create.into()).await;
    assert!(created.is_ok(), "{created:?}");
    assert_eq!(server.contents(BUCKET, "x").as_deref(), Some(&b"second"[..]));
}

#[tokio::test]
async fn directory_order_lists_and_skips_as_a_directory_tree_does() {
    let options = Options::default().listing(Listing::DirectoryOrder).credentials([]);
    let server = start(options).await;
    for key in ["a!", "a-/x", "a/b", "a0"] {
        request("PUT", &format!("{}/data/{key}", server.url()), &[], "x").await;
    }
    let keys = |body: &str| -> Vec<String> {
        let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        keys.map(str::to_owned).collect()
    };
    let all = request("GET", &format!("{}/data?list-type=2", server.url()), &[], "").await;
    assert_eq!(keys(&all.body), ["a/b", "a!", "a-/x", "a0"]);
    let url = format!("{}/data?list-type=2&start-after=a", server.url());
    assert_eq!(keys(&request("GET", &url, &[], "").await.body), ["a!", "a-/x", "a0"]);
    let url = format!("{}/data?list-type=2&max-keys=1", server.url());
    let page = request("GET", &url, &[], "").await.body;
    let token =
        page.split("<NextContinuationToken>").nth(1).and_then(|rest| rest.split('<').next());
    let url = format!("{url}&continuation-token={}", token.expect("a token"));
    assert_eq!(keys(&request("GET", &url, &[], "").await.body), ["a!"]);
}

#[tokio::test]
async fn pages_with_a_delimiter_add_up_to_the_whole_listing() {
    let server = start(Options::default().credentials([])).await;
    for key in ["a", "b/", "b/1", "b/2", "c/x/y", "c/z", "d"] {
        request("PUT", &format!("{}/data/{key}", server.url()), &[], "x").await;
    }
    for (parameters, expected) in [
        ("delimiter=/", vec!["a", "b/", "c/", "d"]),
        ("prefix=b/", vec!["b/", "b/1", "b/2"]),
        ("prefix=c/&delimiter=/", vec!["c/x/", "c/z"]),
    ] {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let url = format!("{}/data?list-type=2&max-keys=1&{parameters}{token}", server.url());
            let body = request("GET", &url, &[], "").await.body;
            let inside = |name: &str| {
                let rest = body.split_once(&format!("<{name}>"))?.1;
                rest.split_once('<').map(|(text, _)| text.to_owned())
            };
            let prefix = body.split_once("<CommonPrefixes><Prefix>").map(|(_, rest)| rest);
            let prefix =
                prefix.and_then(|rest| rest.split_once('<')).map(|(text, _)| text.to_owned());
            found.push(inside("Key").or(prefix).expect("an entry"));
            let Some(next) = inside("NextContinuationToken") else { break };
            token = format!("&continuation-token={next}");
        }
        assert_eq!(found, expected, "{parameters}");
    }
}

#[tokio::test]
async fn unequal_parts_and_too_many_parts_are_refused_when_told_so() {
    let server = start(Options::default().equal_parts(true).max_parts(2)).await;
    let store = client(&server);
    let upload = async |sizes: &[usize]| {
        let mut upload = store.put_multipart(&Path::from("parts")).await?;
        for size in sizes {
            upload.put_part(vec![0; *size].into()).await?;
        }
        upload.complete().await
    };
    let mib = 1 << 20;
    upload(&[6 * mib, mib]).await.expect("a shorter last part is fine");
    let error = upload(&[6 * mib, 7 * mib]).await.expect_err("a longer last part");
    assert!(format!("{error:?}").contains("same length"), "{error:?}");
    let error = upload(&[6 * mib, 6 * mib, mib]).await.expect_err("a third part");
    assert!(format!("{error:?}").contains("between 1 and 2"), "{error:?}");
    let server = start(Options::default()).await;
    let store = client(&server);
    let mut upload = store.put_multipart(&Path::from("parts")).await.expect("an upload");
    for _ in 0..2 {
        upload.put_part(vec![0; mib].into()).await.expect("a part");
    }
    let error = upload.complete().await.expect_err("small parts");
    assert!(format!("{error:?}").contains("EntityTooSmall"), "{error:?}");
}

#[tokio::test]
async fn a_store_without_checksums_or_bulk_delete_says_not_implemented() {
    let server = start(Options::default().checksums(false).bulk_delete(None)).await;
    let store =
        builder(&server).with_checksum_algorithm(Checksum::SHA256).build().expect("a client");
    put(&store, "x", "data").await.expect_err("a checksum");
    put(&client(&server), "x", "data").await.expect("no checksum");
    assert_eq!(server.request_log().iter().map(|one| one.status).collect::<Vec<_>>(), [501, 200]);
    server.clear_request_log();
    client(&server).delete(&Path::from("x")).await.expect_err("one key is a bulk delete too");
    assert_eq!(server.request_log()[0].status, 501);
    assert_eq!(server.request_log()[0].query, "delete");
}

#[tokio::test]
async fn bulk_deletes_past_the_limit_are_refused() {
    let server = start(Options::default().bulk_delete(Some(2)).credentials([])).await;
    let body = |count: usize| {
        let objects = "<Object><Key>k</Key></Object>".repeat(count);
        format!("<Delete>{objects}</Delete>")
    };
    let url = format!("{}/data?delete", server.url());
    let unprotected = request("POST", &url, &[], &body(1)).await;
    assert_eq!((unprotected.status, unprotected.code().as_str()), (400, "InvalidRequest"));
    // SHA-256 of the two bodies, in base64.
    let two = [("x-amz-checksum-sha256", "bDXiSmkrqpN5zBexA2kGBkcnRdxrV0swr5UFzhIcQVA=")];
    let three = [("x-amz-checksum-sha256", "4PuPbnebRaO16SkbCIkjpWgCSSlG+UdtIl9iyAXTs8A=")];
    assert_eq!(request("POST", &url, &two, &body(2)).await.status, 200);
    let refused = request("POST", &url, &three, &body(3)).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "MalformedXML"));
}

/// The SHA-256, CRC-64/NVME and MD5 of `hello`, in base64.
const SHA256: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
const CRC64: &str = "M3eFcAZSQlc=";

#[tokio::test]
async fn checksums_are_verified_and_returned_for_whole_objects() {
    let server = start(Options::default().credentials([])).await;
    let url = format!("{}/data/hello", server.url());
    let put = request("PUT", &url, &[("x-amz-checksum-sha256", SHA256)], "hello").await;
    assert_eq!((put.status, put.headers["x-amz-checksum-sha256"].as_str()), (200, SHA256));
    let mode = ("x-amz-checksum-mode", "ENABLED");
    let get = request("GET", &url, &[mode], "").await;
    assert_eq!(get.headers["x-amz-checksum-sha256"], SHA256);
    let part = request("GET", &url, &[mode, ("range", "bytes=0-1")], "").await;
    assert!(!part.headers.contains_key("x-amz-checksum-sha256"), "{part:?}");
    let plain = request("GET", &url, &[], "").await;
    assert!(!plain.headers.contains_key("x-amz-checksum-sha256"), "{plain:?}");
    let wrong = request("PUT", &url, &[("x-amz-checksum-sha256", SHA256)], "jello").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "BadDigest"));
    request("PUT", &url, &[], "hello").await;
    let computed = request("HEAD", &url, &[mode], "").await;
    assert_eq!(computed.headers["x-amz-checksum-crc64nvme"], CRC64);
    let chunked = [("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")];
    let body = format!("5\r\nhello\r\n0\r\nx-amz-checksum-crc64nvme:{CRC64}\r\n\r\n");
    assert_eq!(request("PUT", &url, &chunked, &body).await.status, 200);
    let wrong = request("PUT", &url, &chunked, &body.replace("hello", "jello")).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "BadDigest"));
}

/// The code that a signed `GET` of a missing key is answered with.
async fn code(builder: AmazonS3Builder) -> String {
    let store = builder.build().expect("a client");
    let error = store.get(&Path::from("missing")).await.expect_err("refused");
    let text = format!("{error:?}");
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map(|(code, _)| code.to_owned()).unwrap_or(text)
}

#[tokio::test]
async fn wrong_keys_and_regions_are_refused_with_the_codes_of_aws() {
    let server = start(Options::default()).await;
    assert_eq!(code(builder(&server)).await, "NoSuchKey");
    let unknown = builder(&server).with_access_key_id("nobody");
    assert_eq!(code(unknown).await, "InvalidAccessKeyId");
    let wrong = builder(&server).with_secret_access_key("wrong");
    assert_eq!(code(wrong).await, "SignatureDoesNotMatch");
    let elsewhere = builder(&server).with_region("eu-central-1");
    assert_eq!(code(elsewhere).await, "AuthorizationHeaderMalformed");
    let anonymous = builder(&server).with_config(AmazonS3ConfigKey::SkipSignature, "true");
    assert_eq!(code(anonymous).await, "AccessDenied");
}

/// A request whose signature would be right had it been made now.
#[tokio::test]
async fn an_old_request_is_too_skewed_and_a_wrong_region_is_told_the_right_one() {
    let server = start(Options::default().region("eu-1")).await;
    let url = format!("{}/data/x", server.url());
    let signed = |region: &str, date: &str| {
        let scope = format!("lifeboat/{}/{region}/s3/aws4_request", &date[..8]);
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=00")
    };
    let old = "20200101T000000Z";
    let headers = [("authorization", &*signed("eu-1", old)), ("x-amz-date", old)];
    let answer = request("GET", &url, &headers, "").await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "RequestTimeTooSkewed"));
    let headers = [("authorization", &*signed("us-east-1", old)), ("x-amz-date", old)];
    let answer = request("GET", &url, &headers, "").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "AuthorizationHeaderMalformed"));
    assert!(answer.body.contains("<Region>eu-1</Region>"), "{answer:?}");
}

#[tokio::test]
async fn presigned_urls_work_and_altered_or_expired_ones_do_not() {
    let server = start(Options::default()).await;
    let store = client(&server);
    let path = Path::from("a b/é +%");
    let sign = async |method: &str| {
        let method = method.parse().expect("a method");
        let url = store.signed_url(method, &path, Duration::from_mins(1)).await;
        url.expect("a signed URL").to_string()
    };
    assert_eq!(request("PUT", &sign("PUT").await, &[], "data").await.status, 200);
    let get = sign("GET").await;
    assert_eq!(request("GET", &get, &[], "").await.body, "data");
    assert_eq!(request("GET", &get, &[("range", "bytes=0-1")], "").await.body, "da");
    let refused = async |url: String| {
        let answer = request("GET", &url, &[], "").await;
        (answer.status, answer.code(), answer.body)
    };
    let (status, code, _) = refused(get.replace("Expires=60", "Expires=61")).await;
    assert_eq!((status, code.as_str()), (403, "SignatureDoesNotMatch"));
    let (status, code, _) = refused(get.replace("us-east-1", "us-west-2")).await;
    assert_eq!((status, code.as_str()), (400, "AuthorizationQueryParametersError"));
    let past = store.signed_url("GET".parse().expect("a method"), &path, Duration::ZERO).await;
    let past = past.expect("a signed URL").to_string();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let (status, code, body) = loop {
        // It expires within the second in which it was made; asking is the only way to see that.
        let answer = refused(past.clone()).await;
        if answer.0 != 200 || tokio::time::Instant::now() > deadline {
            break answer;
        }
    };
    assert_eq!((status, code.as_str()), (403, "AccessDenied"));
    assert!(body.contains("Request has expired"), "{body}");
}

#[tokio::test]
async fn a_payload_that_is_not_the_signed_one_is_refused() {
    let server = start(Options::default().credentials([])).await;
    let hash = [(
        "x-amz-content-sha256",
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    )];
    let url = format!("{}/data/x", server.url());
    assert_eq!(request("PUT", &url, &hash, "hello").await.status, 200);
    let wrong = request("PUT", &url, &hash, "jello").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "XAmzContentSHA256Mismatch"));
    let wrong = request("PUT", &url, &[("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")], "jello").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "BadDigest"));
}

#[tokio::test]
async fn what_is_not_implemented_does_not_touch_the_object() {
    let server = start(Options::default().credentials([])).await;
    let url = format!("{}/data/x", server.url());
    request("PUT", &url, &[], "text").await;
    for (method, url) in [
        ("PUT", format!("{url}?acl")),
        ("DELETE", format!("{url}?tagging")),
        ("GET", format!("{}/data?versions", server.url())),
    ] {
        let answer = request(method, &url, &[], "").await;
        assert_eq!((answer.status, answer.code().as_str()), (501, "NotImplemented"), "{url}");
    }
    assert_eq!(server.contents(BUCKET, "x").as_deref(), Some(&b"text"[..]));
}

#[tokio::test]
async fn a_refused_upload_of_megabytes_still_sees_the_refusal() {
    let server = start(Options::default()).await;
    let store = builder(&server).with_secret_access_key("wrong").build().expect("a client");
    let error = store.put(&Path::from("x"), vec![0; 16 << 20].into()).await.expect_err("refused");
    assert!(format!("{error:?}").contains("SignatureDoesNotMatch"), "{error:?}");
}

#[tokio::test]
async fn a_virtual_host_names_the_bucket() {
    let options = Options::default()
        .credentials([])
        .addressing(Addressing::VirtualHost("s3.test".to_owned()));
    let server = start(options).await;
    let host = [("host", "data.s3.test:9000")];
    let put = request("PUT", &format!("{}/x/y", server.url()), &host, "text").await;
    assert_eq!((put.status, server.keys(BUCKET)), (200, vec!["x/y".to_owned()]));
    let path_style = request("GET", &format!("{}/data/x/y", server.url()), &[], "").await;
    assert_eq!((path_style.status, path_style.code().as_str()), (405, "MethodNotAllowed"));
}

#[tokio::test]
async fn the_log_counts_requests_and_holds_no_secret() {
    let server =
        start(Options::default().credentials([Credentials::new("me", "hidden-key")])).await;
    let store = client(&server);
    put(&store, "x", "data").await.expect("stored");
    let range = store.get_range(&Path::from("x"), 1..3).await.expect("read");
    assert_eq!(range, "at");
    let log = server.request_log();
    let asked: Vec<_> =
        log.iter().map(|one| (one.method.as_str(), one.key.as_str(), one.status)).collect();
    assert_eq!(asked, [("PUT", "x", 200), ("GET", "x", 206)]);
    assert_eq!(log[1].headers["range"], "bytes=1-2");
    let path = Path::from("x");
    let url = store.signed_url("GET".parse().expect("a method"), &path, Duration::from_secs(9));
    request("GET", url.await.expect("a signed URL").as_str(), &[], "").await;
    let text = format!("{:?} {:?}", server.request_log(), server.credentials());
    assert!(!text.contains("hidden-key") && !text.contains("X-Amz-Signature"), "{text}");
}
