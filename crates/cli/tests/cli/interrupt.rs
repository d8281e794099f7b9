//! Ctrl-C.
#![cfg(unix)]

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lifeboat_testkit::proxy::{Fault, FaultProxy};
use lifeboat_testkit::s3::{Options, TinyS3};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sandbox::Sandbox;

/// A part of 8 MiB takes well under a second here; the rest is for a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

fn requests(server: &TinyS3, method: &str, query: &str) -> usize {
    let log = server.request_log();
    log.iter().filter(|request| request.method == method && request.query.contains(query)).count()
}

async fn until(server: &TinyS3, method: &str, query: &str) {
    let started = Instant::now();
    while requests(server, method, query) == 0 {
        assert!(started.elapsed() < PATIENCE, "no {method} with {query}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn interrupt(child: &Child) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_upload_is_aborted_and_exits_with_130() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    let mut child =
        sandbox.command(&["put", "-", "tiny:large"]).stdin(Stdio::piped()).spawn().unwrap();
    // One part and a bit: the command waits for more when the signal comes.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&vec![b'x'; 9_000_000]).unwrap();
    until(sandbox.server(), "PUT", "partNumber").await;
    interrupt(&child);
    let run = sandbox.finish(&child.wait_with_output().unwrap());
    let said = "interrupted: tidying up, press again to stop at once\ninterrupted\n";
    assert_eq!((run.code, &*run.stderr), (Some(130), said));
    assert_eq!(requests(sandbox.server(), "DELETE", "uploadId"), 1);
    assert!(sandbox.server().keys("data").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_copy_aborts_what_it_was_sending() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    sandbox.run_with_input(&["put", "-", "tiny:tree/large"], &vec![b'x'; 40_000_000]).ok();
    let target = TinyS3::start(Options::default().bucket("data")).await.unwrap();
    // At this rate the source would take 20 s, and the first part arrives after 4.
    let proxy = FaultProxy::start(sandbox.server().address()).await.unwrap();
    proxy.set(Fault::Throttle(2_000_000));
    let at = |url: String, key| {
        format!("s3://data/{key}?region=us-east-1&endpoint={url}&allow_http=true&env=TINY")
    };
    let (from, to) = (at(proxy.url(), "tree"), at(target.url(), "copy"));
    let child = sandbox.command(&["cp", "-r", &from, &to]).spawn().unwrap();
    until(&target, "PUT", "partNumber").await;
    interrupt(&child);
    let run = sandbox.finish(&child.wait_with_output().unwrap());
    assert!(run.stderr.contains("copied 0 objects"), "{}", run.stderr);
    assert!(run.code == Some(130) && run.stderr.ends_with("\ninterrupted\n"), "{run:?}");
    assert_eq!(requests(&target, "DELETE", "uploadId"), 1);
    assert!(target.keys("data").is_empty());
}
