//! Proves that real servers start, take data, and survive or lose it as expected when they are killed, paused and
//! restarted. Installs what is missing; needs no running test bed.

use std::io::{BufRead, BufReader, ErrorKind};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::plain::exchange;
use lifeboat_testkit::servers::Server;
use lifeboat_testkit::{Error, ServerKind, bed};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, RetryConfig};

/// How long nothing must come before it counts as silence.
const SILENCE: Duration = Duration::from_millis(500);

async fn start(kind: ServerKind) -> Server {
    Server::start(kind).await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn every_server_takes_a_new_bucket_and_the_same_again() {
    for kind in ServerKind::ALL {
        let server = start(kind).await;
        for _ in 0..2 {
            bed::create_bucket(server.endpoint(), "a-bucket").await.expect("a bucket");
        }
        let log = server.log().to_owned();
        server.stop().await.expect("stopped");
        assert!(!log.exists(), "the log of {kind} is still there");
    }
}

fn client(server: &Server) -> impl ObjectStore {
    let endpoint = server.endpoint();
    AmazonS3Builder::new()
        .with_endpoint(&endpoint.url)
        .with_allow_http(true)
        .with_bucket_name("a-bucket")
        .with_access_key_id(&endpoint.credentials.id)
        .with_secret_access_key(&endpoint.credentials.secret)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .build()
        .expect("a client")
}

#[tokio::test]
async fn a_killed_store_refuses_connections_and_keeps_its_data_over_a_restart() {
    let mut server = start(ServerKind::SeaweedFs).await;
    bed::create_bucket(server.endpoint(), "a-bucket").await.expect("a bucket");
    let (store, path) = (client(&server), Path::from("key"));
    store.put(&path, "data".into()).await.expect("stored");
    let url = server.endpoint().url.clone();
    server.kill().expect("killed");
    assert_eq!(server.pid(), None);
    let (_, broke) = exchange("GET", &url, &[], "").await;
    assert_eq!(broke, Some(ErrorKind::ConnectionRefused));
    assert!(matches!(server.pause(), Err(Error::Invalid(_))));
    server.restart().await.expect("restarted");
    assert_eq!(server.endpoint().url, url);
    let read = store.get(&path).await.expect("read").bytes().await.expect("bytes");
    assert_eq!(read, "data");
}

#[tokio::test]
async fn a_paused_server_is_silent_until_it_is_resumed() {
    for kind in [ServerKind::Azurite, ServerKind::Gcs] {
        let server = start(kind).await;
        let url = format!("{}/bucket/key", server.endpoint().url);
        server.pause().expect("paused");
        let asked = tokio::spawn(async move { exchange("GET", &url, &[], "").await });
        tokio::time::sleep(SILENCE).await;
        assert!(!asked.is_finished(), "{kind} answered");
        server.resume().expect("resumed");
        let (answer, _) = asked.await.expect("no panic");
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let server = start(ServerKind::Gcs).await;
    let url = server.endpoint().url.clone();
    let pid = server.pid().expect("it runs");
    drop(server);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    // The endpoint in this process closes when its task has ended.
    wait_until_refused(&url).await;
}

/// A running `lifeboat-testbed` with one server, and that server's URL.
fn command() -> (std::process::Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lifeboat-testbed"))
        .args(["serve", "--servers", "moto"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut line = String::new();
    let output = child.stdout.take().expect("its output");
    BufReader::new(output).read_line(&mut line).expect("a line");
    let (name, url) = line.trim().split_once('=').expect("a variable");
    assert_eq!(name, ServerKind::Moto.variable());
    (child, url.to_owned())
}

async fn wait_until_refused(url: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while exchange("GET", url, &[], "").await.1 != Some(ErrorKind::ConnectionRefused) {
        assert!(Instant::now() < deadline, "it still listens");
    }
}

#[tokio::test]
async fn servers_end_with_the_command_that_started_them_even_when_that_is_killed() {
    let (mut child, url) = command();
    assert!(exchange("GET", &url, &[], "").await.0.starts_with(b"HTTP/1.1 200"));
    child.kill().expect("killed");
    child.wait().expect("gone");
    wait_until_refused(&url).await;
}

#[tokio::test]
async fn a_command_is_run_with_the_variables_and_its_exit_code_is_passed_on() {
    let script = "case $LIFEBOAT_TESTBED_GCS in http://127.0.0.1:*) ;; *) exit 1;; esac; \
                  grep -q PRIVATE \"$LIFEBOAT_TESTBED_GCS_KEY\" || exit 2; exit 77";
    let status = Command::new(env!("CARGO_BIN_EXE_lifeboat-testbed"))
        .args(["run", "--servers", "gcs", "--", "sh", "-c", script])
        .stderr(Stdio::null())
        .status();
    assert_eq!(status.expect("it runs").code(), Some(77));
}

#[tokio::test]
async fn a_reader_may_read_and_not_write() {
    let server = start(ServerKind::SeaweedFs).await;
    bed::create_bucket(server.endpoint(), "a-bucket").await.expect("a bucket");
    let path = Path::from("key");
    client(&server).put(&path, "data".into()).await.expect("stored");
    let reader = server.endpoint().reader().expect("a reader");
    let store = AmazonS3Builder::new()
        .with_endpoint(&server.endpoint().url)
        .with_allow_http(true)
        .with_bucket_name("a-bucket")
        .with_access_key_id(reader.id)
        .with_secret_access_key(reader.secret)
        .build()
        .expect("a client");
    store.get(&path).await.expect("read");
    let error = store.put(&path, "other".into()).await.expect_err("refused");
    assert!(matches!(error, object_store::Error::PermissionDenied { .. }), "{error:?}");
}
