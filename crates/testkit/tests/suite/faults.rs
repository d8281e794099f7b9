//! Proves that the fault proxy and the scripted server do the wrong thing that they are told to do, seen from a bare
//! TCP client. Needs no other server.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::plain::{exchange, request};
use lifeboat_testkit::proxy::{Fault, FaultProxy};
use lifeboat_testkit::s3::{Options, TinyS3};
use lifeboat_testkit::scripted::{Reply, Scripted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything here takes, shorter than anybody waits for a hanging test.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long nothing must come before it counts as silence.
const SILENCE: Duration = Duration::from_millis(300);

async fn bed() -> (TinyS3, FaultProxy, String) {
    let server =
        TinyS3::start(Options::default().bucket("data").credentials([])).await.expect("S3");
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    let url = format!("{}/data/key", proxy.url());
    let put = request("PUT", &url, &[], "0123456789").await;
    assert_eq!(put.status, 200);
    (server, proxy, url)
}

/// The body of what came, be it whole or not.
fn body(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

async fn get(url: &str) -> (String, Option<ErrorKind>) {
    let (answer, broke) = timeout(PATIENCE, exchange("GET", url, &[], "")).await.expect("an end");
    (body(&answer), broke)
}

#[tokio::test]
async fn a_refused_port_refuses_and_comes_back_at_the_same_place() {
    let (_server, proxy, url) = bed().await;
    proxy.set(Fault::Refuse);
    let deadline = Instant::now() + PATIENCE;
    while get(&url).await.1 != Some(ErrorKind::ConnectionRefused) {
        assert!(Instant::now() < deadline, "it never refused");
    }
    proxy.set(Fault::Pass);
    while get(&url).await != ("0123456789".to_owned(), None) {
        assert!(Instant::now() < deadline, "it never came back");
    }
}

#[tokio::test]
async fn an_open_connection_is_reset_by_refusal() {
    let (_server, proxy, _) = bed().await;
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
    stream.write_all(b"GET /data/key HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.expect("the answer begins");
    proxy.set(Fault::Refuse);
    let mut rest = Vec::new();
    let error = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("an end");
    assert_eq!(error.expect_err("reset").kind(), ErrorKind::ConnectionReset);
}

/// The kernel's answer to whoever connects to a full port is its own affair elsewhere.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn dropped_connects_are_never_answered_and_open_connections_are_reset() {
    let (_server, proxy, url) = bed().await;
    let mut open = TcpStream::connect(proxy.address()).await.expect("connected");
    open.write_all(b"HEAD /data/key HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    open.read_exact(&mut [0; 1]).await.expect("the answer begins");
    proxy.set(Fault::DropConnects);
    proxy.in_force().await.expect("a full port");
    for _ in 0..3 {
        let connect = timeout(SILENCE, TcpStream::connect(proxy.address())).await;
        assert!(connect.is_err(), "{connect:?}");
    }
    let rest = timeout(PATIENCE, open.read_to_end(&mut Vec::new())).await.expect("an end");
    assert_eq!(rest.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    proxy.set(Fault::Refuse);
    proxy.in_force().await.expect("a closed port");
    assert_eq!(get(&url).await.1, Some(ErrorKind::ConnectionRefused));
    proxy.set(Fault::Pass);
    proxy.in_force().await.expect("an open port");
    assert_eq!(get(&url).await, ("0123456789".to_owned(), None));
}

#[tokio::test]
async fn a_black_hole_accepts_and_is_silent_and_the_request_passes_afterwards() {
    let (server, proxy, url) = bed().await;
    server.clear_request_log();
    proxy.set(Fault::BlackHole);
    let asked = tokio::spawn(async move { get(&url).await });
    let deadline = Instant::now() + PATIENCE;
    while proxy.connections() < 2 {
        assert!(Instant::now() < deadline, "it never accepted");
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(SILENCE).await;
    assert!(!asked.is_finished() && server.request_log().is_empty());
    proxy.set(Fault::Pass);
    assert_eq!(asked.await.expect("no panic"), ("0123456789".to_owned(), None));
}

#[tokio::test]
async fn a_reset_strikes_after_the_bytes_asked_for_and_only_as_often() {
    let (_server, proxy, url) = bed().await;
    proxy.set_times(Fault::ResetAfter(4), 2);
    let reset = ("0123".to_owned(), Some(ErrorKind::ConnectionReset));
    assert_eq!(get(&url).await, reset);
    assert_eq!(get(&url).await, reset);
    assert_eq!(get(&url).await, ("0123456789".to_owned(), None));
    assert_eq!(proxy.strikes(), 2);
}

#[tokio::test]
async fn a_corrupted_byte_is_one_bit_off_in_either_direction() {
    let (server, proxy, url) = bed().await;
    proxy.set(Fault::CorruptResponse(3));
    assert_eq!(get(&url).await, ("0122456789".to_owned(), None));
    proxy.set(Fault::CorruptRequest(0));
    request("PUT", &url, &[], "0000").await;
    assert_eq!(server.contents("data", "key").as_deref(), Some(&b"1000"[..]));
}

#[tokio::test]
async fn a_lost_response_leaves_the_effect_behind() {
    let (server, proxy, url) = bed().await;
    proxy.set_times(Fault::LoseResponse, 1);
    let (answer, broke) = exchange("PUT", &url, &[], "new").await;
    assert_eq!((answer.len(), broke), (0, Some(ErrorKind::ConnectionReset)));
    assert_eq!(server.contents("data", "key").as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn a_cut_upload_stores_nothing() {
    let (server, proxy, url) = bed().await;
    proxy.set(Fault::CutUpload(5));
    let (_, broke) = exchange("PUT", &url, &[], "abcdefghij").await;
    assert_eq!(broke, Some(ErrorKind::ConnectionReset));
    assert_eq!(server.contents("data", "key").as_deref(), Some(&b"0123456789"[..]));
}

#[tokio::test]
async fn a_stalled_response_goes_on_when_the_stall_ends() {
    let (_server, proxy, url) = bed().await;
    proxy.set(Fault::StallAfter(4));
    let asked = tokio::spawn(async move { get(&url).await });
    let deadline = Instant::now() + PATIENCE;
    while proxy.strikes() < 1 {
        assert!(Instant::now() < deadline, "it never struck");
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(SILENCE).await;
    assert!(!asked.is_finished());
    proxy.set(Fault::Pass);
    assert_eq!(asked.await.expect("no panic"), ("0123456789".to_owned(), None));
}

#[tokio::test]
async fn half_open_connections_stay_silent_and_new_ones_pass() {
    let (_server, proxy, url) = bed().await;
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
    stream.write_all(b"HEAD /data/key HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut buffer = vec![0; 4096];
    let read = stream.read(&mut buffer).await.expect("answered");
    assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
    proxy.set(Fault::HalfOpen);
    stream.write_all(b"HEAD /data/key HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    assert!(timeout(SILENCE, stream.read(&mut buffer)).await.is_err(), "something came");
    assert_eq!(get(&url).await, ("0123456789".to_owned(), None));
    proxy.set(Fault::Pass);
    assert!(timeout(SILENCE, stream.read(&mut buffer)).await.is_err(), "something came");
}

#[tokio::test]
async fn delays_and_throttles_take_their_time() {
    let (_server, proxy, url) = bed().await;
    let timed = async || {
        let begun = Instant::now();
        assert_eq!(get(&url).await, ("0123456789".to_owned(), None));
        begun.elapsed()
    };
    proxy.set(Fault::Delay(SILENCE));
    assert!(timed().await >= SILENCE);
    // Some 150 bytes of request and 200 of answer.
    proxy.set(Fault::Throttle(500));
    assert!(timed().await >= SILENCE);
}

#[tokio::test]
async fn jitter_holds_each_response_back_by_another_time_within_its_bound() {
    let (_server, proxy, url) = bed().await;
    proxy.set(Fault::Jitter(SILENCE));
    let begun = Instant::now();
    let mut fastest = PATIENCE;
    for _ in 0..8 {
        let begun = Instant::now();
        assert_eq!(get(&url).await, ("0123456789".to_owned(), None));
        fastest = fastest.min(begun.elapsed());
    }
    assert!(fastest < SILENCE, "the fastest took {fastest:?}");
    // A half of the bound each, on average; the same draws in every run.
    assert!(begun.elapsed() > SILENCE * 2, "all took {:?}", begun.elapsed());
    assert_eq!(proxy.strikes(), 8);
}

#[tokio::test]
async fn the_same_seed_loses_the_same_responses() {
    let mut outcomes = Vec::new();
    for seed in [7, 7, 8] {
        let server = TinyS3::start(Options::default().credentials([])).await.expect("S3");
        let proxy = FaultProxy::start_seeded(server.address(), seed).await.expect("a proxy");
        proxy.set(Fault::Flaky(0.5));
        let mut lost = Vec::new();
        for _ in 0..32 {
            lost.push(exchange("GET", &proxy.url(), &[], "").await.1.is_some());
        }
        outcomes.push(lost);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_ne!(outcomes[0], outcomes[2]);
    assert!(outcomes[0].contains(&true) && outcomes[0].contains(&false));
}

#[tokio::test]
async fn an_unreachable_server_resets_the_client() {
    let server = TinyS3::start(Options::default()).await.expect("S3");
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    drop(server);
    let deadline = Instant::now() + PATIENCE;
    // The server's port closes when its task has ended.
    while get(&proxy.url()).await.1 != Some(ErrorKind::ConnectionReset) {
        assert!(Instant::now() < deadline, "it never reset");
    }
}

#[tokio::test]
async fn scripted_replies_come_in_order_and_requests_are_kept() {
    let server = Scripted::in_order([
        Reply::error(503, "SlowDown", "slower <please>").header("retry-after", "1"),
        Reply::html(200),
        Reply::malformed_xml(200),
        Reply::azure_error(404, "BlobNotFound", "no"),
    ])
    .await
    .expect("a server");
    let url = format!("{}/a?b=c", server.url());
    let slow = request("PUT", &url, &[("x-test", "1")], "data").await;
    assert_eq!((slow.status, slow.code().as_str()), (503, "SlowDown"));
    assert_eq!(slow.headers["retry-after"], "1");
    assert!(request("GET", &url, &[], "").await.body.starts_with("<!DOCTYPE html>"));
    assert!(!request("GET", &url, &[], "").await.body.contains("</"));
    let azure = request("GET", &url, &[], "").await;
    assert_eq!(azure.headers["x-ms-error-code"], "BlobNotFound");
    assert_eq!(request("GET", &url, &[], "").await.code(), "ScriptExhausted");
    let first = &server.requests()[0];
    assert_eq!((first.method.as_str(), first.target.as_str()), ("PUT", "/a?b=c"));
    assert_eq!((first.header("x-test"), &first.body[..]), (Some("1"), &b"data"[..]));
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn scripted_error_can_hide_behind_a_200_and_a_redirect_says_where_to() {
    let server = Scripted::in_order([
        Reply::error_behind_200(),
        Reply::redirect("http://elsewhere.test/data/key"),
    ])
    .await
    .expect("a server");
    let hidden = request("PUT", &server.url(), &[], "").await;
    assert_eq!((hidden.status, hidden.code().as_str()), (200, "InternalError"));
    let away = request("PUT", &server.url(), &[], "").await;
    assert_eq!((away.status, away.code().as_str()), (307, "TemporaryRedirect"));
    assert_eq!(away.headers["location"], "http://elsewhere.test/data/key");
}

#[tokio::test]
async fn scripted_replies_misbehave_as_told() {
    let server = Scripted::matching(|_, request| match request.target.as_str() {
        "/truncated" => Reply::new(200).body("hello").truncated(7),
        "/reset" => Reply::new(200).body("hello").reset_after(2),
        "/drip" => Reply::new(200).body("hello").drip(Duration::from_millis(20)),
        "/hang-up" => Reply::hang_up(),
        "/reset-at-once" => Reply::reset(),
        "/stall" => Reply::new(200).body("hello").stall_after(2),
        _ => Reply::silence(),
    })
    .await
    .expect("a server");
    let ask = async |path: &str| {
        let url = format!("{}/{path}", server.url());
        timeout(SILENCE, exchange("GET", &url, &[], "")).await
    };
    let (answer, broke) = ask("truncated").await.expect("an end");
    assert!(String::from_utf8_lossy(&answer).contains("content-length: 12\r\n"));
    assert_eq!((body(&answer).as_str(), broke), ("hello", None));
    let (answer, broke) = ask("reset").await.expect("an end");
    assert_eq!((body(&answer).as_str(), broke), ("he", Some(ErrorKind::ConnectionReset)));
    let (answer, broke) = ask("hang-up").await.expect("an end");
    assert_eq!((answer.len(), broke), (0, None));
    let (answer, broke) = ask("reset-at-once").await.expect("an end");
    assert_eq!((answer.len(), broke), (0, Some(ErrorKind::ConnectionReset)));
    ask("silence").await.expect_err("nothing");
    ask("stall").await.expect_err("no end");
    let begun = Instant::now();
    let _ = ask("drip").await;
    assert!(begun.elapsed() >= Duration::from_millis(100));
}
