//! The gateway as Amazon's own Python client sees it; the checks are in `python/gateway.py`.

use std::sync::Arc;

use lifeboat_core::{AnyStore, Identity};
use lifeboat_gateway::Gateway;
use lifeboat_testkit::{ServerKind, servers};
use object_store::memory::InMemory;
use tokio::process::Command;

/// Runs one check against a fresh gateway.
async fn check(name: &str) {
    // moto is made with boto3, so the test bed has it already.
    let installed = tokio::task::spawn_blocking(|| servers::install(ServerKind::Moto));
    let packages = installed.await.unwrap().unwrap().path;
    let store = AnyStore::new(InMemory::new(), Identity::new("memory", "", "bucket"));
    let gateway = Gateway::builder()
        .bucket("bucket", Arc::new(store))
        .credentials("access-key", "secret-key")
        .start()
        .await
        .unwrap();
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/gateway.py"))
        .args([&gateway.url(), name])
        .env("PYTHONPATH", packages)
        .env("PYTHONNOUSERSITE", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // Nobody's settings, and no metadata service.
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    gateway.shutdown().await;
}

macro_rules! checks {
    ($($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            check(stringify!($name)).await;
        }
    )*};
}

checks!(buckets objects conditions listings transfers checksums presigned);
