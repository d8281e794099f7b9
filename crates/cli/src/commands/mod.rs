//! One file per command.

mod cat;
mod check;
mod completions;
mod cp;
mod demo;
mod drill;
mod journal;
mod ls;
mod providers;
mod put;
mod rm;
mod stat;
mod status;

use crate::cli::Command;
use crate::context::Context;
use crate::exit::Result;

impl Command {
    /// Whether it leaves something unfinished behind if it ends at once on Ctrl-C.
    pub(crate) fn tidies_up(&self) -> bool {
        matches!(self, Self::Put(_) | Self::Cp(_) | Self::Demo(_) | Self::Drill(_))
    }
}

/// Runs a command.
pub(crate) async fn run(context: &Context, command: Command) -> Result {
    match command {
        Command::Drill(arguments) => drill::run(context, &arguments).await,
        Command::Status(arguments) => status::run(context, &arguments).await,
        Command::Journal(arguments) => journal::run(context, arguments.action).await,
        Command::Providers(arguments) => providers::run(context, &arguments),
        Command::Check(arguments) => check::run(context, &arguments).await,
        Command::Ls(arguments) => ls::run(context, &arguments).await,
        Command::Cat(arguments) => cat::run(context, &arguments).await,
        Command::Put(arguments) => put::run(context, &arguments).await,
        Command::Cp(arguments) => cp::run(context, &arguments).await,
        Command::Rm(arguments) => rm::run(context, &arguments).await,
        Command::Stat(arguments) => stat::run(context, &arguments).await,
        Command::Demo(arguments) => demo::run(context, &arguments).await,
        Command::Completions(arguments) => completions::completions(context, &arguments),
        Command::Man(arguments) => completions::man(context, &arguments),
    }
}
