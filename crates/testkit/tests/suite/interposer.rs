//! Proves that the interposer answers what its script says, and passes everything else on unchanged.

use crate::plain::request;
use lifeboat_testkit::interposer::Interposer;
use lifeboat_testkit::s3::{Options, TinyS3};
use lifeboat_testkit::scripted::Reply;

async fn bed() -> (TinyS3, Interposer, String) {
    let server = TinyS3::start(Options::default().bucket("data").credentials([])).await;
    let server = server.expect("S3");
    let interposer = Interposer::start(server.address()).await.expect("an interposer");
    let url = format!("{}/data/key", interposer.url());
    (server, interposer, url)
}

#[tokio::test]
async fn requests_pass_in_both_directions_as_they_came() {
    let (server, interposer, url) = bed().await;
    let attribute = [("x-amz-meta-colour", "red"), ("content-type", "text/plain")];
    assert_eq!(request("PUT", &url, &attribute, "0123456789").await.status, 200);
    let answer = request("GET", &url, &[("range", "bytes=2-5")], "").await;
    assert_eq!((answer.status, &*answer.body), (206, "2345"));
    assert_eq!(answer.headers["x-amz-meta-colour"], "red");
    assert_eq!(answer.headers["content-range"], "bytes 2-5/10");
    let head = request("HEAD", &url, &[], "").await;
    assert_eq!((head.status, &*head.headers["content-length"], &*head.body), (200, "10", ""));
    assert_eq!(request("DELETE", &url, &[], "").await.status, 204);
    assert_eq!(request("GET", &url, &[], "").await.code(), "NoSuchKey");
    assert_eq!((interposer.passed(), interposer.answered()), (5, 0));
    assert_eq!(server.request_log().len(), 5);
}

#[tokio::test]
async fn script_answers_whom_it_wants_until_it_ends_and_the_server_never_hears_of_it() {
    let (server, interposer, url) = bed().await;
    assert_eq!(request("PUT", &url, &[], "old").await.status, 200);
    interposer.script(|request| {
        let slow_down = Reply::error(503, "SlowDown", "Less, please.").header("retry-after", "1");
        (request.method == "PUT" && request.target == "/data/key").then_some(slow_down)
    });
    let answer = request("PUT", &url, &[], &"new".repeat(100_000)).await;
    assert_eq!((answer.status, &*answer.code()), (503, "SlowDown"));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(request("GET", &url, &[], "").await.body, "old");
    assert_eq!(server.contents("data", "key").as_deref(), Some(&b"old"[..]));
    interposer.pass();
    assert_eq!(request("PUT", &url, &[], "new").await.status, 200);
    assert_eq!((interposer.passed(), interposer.answered()), (3, 1));
}

#[tokio::test]
async fn server_that_is_gone_is_a_bad_gateway() {
    let (server, _interposer, url) = bed().await;
    drop(server);
    let answer = request("GET", &url, &[], "").await;
    assert_eq!((answer.status, &*answer.code()), (502, "BadGateway"));
}
