//! The `lifeboat-testbed` command: installs the real storage servers, runs a command with all of them up, stops them.
//! Everything about the servers themselves is in the library.

use std::ffi::OsString;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use lifeboat_testkit::servers::{self, FOLDER_VARIABLE, Server};
use lifeboat_testkit::{Error, Result, ServerKind};
use tokio::process::{Child, Command};

/// How long the command may take to end after it was asked to.
const END_WITHIN: Duration = Duration::from_secs(10);

/// How many lines of each server's log are shown when the command failed.
const TAIL: usize = 5;

/// Installs real storage servers and runs tests against them.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Install the servers that are missing.
    Install(Which),
    /// Run a command with the servers up and their addresses in its environment.
    Run {
        #[command(flatten)]
        which: Which,
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Run `cargo test --workspace` with the servers up.
    Test {
        /// More arguments for `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Start the servers, print their addresses, and stop them on Ctrl-C.
    Serve(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// Only these servers (seaweedfs, azurite, gcs, moto), separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "seaweedfs,azurite,gcs,moto")]
    servers: Vec<ServerKind>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().action {
        Action::Install(which) => install(&which.servers).await.map(|()| ExitCode::SUCCESS),
        Action::Run { which, command } => run(&which.servers, &command, []).await,
        Action::Test { arguments } => test(arguments).await,
        Action::Serve(which) => serve(&which.servers).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            eprintln!("  because: {error}");
            cause = error.source();
        }
        ExitCode::FAILURE
    })
}

/// Installs what is missing, one after the other, and says so.
async fn install(kinds: &[ServerKind]) -> Result<()> {
    for &kind in kinds {
        let installed = tokio::task::spawn_blocking(move || servers::install(kind)).await;
        let installed = installed.map_err(|error| Error::Invalid(error.to_string()))??;
        if let Some(took) = installed.took {
            eprintln!("installed {kind} in {:.1} s", took.as_secs_f32());
        }
    }
    Ok(())
}

/// Starts the servers, all at once.
async fn start(kinds: &[ServerKind]) -> Result<Vec<Server>> {
    install(kinds).await?;
    let begun = Instant::now();
    let starting: Vec<_> = kinds.iter().map(|&kind| tokio::spawn(Server::start(kind))).collect();
    let mut started = Vec::new();
    for server in starting {
        started.push(server.await.map_err(|error| Error::Invalid(error.to_string()))??);
    }
    eprintln!("{} servers are up after {:.1} s", started.len(), begun.elapsed().as_secs_f32());
    Ok(started)
}

async fn stop(servers: Vec<Server>) -> Result<()> {
    let stopping: Vec<_> = servers.into_iter().map(|server| tokio::spawn(server.stop())).collect();
    for server in stopping {
        server.await.map_err(|error| Error::Invalid(error.to_string()))??;
    }
    Ok(())
}

async fn serve(kinds: &[ServerKind]) -> Result<ExitCode> {
    let servers = tokio::select! {
        started = start(kinds) => started?,
        _ = interrupted() => return Ok(ExitCode::SUCCESS),
    };
    for (name, value) in servers.iter().flat_map(Server::environment) {
        println!("{name}={}", value.display());
    }
    interrupted().await;
    stop(servers).await?;
    Ok(ExitCode::SUCCESS)
}

/// Tests that run at once, at least: most of them wait for a server, an outage or a deadline, not for a processor.
const LEAST_AT_ONCE: usize = 4;
/// How many tests run at once, to the test programs.
const AT_ONCE: &str = "RUST_TEST_THREADS";

/// `cargo test`, without the variables that `cargo run` set for this program.
async fn test(arguments: Vec<OsString>) -> Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let start = [cargo, "test".into(), "--workspace".into()];
    let command: Vec<OsString> = start.into_iter().chain(arguments).collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = std::env::var_os(AT_ONCE)
        .unwrap_or_else(|| processors.max(LEAST_AT_ONCE).to_string().into());
    run(&ServerKind::ALL, &command, [(AT_ONCE, at_once)]).await
}

async fn run(
    kinds: &[ServerKind],
    command: &[OsString],
    environment: impl IntoIterator<Item = (&str, OsString)>,
) -> Result<ExitCode> {
    let mut servers = tokio::select! {
        started = start(kinds) => started?,
        signal = interrupted() => return Ok(signal_code(signal)),
    };
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::Invalid("no command is given".to_owned()));
    };
    let mut child = Command::new(program);
    child.args(arguments).env(FOLDER_VARIABLE, servers::folder()?).kill_on_drop(true);
    for name in std::env::vars_os().map(|(name, _)| name).filter(|name| of_cargo_run(name)) {
        child.env_remove(name);
    }
    child.envs(servers.iter().flat_map(Server::environment)).envs(environment);
    let failed = |source| Error::Io { action: format!("run {}", program.display()), source };
    let mut child = child.spawn().map_err(failed)?;
    let code = tokio::select! {
        status = child.wait() => exit_code(status.map_err(failed)?),
        signal = interrupted() => {
            end(&mut child).await.map_err(failed)?;
            signal_code(signal)
        }
    };
    if code != ExitCode::SUCCESS {
        for server in &mut servers {
            server.keep_log();
            let tail = servers::last_lines(server.log(), TAIL).replace('\n', "\n  ");
            eprintln!("log of {}: {}\n  {tail}", server.kind(), server.log().display());
        }
    }
    stop(servers).await?;
    Ok(code)
}

/// What `cargo run` tells this program about its own package would mislead, and rebuild, what runs below.
fn of_cargo_run(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// Passes the request to end on; a command that does not follow is killed.
async fn end(child: &mut Child) -> std::io::Result<()> {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid {
        // On Ctrl-C the terminal has told it already; a second time does no harm.
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    }
    match tokio::time::timeout(END_WITHIN, child.wait()).await {
        Ok(ended) => ended.map(drop),
        Err(_) => child.kill().await,
    }
}

/// Waits for SIGINT or SIGTERM and returns its number.
async fn interrupted() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};

    let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(interrupt), signal(terminate)) else {
        // Without handlers the default action ends the process; there is nothing to wait for.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
    }
}

/// What a shell reports for a command that a signal ended.
fn signal_code(signal: u8) -> ExitCode {
    ExitCode::from(128 + signal)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;

    let signal = status.signal().and_then(|signal| u8::try_from(signal).ok());
    match (status.code().and_then(|code| u8::try_from(code).ok()), signal) {
        (Some(code), _) => ExitCode::from(code),
        (None, Some(signal)) => signal_code(signal),
        (None, None) => ExitCode::FAILURE,
    }
}
