//! `lifeboat cp`: copies between files and backends, or between backends, and compares on request.

use std::time::{Duration, Instant};

use lifeboat::transfer::{
    CopyOptions, Summary, VerifyReport, backend_name, copy_object, copy_tree, verify_tree,
};
use lifeboat::{Error, ErrorKind, Location};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt};
use serde_json::{Value, json};

use crate::cli::Cp;
use crate::context::{Context, locate};
use crate::exit::{Exit, Failure, Result, message, to_json, to_text};
use crate::output::{escape, print_document, say};
use crate::progress::Meter;
use crate::size::{counted, human_rate, human_size, mebibytes_per_second};

/// Copies, and compares on request.
pub(crate) async fn run(context: &Context, arguments: &Cp) -> Result {
    let fleet = context.fleet()?;
    let source = locate(&fleet, &arguments.source)?;
    let target = locate(&fleet, &arguments.target)?;
    let (source_end, target_end) = context.ends(&source.store, &target.store);
    let to = target_path(arguments, &source, &target)?;
    let copy = Copy {
        context,
        recursive: arguments.recursive,
        options: options(arguments),
        source: Location { store: source_end, ..source },
        target: Location { store: target_end, ..target },
        to,
    };
    let started = Instant::now();
    let (whole_tree, summary) = if arguments.recursive {
        copy.tree_or_object().await?
    } else {
        (false, copy.object().await?)
    };
    let elapsed = started.elapsed();
    if context.interrupt.happened() {
        // What failed of the interruption is no failure.
        context.output.note(&in_words(summary.objects, summary.bytes, elapsed));
        return Err(Failure::Interrupted);
    }
    let verified = if arguments.verify { Some(copy.verify(whole_tree).await?) } else { None };
    conclude(context, &summary, elapsed, verified.as_ref())
}

fn options(arguments: &Cp) -> CopyOptions {
    let mut options =
        CopyOptions { drop_attributes: arguments.drop_attributes, ..CopyOptions::default() };
    if let Some(jobs) = arguments.jobs {
        options.objects_in_flight = jobs.into();
    }
    if let Some(memory) = arguments.memory {
        options.memory = memory;
    }
    options
}

/// With `-r` the target is the folder that receives what is below the source; without, a folder
/// takes the object's name.
fn target_path(arguments: &Cp, source: &Location, target: &Location) -> Result<Path> {
    let is_folder = target.path.is_root() || target.ends_with_slash;
    match source.path.filename() {
        _ if arguments.recursive => Ok(target.path.clone()),
        Some(name) if is_folder => Ok(target.path.parts().chain([name.into()]).collect()),
        Some(_) => Ok(target.path.clone()),
        None => Err(Failure::usage(
            format!("`{}` is a folder", source.text),
            "add -r to copy everything below it",
        )),
    }
}

struct Copy<'a> {
    context: &'a Context,
    recursive: bool,
    options: CopyOptions,
    source: Location,
    target: Location,
    to: Path,
}

impl Copy<'_> {
    async fn object(&self) -> Result<Summary> {
        self.one(&self.to).await.map_err(|error| {
            let is_missing = error.kind() == ErrorKind::NotFound && error.remedy().is_none();
            let is_source = error.key() == Some(self.source.path.as_ref());
            if is_missing && is_source {
                return error.with_remedy("check the name; add -r if it is a folder").into();
            }
            error.into()
        })
    }

    async fn one(&self, to: &Path) -> std::result::Result<Summary, Error> {
        let meter = Meter::quiet(self.context, "copying");
        let (source, target) = (&*self.source.store, &*self.target.store);
        let copied =
            copy_object(source, &self.source.path, target, to, &self.options, &meter).await?;
        let mut summary = Summary::default();
        (summary.objects, summary.bytes) = (1, copied.size);
        Ok(summary)
    }

    /// Copies what is below the source; a source that is an object goes into the target folder.
    async fn tree_or_object(&self) -> Result<(bool, Summary)> {
        if self.is_object().await? {
            let name = self.source.path.filename().unwrap_or_default();
            let to = self.to.parts().chain([name.into()]).collect();
            return Ok((false, self.one(&to).await?));
        }
        let meter = Meter::new(self.context, "copying");
        let (source, target) = (&*self.source.store, &*self.target.store);
        let summary =
            copy_tree(source, &self.source.path, target, &self.to, &self.options, &meter).await?;
        drop(meter);
        let is_nothing = summary.objects == 0 && summary.failed == 0;
        if is_nothing && !self.source.path.is_root() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("nothing is at `{}`", self.source.text),
            )
            .with_backend(backend_name(source))
            .with_remedy("check the name")
            .into());
        }
        Ok((true, summary))
    }

    async fn is_object(&self) -> Result<bool> {
        if self.source.path.is_root() || self.source.ends_with_slash {
            return Ok(false);
        }
        match self.source.store.head(&self.source.path).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(Failure::of_store(&*self.source.store, &self.source.path, error)),
        }
    }
}

impl Copy<'_> {
    /// Reads both sides again. Nothing of what was learnt while copying is believed.
    async fn verify(&self, whole_tree: bool) -> Result<VerifyReport> {
        let _meter = Meter::waiting(self.context, "comparing");
        let (mut source, mut target) = (self.source.store.clone(), self.target.store.clone());
        let mut to = self.to.clone();
        if !whole_tree {
            if let (true, Some(name)) = (self.recursive, self.source.path.filename()) {
                to = to.parts().chain([name.into()]).collect();
            }
            source = self.context.only(source, &self.source.path).await?;
            target = self.context.only(target, &to).await?;
        }
        Ok(verify_tree(&*source, &self.source.path, &*target, &to).await?)
    }
}

fn conclude(
    context: &Context,
    summary: &Summary,
    elapsed: Duration,
    verified: Option<&VerifyReport>,
) -> Result {
    if context.output.json {
        print_document(&report(summary, elapsed, verified))?;
    } else {
        let done = in_words(summary.objects, summary.bytes, elapsed);
        match summary.failed {
            0 => say(&done),
            failed => say(&format!("{done}, {failed} failed")),
        }
        if let Some(verified) = verified {
            tell(verified);
        }
    }
    let copied = Exit::of_all(summary.objects > 0, summary.failures.iter().map(|(_, error)| error));
    match (copied, verified) {
        (Exit::Ok, Some(verified)) if !verified.is_identical() => {
            Err(Failure::Reported(verdict(verified)))
        }
        (Exit::Ok, _) => Ok(()),
        (exit, _) => Err(Failure::Reported(exit)),
    }
}

fn in_words(objects: u64, bytes: u64, elapsed: Duration) -> String {
    format!(
        "copied {}, {} in {:.2} s ({})",
        counted(objects),
        human_size(bytes),
        elapsed.as_secs_f64(),
        human_rate(bytes, elapsed)
    )
}

/// Differences that are told one by one; the first ones show what is wrong.
const MOST_TOLD: usize = 20;

fn tell(verified: &VerifyReport) {
    if verified.is_identical() {
        let size = human_size(verified.bytes);
        let objects = counted(verified.identical);
        return say(&format!("identical: {objects}, {size}, byte for byte"));
    }
    let missing = verified.missing.first().iter().map(|key| format!("missing: {key}"));
    let different =
        verified.different.first().iter().map(|(key, how)| format!("different: {key}: {how}"));
    let extra = verified.extra.first().iter().map(|key| format!("only at the target: {key}"));
    for line in missing.chain(different).chain(extra).take(MOST_TOLD) {
        say(&escape(&line));
    }
    for (_, error) in verified.failures.first().iter().take(MOST_TOLD) {
        say(to_text(error).trim_end());
    }
    say(&format!(
        "not identical: {} equal, {} missing, {} different, {} only at the target, {} not compared",
        verified.identical,
        verified.missing.count(),
        verified.different.count(),
        verified.extra.count(),
        verified.failures.count()
    ));
}

/// A difference is a matter of integrity; what could not be compared is what it failed of. Objects
/// that only the target has were there before.
fn verdict(verified: &VerifyReport) -> Exit {
    match (verified.missing.count() + verified.different.count(), verified.failures.count()) {
        (0, 0) => Exit::Ok,
        (0, _) => Exit::of_all(
            verified.identical > 0,
            verified.failures.first().iter().map(|(_, error)| error),
        ),
        _ => Exit::Integrity,
    }
}

fn report(summary: &Summary, elapsed: Duration, verified: Option<&VerifyReport>) -> Value {
    let failures: Vec<_> =
        summary.failures.iter().map(|(key, error)| failure(key, error)).collect();
    json!({
        "objects": summary.objects,
        "bytes": summary.bytes,
        "failed": summary.failed,
        "seconds": elapsed.as_secs_f64(),
        "mib_per_second": mebibytes_per_second(summary.bytes, elapsed),
        "failures": failures,
        "verified": verified.map(comparison),
    })
}

fn comparison(verified: &VerifyReport) -> Value {
    let texts = |keys: &[Path]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let different: Vec<_> = verified
        .different
        .first()
        .iter()
        .map(|(key, how)| json!({ "key": key.as_ref(), "difference": how.to_string() }))
        .collect();
    let failures: Vec<_> =
        verified.failures.first().iter().map(|(key, error)| failure(key, error)).collect();
    json!({
        "identical": verified.is_identical(),
        "objects": verified.identical,
        "bytes": verified.bytes,
        "missing": texts(verified.missing.first()),
        "different": different,
        "extra": texts(verified.extra.first()),
        "failures": failures,
    })
}

fn failure(key: &Path, error: &Error) -> Value {
    json!({ "key": key.as_ref(), "message": message(error), "error": to_json(error) })
}
