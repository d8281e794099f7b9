//! What every command is given: where to print, the configured backends, Ctrl-C.

use std::path::PathBuf;
use std::sync::Arc;

use lifeboat::{BlobStore, Fleet, Location, find_config, open};
use lifeboat_failover::Failover;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::cli::Global;
use crate::exit::{Failure, Result, before_requests};
use crate::interrupt::{Interrupt, Interruptible};
use crate::output::Output;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where to print.
    pub(crate) output: Output,
    /// Whether the user has pressed Ctrl-C.
    pub(crate) interrupt: Interrupt,
    /// Whether progress may be shown.
    pub(crate) progress: bool,
    config: Option<PathBuf>,
}

impl Context {
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            output: Output::new(global.json),
            interrupt: Interrupt::listen(),
            progress: !global.no_progress,
            config: global.config.clone(),
        }
    }

    /// The configured backends; none without a configuration file.
    pub(crate) fn fleet(&self) -> Result<Fleet> {
        Ok(match find_config(self.config.as_deref()) {
            Some(file) => open(file).map_err(before_requests)?,
            None => Fleet::empty(),
        })
    }

    /// The backends of the file that was named on the command line; none if none was named.
    pub(crate) fn named_fleet(&self) -> Result<Option<Fleet>> {
        let open = |file| open(file).map_err(before_requests);
        Ok(self.config.as_ref().map(open).transpose()?)
    }

    /// The place that `text` names.
    pub(crate) fn locate(&self, text: &str) -> Result<Location> {
        locate(&self.fleet()?, text)
    }

    /// The object that `text` names: a key, not a whole bucket or folder.
    pub(crate) fn locate_object(&self, text: &str) -> Result<Location> {
        let place = self.locate(text)?;
        if place.path.is_root() { Err(Failure::no_object(text)) } else { Ok(place) }
    }

    /// The two ends of a copy, which ends in order on Ctrl-C. One store stays one store, so that it
    /// can copy by itself.
    pub(crate) fn ends(
        &self,
        source: &Arc<dyn BlobStore>,
        target: &Arc<dyn BlobStore>,
    ) -> (Arc<dyn BlobStore>, Arc<dyn BlobStore>) {
        let wrap = |store: &Arc<dyn BlobStore>| -> Arc<dyn BlobStore> {
            Arc::new(Interruptible::new(Arc::clone(store), self.interrupt.clone()))
        };
        let source_end = wrap(source);
        let target_end =
            if Arc::ptr_eq(source, target) { Arc::clone(&source_end) } else { wrap(target) };
        (source_end, target_end)
    }

    /// A view of `store` whose listings show the object `key` and nothing else.
    pub(crate) async fn only(
        &self,
        store: Arc<dyn BlobStore>,
        key: &Path,
    ) -> Result<Arc<dyn BlobStore>> {
        let object = store.head(key).await;
        let object = object.map_err(|error| Failure::of_store(&*store, key, error))?;
        Ok(Arc::new(Interruptible::new(store, self.interrupt.clone()).listing_only(object)))
    }
}

/// The configured backends as one store. Nothing is sent yet.
pub(crate) fn failover(fleet: &Fleet) -> Result<Failover> {
    if fleet.names().next().is_none() {
        let remedy = "write lifeboat.toml, or name a file with --config or LIFEBOAT_CONFIG";
        return Err(Failure::usage("no backend is configured", remedy));
    }
    Ok(fleet.failover().build()?)
}

/// The place that `text` names, with the backends of `fleet`.
pub(crate) fn locate(fleet: &Fleet, text: &str) -> Result<Location> {
    Ok(fleet.locate(text).map_err(before_requests)?)
}
