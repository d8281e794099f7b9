//! moto: a mock of AWS as an HTTP server, a Python program. It keeps everything in memory.

use std::path::Path;

use super::process::Launch;
use super::{Plan, free_ports};
use crate::error::Result;

pub(super) fn plan(installed: &Path, data: &Path) -> Result<Plan> {
    let [port] = free_ports()?;
    let port_text = port.to_string();
    let arguments = ["-m", "moto.server", "-H", "127.0.0.1", "-p", &port_text];
    let url = format!("http://127.0.0.1:{port}");
    Ok(Plan {
        launch: Launch {
            program: "python3".into(),
            arguments: arguments.map(Into::into).into(),
            environment: vec![("PYTHONPATH", installed.into()), ("PYTHONNOUSERSITE", "1".into())],
            folder: data.to_owned(),
        },
        process_url: url.clone(),
        url,
        litter: Vec::new(),
    })
}
