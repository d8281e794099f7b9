//! `lifeboat demo`: a real folder tree through three stores of two kinds, with no account anywhere:
//! into an S3 endpoint of its own on loopback, on to a folder store, back into a second folder.

mod sample;

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat::folder::FolderStore;
use lifeboat::s3::{Credentials, S3Builder, StaticKey};
use lifeboat::transfer::{CopyOptions, Summary, copy_tree, verify_tree};
use lifeboat::{BlobStore, Error, ErrorKind};
use lifeboat_testkit::s3::{Options, TinyS3};
use object_store::path::Path;
use serde_json::{Value, json};

use crate::cli::Demo;
use crate::context::Context;
use crate::exit::{Exit, Failure, Result};
use crate::output::{Table, escape, print_document, print_line, print_text};
use crate::progress::Meter;
use crate::size::{human_rate, human_size, mebibytes_per_second};

const BUCKET: &str = "demo";

/// Copies a folder across and back, and compares.
pub(crate) async fn run(context: &Context, arguments: &Demo) -> Result {
    let scratch = tempfile::Builder::new().prefix("lifeboat-demo-").tempdir();
    let scratch =
        scratch.map_err(|error| Failure::local("cannot make a temporary folder", error))?;
    let server = TinyS3::start(Options::default().bucket(BUCKET)).await.map_err(|error| {
        Error::new(ErrorKind::Local, "the S3 endpoint of the demo cannot start").with_source(error)
    })?;
    let mut tour = Tour::prepare(context, arguments, scratch.path(), &server).await?;
    if arguments.keep {
        tour.kept = Some(scratch.path().to_owned());
    }
    context.output.note(&format!(
        "from {} to an S3 endpoint at {}, to a folder store, and back",
        escape(&tour.origin.to_string_lossy()),
        server.url()
    ));
    let result = tour.run().await;
    if arguments.keep {
        context.output.note(&format!("kept in {}", scratch.keep().display()));
    }
    result
}

/// The places on the way.
struct Tour<'a> {
    context: &'a Context,
    origin: PathBuf,
    stops: [(&'static str, Arc<dyn BlobStore>); 4],
    options: CopyOptions,
    kept: Option<PathBuf>,
}

struct Leg {
    name: String,
    summary: Summary,
    elapsed: Duration,
}

impl<'a> Tour<'a> {
    async fn prepare(
        context: &'a Context,
        arguments: &Demo,
        scratch: &FilePath,
        server: &TinyS3,
    ) -> Result<Self> {
        let across = folder(&scratch.join("store"), true)?;
        let back = folder(&scratch.join("back"), true)?;
        let keeps_attributes = sample::keeps_attributes(&*across).await?;
        if !keeps_attributes {
            context.output.note("this file system keeps no attributes: the demo goes without them");
        }
        let origin = match &arguments.folder {
            Some(folder) => folder.clone(),
            None => scratch.join("sample"),
        };
        let start = folder(&origin, arguments.folder.is_none())?;
        if arguments.folder.is_none() {
            sample::write(&*start, keeps_attributes).await?;
        }
        let options = CopyOptions { drop_attributes: !keeps_attributes, ..CopyOptions::default() };
        let stops = [("folder", start), ("s3", s3(server)?), ("store", across), ("back", back)];
        Ok(Self { context, origin, stops, options, kept: None })
    }

    async fn run(&self) -> Result {
        let mut legs = Vec::new();
        for pair in self.stops.windows(2) {
            let [(from, source), (to, target)] = pair else { continue };
            legs.push(self.leg(format!("{from} -> {to}"), source, target).await?);
        }
        let identical = self.compare().await?;
        self.show(&legs, identical)?;
        let failed: u64 = legs.iter().map(|leg| leg.summary.failed).sum();
        match (identical, failed) {
            (true, 0) => Ok(()),
            (false, 0) => Err(Failure::Reported(Exit::Integrity)),
            _ => Err(Failure::Reported(Exit::Failed)),
        }
    }

    async fn leg(
        &self,
        name: String,
        source: &Arc<dyn BlobStore>,
        target: &Arc<dyn BlobStore>,
    ) -> Result<Leg> {
        let (source, target) = self.context.ends(source, target);
        let meter = Meter::new(self.context, name.clone());
        let started = Instant::now();
        let root = Path::ROOT;
        let summary = copy_tree(&*source, &root, &*target, &root, &self.options, &meter).await?;
        Ok(Leg { name, summary, elapsed: started.elapsed() })
    }

    /// Every stop with the origin, byte for byte, attributes included.
    async fn compare(&self) -> Result<bool> {
        let _meter = Meter::waiting(self.context, "comparing");
        let [(_, origin), later @ ..] = &self.stops;
        let mut identical = true;
        for (name, store) in later {
            let (origin, store) = self.context.ends(origin, store);
            let report = verify_tree(&*origin, &Path::ROOT, &*store, &Path::ROOT).await?;
            if !report.is_identical() {
                identical = false;
                self.tell(name, &report);
            }
        }
        Ok(identical)
    }

    fn tell(&self, name: &str, report: &lifeboat::transfer::VerifyReport) {
        self.context.output.note(&format!(
            "{name}: {} missing, {} different, {} unexpected, {} not compared",
            report.missing.count(),
            report.different.count(),
            report.extra.count(),
            report.failures.count()
        ));
    }

    fn show(&self, legs: &[Leg], identical: bool) -> Result {
        let output = self.context.output;
        if output.json {
            let legs: Vec<_> = legs.iter().map(Leg::to_json).collect();
            return print_document(
                &json!({ "legs": legs, "identical": identical, "kept": self.kept }),
            );
        }
        let mut table = Table::new(&["leg", ">objects", ">size", ">seconds", ">rate"]);
        for leg in legs {
            table.row([
                leg.name.clone(),
                leg.summary.objects.to_string(),
                human_size(leg.summary.bytes),
                format!("{:.2}", leg.elapsed.as_secs_f64()),
                human_rate(leg.summary.bytes, leg.elapsed),
            ]);
        }
        print_text(&table.render())?;
        print_line(if identical { "identical" } else { "NOT identical" })
    }
}

impl Leg {
    fn to_json(&self) -> Value {
        json!({
            "leg": self.name,
            "objects": self.summary.objects,
            "bytes": self.summary.bytes,
            "failed": self.summary.failed,
            "seconds": self.elapsed.as_secs_f64(),
            "mib_per_second": mebibytes_per_second(self.summary.bytes, self.elapsed),
        })
    }
}

fn folder(path: &FilePath, create: bool) -> Result<Arc<dyn BlobStore>> {
    Ok(Arc::new(FolderStore::open(path, create)?))
}

fn s3(server: &TinyS3) -> Result<Arc<dyn BlobStore>> {
    let credentials = match server.credentials() {
        Some(pair) => Credentials::Static(StaticKey::new(&pair.id, &pair.secret)),
        None => Credentials::Anonymous,
    };
    let builder = S3Builder::compatible("loopback", server.url(), BUCKET, server.region());
    Ok(Arc::new(builder.with_allow_http(true).with_credentials(credentials).build()?))
}
