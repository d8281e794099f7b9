//! `lifeboat drill`: outages on purpose. What a drill is lives in `lifeboat-drill`; here it is asked
//! for, watched (`chart`) and reported (`results`).

mod chart;
mod results;

use std::sync::Arc;
use std::time::Duration;

use lifeboat::transfer::describe;
use lifeboat::{BlobStore, Error, ErrorKind};
use lifeboat_drill::{DrillError, Harm, Outcome, Plan, Report, Scenario, Site, settings};
use lifeboat_failover::Settings;
use object_store::path::Path;

use crate::cli::Drill;
use crate::context::Context;
use crate::exit::{Exit, Failure, Result, message, to_text};
use chart::Chart;

/// How long each load lasts where it is the only one.
const ONE: Duration = Duration::from_secs(20);

/// How long each lasts where there are several: all of them within some minutes.
const SEVERAL: Duration = Duration::from_secs(10);

/// Longer than a client with the defaults of `object_store` needs to notice a black hole: 180 s.
const NAIVE_PATIENCE: Duration = Duration::from_mins(5);

/// How long removing what a drill wrote may take: ten thousand deletes at 30 ms each.
const CLEAN_UP: Duration = Duration::from_mins(5);

/// The same after Ctrl-C: a part of what that is given.
const HASTY_CLEAN_UP: Duration = Duration::from_secs(10);

/// Runs the drills one after the other.
pub(crate) async fn run(context: &Context, arguments: &Drill) -> Result {
    let scenarios = scenarios(&arguments.scenario)?;
    let place = Place::of(context)?;
    let length = if scenarios.len() == 1 { ONE } else { SEVERAL };
    let length = arguments.seconds.map_or(length, Duration::from_secs);
    place.introduce(context);
    let mut report = Report::default();
    let mut left = Vec::new();
    for scenario in scenarios {
        let mut plan = Plan::new(scenario);
        (plan.length, plan.rate, plan.seed) = (length, arguments.rate, arguments.seed);
        let outcome = place.drill(context, arguments, plan, &mut left).await;
        if outcome.is_err() {
            // What ends the run early is told as its failure.
            tell(context, &left);
        }
        report.add(outcome?);
    }
    if let Some(file) = &arguments.report {
        let doing = || format!("cannot write {}", file.display());
        std::fs::write(file, report.to_html()).map_err(|error| Failure::local(doing(), error))?;
    }
    results::show(context, &report)?;
    let further = left.split_off(left.len().min(1));
    tell(context, &further);
    conclude(report.harm(), left.pop())
}

/// How a run ends that came to its end: what the outages did weighs more than what could not be removed.
fn conclude(harm: Harm, left: Option<Error>) -> Result {
    let exit = match harm {
        Harm::None if left.is_none() => return Ok(()),
        Harm::None | Harm::Requests => Exit::Failed,
        Harm::Data => Exit::Integrity,
    };
    Err(match left {
        Some(error) => Failure::Error { exit, error: Box::new(error) },
        None => Failure::Reported(exit),
    })
}

/// Says what could not be removed.
fn tell(context: &Context, left: &[Error]) {
    for error in left {
        context.output.note(to_text(error).trim_end());
    }
}

fn scenarios(names: &[String]) -> Result<Vec<Scenario>> {
    if names.iter().any(|name| name == "all") {
        return Ok(Scenario::ALL.into());
    }
    let scenarios = names.iter().map(|name| name.parse::<Scenario>());
    let scenarios: std::result::Result<Vec<_>, _> = scenarios.collect();
    scenarios.map_err(|error| Failure::usage(error.to_string(), "see `lifeboat drill --help`"))
}

/// Where the drills take place.
enum Place {
    Embedded,
    Configured { backends: Vec<Arc<dyn BlobStore>>, settings: Box<Settings> },
}

impl Place {
    fn of(context: &Context) -> Result<Self> {
        let Some(fleet) = context.named_fleet()? else { return Ok(Self::Embedded) };
        if let Some((_, error)) = fleet.failures().next() {
            let told = Error::new(error.kind(), message(error));
            return Err(told.with_remedy("a drill needs every configured backend").into());
        }
        let backends: Vec<_> = fleet.backends().map(|(_, store)| Arc::clone(store)).collect();
        // Says now, rather than after the introduction, that they are too few.
        Site::over(&backends, "unused")?;
        let settings = Box::new(fleet.failover_settings());
        Ok(Self::Configured { backends, settings })
    }

    fn introduce(&self, context: &Context) {
        context.output.note(&match self {
            Self::Embedded => "two S3 endpoints of the drill's own on loopback; the first breaks \
                               on the wire"
                .to_owned(),
            Self::Configured { backends, .. } => {
                let names: Vec<_> = backends.iter().map(|store| store.identity().name()).collect();
                format!(
                    "below .lifeboat/drill of {}; the outage of the first is injected on this side",
                    names.join(" and ")
                )
            }
        });
    }

    async fn site(&self) -> Result<Site> {
        Ok(match self {
            Self::Embedded => Site::embedded().await?,
            Self::Configured { backends, .. } => {
                Site::over(backends, &format!("{:016x}", rand::random::<u64>()))?
            }
        })
    }

    fn settings(&self, arguments: &Drill, plan: &Plan) -> Settings {
        let mut settings = match self {
            Self::Embedded => settings(plan.length),
            Self::Configured { settings, .. } => (**settings).clone(),
        };
        if let Some(quarantine) = arguments.quarantine {
            settings.quarantine = quarantine;
        }
        settings
    }

    /// One scenario, and the same with a naive fallback if that was asked for.
    async fn drill(
        &self,
        context: &Context,
        arguments: &Drill,
        mut plan: Plan,
        left: &mut Vec<Error>,
    ) -> Result<Outcome> {
        let settings = self.settings(arguments, &plan);
        // Nothing can be settled before the markers of ambiguous writes may go.
        plan.settle_within += settings.quarantine;
        let site = self.site().await?;
        let chart = Chart::new(context, plan.scenario.name(), plan.length);
        let outcome = tidily(context, &site, site.drill(&plan, settings, &chart), left).await?;
        drop(chart);
        if !arguments.compare_naive {
            return Ok(outcome);
        }
        (plan.hold, plan.drain_within) = (Some(NAIVE_PATIENCE), NAIVE_PATIENCE);
        let site = self.site().await?;
        let chart = Chart::new(context, &format!("{}, naive", plan.scenario), plan.length);
        let naive = tidily(context, &site, site.drill_naive(&plan, &chart), left).await?;
        Ok(outcome.with_naive(naive))
    }
}

/// Carries out a drill, and removes what it wrote, also if it is interrupted. Adds what is left to
/// `left`, once for each backend.
async fn tidily(
    context: &Context,
    site: &Site,
    drill: impl Future<Output = std::result::Result<Outcome, DrillError>>,
    left: &mut Vec<Error>,
) -> Result<Outcome> {
    let outcome = tokio::select! {
        biased;
        () = context.interrupt.wait() => Err(Failure::Interrupted),
        outcome = drill => outcome.map_err(failure),
    };
    let hurry = async {
        context.interrupt.wait().await;
        tokio::time::sleep(HASTY_CLEAN_UP).await;
    };
    let found: Vec<Error> = tokio::select! {
        found = site.clean_up() => {
            found.into_iter().map(|(backend, error)| not_removed(backend, error)).collect()
        }
        () = hurry => vec![not_removed_in_time()],
        () = tokio::time::sleep(CLEAN_UP) => vec![not_removed_in_time()],
    };
    for error in found {
        if left.iter().all(|known| known.backend() != error.backend()) {
            left.push(error);
        }
    }
    outcome
}

/// What is told of a backend where something is left.
fn not_removed(backend: &dyn BlobStore, error: object_store::Error) -> Error {
    let cause = describe(backend, &Path::ROOT, error);
    let name = cause.backend().unwrap_or_default().to_owned();
    let remedy = format!("remove it by hand: lifeboat rm -r {name}:.lifeboat/drill");
    Error::new(cause.kind(), "what the drill wrote below .lifeboat/drill is not all removed")
        .with_backend(name)
        .with_remedy(remedy)
        .with_source(cause)
}

fn not_removed_in_time() -> Error {
    let message = "what the drill wrote below .lifeboat/drill could not all be removed in time";
    let remedy = "remove it by hand: lifeboat rm -r NAME:.lifeboat/drill for each backend";
    Error::new(ErrorKind::Unavailable, message).with_remedy(remedy)
}

fn failure(error: DrillError) -> Failure {
    let (kind, text) = (kind(&error), error.to_string());
    match error {
        DrillError::Build(error) => error.into(),
        error => Error::new(kind, text).with_source(error).into(),
    }
}

fn kind(error: &DrillError) -> ErrorKind {
    match error {
        DrillError::Unhealthy(_) | DrillError::Audit(_) => ErrorKind::Unavailable,
        _ => ErrorKind::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drill_that_leaves_something_behind_fails_and_wrong_data_weigh_more() {
        let left = || Some(not_removed_in_time());
        for (harm, left, code) in [
            (Harm::None, None, Exit::Ok),
            (Harm::None, left(), Exit::Failed),
            (Harm::Requests, None, Exit::Failed),
            (Harm::Requests, left(), Exit::Failed),
            (Harm::Data, None, Exit::Integrity),
            (Harm::Data, left(), Exit::Integrity),
        ] {
            let told = left.is_some();
            let result = conclude(harm, left);
            assert_eq!(matches!(result, Err(Failure::Error { .. })), told, "{harm:?}");
            assert_eq!(result.map_or_else(|failure| failure.exit(), |()| Exit::Ok), code);
        }
    }

    #[test]
    fn all_stands_for_every_scenario_wherever_it_is_said() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(scenarios(&names(&["dns", "all"])).ok().map(|all| all.len()), Some(13));
        let two = scenarios(&names(&["dns", "flap"])).unwrap_or_default();
        assert_eq!(two, [Scenario::Dns, Scenario::Flap]);
    }
}
