//! Azurite: Microsoft's emulator of Azure Blob Storage, a Node program.

use std::path::Path;

use super::process::Launch;
use super::{Plan, free_ports};
use crate::bed::ServerKind;
use crate::error::Result;

pub(super) fn plan(installed: &Path, data: &Path) -> Result<Plan> {
    let [port] = free_ports()?;
    let program = installed.join("node_modules/azurite/dist/src/blob/main.js");
    let mut arguments = vec![program.into_os_string()];
    let port_text = port.to_string();
    let flags =
        ["--blobHost", "127.0.0.1", "--blobPort", &port_text, "--disableTelemetry", "--silent"];
    arguments.extend(flags.map(Into::into));
    arguments.extend(["--location".into(), data.into()]);
    let account = ServerKind::Azurite.credentials().id;
    let url = format!("http://127.0.0.1:{port}/{account}");
    Ok(Plan {
        launch: Launch {
            program: "node".into(),
            arguments,
            environment: Vec::new(),
            folder: data.to_owned(),
        },
        process_url: url.clone(),
        url,
        litter: Vec::new(),
    })
}
