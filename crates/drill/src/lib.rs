#![doc = include_str!("../README.md")]

mod breaker;
mod content;
mod embedded;
mod failover;
mod frame;
mod injected;
mod measure;
mod naive;
mod oracle;
mod report;
mod run;
mod scenario;
mod site;
mod subject;
mod workload;

pub use breaker::Breaker;
pub use embedded::Embedded;
pub use failover::{Served, Watched, settings};
pub use frame::{BackendFrame, Frame, Watcher};
pub use injected::{Injected, injected_verdict};
pub use measure::Measured;
pub use naive::NaiveFallback;
pub use oracle::{Audit, Findings};
pub use report::{Harm, Outcome, Report, STABLE_FIELDS, Totals};
pub use run::{DrillError, Plan, drill};
pub use scenario::{Disturbance, Scenario, Step, UnknownScenario};
pub use site::Site;
pub use subject::{BackendGlance, Glance, Subject};
pub use workload::Kind;
