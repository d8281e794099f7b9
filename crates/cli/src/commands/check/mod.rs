//! `lifeboat check`: asks every backend whether it can be relied on, all at once. How a backend is
//! examined is in `examine`; what was found out, and how it is shown, in `report`.

mod examine;
mod report;

use std::sync::Arc;

use futures::future::join_all;
use lifeboat::{BlobStore, Error, Fleet, store_from_url};

use crate::cli::Check;
use crate::context::Context;
use crate::exit::{Exit, Failure, Result, before_requests};
use crate::output::{print_document, print_text};
use examine::examine;
use report::Report;

/// Checks backends, all at once.
pub(crate) async fn run(context: &Context, arguments: &Check) -> Result {
    let backends = backends(context, &arguments.backends)?;
    let examinations = backends.into_iter().map(|(name, store)| async {
        match store {
            Ok(store) => examine(name, store, arguments.read_only).await,
            Err(error) => Report::not_built(name, before_requests(error)),
        }
    });
    let reports = join_all(examinations).await;
    if context.output.json {
        print_document(&reports)?;
    } else {
        let texts: Vec<_> = reports.iter().map(Report::in_words).collect();
        print_text(&texts.join("\n"))?;
    }
    match verdict(&reports, arguments.strict) {
        Exit::Ok => Ok(()),
        exit => {
            let bad = reports.iter().filter(|report| !report.is_good(arguments.strict)).count();
            context.output.note(&format!("{bad} of {} backends did not pass", reports.len()));
            Err(Failure::Reported(exit))
        }
    }
}

/// A backend, or why it cannot be built.
type Built = std::result::Result<Arc<dyn BlobStore>, Error>;

fn backends(context: &Context, wanted: &[String]) -> Result<Vec<(String, Built)>> {
    let fleet = context.fleet()?;
    if wanted.is_empty() {
        return everything(&fleet);
    }
    let find = |text: &String| {
        let name = text.strip_suffix(':').unwrap_or(text);
        if fleet.names().any(|known| known == name) {
            return Ok((text.clone(), fleet.backend(name)));
        }
        let is_url = text.contains("://");
        let store = if is_url { store_from_url(text) } else { fleet.backend(name) };
        Ok((text.clone(), Ok(store.map_err(before_requests)?)))
    };
    wanted.iter().map(find).collect()
}

fn everything(fleet: &Fleet) -> Result<Vec<(String, Built)>> {
    let names = fleet.names().map(str::to_owned);
    let all: Vec<_> = names.map(|name| (name.clone(), fleet.backend(&name))).collect();
    if all.is_empty() {
        return Err(Failure::usage(
            "there is nothing to check: no backend is configured",
            "write lifeboat.toml, name a file with --config, or give the URL of a bucket",
        ));
    }
    Ok(all)
}

/// What they all failed of, or "some failed".
fn verdict(reports: &[Report], strict: bool) -> Exit {
    let mut exits = reports.iter().filter(|report| !report.is_good(strict)).map(Report::exit);
    match exits.next() {
        None => Exit::Ok,
        Some(first) if exits.all(|exit| exit == first) => first,
        Some(_) => Exit::Failed,
    }
}
