//! What the real command tells of backends beyond their health: again and again, and of what is left of conflicts and of
//! writers that were killed.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use lifeboat_testkit::s3::{Options, TinyS3};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;

use crate::journal::{store, write_while_the_first_is_down};
use crate::sandbox::Sandbox;

/// How long snapshots are waited for: one comes every two seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// A writer that said since when it wrote and how often it would say so (in milliseconds), and has said nothing since.
pub(crate) async fn leave_a_writer_behind(server: &TinyS3, beat: u64) -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let name = format!(".lifeboat/writers/{:016x}-{since:016x}-{beat:x}", 0xab);
    let store = store("tiny", server.url());
    store.put(&Path::from(name), "".into()).await.unwrap();
    u64::try_from(since).unwrap()
}

/// `status --watch --json`, until this is dropped.
struct Watch {
    child: Child,
    snapshots: Receiver<Value>,
}

impl Watch {
    fn start(sandbox: &Sandbox) -> Self {
        let mut child = sandbox.command(&["status", "--watch", "--json"]).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, snapshots) = channel();
        // Ends with the child, whose output it reads.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, snapshots }
    }

    fn next(&self) -> Value {
        self.snapshots.recv_timeout(PATIENCE).expect("it shows one every two seconds")
    }

    /// The first one that shows something.
    fn until(&self, shows: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let snapshot = self.next();
            if shows(&snapshot) {
                return snapshot;
            }
            assert!(began.elapsed() < PATIENCE, "{snapshot}");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // One that has ended by itself is found out by the snapshots that do not come.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_status_looks_again_and_shows_what_has_changed() {
    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    let watch = Watch::start(&sandbox);
    let [first, second] = [watch.next(), watch.next()];
    assert_eq!(
        (&first["journal"]["markers"], &second["journal"]["markers"]),
        (&0.into(), &0.into())
    );
    write_while_the_first_is_down(&sandbox.servers()[1]).await;
    let later = watch.until(|snapshot| snapshot["journal"]["markers"] == 1);
    assert_eq!(later["backends"][0]["behind"], 1, "{later}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_how_many_losers_of_conflicts_are_kept() {
    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    assert_eq!(sandbox.run(&["status", "--json"]).json()["conflicts"], 0);
    write_while_the_first_is_down(&sandbox.servers()[1]).await;
    let theirs = store("tiny", sandbox.server().url());
    theirs.put(&"a".into(), "of somebody else".into()).await.unwrap();
    sandbox.run(&["journal", "replay", "--no-progress"]).ok();
    assert_eq!(sandbox.run(&["status", "--json"]).json()["conflicts"], 1);
    let text = sandbox.run(&["status"]).ok();
    let line = "conflicts: 1 version is kept: `lifeboat journal conflicts` lists them\n";
    assert!(text.ends_with(&format!("journal: empty\n{line}")), "{text}");
    assert_eq!(sandbox.run(&["journal", "conflicts"]).ok().lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_that_no_backend_lists_are_not_known_rather_than_none() {
    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    let mut toml = std::fs::read_to_string(sandbox.path("lifeboat.toml")).unwrap();
    for server in sandbox.servers() {
        toml = toml.replacen(&server.url(), "http://127.0.0.1:1", 1);
    }
    sandbox.write("lifeboat.toml", toml);
    let run = sandbox.run(&["status", "--json"]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(report["conflicts"].is_null() && run.code == Some(6), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_that_is_silent_for_three_beats_while_status_watches_is_told() {
    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    // Over before the second look; one look alone would have to find it a quarter of an hour old.
    let since = leave_a_writer_behind(sandbox.server(), 1).await;
    let watch = Watch::start(&sandbox);
    let told = watch.until(|snapshot| snapshot["unclean_ends"][0]["since_unix_ms"] == since);
    assert_eq!(told["unclean_ends"][0]["writer"], "00000000000000ab", "{told}");
    drop(watch);
    // A minute's beat is not over: it may be alive.
    leave_a_writer_behind(sandbox.server(), 60_000).await;
    let seen = sandbox.run(&["status", "--json"]).json();
    let alive = |end: &Value| end["since_unix_ms"] != since;
    assert!(!seen["unclean_ends"].as_array().unwrap().iter().any(alive), "{seen}");
}
