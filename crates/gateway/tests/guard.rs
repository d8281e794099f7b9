//! What the layer in front of the protocol library closes. Each of these would be let through
//! without it.

mod common;

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use common::{
    BUCKET, Request, SECRET_KEY, builder, hex, hmac_sha256, memory, sha256, start, stored,
};
use object_store::ObjectStoreExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const WEEK: u64 = 604_800;

#[tokio::test]
async fn a_presigned_put_cannot_be_turned_into_a_copy_by_an_unsigned_header() {
    let (gateway, store) = start().await;
    store.put(&"secret".into(), "for few".into()).await.unwrap();
    let source = format!("/{BUCKET}/secret");
    Request::new(&gateway, "PUT", "/bucket/upload")
        .presign(60)
        .unsigned_header("x-amz-copy-source", &source)
        .send_as_is()
        .await
        .expect(403, "AccessDenied");
    assert_eq!(stored(&store, "upload").await, None);
    // Signed, it is what its owner wants.
    Request::new(&gateway, "PUT", "/bucket/copy")
        .header("x-amz-copy-source", &source)
        .presign(60)
        .send_as_is()
        .await
        .expect(200, "");
    assert_eq!(stored(&store, "copy").await.as_deref(), Some(&b"for few"[..]));
}

#[tokio::test]
async fn a_presigned_put_cannot_be_given_metadata_by_an_unsigned_header() {
    let (gateway, store) = start().await;
    let put = Request::new(&gateway, "PUT", "/bucket/k").presign(60).body("x");
    let with = put.clone().unsigned_header("x-amz-meta-owner", "me");
    with.send_as_is().await.expect(403, "AccessDenied");
    assert_eq!(stored(&store, "k").await, None);
    put.send_as_is().await.expect(200, "");
}

#[tokio::test]
async fn a_header_that_the_authorization_does_not_cover_is_refused() {
    let (gateway, store) = start().await;
    for name in ["x-amz-copy-source", "x-amz-meta-a", "x-amz-storage-class", "x-amz-acl"] {
        Request::new(&gateway, "PUT", "/bucket/k")
            .unsigned_header(name, "bucket/other")
            .body("x")
            .send()
            .await
            .expect(403, "AccessDenied");
    }
    assert_eq!(stored(&store, "k").await, None);
}

#[tokio::test]
async fn checksums_and_sdk_notes_need_no_signature() {
    let (gateway, _) = start().await;
    Request::new(&gateway, "PUT", "/bucket/k")
        .presign(60)
        .unsigned_header("x-amz-checksum-crc32", "y/Q5Jg==")
        .unsigned_header("x-amz-sdk-checksum-algorithm", "CRC32")
        .unsigned_header("x-amz-user-agent", "browser")
        .body("123456789")
        .send_as_is()
        .await
        .expect(200, "");
}

/// HMAC-SHA1 in base64, as Signature Version 2 has it. The values were computed with
/// `openssl dgst -sha1 -hmac secret-key -binary | base64` over the strings to sign.
mod version_2 {
    /// Over "GET\n\n\nThu, 01 Jan 2026 00:00:00 GMT\n/bucket/k".
    pub(crate) const HEADER: &str = "uHPSzU46kOI8Nym3rELMzEjb++8=";
    /// Over "GET\n\n\n4102444800\n/bucket/k".
    pub(crate) const QUERY: &str = "bOYBAVU5g8VjFVI3wYrPIcIW3Ic=";
}

#[tokio::test]
async fn signature_version_2_in_the_header_is_refused() {
    let (gateway, store) = start().await;
    store.put(&"k".into(), "x".into()).await.unwrap();
    Request::new(&gateway, "GET", "/bucket/k")
        .unsigned_header("date", "Thu, 01 Jan 2026 00:00:00 GMT")
        .unsigned_header("authorization", &format!("AWS access-key:{}", version_2::HEADER))
        .send_as_is()
        .await
        .expect(400, "InvalidRequest");
}

#[tokio::test]
async fn signature_version_2_in_the_url_is_refused() {
    let (gateway, store) = start().await;
    store.put(&"k".into(), "x".into()).await.unwrap();
    Request::new(&gateway, "GET", "/bucket/k")
        .query("AWSAccessKeyId", "access-key")
        .query("Expires", "4102444800")
        .query("Signature", version_2::QUERY)
        .send_as_is()
        .await
        .expect(400, "InvalidRequest");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_when_it_is_announced() {
    let store = memory();
    let gateway = builder(&store).largest_body(1000).start().await.unwrap();
    let put = |size: usize| Request::new(&gateway, "PUT", "/bucket/k").body(vec![b'x'; size]);
    put(1001).send().await.expect(400, "EntityTooLarge");
    assert_eq!(stored(&store, "k").await, None);
    put(1000).send().await.expect(200, "");
}

#[tokio::test]
async fn a_body_over_the_limit_is_cut_off_when_its_length_is_not_announced() {
    let (gateway, store) = start().await;
    store.put(&"keep".into(), "x".into()).await.unwrap();
    let document = Bytes::from("<Delete><Object><Key>keep</Key></Object></Delete>");
    let padding = vec![Bytes::from(vec![b' '; 1 << 20]); 8];
    Request::new(&gateway, "POST", "/bucket")
        .query("delete", "")
        .presign(60)
        .streamed([vec![document], padding].concat())
        .send_as_is()
        .await
        .expect(400, "EntityTooLarge");
    let put = Request::new(&gateway, "PUT", "/bucket/k").presign(60);
    let unannounced = put.streamed(vec![Bytes::from("x")]).send_as_is().await;
    unannounced.expect(411, "MissingContentLength");
    assert!(stored(&store, "keep").await.is_some());
}

#[tokio::test]
async fn chunks_that_say_more_than_the_limit_are_refused() {
    let store = memory();
    let gateway = builder(&store).largest_body(1000).start().await.unwrap();
    let put = |length: &str| {
        Request::new(&gateway, "PUT", "/bucket/k")
            .header("x-amz-decoded-content-length", length)
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    };
    put("1001").send().await.expect(400, "EntityTooLarge");
    let endless = vec![Bytes::from(format!("fa\r\n{}\r\n", "x".repeat(250))); 1000];
    put("1000").streamed(endless).send().await.expect(400, "IncompleteBody");
    assert_eq!(stored(&store, "k").await, None);
}

/// Frames chunks with their signatures.
struct Chunks {
    key: Vec<u8>,
    stamp: String,
    scope: String,
    last: String,
}

impl Chunks {
    fn frame(&mut self, data: &[u8]) -> Vec<u8> {
        let to_sign = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{}\n{}",
            self.stamp,
            self.scope,
            self.last,
            sha256(b""),
            sha256(data)
        );
        self.last = hex(&hmac_sha256(&self.key, &to_sign));
        let head = format!("{:x};chunk-signature={}\r\n", data.len(), self.last);
        [head.as_bytes(), data, b"\r\n"].concat()
    }
}

/// A put in signed chunks, given the sizes of the chunks.
async fn put_signed_chunks(gateway: &lifeboat_gateway::Gateway, sizes: &[usize]) -> common::Answer {
    let now = Utc::now();
    let length: usize = sizes.iter().sum();
    let request = Request::new(gateway, "PUT", "/bucket/k")
        .time(now)
        .header("x-amz-decoded-content-length", &length.to_string())
        .payload("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    let stamp = now.format("%Y%m%dT%H%M%SZ").to_string();
    let scope = format!("{}/us-east-1/s3/aws4_request", &stamp[..8]);
    let (request, signature) = request.sign();
    let mut chunks = Chunks { key: request.key(), stamp, scope, last: signature };
    let mut body = Vec::new();
    for size in sizes.iter().chain([&0]) {
        body.extend(chunks.frame(&vec![b'x'; *size]));
    }
    request.body(body).send_as_is().await
}

#[tokio::test]
async fn a_signed_chunk_over_16_mib_is_refused() {
    let (gateway, store) = start().await;
    let over = put_signed_chunks(&gateway, &[(16 << 20) + 1]).await;
    over.expect(400, "InvalidChunkSizeError");
    assert_eq!(stored(&store, "k").await, None);
    put_signed_chunks(&gateway, &[16 << 20, 100]).await.expect(200, "");
    assert_eq!(stored(&store, "k").await.map(|bytes| bytes.len()), Some((16 << 20) + 100));
}

#[tokio::test]
async fn a_presigned_url_for_more_than_a_week_is_refused() {
    let (gateway, store) = start().await;
    store.put(&"k".into(), "x".into()).await.unwrap();
    let get = Request::new(&gateway, "GET", "/bucket/k");
    let long = get.clone().presign(WEEK + 1).send_as_is().await;
    long.expect(400, "AuthorizationQueryParametersError");
    get.presign(WEEK).send_as_is().await.expect(200, "");
}

#[tokio::test]
async fn browser_forms_are_refused() {
    let (gateway, _) = start().await;
    let form = "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n\
        --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nx\r\n--b--\r\n";
    Request::new(&gateway, "POST", "/bucket")
        .unsigned_header("content-type", "Multipart/Form-Data; boundary=b")
        .body(form)
        .send()
        .await
        .expect(501, "NotImplemented");
}

#[tokio::test]
async fn session_tokens_are_refused() {
    let (gateway, store) = start().await;
    store.put(&"k".into(), "x".into()).await.unwrap();
    let get = Request::new(&gateway, "GET", "/bucket/k");
    let header = get.clone().header("x-amz-security-token", "bogus").send().await;
    header.expect(400, "InvalidToken");
    let url = get.query("X-Amz-Security-Token", "bogus").presign(60).send_as_is().await;
    url.expect(400, "InvalidToken");
}

#[tokio::test]
async fn a_signature_for_another_region_or_service_is_refused() {
    let (gateway, store) = start().await;
    store.put(&"k".into(), "x".into()).await.unwrap();
    let get = Request::new(&gateway, "GET", "/bucket/k");
    for wrong in [get.clone().region("eu-north-1"), get.service("sts")] {
        wrong.clone().send().await.expect(400, "AuthorizationHeaderMalformed");
        let url = wrong.presign(60).send_as_is().await;
        url.expect(400, "AuthorizationQueryParametersError");
    }
}

#[tokio::test]
async fn a_signature_that_leaves_out_the_host_is_refused() {
    let (gateway, store) = start().await;
    store.put(&"k".into(), "x".into()).await.unwrap();
    let get = Request::new(&gateway, "GET", "/bucket/k").without_host();
    get.send().await.expect(403, "AccessDenied");
}

#[tokio::test]
async fn a_body_whose_last_chunk_is_missing_is_not_stored() {
    let (gateway, store) = start().await;
    // Without a trailer, so that only the end itself is missing.
    Request::new(&gateway, "PUT", "/bucket/k")
        .header("x-amz-decoded-content-length", "3")
        .header("x-amz-trailer", "")
        .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .body("3\r\nabc\r\n")
        .send()
        .await
        .expect(400, "IncompleteBody");
    assert_eq!(stored(&store, "k").await, None);
}

#[tokio::test]
async fn a_bulk_delete_that_was_changed_on_the_way_deletes_nothing() {
    let (gateway, store) = start().await;
    store.put(&"keep".into(), "x".into()).await.unwrap();
    let delete = Request::new(&gateway, "POST", "/bucket")
        .query("delete", "")
        .payload("UNSIGNED-PAYLOAD")
        .body("<Delete><Object><Key>keep</Key></Object></Delete>");
    for header in ["content-md5", "x-amz-checksum-crc32"] {
        delete.clone().header(header, "AAAAAA==").send().await.expect(400, "BadDigest");
    }
    assert!(stored(&store, "keep").await.is_some());
    delete.send().await.expect(200, "");
    assert_eq!(stored(&store, "keep").await, None);
}

#[tokio::test]
async fn what_a_header_asks_for_and_nobody_does_is_refused_by_name() {
    let (gateway, store) = start().await;
    for (name, value) in [
        ("x-amz-tagging", "a=b"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-expected-bucket-owner", "1"),
        ("x-amz-acl", "public-read"),
    ] {
        let put = Request::new(&gateway, "PUT", "/bucket/k").header(name, value).body("x");
        let refused = put.send().await.expect(501, "NotImplemented");
        assert!(refused.element("Message").unwrap().contains(name), "{refused:?}");
    }
    assert_eq!(stored(&store, "k").await, None);
    let private = Request::new(&gateway, "PUT", "/bucket/k").header("x-amz-acl", "private");
    private.send().await.expect(200, "");
}

#[tokio::test]
async fn requests_without_or_with_wrong_signatures_are_refused() {
    let (gateway, store) = start().await;
    store.put(&"k".into(), "x".into()).await.unwrap();
    let get = Request::new(&gateway, "GET", "/bucket/k");
    get.clone().send_as_is().await.expect(403, "AccessDenied");
    get.clone().keys("nobody", SECRET_KEY).send().await.expect(403, "InvalidAccessKeyId");
    let wrong = get.clone().keys("access-key", "guess").send().await;
    wrong.expect(403, "SignatureDoesNotMatch");
    let old = get.clone().time(Utc::now() - TimeDelta::minutes(20)).send().await;
    old.expect(403, "RequestTimeTooSkewed");
    let expired = get.clone().time(Utc::now() - TimeDelta::minutes(2)).presign(60);
    expired.send_as_is().await.expect(403, "AccessDenied");
    let (signed, _) = get.clone().sign();
    signed.query("X-Amz-Signature", "00").send_as_is().await.expect(400, "InvalidArgument");
    get.send().await.expect(200, "");
}

#[tokio::test]
async fn a_client_that_writes_all_before_it_reads_sees_why_it_was_refused() {
    let (gateway, _) = start().await;
    let size = 12 << 20;
    let payload = "UNSIGNED-PAYLOAD";
    let (late, _) = Request::new(&gateway, "PUT", "/nowhere/k").payload(payload).sign();
    let early = Request::new(&gateway, "PUT", "/nowhere/k");
    for (put, status) in [(late, "404"), (early, "403")] {
        let head = put.head(&format!("connection: close\r\ncontent-length: {size}\r\n"));
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; size]).await.expect("nobody reads the body");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}
