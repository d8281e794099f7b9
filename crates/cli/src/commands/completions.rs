//! `lifeboat completions` and `lifeboat man`: both from the definitions in `cli`.

use clap::CommandFactory;

use crate::cli::{Cli, Completions, Man};
use crate::context::Context;
use crate::exit::{Failure, Result};
use crate::output::print_text;

/// Prints a completion script.
pub(crate) fn completions(context: &Context, arguments: &Completions) -> Result {
    refuse_json(context)?;
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "lifeboat", &mut script);
    print_text(&String::from_utf8_lossy(&script))
}

/// Prints the manual page, or writes all pages into a folder.
pub(crate) fn man(context: &Context, arguments: &Man) -> Result {
    refuse_json(context)?;
    let Some(folder) = &arguments.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Failure::output)?;
        return print_text(&String::from_utf8_lossy(&page));
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| Failure::local(format!("cannot write to {}", folder.display()), error))?;
    context.output.note(&format!("manual pages written to {}", folder.display()));
    Ok(())
}

/// Scripts and pages have forms of their own.
fn refuse_json(context: &Context) -> Result {
    if context.output.json {
        return Err(Failure::usage("there is no JSON of this", "leave --json out"));
    }
    Ok(())
}
