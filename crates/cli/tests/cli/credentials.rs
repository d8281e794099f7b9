//! Where the keys come from: profiles, processes, files, and sources that fail.

use lifeboat_testkit::s3::Options;
use lifeboat_testkit::scripted::{Reply, Scripted};

use crate::sandbox::{SECRET, Sandbox};

fn url(sandbox: &Sandbox, parameters: &str) -> String {
    let endpoint = sandbox.server().url();
    format!("s3://data/k?region=us-east-1&endpoint={endpoint}&allow_http=true&{parameters}")
}

/// A profile that was named wins over whatever the environment says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profile_with_keys_and_profile_with_a_process_are_used() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    let answer = format!(
        "{{\"Version\": 1, \"AccessKeyId\": \"lifeboat\", \"SecretAccessKey\": \"{SECRET}\"}}"
    );
    sandbox.write("answer.json", answer);
    let config = format!(
        "[profile plain]\naws_access_key_id = lifeboat\naws_secret_access_key = {SECRET}\n\
         [profile process]\ncredential_process = cat {}\n",
        sandbox.path("answer.json").display()
    );
    sandbox.write("aws-config", config);
    for profile in ["plain", "process"] {
        let url = url(&sandbox, &format!("profile={profile}"));
        let mut command = sandbox.command(&["stat", &url]);
        command
            .env("PATH", "/usr/bin:/bin")
            .env("AWS_CONFIG_FILE", sandbox.path("aws-config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", sandbox.path("none"))
            .env("AWS_ACCESS_KEY_ID", "somebody-else")
            .env("AWS_SECRET_ACCESS_KEY", "wrong");
        let run = sandbox.finish(&command.output().unwrap());
        // The key is accepted: what is missing is the object.
        assert_eq!(run.code, Some(4), "{profile}: {run:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profile_that_is_not_there_is_a_matter_of_credentials() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    let url = url(&sandbox, "profile=nobody");
    let mut command = sandbox.command(&["stat", &url]);
    command
        .env("AWS_CONFIG_FILE", sandbox.path("none"))
        .env("AWS_SHARED_CREDENTIALS_FILE", sandbox.path("none"));
    let run = sandbox.finish(&command.output().unwrap());
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains("nobody"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_file_is_used() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    sandbox.write("key", format!("access_key_id = lifeboat\nsecret_access_key = {SECRET}\n"));
    let path = sandbox.path("key").display().to_string();
    let url = url(&sandbox, &format!("credentials_file={path}"));
    assert_eq!(sandbox.run(&["stat", &url]).code, Some(4));
}

/// The metadata service has no service account: its 404 speaks of no object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credential_source_that_answers_404_is_no_missing_object() {
    let metadata = Scripted::always(Reply::new(404).body("no such account")).await.unwrap();
    let storage = Scripted::always(Reply::new(500)).await.unwrap();
    let sandbox = Sandbox::empty();
    let url = format!("gs://bucket/key?endpoint={}&allow_http=true", storage.url());
    for arguments in [["stat", &url], ["cat", &url]] {
        let mut command = sandbox.command(&arguments);
        command.env("GCE_METADATA_HOST", metadata.address().to_string());
        let run = sandbox.finish(&command.output().unwrap());
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(!run.stderr.contains("no such object"), "{run:?}");
    }
    assert!(storage.requests().is_empty(), "nothing is asked without a token");
}
