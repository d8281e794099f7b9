//! Real storage servers, installed on demand in pinned versions and run on loopback ports: [`install`] fetches,
//! [`Server`] starts, kills, pauses, restarts and stops. Which server takes which arguments is in one file each;
//! how a test finds a server that somebody else started is in [`bed`](crate::bed).
//!
//! A server's port and data stay the same over [`Server::kill`] and [`Server::restart`], as after a crash in
//! production. What it prints goes to a log file that is removed when all went well and kept otherwise.

mod azurite;
mod gcs;
mod install;
mod moto;
mod process;
mod seaweedfs;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper::Request;
use tempfile::TempDir;

pub use install::{FOLDER_VARIABLE, Installed, folder, install};
use process::{Launch, Process};

use crate::bed::{Endpoint, GCS_KEY_VARIABLE, ServerKind};
use crate::error::{Error, Result, io};
use crate::gcs_xml::{GcsXml, TestKey};
use crate::http_client::{HttpClient, full};

/// How long a server may take until it answers. The slowest needs 2 s alone on two cores; a machine that compiles at
/// the same time has been seen to take ten times that.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// How long one look may take, so that a server which accepts and says nothing is not waited for in vain.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// How often readiness is asked for.
const READY_POLL: Duration = Duration::from_millis(50);

/// How many sets of ports are tried: somebody else may take a port between our look and the server's start.
const PORT_TRIES: usize = 3;

/// How many lines of a log are quoted in an error.
const QUOTED_LINES: usize = 20;

/// A running server. Dropping it kills the process and removes its data.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    plan: Plan,
    process: Option<Process>,
    front: Option<GcsXml>,
    key: Option<TestKey>,
    log: PathBuf,
    keep_log: bool,
    data: TempDir,
}

/// How to start one server: decided once, so that a restart is the same again.
#[derive(Debug)]
struct Plan {
    launch: Launch,
    /// The URL that clients use; for GCS that of the XML endpoint.
    url: String,
    /// The URL of the process itself.
    process_url: String,
    /// Files outside the data folder that the server leaves behind.
    litter: Vec<PathBuf>,
}

impl Server {
    /// Starts a server on free loopback ports, installing it first where it is missing.
    ///
    /// # Errors
    ///
    /// Those of [`install`], and [`Error::Start`] when the server does not come up.
    ///
    /// # Cancel safety
    ///
    /// A dropped future ends the server that it was starting. An installation that has begun goes on.
    pub async fn start(kind: ServerKind) -> Result<Self> {
        let installed = tokio::task::spawn_blocking(move || install(kind)).await;
        let installed = installed.map_err(|error| Error::Invalid(error.to_string()))??;
        let mut tries = 1;
        loop {
            match Self::start_installed(kind, &installed.path).await {
                // A server that is gone at once most likely lost a port to somebody else.
                Err(Error::Start { problem, .. })
                    if problem.starts_with(process::EXITED) && tries < PORT_TRIES =>
                {
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn start_installed(kind: ServerKind, installed: &Path) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("lifeboat-").tempdir();
        let data = data.map_err(io("make a folder for a server's data"))?;
        let logs = folder()?.join("logs");
        std::fs::create_dir_all(&logs).map_err(io(format!("make {}", logs.display())))?;
        let log = logs.join(format!("{kind}-{:08x}.log", rand::random::<u32>()));
        let plan = match kind {
            ServerKind::SeaweedFs => seaweedfs::plan(installed, data.path())?,
            ServerKind::Azurite => azurite::plan(installed, data.path())?,
            ServerKind::Gcs => gcs::plan(installed, data.path())?,
            ServerKind::Moto => moto::plan(installed, data.path())?,
        };
        let mut credentials = kind.credentials();
        let key = if kind == ServerKind::Gcs { Some(gcs::key()?) } else { None };
        if let Some(key) = &key {
            key.pem().clone_into(&mut credentials.secret);
        }
        let endpoint = Endpoint { kind, url: plan.url.clone(), credentials };
        let (process, front, keep_log) = (None, None, false);
        let mut server = Self { endpoint, plan, process, front, key, log, keep_log, data };
        server.restart().await?;
        Ok(server)
    }

    /// What kind of server it is.
    pub fn kind(&self) -> ServerKind {
        self.endpoint.kind
    }

    /// Where it is and who to be there.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The environment variables that lead other processes to it.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![(self.kind().variable(), OsString::from(&self.endpoint.url))];
        if let Some(key) = &self.key {
            variables.push((GCS_KEY_VARIABLE, key.path().into()));
        }
        variables
    }

    /// The file that holds what the server printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Keeps the log file after the end.
    pub fn keep_log(&mut self) {
        self.keep_log = true;
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Ends the server as a power cut would (`SIGKILL`). Its port refuses connections until [`restart`](Self::restart).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the operating system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.front = None;
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Starts the server again on the same port and data, and waits until it is ready; a running one is killed first.
    /// What survives is up to the server: GCS and moto keep everything in memory, Azurite its last seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] when it does not come up; the log is kept then.
    ///
    /// # Cancel safety
    ///
    /// With a dropped future the server may be down, or on its way up. Call it again to begin anew.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let mut leftovers = self.plan.litter.clone();
        leftovers.push(self.data.path().to_owned());
        self.process = Some(Process::spawn(&self.plan.launch, &self.log, &leftovers)?);
        if let Err(error) = self.come_up().await {
            self.keep_log = true;
            return Err(error);
        }
        Ok(())
    }

    /// Freezes the server (`SIGSTOP`): it still accepts connections, and never answers.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when it does not run, [`Error::Io`] when the operating system refuses.
    pub fn pause(&self) -> Result<()> {
        self.running()?.pause()
    }

    /// Lets a paused server go on (`SIGCONT`).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when it does not run, [`Error::Io`] when the operating system refuses.
    pub fn resume(&self) -> Result<()> {
        self.running()?.resume()
    }

    /// Stops the server in an orderly way: `SIGTERM`, and `SIGKILL` when it does not follow.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the operating system refuses.
    pub async fn stop(mut self) -> Result<()> {
        self.shut_down().await
    }

    /// As [`stop`](Self::stop), but the data are kept for a [`restart`](Self::restart). This is an outage for servers that
    /// lose their latest writes when they are killed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the operating system refuses.
    pub async fn shut_down(&mut self) -> Result<()> {
        self.front = None;
        match self.process.take() {
            Some(mut process) => process.terminate().await,
            None => Ok(()),
        }
    }

    fn running(&self) -> Result<&Process> {
        let stopped =
            || Error::Invalid(format!("{} is not running: restart it first", self.kind()));
        self.process.as_ref().ok_or_else(stopped)
    }

    /// Waits until the process serves, then puts the XML endpoint in front where there is one.
    async fn come_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let client = HttpClient::new();
        while let Err(seen) = self.ready(&client).await {
            if let Some(status) = self.process.as_mut().and_then(Process::exited) {
                self.process = None;
                return Err(self.failure(format!("{} at once ({status})", process::EXITED)));
            }
            if Instant::now() > deadline {
                let waited = READY_WITHIN.as_secs();
                return Err(self.failure(format!("was not ready within {waited} s ({seen})")));
            }
            tokio::time::sleep(READY_POLL).await;
        }
        if let Some(key) = &self.key {
            let address = self.endpoint.address()?;
            let front = GcsXml::start_at(&self.plan.process_url, Some(key), Some(address));
            self.front = Some(front.await?);
        }
        Ok(())
    }

    /// One look; the error says what was seen.
    async fn ready(&self, client: &HttpClient) -> Result<()> {
        let look = async {
            match self.kind() {
                ServerKind::SeaweedFs => seaweedfs::ready(&self.endpoint).await,
                _ => answers(client, &self.plan.process_url).await,
            }
        };
        let silent = |_| Error::Invalid("it accepts connections and does not answer".to_owned());
        tokio::time::timeout(LOOK_WITHIN, look).await.map_err(silent)?
    }

    fn failure(&self, problem: String) -> Error {
        let tail = last_lines(&self.log, QUOTED_LINES);
        Error::Start { what: display_name(self.kind()), problem, log: self.log.clone(), tail }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Neither can be reported from here; a process that is already gone is fine.
        let _ = self.kill();
        for path in &self.plan.litter {
            let _ = std::fs::remove_file(path);
        }
        if !self.keep_log && !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

/// Whether any HTTP answer comes at all.
async fn answers(client: &HttpClient, url: &str) -> Result<()> {
    let request = Request::get(format!("{url}/")).body(full(""));
    let request = request.map_err(|error| Error::Invalid(error.to_string()))?;
    client.fetch(request).await.map(drop)
}

/// The name for people.
pub(crate) const fn display_name(kind: ServerKind) -> &'static str {
    match kind {
        ServerKind::SeaweedFs => "SeaweedFS",
        ServerKind::Azurite => "Azurite",
        ServerKind::Gcs => "fake-gcs-server",
        ServerKind::Moto => "moto",
    }
}

/// The last lines of a log file, for an error message.
pub fn last_lines(log: &Path, count: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Whether a loopback port is free.
fn is_free(port: u16) -> bool {
    std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Free loopback ports, all different. They are only looked at, not held.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = crate::http_server::listen()?;
        *port = listener.local_addr().map_err(io("read a listener's address"))?.port();
        held.push(listener);
    }
    Ok(ports)
}
