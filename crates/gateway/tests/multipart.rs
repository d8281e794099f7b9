//! Multipart uploads over a store that takes parts in order only, and what S3 demands of a list of
//! parts.

mod common;

use common::{Request, builder, memory, start, stored};
use lifeboat_gateway::Gateway;

const PART: usize = 5 << 20;

async fn begin(gateway: &Gateway) -> String {
    let begun = Request::new(gateway, "POST", "/bucket/k").query("uploads", "").send().await;
    begun.element("UploadId").unwrap().to_owned()
}

fn part(gateway: &Gateway, id: &str, number: u32, body: Vec<u8>) -> Request {
    Request::new(gateway, "PUT", "/bucket/k")
        .query("partNumber", &number.to_string())
        .query("uploadId", id)
        .body(body)
}

async fn put(gateway: &Gateway, id: &str, number: u32, body: Vec<u8>) -> String {
    let sent = part(gateway, id, number, body).send().await.expect(200, "");
    sent.header("etag").unwrap().to_owned()
}

fn complete(gateway: &Gateway, id: &str, parts: &[(u32, &str)]) -> Request {
    let parts = parts.iter().fold(String::new(), |list, (number, etag)| {
        format!("{list}<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
    });
    Request::new(gateway, "POST", "/bucket/k")
        .query("uploadId", id)
        .body(format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"))
}

#[tokio::test]
async fn parts_that_come_out_of_order_are_put_in_order() {
    let (gateway, store) = start().await;
    let id = begin(&gateway).await;
    let third = put(&gateway, &id, 3, vec![b'3'; 3]).await;
    let second = put(&gateway, &id, 2, vec![b'2'; PART]).await;
    let first = put(&gateway, &id, 1, vec![b'1'; PART]).await;
    let list = Request::new(&gateway, "GET", "/bucket/k").query("uploadId", &id);
    let listed = list.query("max-parts", "2").send().await.expect(200, "");
    assert_eq!(listed.body.matches("<Part>").count(), 2);
    assert_eq!(listed.element("NextPartNumberMarker"), Some("2"));
    let parts = [(1, first.as_str()), (2, &second), (3, &third)];
    let done = complete(&gateway, &id, &parts).send().await.expect(200, "");
    let expected = [vec![b'1'; PART], vec![b'2'; PART], vec![b'3'; 3]].concat();
    assert_eq!(stored(&store, "k").await.as_deref(), Some(&expected[..]));
    // The answer may have been lost.
    let again = complete(&gateway, &id, &parts).send().await.expect(200, "");
    assert_eq!(again.element("ETag"), done.element("ETag"));
    part(&gateway, &id, 4, vec![]).send().await.expect(404, "NoSuchUpload");
}

#[tokio::test]
async fn early_parts_have_a_bound_and_leave_room_for_their_predecessors() {
    let store = memory();
    let gateway = builder(&store).memory(2 * PART as u64).start().await.unwrap();
    let id = begin(&gateway).await;
    let second = put(&gateway, &id, 2, vec![b'2'; PART]).await;
    part(&gateway, &id, 3, vec![b'3'; PART]).send().await.expect(503, "SlowDown");
    let first = put(&gateway, &id, 1, vec![b'1'; PART]).await;
    let third = put(&gateway, &id, 3, vec![b'3'; PART]).await;
    let parts = [(1, first.as_str()), (2, &second), (3, &third)];
    complete(&gateway, &id, &parts).send().await.expect(200, "");
    assert_eq!(stored(&store, "k").await.map(|bytes| bytes.len()), Some(3 * PART));
    let large = part(&gateway, &begin(&gateway).await, 1, vec![b'x'; 2 * PART + 1]);
    large.send().await.expect(400, "EntityTooLarge");
}

#[tokio::test]
async fn a_list_of_parts_is_checked_like_s3_does() {
    let (gateway, store) = start().await;
    let id = begin(&gateway).await;
    let first = put(&gateway, &id, 1, vec![b'1'; 9]).await;
    let second = put(&gateway, &id, 2, vec![b'2'; 9]).await;
    let (one, two) = ((1, first.as_str()), (2, second.as_str()));
    let try_with = async |parts: &[(u32, &str)]| complete(&gateway, &id, parts).send().await;
    try_with(&[two, one]).await.expect(400, "InvalidPartOrder");
    try_with(&[one, (2, &first)]).await.expect(400, "InvalidPart");
    try_with(&[one, two, (3, &first)]).await.expect(400, "InvalidPart");
    try_with(&[one]).await.expect(400, "InvalidPart");
    try_with(&[]).await.expect(400, "MalformedXML");
    try_with(&[one, two]).await.expect(400, "EntityTooSmall");
    let whole = complete(&gateway, &id, &[one, two]).header("if-none-match", "*");
    whole.send().await.expect(501, "NotImplemented");
    assert_eq!(stored(&store, "k").await, None);
}

#[tokio::test]
async fn a_part_sent_twice_is_one_part_and_cannot_change_in_a_stream() {
    let (gateway, _) = start().await;
    let id = begin(&gateway).await;
    let etag = put(&gateway, &id, 1, b"same".to_vec()).await;
    assert_eq!(put(&gateway, &id, 1, b"same".to_vec()).await, etag);
    let other = part(&gateway, &id, 1, b"other".to_vec());
    other.send().await.expect(501, "NotImplemented");
    complete(&gateway, &id, &[(1, &etag)]).send().await.expect(200, "");
}

#[tokio::test]
async fn an_aborted_or_unknown_upload_is_gone() {
    let (gateway, store) = start().await;
    let id = begin(&gateway).await;
    let etag = put(&gateway, &id, 1, b"x".to_vec()).await;
    let abort = |id: &str| Request::new(&gateway, "DELETE", "/bucket/k").query("uploadId", id);
    abort(&id).send().await.expect(204, "");
    abort(&id).send().await.expect(404, "NoSuchUpload");
    complete(&gateway, &id, &[(1, &etag)]).send().await.expect(404, "NoSuchUpload");
    part(&gateway, "guess", 1, vec![]).send().await.expect(404, "NoSuchUpload");
    let elsewhere = begin(&gateway).await;
    Request::new(&gateway, "PUT", "/bucket/other")
        .query("partNumber", "1")
        .query("uploadId", &elsewhere)
        .send()
        .await
        .expect(404, "NoSuchUpload");
    assert_eq!(stored(&store, "k").await, None);
}

#[tokio::test]
async fn parts_can_be_copied_from_other_objects() {
    use object_store::ObjectStoreExt;
    let (gateway, store) = start().await;
    store.put(&"source".into(), "0123456789".into()).await.unwrap();
    let id = begin(&gateway).await;
    let copy = |range: &str| {
        part(&gateway, &id, 1, vec![])
            .header("x-amz-copy-source", "bucket/source")
            .header("x-amz-copy-source-range", range)
    };
    copy("bytes=2-10").send().await.expect(400, "InvalidArgument");
    copy("bytes=2-").send().await.expect(400, "InvalidArgument");
    let copied = copy("bytes=2-5").send().await.expect(200, "");
    let etag = copied.element("ETag").unwrap();
    complete(&gateway, &id, &[(1, etag)]).send().await.expect(200, "");
    assert_eq!(stored(&store, "k").await.as_deref(), Some(&b"2345"[..]));
}
