//! Help, usage, configuration, completions and manual pages.

use insta::assert_snapshot;
use lifeboat_testkit::s3::Options;

use crate::sandbox::Sandbox;

#[test]
fn help_documents_every_command_and_exit_code() {
    let help = Sandbox::empty().run(&["--help"]).ok();
    let commands = [
        "drill",
        "status",
        "journal",
        "providers",
        "check",
        "ls",
        "cat",
        "put",
        "cp",
        "rm",
        "stat",
        "demo",
        "completions",
        "man",
    ];
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing:\n{help}");
    }
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    assert_snapshot!(codes, @r#"
0    success; of a drill: no request failed, nothing was lost, all sides are equal
1    some of several things failed, or a failure that no other code names: the object exists
     already or has changed, this machine failed (disk, permissions of files); of a drill:
     requests failed, or what it wrote could not all be removed
2    usage or configuration: an unknown backend, provider or region, an invalid request or range
3    credentials: missing, expired or not accepted
4    not found: an object, a bucket, a file
5    denied: the credentials may not do this
6    the provider, or the path to it, is unavailable
7    integrity: what was read is not what was written; of a drill: something was lost, stale or
     came back, or the sides differ
8    not supported by the provider, or beyond its limits
130  interrupted
"#);
}

#[test]
fn mistake_on_the_command_line_exits_with_2_in_words_and_in_json() {
    let sandbox = Sandbox::empty();
    assert_snapshot!(sandbox.run(&["ls"]).failure(), @r#"
2
error: the following required arguments were not provided:
  <LOCATION>

Usage: lifeboat ls <LOCATION>

For more information, try '--help'.
"#);
    let (code, error) = sandbox.run(&["ls", "--json"]).json_error();
    assert_eq!((code, error["kind"].as_str()), (2, Some("configuration")));
}

#[test]
fn configuration_errors_name_the_file_and_the_remedy() {
    let sandbox = Sandbox::empty();
    assert_snapshot!(sandbox.run(&["--config", "no.toml", "check"]).failure(), @r#"
2
error: no.toml cannot be read
  cause: No such file or directory (os error 2)
  try: give the file with --config or LIFEBOAT_CONFIG
"#);
    sandbox.write(
        "lifeboat.toml",
        "[[backend]]\nname = \"a\"\nurl = \"memory://a\"\nregoin = \"x\"\n",
    );
    assert_snapshot!(sandbox.run(&["check"]).failure(), @r#"
2
error: lifeboat.toml:4: unknown key `regoin`
  try: did you mean `region`?
"#);
    sandbox.write("lifeboat.toml", "[[backend]]\nname = \"a\"\nurl = \"memory://a\"\n");
    assert_snapshot!(sandbox.run(&["check"]).failure(), @r#"
2
error: lifeboat.toml: `a` is no name for a backend
  try: use two or more letters, digits, `-`, `_` and `.`
"#);
}

#[test]
fn without_a_configuration_there_is_no_status() {
    let sandbox = Sandbox::empty();
    for arguments in [&["status"][..], &["journal", "ls"], &["journal", "replay"]] {
        let wanted = "2\nerror: no backend is configured\n  \
                      try: write lifeboat.toml, or name a file with --config or LIFEBOAT_CONFIG\n";
        assert_eq!(sandbox.run(arguments).failure(), wanted, "{arguments:?}");
    }
}

#[test]
fn configuration_is_taken_from_the_option_before_the_environment() {
    let sandbox = Sandbox::empty();
    sandbox.write("one.toml", "[[backend]]\nname = \"one\"\nurl = \"memory://a\"\n");
    sandbox.write("two.toml", "[[backend]]\nname = \"two\"\nurl = \"memory://a\"\n");
    let mut command = sandbox.command(&["check", "--json"]);
    command.env("LIFEBOAT_CONFIG", "two.toml");
    let run = sandbox.finish(&command.output().unwrap());
    assert_eq!(run.json()[0]["name"], "two");
    command.args(["--config", "one.toml"]);
    let run = sandbox.finish(&command.output().unwrap());
    assert_eq!(run.json()[0]["name"], "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_backend_is_answered_with_the_known_ones() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    assert_snapshot!(sandbox.run(&["ls", "tyni:"]).failure(), @r#"
2
error: no backend is called `tyni`
  try: configured are tiny
"#);
    let (code, error) = sandbox.run(&["ls", "tyni:", "--json"]).json_error();
    assert_eq!(error["kind"], "configuration");
    assert_eq!((code, error["remedy"].as_str()), (2, Some("configured are tiny")));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_exit_with_3_and_name_the_variables() {
    let sandbox = Sandbox::with_s3(Options::default()).await;
    let mut command = sandbox.command(&["ls", "tiny:"]);
    command.env_remove("TINY_SECRET_ACCESS_KEY");
    assert_snapshot!(sandbox.finish(&command.output().unwrap()).failure(), @r#"
3
error: tiny: no access key in TINY_ACCESS_KEY_ID
  try: set TINY_ACCESS_KEY_ID and TINY_SECRET_ACCESS_KEY, or name another source
"#);
}

#[test]
fn completions_and_manual_pages_come_from_the_definitions() {
    let sandbox = Sandbox::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = sandbox.run(&["completions", shell]).ok();
        assert!(script.contains("lifeboat") && script.contains("providers"), "{shell}");
    }
    for command in [&["completions", "bash", "--json"][..], &["man", "--json"]] {
        let (code, error) = sandbox.run(command).json_error();
        assert_eq!((code, error["kind"].as_str()), (2, Some("configuration")));
    }
    let page = sandbox.run(&["man"]).ok();
    assert!(page.contains(".TH lifeboat 1") && page.contains("Exit codes"), "{page}");
    sandbox.run(&["man", "--dir", "pages"]).ok();
    let page = std::fs::read_to_string(sandbox.path("pages/lifeboat-cp.1")).unwrap();
    assert!(page.contains("drop\\-attributes"), "{page}");
}

#[test]
fn credentials_that_never_came_are_not_called_refused() {
    let sandbox = Sandbox::empty();
    let mut command = sandbox.command(&["ls", "s3://bucket?region=eu-central-1"]);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", sandbox.path("home"));
    let run = sandbox.finish(&command.output().unwrap());
    assert!(run.stderr.contains(": no credentials: "), "{run:?}");
    let remedy = "  try: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile\n";
    assert!(run.code == Some(3) && run.stderr.ends_with(remedy), "{run:?}");
}
