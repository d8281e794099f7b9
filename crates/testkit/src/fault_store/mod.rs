//! [`FaultStore`]: any [`ObjectStore`](object_store::ObjectStore) with faults that strike from a seed, inside the
//! process and without a network. For faults on the wire there is the [`proxy`](crate::proxy).
//!
//! A test that only makes every call fail proves little, because outages are rarely so polite: the write happens and
//! its answer is lost; the body ends in the middle; the request lands minutes after everyone gave up on it. Each
//! [`Strike`] is one such case, a [`Rule`] says whom it hits, and [`Faults`] is the handle by which a test changes
//! the weather while the application runs. The same seed gives the same faults, as long as the requests come in the
//! same order.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> object_store::Result<()> {
//! use lifeboat_testkit::fault_store::{At, Failure, FaultStore, Faults, Operation, Rule, Strike};
//! use object_store::{ObjectStoreExt, memory::InMemory};
//!
//! let faults = Faults::seeded(42);
//! let store = FaultStore::new(InMemory::new(), faults.clone());
//!
//! // The write happens, the answer is lost. Does your application write it twice? Does it tell its user "failed"?
//! faults.add(Rule::new(Strike::FailAfter(Failure::Reset)).on(Operation::PUTS).times(1));
//! let error = store.put(&"invoice".into(), "100 EUR".into()).await.unwrap_err();
//! assert!(matches!(error, object_store::Error::Generic { .. }));
//! assert_eq!(store.get(&"invoice".into()).await?.bytes().await?, "100 EUR");
//!
//! // Every second read breaks somewhere in its body.
//! faults.add(Rule::new(Strike::Break(At::Anywhere, Failure::Reset)).on(&[Operation::Get]).permille(500));
//!
//! // Fine weather again.
//! faults.clear();
//! # Ok(())
//! # }
//! ```
//!
//! # What it does not do
//!
//! Whatever a store does inside one call, such as the retries of `object_store`'s HTTP clients, is beyond a wrapper's
//! reach: [`FaultStore`] strikes the call as a whole. Faults between those retries come from the proxy.

mod body;
mod failure;
mod faults;
mod gate;
mod journey;
mod rule;
mod store;
mod upload;

pub use failure::{BucketMissing, Failure, SlowDown};
pub use faults::Faults;
#[cfg(feature = "simulation")]
pub(crate) use faults::Watch;
pub use gate::Gate;
#[cfg(feature = "simulation")]
pub(crate) use journey::SENT;
pub use rule::{At, Operation, Rule, Strike};
pub use store::FaultStore;

#[cfg(test)]
mod tests;
