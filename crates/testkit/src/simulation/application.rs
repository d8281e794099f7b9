//! What is simulated: the seam between the simulation and the application under test.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::ObjectStore;

use super::backend::SimBackend;
use super::plan::Variant;
use super::process::{SimClock, SimSpawner};

/// What a simulated process is given.
#[derive(Debug)]
#[non_exhaustive]
pub struct ProcessContext {
    /// Which process, from 0.
    pub process: usize,
    /// Which life of it, from 0; a crash ends one.
    pub incarnation: u32,
    /// Its own seed: another one in each life.
    pub seed: u64,
    /// How it is to be set up: as all processes of its world.
    pub variant: Variant,
    /// The backends as this process reaches them, faults and all, in order of preference.
    pub stores: Vec<Arc<dyn ObjectStore>>,
    /// The same backends by name and settings: what a deployment knows about its providers. Data that is read or
    /// written here goes past all faults, so an application has no business with it.
    pub backends: Vec<SimBackend>,
    /// Whether each of them held everything when the application was set up.
    pub complete: Vec<bool>,
    /// Its wall clock.
    pub clock: SimClock,
    /// Where its tasks run. What is spawned elsewhere survives a crash, and the simulation reports it.
    pub spawner: SimSpawner,
}

/// How hard an application tries to bring its backends to one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// By what it remembers: the journal.
    CatchUp,
    /// By comparing everything.
    Mend,
}

/// A running process.
#[async_trait]
pub trait Running: Send + Sync {
    /// The store that its clients use.
    fn store(&self) -> Arc<dyn ObjectStore>;

    /// Brings the backends to one state, as far as that is possible now.
    async fn converge(&self, effort: Effort);
}

/// The application under test.
pub trait Application: Send + Sync {
    /// Starts a process.
    fn start(&self, context: &ProcessContext) -> Arc<dyn Running>;
}

impl<F> Application for F
where
    F: Fn(&ProcessContext) -> Arc<dyn Running> + Send + Sync,
{
    fn start(&self, context: &ProcessContext) -> Arc<dyn Running> {
        self(context)
    }
}
