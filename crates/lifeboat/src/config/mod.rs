//! The configuration file: which backends there are, in order of preference.
//!
//! ```toml
//! # lifeboat.toml
//! [[backend]]
//! name = "primary"                       # how commands and metrics call it
//! url = "s3://my-bucket?region=eu-north-1"
//!
//! [[backend]]
//! name = "second"
//! provider = "stackit"                   # the same, key by key
//! bucket = "my-bucket"
//! region = "eu01"
//! credentials = { env = "STACKIT" }      # STACKIT_ACCESS_KEY_ID, STACKIT_SECRET_ACCESS_KEY
//!
//! [backend.http]
//! connect = "1s"                         # deadlines of one attempt
//! first_byte = "3s"
//! ```
//!
//! | key of a backend | meaning |
//! |---|---|
//! | `name` | its name, of which there is one: two or more letters, digits, `-`, `_` and `.`; the provider's id if left out |
//! | `url` | everything in one line, see [`url`]; or the keys below |
//! | `provider` | `s3`, `azure`, `gcs`, `file`, `memory`, or an id of the catalogue |
//! | `bucket`, `prefix` | the bucket or container (or folder), and the part of it that is used |
//! | `region`, `account`, `endpoint` | where the provider needs them |
//! | `allow_http` | `true` lets an endpoint be plain HTTP |
//! | `verify_reads` | `false` switches the checksum check of whole reads off |
//! | `seeded` | `true` declares that it holds everything that exists: its "not found" is believed |
//! | `emulator` | `true` for Microsoft's Azurite |
//! | `credentials` | `env` (prefix of variables), `profile` (AWS), `file`, `anonymous`, `source` |
//! | `http` | `connect`, `first_byte`, `assembly`, `stall`, `retry_budget` (durations), `retries` (a number), `proxy`, `ca_certificate` (a file) |
//!
//! How they work together is in the table `[failover]`; what each key means, and its default, is said at
//! [`Settings`](crate::failover::Settings); `consecutive_faults` and `probe_…` are fields of
//! [`HealthSettings`](crate::failover::HealthSettings), and `memory_mib` is `memory` in MiB:
//!
//! | key | value |
//! |---|---|
//! | `min_copies`, `hedge_budget_percent`, `memory_mib`, `catch_up_rate`, `catch_up_concurrency`, `settle_rate`, `consecutive_faults` | a number |
//! | `slow_after`, `read_deadline`, `write_deadline`, `attempt_deadline`, `settling`, `journal_poll`, `quarantine`, `presence_beat`, `rescue_after`, `stall_deadline`, `settle_after`, `probe_initial`, `probe_max`, `probe_deadline` | a duration |
//! | `settle_check`, `intent`, `read_through` | `true` or `false` |
//! | `conditional_writes`, `stale_reads` | `"refuse"`, or `"active"` and `"serve"` |
//! | `failback` | `"auto"`, or `"manual"`: reads prefer a backend that has returned when the application calls `Failover::fail_back` |
//!
//! Secrets are not written into the file: it gets committed, copied and shown. They come from the
//! environment, from the provider's own chain, or from a file that `credentials.file` names.

mod build;
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
mod credentials;
mod failover;
mod http;
mod read;
mod settings;
pub mod url;

use std::path::{Path, PathBuf};

pub use settings::{BackendSettings, CredentialSettings, HttpOverrides};

pub(crate) use build::build;
pub(crate) use settings::parse;

/// The variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "LIFEBOAT_CONFIG";
/// The file that is looked for in the working directory.
pub const CONFIG_FILE: &str = "lifeboat.toml";

/// The configuration file to use: the one given, else the one that `LIFEBOAT_CONFIG` names, else
/// `lifeboat.toml` in the working directory if it is there.
pub fn find_config(explicit: Option<&Path>) -> Option<PathBuf> {
    explicit.map(Path::to_owned).or_else(|| {
        let named = std::env::var_os(CONFIG_VARIABLE).filter(|name| !name.is_empty());
        let here = || Some(PathBuf::from(CONFIG_FILE)).filter(|path| path.is_file());
        named.map(PathBuf::from).or_else(here)
    })
}
