//! Fetching the servers: pinned versions, every file checked against a hash that is part of this crate, nothing
//! compiled. The package clients do the fetching; this file gives them a private folder, one at a time, and renames
//! it into place only when it is whole.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::{QUOTED_LINES, display_name, last_lines};
use crate::bed::ServerKind;
use crate::error::{Error, Result, io};
use crate::signing::hex;

/// Names the folder that the servers are installed into.
pub const FOLDER_VARIABLE: &str = "LIFEBOAT_TESTBED_DIR";

/// Marks folders that an interrupted installation may have left.
const UNFINISHED: &str = "unfinished-";

/// An installed server.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Where it is.
    pub path: PathBuf,
    /// How long fetching took; `None` when it was there already.
    pub took: Option<Duration>,
}

/// What is fetched, and with which client.
enum Package {
    /// A requirements file with hashes. The second field says whether it holds code for one Python release only.
    Python(&'static str, bool),
    /// `package.json` and its lock file.
    Node(&'static str, &'static str),
}

impl Package {
    const fn of(kind: ServerKind) -> Self {
        match kind {
            ServerKind::SeaweedFs => {
                Self::Python(include_str!("../../testbed/seaweedfs.txt"), false)
            }
            ServerKind::Azurite => Self::Node(
                include_str!("../../testbed/azurite/package.json"),
                include_str!("../../testbed/azurite/package-lock.json"),
            ),
            ServerKind::Gcs => {
                Self::Python(include_str!("../../testbed/fake-gcs-server.txt"), false)
            }
            ServerKind::Moto => Self::Python(include_str!("../../testbed/moto.txt"), true),
        }
    }

    /// A fingerprint of everything that decides the outcome, so that a changed pin is a new folder.
    fn fingerprint(&self) -> Result<String> {
        let mut digest = Sha256::new_with_prefix(std::env::consts::OS);
        digest.update(std::env::consts::ARCH);
        match self {
            Self::Python(requirements, by_release) => {
                digest.update(requirements);
                if *by_release {
                    digest.update(python_release()?);
                }
            }
            Self::Node(_, lock) => digest.update(lock),
        }
        Ok(hex(&digest.finalize()[..8]))
    }
}

/// The folder of the test bed: `LIFEBOAT_TESTBED_DIR`, else `testbed` in cargo's target folder of the workspace
/// around the current package or working folder.
///
/// # Errors
///
/// [`Error::NoFolder`] outside of any cargo workspace.
pub fn folder() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = variable(FOLDER_VARIABLE) {
        return std::path::absolute(path).map_err(io(format!("resolve {FOLDER_VARIABLE}")));
    }
    if let Some(path) = variable("CARGO_TARGET_DIR") {
        let path = std::path::absolute(path).map_err(io("resolve CARGO_TARGET_DIR"))?;
        return Ok(path.join("testbed"));
    }
    let here = variable("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = here.or_else(|| std::env::current_dir().ok());
    let root = here.as_deref().and_then(workspace_around);
    let root = root.ok_or(Error::NoFolder { variable: FOLDER_VARIABLE })?;
    Ok(root.join("target").join("testbed"))
}

/// The nearest folder upwards with a lock file, which only the root of a workspace has; else the nearest package.
fn workspace_around(start: &Path) -> Option<PathBuf> {
    let with = |file: &str| start.ancestors().find(|folder| folder.join(file).is_file());
    with("Cargo.lock").or_else(|| with("Cargo.toml")).map(Path::to_owned)
}

/// Makes sure that a server is installed. Only one process installs at a time, others wait for it; an interrupted
/// installation leaves nothing that could be mistaken for a finished one. Blocks for seconds when there is work to do.
///
/// # Errors
///
/// [`Error::MissingTool`] names the program that is absent, [`Error::Install`] quotes the package client.
pub fn install(kind: ServerKind) -> Result<Installed> {
    let package = Package::of(kind);
    let root = folder()?;
    let path = root.join(format!("{kind}-{}", package.fingerprint()?));
    if path.is_dir() {
        return Ok(Installed { path, took: None });
    }
    let started = Instant::now();
    fs::create_dir_all(root.join("logs")).map_err(io(format!("make {}", root.display())))?;
    let _lock = lock(&root)?;
    if path.is_dir() {
        return Ok(Installed { path, took: None });
    }
    remove_unfinished(&root)?;
    // A new name each time: a package client that outlived its caller may still be writing to the last one.
    let unfinished = root.join(format!("{UNFINISHED}{kind}-{:08x}", rand::random::<u32>()));
    fs::create_dir(&unfinished).map_err(io(format!("make {}", unfinished.display())))?;
    let log = root.join("logs").join(format!("install-{kind}.log"));
    match package {
        Package::Python(requirements, _) => python(kind, requirements, &unfinished, &log)?,
        Package::Node(manifest, lock) => node(kind, manifest, lock, &unfinished, &log)?,
    }
    fs::rename(&unfinished, &path).map_err(io(format!("move {kind} into place")))?;
    Ok(Installed { path, took: Some(started.elapsed()) })
}

/// Waits for the right to install; it ends with the returned file, or with the process.
fn lock(root: &Path) -> Result<File> {
    let path = root.join("install.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(io(format!("open {}", path.display())))?;
    file.lock().map_err(io(format!("lock {}", path.display())))?;
    Ok(file)
}

/// Whoever holds the lock may remove what an interrupted holder left.
fn remove_unfinished(root: &Path) -> Result<()> {
    let entries = fs::read_dir(root).map_err(io(format!("list {}", root.display())))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // What cannot be removed yet is in nobody's way, and goes next time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

fn no_python(_: std::io::Error) -> Error {
    Error::MissingTool {
        tool: "python3",
        remedy: "install Python 3.10 or newer (Debian: apt-get install python3 python3-pip)",
    }
}

/// The release of the installed Python, such as `3.11`.
fn python_release() -> Result<String> {
    let code = "import sys; print('%d.%d' % sys.version_info[:2])";
    let output = Command::new("python3").args(["-c", code]).output().map_err(no_python)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn python(kind: ServerKind, requirements: &str, target: &Path, log: &Path) -> Result<()> {
    let pip = Command::new("python3").args(["-m", "pip", "--version"]).output();
    if !pip.map_err(no_python)?.status.success() {
        let remedy = "install it (python3 -m ensurepip; Debian: apt-get install python3-pip)";
        return Err(Error::MissingTool { tool: "pip for python3", remedy });
    }
    let file = target.join("requirements.txt");
    write(&file, requirements)?;
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", "install", "--require-hashes", "--no-deps"])
        .args(["--only-binary", ":all:", "--no-input", "--disable-pip-version-check"])
        .args([OsStr::new("--target"), target.as_os_str()])
        .args([OsStr::new("--requirement"), file.as_os_str()])
        // A user's setting that contradicts --target.
        .env("PIP_USER", "0");
    run(kind, command, log, "python3")
}

fn node(kind: ServerKind, manifest: &str, lock: &str, target: &Path, log: &Path) -> Result<()> {
    write(&target.join("package.json"), manifest)?;
    write(&target.join("package-lock.json"), lock)?;
    for tool in ["node", "npm"] {
        if Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_err() {
            let remedy = "install Node.js 20 with npm (Debian: apt-get install nodejs npm)";
            return Err(Error::MissingTool { tool, remedy });
        }
    }
    let mut command = Command::new("npm");
    command
        .args(["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"])
        .current_dir(target);
    run(kind, command, log, "npm")
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(io(format!("write {}", path.display())))
}

/// Runs a package client with its output in `log`.
fn run(kind: ServerKind, mut command: Command, log: &Path, tool: &'static str) -> Result<()> {
    let output = File::create(log).map_err(io(format!("open {}", log.display())))?;
    let errors = output.try_clone().map_err(io("share the log file"))?;
    let status = command.stdin(Stdio::null()).stdout(output).stderr(errors).status();
    if status.map_err(io(format!("run {tool}")))?.success() {
        return Ok(());
    }
    let tail = last_lines(log, QUOTED_LINES);
    if tail.contains("No matching distribution") {
        let platform = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
        return Err(Error::Platform { what: display_name(kind), platform });
    }
    Err(Error::Install { what: display_name(kind), log: log.to_owned(), tail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_pinned_and_carries_a_hash() {
        for kind in ServerKind::ALL {
            let Package::Python(text, _) = Package::of(kind) else { continue };
            let joined = text.replace("\\\n", " ");
            let lines: Vec<&str> =
                joined.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
            assert!(!lines.is_empty());
            for line in lines {
                assert!(line.contains("==") && line.contains("--hash=sha256:"), "{kind}: {line}");
            }
        }
    }

    #[test]
    fn every_node_package_carries_a_hash_and_no_address() {
        let Package::Node(_, lock) = Package::of(ServerKind::Azurite) else { panic!("not node") };
        let lock: serde_json::Value = serde_json::from_str(lock).expect("JSON");
        let packages = lock["packages"].as_object().expect("packages");
        assert!(packages.len() > 100);
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            assert!(package["integrity"].is_string(), "{name} has no hash");
            assert!(package["resolved"].is_null(), "{name} names a host");
        }
    }

    #[test]
    fn a_lock_file_upwards_marks_the_workspace() {
        let root = tempfile::tempdir().expect("temporary folder");
        let inner = root.path().join("crates/inner");
        fs::create_dir_all(&inner).expect("folders");
        fs::write(inner.join("Cargo.toml"), "").expect("manifest");
        assert_eq!(workspace_around(&inner), Some(inner.clone()));
        fs::write(root.path().join("Cargo.lock"), "").expect("lock");
        assert_eq!(workspace_around(&inner), Some(root.path().to_owned()));
    }
}
