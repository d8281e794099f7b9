//! `SeaweedFS`: master, volume, filer and S3 gateway in one process (`weed mini`).

use std::path::{Path, PathBuf};

use super::process::Launch;
use super::{Plan, free_ports, is_free};
use crate::bed::{self, Endpoint, ServerKind};
use crate::error::{Error, Result, io};

/// How far the server puts the port for gRPC from the one for HTTP.
const GRPC_DISTANCE: u16 = 10_000;

/// Where the ports for outgoing connections begin on Linux.
const LAST_PORT: u16 = 32_768;

/// How many pairs of ports are tried; about four in ten first ports leave room for the second.
const PORT_TRIES: usize = 64;

/// Volumes that the server may make. Each bucket takes one of its own, and left to itself the server allows one for every
/// 128 MB of free disk: a suite with many small buckets runs out of them on a small disk.
const VOLUMES: u32 = 10_000;

/// The bucket that readiness is proved with; it is removed again.
const SCRATCH: &str = "lifeboat-ready";

pub(super) fn plan(installed: &Path, data: &Path) -> Result<Plan> {
    let [s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc] = free_ports()?;
    let (admin, admin_grpc) = admin_ports()?;
    let config = data.join("s3.json");
    std::fs::write(&config, identities()).map_err(io("write the S3 identities"))?;
    let store = data.join("store");
    std::fs::create_dir(&store).map_err(io("make the store's folder"))?;
    let path = |path: &Path| path.display().to_string();
    let arguments = vec![
        format!("-logdir={}", path(data)),
        "mini".to_owned(),
        format!("-dir={}", path(&store)),
        "-ip=127.0.0.1".to_owned(),
        "-ip.bind=127.0.0.1".to_owned(),
        "-master.telemetry=false".to_owned(),
        format!("-s3.config={}", path(&config)),
        format!("-s3.port={s3}"),
        format!("-s3.port.grpc={s3_grpc}"),
        "-s3.port.iceberg=0".to_owned(),
        "-s3.port.lance=0".to_owned(),
        "-s3.autoCreateBucket=false".to_owned(),
        format!("-s3.localSocket={}", path(&data.join("s3.sock"))),
        format!("-master.port={master}"),
        format!("-master.port.grpc={master_grpc}"),
        format!("-volume.max={VOLUMES}"),
        format!("-volume.port={volume}"),
        format!("-volume.port.grpc={volume_grpc}"),
        format!("-filer.port={filer}"),
        format!("-filer.port.grpc={filer_grpc}"),
        format!("-filer.localSocket={}", path(&data.join("filer.sock"))),
        format!("-admin.port={admin}"),
        format!("-admin.port.grpc={admin_grpc}"),
        "-admin.ui=false".to_owned(),
        "-webdav=false".to_owned(),
    ];
    let sockets = [
        ("s3", s3_grpc),
        ("master", master_grpc),
        ("volume", volume_grpc),
        ("filer", filer_grpc),
        ("admin", admin_grpc),
    ];
    // The server puts these where it likes and leaves them there.
    let socket = |(part, port)| PathBuf::from(format!("/tmp/seaweedfs-{part}-grpc-{port}.sock"));
    let url = format!("http://127.0.0.1:{s3}");
    Ok(Plan {
        launch: Launch {
            program: installed.join("bin/weed"),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            folder: data.to_owned(),
        },
        process_url: url.clone(),
        url,
        litter: sockets.map(socket).into(),
    })
}

/// The administration's ports. Its workers look for the second at a fixed distance from the first, whatever is set.
fn admin_ports() -> Result<(u16, u16)> {
    for _ in 0..PORT_TRIES {
        let [port] = free_ports()?;
        let grpc = port.saturating_add(GRPC_DISTANCE);
        if grpc < LAST_PORT && is_free(grpc) {
            return Ok((port, grpc));
        }
    }
    Err(Error::Invalid("there are no two free loopback ports 10000 apart".to_owned()))
}

/// One administrator and one user who may only read.
fn identities() -> String {
    let admin = ServerKind::SeaweedFs.credentials();
    let user = |name: &str, key: &str, secret: &str, actions: &[&str]| {
        serde_json::json!({
            "name": name,
            "credentials": [{ "accessKey": key, "secretKey": secret }],
            "actions": actions,
        })
    };
    let rights = ["Admin", "Read", "List", "Tagging", "Write"];
    let admin = user("administrator", &admin.id, &admin.secret, &rights);
    let reader = user("reader", "reader", "reader-secret", &["Read", "List"]);
    serde_json::json!({ "identities": [admin, reader] }).to_string()
}

/// The gateway answers long before the volumes behind it take data, so readiness is a write that went through.
pub(super) async fn ready(endpoint: &Endpoint) -> Result<()> {
    let kind = endpoint.kind;
    let (bucket, object) = (format!("/{SCRATCH}"), format!("/{SCRATCH}/object"));
    let steps = [
        ("PUT", &bucket, "", &[409][..]),
        ("PUT", &object, "ready", &[]),
        ("DELETE", &object, "", &[]),
        ("DELETE", &bucket, "", &[404]),
    ];
    for (method, path, body, also_good) in steps {
        let request = bed::s3_request(endpoint, method, path, body)?;
        bed::send(kind, request, "take its first object", also_good).await?;
    }
    Ok(())
}
