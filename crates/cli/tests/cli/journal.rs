//! What backends have missed, shown and brought to them by the real command.

use std::sync::Arc;

use lifeboat::s3::{Credentials, S3Builder, StaticKey};
use lifeboat_failover::Failover;
use lifeboat_testkit::interposer::Interposer;
use lifeboat_testkit::s3::{Options, TinyS3};
use lifeboat_testkit::scripted::Reply;
use object_store::ObjectStoreExt;

use crate::sandbox::{SECRET, Sandbox};
use crate::status::leave_a_writer_behind;

pub(crate) fn store(name: &str, url: String) -> Arc<dyn lifeboat::BlobStore> {
    let key = StaticKey::new("lifeboat", SECRET);
    let builder = S3Builder::compatible("s3", url, "data", "us-east-1").with_id(name);
    let builder = builder.with_allow_http(true).with_credentials(Credentials::Static(key));
    Arc::new(builder.build().unwrap())
}

/// Writes through a failover whose first backend is down.
pub(crate) async fn write_while_the_first_is_down(other: &TinyS3) {
    let failover = Failover::builder()
        .seeded_backend(store("tiny", "http://127.0.0.1:1".into()))
        .seeded_backend(store("other", other.url()))
        .build()
        .unwrap();
    failover.put(&"a".into(), "1".into()).await.unwrap();
    failover.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_of_healthy_backends_says_so_and_of_a_dead_one_exits_with_6() {
    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    let report = sandbox.run(&["status", "--json"]).json();
    for (number, name) in ["tiny", "other"].into_iter().enumerate() {
        let backend = &report["backends"][number];
        assert_eq!((&backend["name"], &backend["reachable"]), (&name.into(), &true.into()));
        assert_eq!((&backend["health"], &backend["behind"]), (&"serving".into(), &0.into()));
        assert_eq!(backend["journal_read"], true);
    }
    assert_eq!(report["journal"]["markers"], 0);
    let text = sandbox.run(&["status"]).ok();
    assert!(text.ends_with("journal: empty\n"), "{text}");

    let toml = std::fs::read_to_string(sandbox.path("lifeboat.toml")).unwrap();
    sandbox.write("lifeboat.toml", toml.replacen(&sandbox.server().url(), "http://127.0.0.1:1", 1));
    let run = sandbox.run(&["status"]);
    assert!(run.stdout.contains("not read: tiny") && run.code == Some(6), "{run:?}");
    let run = sandbox.run(&["status", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["backends"][0]["error"]["kind"], "unavailable");
    assert_eq!(report["backends"][1]["reachable"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn backend_that_cannot_be_built_is_one_that_is_away() {
    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    let mut text = std::fs::read_to_string(sandbox.path("lifeboat.toml")).unwrap();
    text += "[[backend]]\nname = \"odd\"\nurl = \"stackit://data?region=eu99\"\n";
    sandbox.write("lifeboat.toml", text);
    let run = sandbox.run(&["status", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["backends"][0]["reachable"], true);
    let odd = &report["backends"][2];
    assert_eq!((&odd["name"], &odd["reachable"]), (&"odd".into(), &false.into()));
    assert_eq!((&odd["error"]["kind"], run.code), (&"configuration".into(), Some(2)));
    let run = sandbox.run(&["journal", "ls"]);
    assert!(run.code == Some(0) && run.stderr.contains("eu99"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_has_missed_is_listed_and_replayed() {
    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    let [first, other] = sandbox.servers() else { panic!("two servers") };
    let text = sandbox.run(&["journal", "ls"]).ok();
    assert_eq!(text, "no backend has missed anything that the reachable journals know of\n");
    write_while_the_first_is_down(other).await;

    let text = sandbox.run(&["journal", "ls"]).ok();
    let line = text.lines().nth(1).unwrap();
    assert!(line.starts_with("tiny ") && line.ends_with(" a"), "{text}");
    let marker: serde_json::Value =
        serde_json::from_str(sandbox.run(&["journal", "ls", "--json"]).ok().trim()).unwrap();
    assert_eq!((&marker["target"], &marker["key"]), (&"tiny".into(), &"a".into()));
    assert_eq!(first.contents("data", "a"), None, "looking changes nothing");

    let text = sandbox.run(&["journal", "replay"]).ok();
    // The server was found to enforce conditions: nothing of the other process can land late.
    assert_eq!(text, "1 marker settled, 1 B written; the journal is empty\n");
    assert_eq!(first.contents("data", "a").as_deref(), Some(&b"1"[..]));
    assert_eq!(sandbox.run(&["journal", "conflicts"]).ok(), "no conflicts\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn backend_that_is_away_is_named_and_a_replay_to_it_exits_with_6() {
    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    write_while_the_first_is_down(&sandbox.servers()[1]).await;
    let toml = std::fs::read_to_string(sandbox.path("lifeboat.toml")).unwrap();
    sandbox.write("lifeboat.toml", toml.replacen(&sandbox.server().url(), "http://127.0.0.1:1", 1));
    for action in ["ls", "conflicts"] {
        let run = sandbox.run(&["journal", action, "--json"]);
        assert!(run.code == Some(0) && run.stderr.contains("do not answer: tiny"), "{run:?}");
    }
    let run = sandbox.run(&["journal", "replay", "--no-progress"]);
    let said = "0 markers settled, 0 B written; 1 marker left; away: tiny\n";
    assert_eq!((run.code, &*run.stdout), (Some(6), said), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_names_a_key_that_a_backend_refuses_and_what_it_answered() {
    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    write_while_the_first_is_down(&sandbox.servers()[1]).await;
    let interposer = Interposer::start(sandbox.server().address()).await.unwrap();
    interposer.script(|request| {
        let refused = request.method == "PUT" && request.target.starts_with("/data/a");
        refused.then(|| Reply::error(400, "MetadataTooLarge", "it does not fit"))
    });
    let toml = std::fs::read_to_string(sandbox.path("lifeboat.toml")).unwrap();
    sandbox.write("lifeboat.toml", toml.replacen(&sandbox.server().url(), &interposer.url(), 1));

    let text = sandbox.run(&["journal", "replay", "--no-progress"]).ok();
    let (first, refused) = text.split_once('\n').unwrap();
    assert_eq!(first, "0 markers settled, 0 B written; 1 marker left");
    assert!(refused.starts_with("refused: a: ") && refused.lines().count() == 1, "{text}");
    assert!(refused.contains("MetadataTooLarge"), "{text}");
    let report = sandbox.run(&["journal", "replay", "--no-progress", "--json"]).json();
    assert_eq!((&report["left"], &report["refused"][0]["key"]), (&1.into(), &"a".into()));
    let why = report["refused"][0]["why"].as_str().unwrap();
    assert!(why.contains("MetadataTooLarge"), "{report}");

    interposer.pass();
    let report = sandbox.run(&["journal", "replay", "--no-progress", "--json"]).json();
    assert_eq!((&report["left"], &report["refused"]), (&0.into(), &serde_json::json!([])));
}

/// Two endpoints which agree on `same`, and of which only the first has `lone`. No marker knows of that.
async fn one_differs() -> Sandbox {
    let sandbox = Sandbox::with_two_s3(Options::default()).await;
    let mut toml = std::fs::read_to_string(sandbox.path("lifeboat.toml")).unwrap();
    // As long as `mend` waits for what may be a write on its way.
    toml += "[failover]\nwrite_deadline = \"1s\"\n";
    sandbox.write("lifeboat.toml", toml);
    let [first, other] = sandbox.servers() else { panic!("two servers") };
    let stores = [store("tiny", first.url()), store("other", other.url())];
    let [first, other] = stores.clone();
    let builder = Failover::builder().seeded_backend(first).seeded_backend(other);
    let failover = builder.build().unwrap();
    failover.put(&"same".into(), "1".into()).await.unwrap();
    failover.close().await;
    stores[0].put(&"lone".into(), "12".into()).await.unwrap();
    sandbox
}

/// What an endpoint holds under `lone`.
fn lone(server: &TinyS3) -> Option<Vec<u8>> {
    server.contents("data", "lone").map(|bytes| bytes.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn mend_settles_a_difference_that_no_marker_knows_of_and_says_so() {
    let sandbox = one_differs().await;
    let other = &sandbox.servers()[1];
    assert_eq!(lone(other), None);
    let text = sandbox.run(&["journal", "mend"]).ok();
    assert_eq!(text, "2 keys compared, 1 differed, 1 mended, 2 B written\n");
    assert_eq!(lone(other).as_deref(), Some(&b"12"[..]));
    let report = sandbox.run(&["journal", "mend", "--json"]).json();
    assert_eq!((&report["compared"], &report["different"]), (&2.into(), &0.into()), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mend_since_compares_what_a_backend_lacks_and_what_was_written_since() {
    let sandbox = one_differs().await;
    let text = sandbox.run(&["journal", "mend", "--since", "0s"]).ok();
    assert_eq!(text, "1 keys compared, 1 differed, 1 mended, 2 B written\n");
    assert_eq!(lone(&sandbox.servers()[1]).as_deref(), Some(&b"12"[..]));
    let report = sandbox.run(&["journal", "mend", "--since", "1h", "--json"]).json();
    assert_eq!((&report["compared"], &report["different"]), (&2.into(), &0.into()), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mend_unclean_does_nothing_unless_a_writer_was_killed() {
    let sandbox = one_differs().await;
    let [first, other] = sandbox.servers() else { panic!("two servers") };
    let nothing = "0 keys compared, 0 differed, 0 mended, 0 B written\n";
    assert_eq!(sandbox.run(&["journal", "mend", "--unclean"]).ok(), nothing);
    assert_eq!(lone(other), None);
    // A beat that nobody has: silence is longer than that at first sight.
    leave_a_writer_behind(first, 0).await;
    let text = sandbox.run(&["status"]).ok();
    assert!(text.contains("unclean ends: 1 writer since "), "{text}");
    let text = sandbox.run(&["journal", "mend", "--unclean"]).ok();
    assert_eq!(text, "2 keys compared, 1 differed, 1 mended, 2 B written\n");
    assert_eq!(lone(other).as_deref(), Some(&b"12"[..]));
    assert_eq!(sandbox.run(&["journal", "mend", "--unclean"]).ok(), nothing, "it is forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn mend_of_what_cannot_be_compared_says_so_and_exits_with_6() {
    let sandbox = one_differs().await;
    let toml = std::fs::read_to_string(sandbox.path("lifeboat.toml")).unwrap();
    let other = sandbox.servers()[1].url();
    sandbox.write("lifeboat.toml", toml.replacen(&other, "http://127.0.0.1:1", 1));
    let run = sandbox.run(&["journal", "mend"]);
    assert!(run.stdout.ends_with("; not compared: other\n") && run.code == Some(6), "{run:?}");
    let run = sandbox.run(&["journal", "mend", "--unclean"]);
    assert!(run.stderr.contains("not known whether a writer was killed: away: other"), "{run:?}");
    assert_eq!(run.code, Some(6), "{run:?}");
}
