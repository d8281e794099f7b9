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

/// How long a process may take to stop all its threads: a matter of being scheduled once.
const PAUSE_WITHIN: Duration = Duration::from_secs(5);

/// How often a pausing process is looked at; so short that waiting for it in an asynchronous task does no harm.
const PAUSE_POLL: Duration = Duration::from_millis(1);

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
pub(super) struct Process {
    child: Child,
    _guard: Guard,
}

/// A process that outlives this one for a moment: when this one ends without having stopped the server, by `SIGKILL`
/// or a crash, the pipe between the two breaks and the guard ends the server and removes what it leaves.
#[derive(Debug)]
struct Guard(Child);

impl Guard {
    fn of(group: u32, leftovers: &[PathBuf]) -> Result<Self> {
        let script = "cat > /dev/null; kill -s KILL -- \"-$1\"; shift; rm -rf -- \"$@\"";
        let child = Command::new("sh")
            .args(["-c", script, "lifeboat-testbed-guard", &group.to_string()])
            .args(leftovers)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        child.map(Self).map_err(io("start the guard of a server"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The server is gone by now; the guard must be too before the pipe breaks.
        let group = i32::try_from(self.0.id()).map(Pid::from_raw);
        let _ = group.map(|group| killpg(group, Signal::SIGKILL));
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts a program; what it prints is appended to `log`. Should this process die, `leftovers` are removed.
    pub(super) fn spawn(launch: &Launch, log: &Path, leftovers: &[PathBuf]) -> Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log);
        let output = output.map_err(io(format!("open the log {}", log.display())))?;
        let errors = output.try_clone().map_err(io("share the log file"))?;
        let mut child = Command::new(&launch.program)
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&launch.folder)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(io(format!("start {}", launch.program.display())))?;
        match Guard::of(child.id(), leftovers) {
            Ok(guard) => Ok(Self { child, _guard: guard }),
            Err(error) => {
                // An unguarded server is not left running; it has had no time to start anything else.
                let _ = child.kill().and_then(|()| child.wait());
                Err(error)
            }
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, when it has ended.
    pub(super) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Stops every thread of the process. The signal reaches them one after the other, so this waits for the last.
    pub(super) fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        let deadline = Instant::now() + PAUSE_WITHIN;
        while !self.is_paused()? {
            if Instant::now() > deadline {
                return Err(Error::Invalid("a server did not stop on SIGSTOP".to_owned()));
            }
            std::thread::sleep(PAUSE_POLL);
        }
        Ok(())
    }

    /// Asks without taking the answer away, and without reaping a process that has ended.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn is_paused(&self) -> Result<bool> {
        use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = waitid(Id::Pid(self.pid()?), flags).map_err(std::io::Error::from);
        let status = status.map_err(io("look whether a server is paused"))?;
        Ok(matches!(status, WaitStatus::Stopped(..)))
    }

    /// Elsewhere there is no asking; the signal is taken at its word.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the same as on Linux")]
    fn is_paused(&self) -> Result<bool> {
        Ok(true)
    }

    pub(super) fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Ends the whole group at once and waits for the leader, which takes no time after `SIGKILL`.
    pub(super) fn kill(&mut self) -> Result<()> {
        if self.exited().is_none() {
            self.signal(Signal::SIGKILL)?;
            self.child.wait().map_err(io("wait for a killed server"))?;
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

    fn pid(&self) -> Result<Pid> {
        let pid = i32::try_from(self.id()).map(Pid::from_raw);
        pid.map_err(|_| Error::Invalid("a process id out of range".to_owned()))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let sent = killpg(self.pid()?, signal).map_err(std::io::Error::from);
        sent.map_err(io(format!("send {signal} to a server")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be reported from here, and a process that is already gone is fine.
        let _ = self.kill();
    }
}
