//! The `lifeboat` command. No storage logic lives here: it reads the command line, asks the crates
//! `lifeboat` and `lifeboat-transfer`, and says what came of it, to people or to programs.

mod cli;
mod commands;
mod context;
mod exit;
mod interrupt;
mod output;
mod progress;
mod range;
mod size;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::Cli;
use crate::context::Context;
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    log_to_stderr(cli.global.verbose);
    let json = cli.global.json;
    let exit = match run(cli) {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            failure.report(json);
            failure.exit()
        }
    };
    exit.into()
}

/// Help and version are answers; anything else is a mistake, told in the way that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let text = text.trim_start_matches("error: ").trim_end();
        Failure::usage(text, "see `lifeboat --help`").report(true);
    } else if error.print().is_err() {
        // Nobody is there to read it.
    }
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() }
}

/// Lifeboat's own events only: those of HTTP libraries show headers, and headers hold secrets.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let targets = Targets::new().with_target("lifeboat", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(targets)).init();
}

fn run(cli: Cli) -> exit::Result {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local("cannot start", error))?;
    let result = runtime.block_on(async {
        let context = Context::new(&cli.global);
        let tidies = cli.command.tidies_up();
        let interrupt = context.interrupt.clone();
        // In this order: what tidies up may be done with it before anybody looks here, and it is said all the same.
        let result = tokio::select! {
            biased;
            () = interrupt.wait(), if !tidies => Err(Failure::Interrupted),
            () = interrupt.wait_and_tidy(context.output), if tidies => Err(Failure::Interrupted),
            result = commands::run(&context, cli.command) => result,
        };
        if interrupt.happened() { Err(Failure::Interrupted) } else { result }
    });
    // A read of standard input that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    result
}
