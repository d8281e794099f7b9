//! What is stored is what the client meant to send: every way to say so is verified before the
//! write, whatever way the write takes.

mod common;

use common::{Request, start, stored};
use object_store::ObjectStoreExt;

/// The check values of "123456789" (see the unit tests for their sources).
const SUMS: [(&str, &str); 6] = [
    ("x-amz-checksum-crc32", "y/Q5Jg=="),
    ("x-amz-checksum-crc32c", "4waSgw=="),
    ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
    ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
    ("x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
    ("content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="),
];

/// Above this the gateway writes in parts.
const LARGE: usize = (16 << 20) + 1;

#[tokio::test]
async fn each_checksum_header_is_verified_before_the_put() {
    let (gateway, store) = start().await;
    store.put(&"k".into(), "old".into()).await.unwrap();
    for (name, sum) in SUMS {
        let put = Request::new(&gateway, "PUT", "/bucket/k").payload("UNSIGNED-PAYLOAD");
        let put = put.header(name, sum);
        put.clone().body("123456780").send().await.expect(400, "BadDigest");
        assert_eq!(stored(&store, "k").await.as_deref(), Some(&b"old"[..]), "{name}");
        let done = put.body("123456789").send().await.expect(200, "");
        if name != "content-md5" {
            assert_eq!(done.header(name), Some(sum));
        }
        assert_eq!(stored(&store, "k").await.as_deref(), Some(&b"123456789"[..]), "{name}");
        store.put(&"k".into(), "old".into()).await.unwrap();
    }
}

#[tokio::test]
async fn each_checksum_trailer_is_verified_before_the_put() {
    let (gateway, store) = start().await;
    for (name, sum) in SUMS.into_iter().filter(|(name, _)| *name != "content-md5") {
        let put = Request::new(&gateway, "PUT", "/bucket/k")
            .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", "9")
            .header("x-amz-trailer", name);
        let body = |data: &str, trailer: &str| format!("9\r\n{data}\r\n0\r\n{trailer}\r\n");
        let changed = body("123456780", &format!("{name}:{sum}\r\n"));
        put.clone().body(changed).send().await.expect(400, "BadDigest");
        let missing = put.clone().body(body("123456789", "")).send().await;
        missing.expect(400, "MalformedTrailerError");
        assert_eq!(stored(&store, "k").await, None, "{name}");
        let right = body("123456789", &format!("{name}:{sum}\r\n"));
        let done = put.body(right).send().await.expect(200, "");
        assert_eq!(done.header(name), Some(sum));
        assert_eq!(stored(&store, "k").await.as_deref(), Some(&b"123456789"[..]), "{name}");
        let get = Request::new(&gateway, "GET", "/bucket/k").send().await.expect(200, "");
        assert_eq!(get.header("content-encoding"), None, "the framing is not the object's");
        store.delete(&"k".into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_payload_that_is_not_the_signed_one_is_not_stored() {
    let (gateway, store) = start().await;
    for size in [10, LARGE] {
        let (signed, _) = Request::new(&gateway, "PUT", "/bucket/k").body(vec![b'x'; size]).sign();
        let changed = signed.body(vec![b'y'; size]).send_as_is().await;
        changed.expect(400, "XAmzContentSHA256Mismatch");
        assert_eq!(stored(&store, "k").await, None, "{size}");
    }
}

#[tokio::test]
async fn a_large_put_is_verified_before_its_parts_become_an_object() {
    let (gateway, store) = start().await;
    let put = Request::new(&gateway, "PUT", "/bucket/k")
        .payload("UNSIGNED-PAYLOAD")
        .body(vec![b'x'; LARGE]);
    put.clone().header("content-md5", SUMS[5].1).send().await.expect(400, "BadDigest");
    assert_eq!(stored(&store, "k").await, None);
    put.send().await.expect(200, "");
    assert_eq!(stored(&store, "k").await.map(|bytes| bytes.len()), Some(LARGE));
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_is_not_stored() {
    let (gateway, store) = start().await;
    for announced in ["8", "10"] {
        Request::new(&gateway, "PUT", "/bucket/k")
            .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .header("x-amz-decoded-content-length", announced)
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .body("9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n")
            .send()
            .await
            .expect(400, "IncompleteBody");
        assert_eq!(stored(&store, "k").await, None, "{announced}");
    }
}

#[tokio::test]
async fn a_part_that_was_changed_on_the_way_is_not_taken() {
    let (gateway, store) = start().await;
    let begun = Request::new(&gateway, "POST", "/bucket/k").query("uploads", "").send().await;
    let id = begun.element("UploadId").unwrap();
    let part = Request::new(&gateway, "PUT", "/bucket/k")
        .query("partNumber", "1")
        .query("uploadId", id)
        .payload("UNSIGNED-PAYLOAD")
        .header("x-amz-checksum-crc32", "y/Q5Jg==");
    part.clone().body("123456780").send().await.expect(400, "BadDigest");
    let sent = part.body("123456789").send().await.expect(200, "");
    let etag = sent.header("etag").unwrap();
    let complete = |sum: &str| {
        let part = format!(
            "<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag><ChecksumCRC32>{sum}</ChecksumCRC32></Part>"
        );
        Request::new(&gateway, "POST", "/bucket/k")
            .query("uploadId", id)
            .body(format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>"))
    };
    complete("AAAAAA==").send().await.expect(400, "InvalidPart");
    complete("y/Q5Jg==").send().await.expect(200, "");
    assert_eq!(stored(&store, "k").await.as_deref(), Some(&b"123456789"[..]));
}
