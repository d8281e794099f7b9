//! Deterministic simulation: an application over storage backends that fail, in a world drawn from a seed.
//!
//! An outage in production is one order of events out of millions. A simulation tries thousands of them a minute:
//! everything runs on one thread, time stands still while there is something to do and jumps when there is not, and
//! whatever is random comes from the seed. The same seed gives the same history, bit for bit, so that a failure is
//! found once and looked at as often as needed.
//!
//! ```
//! # use std::sync::Arc;
//! # use async_trait::async_trait;
//! # use object_store::ObjectStore;
//! use lifeboat_testkit::simulation::{Effort, ProcessContext, Profile, Running, simulate};
//!
//! /// The application under test: here, bare access to the one backend.
//! struct Bare(Arc<dyn ObjectStore>);
//!
//! #[async_trait]
//! impl Running for Bare {
//!     fn store(&self) -> Arc<dyn ObjectStore> {
//!         self.0.clone()
//!     }
//!
//!     async fn converge(&self, _: Effort) {}
//! }
//!
//! let start = |context: &ProcessContext| -> Arc<dyn Running> { Arc::new(Bare(context.stores[0].clone())) };
//! let mut profile = Profile::default();
//! profile.backends = (1, 1);
//! profile.episodes = 0; // Fine weather.
//! profile.conditions = false;
//! let report = simulate(42, &profile, &start);
//! assert!(report.violations.is_empty(), "{report}");
//! ```
//!
//! # What is in the world
//!
//! - **Backends** ([`SimBackend`]): linearizable per request. Some enforce conditions, some ignore them, some refuse
//!   them; some list in folder order; some have ETags that are digests of the content; listings are paged and no
//!   snapshots; user metadata must have names that every provider keeps; clocks of servers differ.
//! - **The way** between each process and each backend: latency; nobody listens; requests lost; answers lost; a
//!   hundred times slower; failures of every class; answers replaced by a broken connection; writes that are given up
//!   and land up to [`Profile::late`] later, also after the death of whoever sent them; bodies that break or stall; a
//!   conflict that is none. A request, once sent, is carried out even if nobody waits for it any more.
//! - **Processes**: one to three. A crash ends every task at a request or an answer of the process; later it starts
//!   again with nothing but what the backends have. Clocks are skewed, some by an hour.
//!   In some seeds ([`Profile::variants`]) they are set up in another way ([`Variant`]): they want two copies of a write, or
//!   do not wait for the second; remember what they are about to do; serve older versions rather than none.
//! - **Clients**: puts, creates, updates, multipart uploads, reads, ranges, several ranges at once, metadata, deletes, bulk
//!   deletes, listings, copies and renames; of keys that one client has to itself, and of keys that all share. Some stop
//!   waiting. In some seeds ([`Profile::names`]) some keys are long, or have a `~` or a `%7E` in them.
//! - **What was there before**: in some seeds ([`Profile::joins`]) one of the first two backends has just joined, empty, and
//!   the others hold objects of an earlier version of the application: attributes, but nothing of the application's own.
//! - **Others**: someone who writes to a backend directly, and a provider that loses what it was told last.
//!
//! # What is checked
//!
//! While it runs, for a key with one writer: a read sees the value that the client's own operations leave possible,
//! and nothing else; bytes and attributes belong together; what does not exist is not refused for existing, and the
//! other way round; listings have what must be there and nothing else, nothing twice and nothing private. For a key
//! that processes share: a process never sees something older than what it wrote itself, unless another wrote.
//! What was there before a backend joined is never reported missing, nor created over, until someone begins to delete it.
//! Every operation ends within its bound. A write does not fail while as many backends as must have it
//! ([`Variant::copies`]) have been fine for [`Profile::grace`]; a read of a key with one writer does not fail while a backend has been fine
//! for as long that has what was last acknowledged, nor one of anything while a backend has been fine from the beginning.
//!
//! In the end, when the weather has been fine for [`Profile::late`] and the application has caught up: all backends
//! hold the same bytes and attributes; nothing is left to do; every process lists what is there; no acknowledged write
//! is lost, unless it was overwritten by one that came later or at the same time, or is kept as the loser of a
//! conflict; no deleted key is back. No task panicked, and none outlived its process.
//!
//! # What is not asked for
//!
//! Some of this cannot be had by any application that keeps nothing but objects at its providers. The checks are
//! weaker exactly here:
//!
//! - **An operation that was not acknowledged** may or may not have happened. Until the next acknowledged write of
//!   its key both are possible, and reads may see one and then the other.
//! - **A crash between two legs of a write that was never acknowledged** leaves the backends different with nobody who
//!   knows. Keys that a process was writing when it crashed (or had written without acknowledgement, or, of shared
//!   keys, had written within [`Profile::comparing`]) need not be equal after catching up, only after mending. If a
//!   request that such a process had under way lands on top of a later write, its value may be seen until then.
//! - **Two processes that write one key at the same time** have no order; nor have two writes closer together than
//!   the clocks of their processes are apart. Any of them may win; [`Profile::losers`] asks for the others to be kept. What one process wrote, another sees in its own
//!   time.
//! - **A write that only one backend holds** is overwritten if a request that was sent to that backend before it, and
//!   given up, lands there afterwards; or if a delete of another process, that replays an older one, comes right
//!   after its last look, or an older version, where conditions are not enforced and the writer has had no time to read
//!   what is remembered of that; an upload of which that is seen in time fails. What was copied from such a key is
//!   as old. Nor can anybody tell then what that write had replaced from what has replaced it: a read may find either,
//!   or nothing. If its process crashes while its own first request, which was repeated, is still on its way there, nobody is left
//!   who knows: what that brings may be seen until it is found to be older.
//! - **A process that was started again** may date a write before those of its earlier life, if these were dated by the
//!   clock of another process that is ahead. The loser is kept.
//! - **A process that starts while a backend is unreachable** does not know what is remembered there: until it has
//!   had [`Profile::grace`] of fine weather with each backend, what it reads of its keys may be older.
//! - **After a provider lost acknowledged writes** nothing is asked of the keys that are different now, or that a
//!   request of before still changes, but that mending makes the backends equal.
//! - **What someone wrote behind our back** (clocks are right to the second then) must be there in the end, or be kept as
//!   the loser of a conflict, or have been overwritten at its backend by a write that came later, or, where conditions
//!   are not enforced, or by a delete, which bears none, by a request that was sent before its sender could know. Reads of such a key are not checked.
//! - **A read that may be stale** ([`Variant::stale`]) may see anything that its key ever held, or that it was not there yet,
//!   while some backend is away from its process or has been within [`Profile::grace`]. Copies and renames may not take
//!   anything older than reads that may not.
//! - **What was there before a backend joined**, and nobody wrote since, need not come to it by catching up, only by mending.
//!   It bears no stamp: a body of it that breaks off does not go on elsewhere.
//! - **A read after a restart** may fail while some backend is not reachable: what is remembered there is not known.
//! - **Conditional operations** may be refused whenever a backend has ever been unwell, or others write the key at the
//!   same time, for themselves or because they catch up. They may never succeed falsely.

mod application;
mod backend;
mod campaign;
mod check;
mod client;
mod content;
mod history;
mod model;
mod order;
mod plan;
mod process;
mod run;
mod verdict;
mod view;
mod world;

pub use application::{Application, Effort, ProcessContext, Running};
pub use backend::{Applied, BackendSettings, Conditions, SimBackend, Stored};
pub use campaign::{Campaign, Summary};
pub use history::{Action, History, Outcome, Record, Refusal, Value};
pub use order::Order;
pub use plan::{Condition, Crash, Episode, Foreign, Plan, Profile, Variant};
pub use process::{SimClock, SimSpawner};
pub use run::{Report, simulate, simulate_plan};
pub use view::SimView;

/// When every simulation begins, in milliseconds since 1970: 14 November 2023, 22:13:20 UTC.
pub const EPOCH_MILLIS: i64 = 1_700_000_000_000;
