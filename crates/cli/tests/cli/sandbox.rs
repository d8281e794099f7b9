//! A folder, a configuration and an S3 endpoint for one test, and runs of the command in them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lifeboat_testkit::s3::{Options, TinyS3};
use tempfile::TempDir;

/// The secret access key of the endpoint; must never be shown.
pub(crate) const SECRET: &str = "lifeboat-secret";

/// A folder to run the command in, and perhaps an endpoint.
pub(crate) struct Sandbox {
    folder: TempDir,
    servers: Vec<TinyS3>,
}

/// What a run came to. Texts have the folder and the port replaced by `DIR` and `PORT`.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    /// A folder without a configuration.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), servers: Vec::new() }
    }

    /// A folder whose configuration names an S3 endpoint as `tiny`, and memory as `scratch`.
    pub(crate) async fn with_s3(options: Options) -> Self {
        Self::with_servers(&["tiny"], options).await
    }

    /// A folder whose configuration names two S3 endpoints, as `tiny` and `other`.
    pub(crate) async fn with_two_s3(options: Options) -> Self {
        Self::with_servers(&["tiny", "other"], options).await
    }

    async fn with_servers(names: &[&str], options: Options) -> Self {
        let mut sandbox = Self::empty();
        let mut text = String::new();
        for name in names {
            let server = TinyS3::start(options.clone().bucket("data")).await.unwrap();
            let backend = format!(
                "[[backend]]\nname = \"{name}\"\nprovider = \"s3\"\nbucket = \"data\"\n\
                 region = \"us-east-1\"\nendpoint = \"{}\"\nallow_http = true\n\
                 credentials = {{ env = \"TINY\" }}\n",
                server.url()
            );
            text.push_str(&backend);
            sandbox.servers.push(server);
        }
        sandbox.write("lifeboat.toml", text);
        sandbox
    }

    /// The only server, or the first.
    pub(crate) fn server(&self) -> &TinyS3 {
        &self.servers[0]
    }

    pub(crate) fn servers(&self) -> &[TinyS3] {
        &self.servers
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    /// The command, with nothing of the environment of the test but what it needs.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("TINY_ACCESS_KEY_ID", "lifeboat")
            .env("TINY_SECRET_ACCESS_KEY", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in ["TMPDIR", "SYSTEMROOT", "TEMP"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.finish(&self.command(arguments).output().unwrap())
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        self.finish(&child.wait_with_output().unwrap())
    }

    pub(crate) fn finish(&self, output: &Output) -> Run {
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let text = text.replace(&*self.folder.path().to_string_lossy(), "DIR");
            self.servers.iter().fold(text, |text, server| {
                text.replace(&server.address().port().to_string(), "PORT")
            })
        };
        let run = Run {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        assert!(!run.stdout.contains(SECRET) && !run.stderr.contains(SECRET), "{run:?}");
        assert!(!run.stderr.contains("panicked"), "{run:?}");
        run
    }
}

impl Run {
    /// Standard output of a run that must succeed.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Standard output of a run that must succeed, as JSON.
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// Exit code and what a person reads.
    pub(crate) fn failure(self) -> String {
        assert_eq!(self.stdout, "", "a failure printed data: {}", self.stderr);
        format!("{}\n{}", self.code.unwrap(), self.stderr)
    }

    /// Exit code and the error as JSON.
    pub(crate) fn json_error(self) -> (i32, serde_json::Value) {
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        let document: serde_json::Value = serde_json::from_str(&self.stderr).unwrap();
        (self.code.unwrap(), document["error"].clone())
    }
}

/// All files below a folder, by their paths in it.
pub(crate) fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
