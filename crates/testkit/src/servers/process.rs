//! One child process in its own process group: spawn, signal, wait. Which program it is, and when it is ready, is the
//! caller's business.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::error::{Error, Result, io};

/// How the problem text of a server that ended by itself begins.
pub(super) const EXITED: &str = "exited";

/// How long an orderly stop may take; the slowest server needs a little over two seconds.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How often a stopping process is looked at.
const STOP_POLL: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, OsString)>,
    pub(super) folder: PathBuf,
}

/// A child process that leads its own group, so that whatever it starts ends with it.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts a program; what it prints is appended to `log`.
    pub(super) fn spawn(launch: &Launch, log: &Path) -> Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log);
        let output = output.map_err(io(format!("open the log {}", log.display())))?;
        let errors = output.try_clone().map_err(io("share the log file"))?;
        let child = Command::new(&launch.program)
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&launch.folder)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(io(format!("start {}", launch.program.display())))?;
        Ok(Self(child))
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// The exit status, when it has ended.
    pub(super) fn exited(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }

    pub(super) fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    pub(super) fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Ends the whole group at once and waits for the leader, which takes no time after `SIGKILL`.
    pub(super) fn kill(&mut self) -> Result<()> {
        if self.exited().is_none() {
            self.signal(Signal::SIGKILL)?;
            self.0.wait().map_err(io("wait for a killed server"))?;
        }
        Ok(())
    }

    /// Asks the group to end, and ends it by force when it does not.
    pub(super) async fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + STOP_WITHIN;
        while self.exited().is_none() && Instant::now() < deadline {
            tokio::time::sleep(STOP_POLL).await;
        }
        self.kill()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let group = i32::try_from(self.id()).map(Pid::from_raw);
        let group = group.map_err(|_| Error::Invalid("a process id out of range".to_owned()))?;
        let sent = killpg(group, signal).map_err(std::io::Error::from);
        sent.map_err(io(format!("send {signal} to a server")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be reported from here, and a process that is already gone is fine.
        let _ = self.kill();
    }
}
