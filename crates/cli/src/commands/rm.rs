//! `lifeboat rm`: removes objects, and on request everything below.

use std::io::{IsTerminal, Write};

use futures::{StreamExt, TryStreamExt};
use lifeboat::transfer::backend_name;
use lifeboat::{Error, ErrorKind, Location, is_reserved};
use object_store::{Error as StoreError, ObjectStoreExt};
use serde_json::{Value, json};

use crate::cli::Rm;
use crate::context::{Context, locate};
use crate::exit::{Exit, Failure, Result, to_json, to_text};
use crate::output::{escape, print_document, say};
use crate::size::counted;

/// More failures than these are counted, not told one by one: the first ones show what is wrong.
const MOST_TOLD: u64 = 20;

/// A run in which everything fails must not fill the memory with errors.
const MOST_KEPT: usize = 1_000;

/// Removes what is named.
pub(crate) async fn run(context: &Context, arguments: &Rm) -> Result {
    let fleet = context.fleet()?;
    let places = arguments.locations.iter().map(|text| locate(&fleet, text));
    let places = places.collect::<Result<Vec<_>>>()?;
    if arguments.recursive && !arguments.yes && !consents(&places).await? {
        return Err(Failure::usage("nothing was removed", "answer y, or add --yes"));
    }
    let mut removal = Removal { context, removed: 0, failed: 0, failures: Vec::new() };
    for place in &places {
        let result = if arguments.recursive {
            removal.everything(place).await
        } else {
            removal.one(place).await
        };
        if let Err(error) = result {
            removal.failed(error);
        }
    }
    removal.conclude()
}

/// Asks. Where nobody is there to answer, silence is no consent.
async fn consents(places: &[Location]) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        let message = "nobody is there to ask whether to remove everything: nothing was removed";
        return Err(Failure::usage(message, "add --yes"));
    }
    let names: Vec<_> = places.iter().map(|place| escape(&place.text).into_owned()).collect();
    let question = format!("remove everything below {}? [y/N] ", names.join(", "));
    let answer = tokio::task::spawn_blocking(move || {
        let mut stderr = std::io::stderr().lock();
        stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush())?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = answer.await.map_err(std::io::Error::other).and_then(|answer| answer);
    let answer = answer.map_err(|error| Failure::local("cannot ask", error))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

struct Removal<'a> {
    context: &'a Context,
    removed: u64,
    failed: u64,
    /// The first of them.
    failures: Vec<Error>,
}

impl Removal<'_> {
    /// Many services answer the removal of a missing object with success, so it is looked at first.
    async fn one(&mut self, place: &Location) -> std::result::Result<(), Error> {
        let describe = |error| lifeboat::transfer::describe(&*place.store, &place.path, error);
        if place.path.is_root() {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("`{}` names no object", place.text),
            )
            .with_remedy("name an object, or add -r to remove everything"));
        }
        match place.store.head(&place.path).await {
            Ok(_) => {}
            Err(error @ StoreError::NotFound { .. }) => {
                let missing = describe(error);
                return Err(match missing.remedy() {
                    Some(_) => missing,
                    None => missing.with_remedy("add -r if it is a folder"),
                });
            }
            Err(error) => return Err(describe(error)),
        }
        place.store.delete(&place.path).await.map_err(describe)?;
        self.removed += 1;
        Ok(())
    }

    async fn everything(&mut self, place: &Location) -> std::result::Result<(), Error> {
        let before = self.removed + self.failed;
        if !place.path.is_root() && !place.ends_with_slash {
            // The key itself may be an object, too.
            match self.one(place).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => other?,
            }
        }
        self.below(place).await;
        if self.removed + self.failed == before && !place.path.is_root() {
            return Err(Error::new(ErrorKind::NotFound, format!("nothing is at `{}`", place.text))
                .with_backend(backend_name(&*place.store)));
        }
        Ok(())
    }

    async fn below(&mut self, place: &Location) {
        let describe = |error| lifeboat::transfer::describe(&*place.store, &place.path, error);
        let prefix = (!place.path.is_root()).then_some(&place.path);
        // Lifeboat's own objects go only with those who name them.
        let named = is_reserved(&place.path);
        let keys = place.store.list(prefix).map_ok(|object| object.location);
        let keys = keys.try_filter(move |key| std::future::ready(named || !is_reserved(key)));
        let mut results = place.store.delete_stream(keys.boxed());
        while let Some(result) = results.next().await {
            match result {
                Ok(_) => self.removed += 1,
                Err(error) => self.failed(describe(error)),
            }
        }
    }

    fn failed(&mut self, error: Error) {
        self.failed += 1;
        if !self.context.output.json && self.failed <= MOST_TOLD {
            say(to_text(&error).trim_end());
        }
        if self.failures.len() < MOST_KEPT {
            self.failures.push(error);
        }
    }

    fn conclude(self) -> Result {
        if self.context.output.json {
            let failures: Vec<Value> = self.failures.iter().map(to_json).collect();
            let report = json!({
                "removed": self.removed,
                "failed": self.failed,
                "failures": failures,
            });
            print_document(&report)?;
        } else if self.removed > 0 || self.failed == 0 {
            say(&format!("removed {}", counted(self.removed)));
        }
        match Exit::of_all(self.removed > 0, self.failures.iter()) {
            Exit::Ok => Ok(()),
            exit => Err(Failure::Reported(exit)),
        }
    }
}
