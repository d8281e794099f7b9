//! The listener: what it takes to start, and how it ends.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Request, builder, memory, start};
use lifeboat_gateway::{Error, Gateway};
use object_store::ObjectStoreExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn what_is_missing_or_wrong_is_named_at_the_start() {
    let store = memory();
    let start = Gateway::builder().credentials("a", "b").start().await;
    assert!(matches!(start.unwrap_err(), Error::NoBucket));
    let empty = Gateway::builder().bucket("bucket", Arc::clone(&store)).credentials("", "");
    assert!(matches!(empty.start().await.unwrap_err(), Error::NoCredentials));
    let name = builder(&store).bucket("Bad_Name", Arc::clone(&store)).start().await;
    assert!(matches!(name.unwrap_err(), Error::BucketName { name } if name == "Bad_Name"));
    let twice = builder(&store).bucket("bucket", Arc::clone(&store)).start().await;
    assert!(matches!(twice.unwrap_err(), Error::BucketTwice { .. }));
    let first = builder(&store).start().await.unwrap();
    let second = builder(&store).bind(first.address()).start().await;
    assert!(matches!(second.unwrap_err(), Error::Listen { .. }));
    let shown = format!("{:?}", builder(&store).credentials("user", "hush-hush"));
    assert!(!shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn two_gateways_and_two_buckets_do_not_see_each_other() {
    let (left, right) = (memory(), memory());
    let both = builder(&left).bucket("second", Arc::clone(&right)).start().await.unwrap();
    let other = builder(&memory()).start().await.unwrap();
    Request::new(&both, "PUT", "/bucket/k").body("x").send().await.expect(200, "");
    Request::new(&both, "GET", "/second/k").send().await.expect(404, "NoSuchKey");
    Request::new(&other, "GET", "/bucket/k").send().await.expect(404, "NoSuchKey");
    let copy = Request::new(&both, "PUT", "/second/k").header("x-amz-copy-source", "/bucket/k");
    copy.send().await.expect(200, "");
    assert_eq!(right.get(&"k".into()).await.unwrap().bytes().await.unwrap(), "x");
}

#[tokio::test]
async fn a_shutdown_lets_a_request_under_way_end() {
    let (gateway, store) = start().await;
    let address = gateway.address();
    let (put, _) = Request::new(&gateway, "PUT", "/bucket/k").body("0123456789").sign();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = put.head("content-length: 10\r\nexpect: 100-continue\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut interim).await.unwrap();
    assert!(
        interim.starts_with(b"HTTP/1.1 100"),
        "the body is wanted, so the request is under way"
    );
    stream.write_all(b"01234").await.unwrap();
    let closing = tokio::spawn(gateway.shutdown());
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stream.write_all(b"56789").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    closing.await.unwrap();
    assert_eq!(store.get(&"k".into()).await.unwrap().bytes().await.unwrap(), "0123456789");
}

#[tokio::test]
async fn dropping_it_closes_listener_and_connections() {
    let (gateway, _) = start().await;
    let address = gateway.address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    drop(gateway);
    let mut rest = Vec::new();
    // Ended or reset, but over.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn connections_over_the_limit_wait_their_turn() {
    let store = memory();
    let gateway = builder(&store).connections(1).start().await.unwrap();
    let first = TcpStream::connect(gateway.address()).await.unwrap();
    let get = Request::new(&gateway, "GET", "/bucket/k");
    let waiting = tokio::time::timeout(Duration::from_millis(200), get.clone().send()).await;
    assert!(waiting.is_err(), "a second connection was served");
    drop(first);
    get.send().await.expect(404, "NoSuchKey");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (gateway, _) = start().await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let head =
        format!("GET / HTTP/1.1\r\nconnection: close\r\na: {}\r\n\r\n", "x".repeat(256 << 10));
    // It may be refused, and reset, while it is still being written.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn every_answer_has_an_id_that_its_error_repeats() {
    let (gateway, _) = start().await;
    let refused = Request::new(&gateway, "GET", "/bucket/k").send_as_is().await;
    assert_eq!(refused.header("x-amz-request-id"), refused.element("RequestId"));
    let found = Request::new(&gateway, "HEAD", "/bucket").send().await.expect(200, "");
    assert!(found.header("x-amz-request-id").is_some());
    assert_eq!(found.header("x-amz-bucket-region"), Some("us-east-1"));
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let (gateway, store) = start().await;
    let (put, _) = Request::new(&gateway, "PUT", "/bucket/k").body("0123456789").sign();
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let head = put.head("content-length: 10\r\nexpect: 100-continue\r\nconnection: close\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut interim).await.unwrap();
    stream.write_all(b"01234").await.unwrap();
    // From here on the clock jumps to whatever is waited for.
    tokio::time::pause();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("<Code>RequestTimeout</Code>"), "{answer}");
    assert!(store.get(&"k".into()).await.is_err());
}
