//! `lifeboat check`: asks every backend whether it can be relied on, all at once. How a backend is
//! examined is in `examine`; what was found out, and how it is shown, in `report`.

mod examine;
mod report;

use std::sync::Arc;

use futures::future::join_all;
use lifeboat::{BlobStore, store_from_url};

use crate::cli::Check;
use crate::context::Context;
use crate::exit::{Exit, Failure, Result};
use crate::output::{print_document, print_text};
use examine::examine;
use report::Report;

/// Checks backends, all at once.
pub(crate) async fn run(context: &Context, arguments: &Check) -> Result {
    let backends = backends(context, &arguments.backends)?;
    let examinations =
        backends.into_iter().map(|(name, store)| examine(name, store, arguments.read_only));
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

fn backends(context: &Context, wanted: &[String]) -> Result<Vec<(String, Arc<dyn BlobStore>)>> {
    let fleet = context.fleet()?;
    if !wanted.is_empty() {
        let find = |text: &String| {
            let store = if text.contains("://") {
                store_from_url(text)
            } else {
                fleet.backend(text.strip_suffix(':').unwrap_or(text))
            };
            Ok((text.clone(), store?))
        };
        return wanted.iter().map(find).collect();
    }
    let all: Vec<_> =
        fleet.backends().map(|(name, store)| (name.to_owned(), Arc::clone(store))).collect();
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
