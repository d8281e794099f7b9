//! One [`ObjectStore`](object_store::ObjectStore) over two or more providers: the outage of any one of them is a
//! non-event.
//!
//! ```
//! use lifeboat_core::{AnyStore, Identity};
//! use lifeboat_failover::Failover;
//! use object_store::{ObjectStoreExt, memory::InMemory};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The store that the application has had so far, and another one to stand beside it.
//! let existing = AnyStore::new(InMemory::new(), Identity::new("memory", "", "existing"));
//! let other = AnyStore::new(InMemory::new(), Identity::new("memory", "", "other"));
//!
//! let store = Failover::wrap(existing).or(other).build()?;
//! store.put(&"report.pdf".into(), "contents".into()).await?;
//! assert_eq!(store.get(&"report.pdf".into()).await?.bytes().await?, "contents");
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - A write is acknowledged when [`Settings::min_copies`] backends have it *and*, for every other one, a durable
//!   marker says that it may lack it. So it survives the loss of any one backend once it has two copies, and the crash of the process.
//! - A request succeeds if one healthy backend can serve it, and ends within a bounded time.
//! - No deleted object comes back, and no older version replaces a newer one by catch-up.
//! - After the faults end, all backends converge to the same state.
//! - One writing process reads its own writes, through any failover.
//!
//! # What is not
//!
//! - Processes that cannot see each other's backends do not agree at every moment: another process' diverted writes are
//!   seen after [`Settings::journal_poll`]. Both may write a key; the later stamp wins, the loser is kept
//!   under `.lifeboat/conflicts/`.
//! - A write that was not acknowledged may or may not have happened. If the process was killed in the middle of
//!   it, copies may differ until [`Failover::mend_since`] compares them. A writer keeps a small object at each backend while it writes
//!   ([`Settings::presence_beat`]), so that an unclean end is told ([`Status::unclean_ends`], [`Event::UncleanEnd`]) and the comparison
//!   is limited to what was written since; [`Settings::intent`] closes the gap at the price of a request for each write.
//! - A provider that was restored from a backup has lost what was acknowledged since, and no marker is left to tell: only
//!   [`Failover::mend`] can know. It costs a listing of each backend and one request for each key and backend, or for each key since a
//!   given time; run it after every such incident, and now and then.
//! - [`get_ranges`](object_store::ObjectStore::get_ranges) reads each range by itself, as every store does: an overwrite between two of them shows.
//! - A request that was given up may land up to [`Settings::quarantine`] later, on top of what was written to that
//!   backend since. The other copies mend it; a write that only this backend could take has no other copy.
//! - Conditional writes while the first backend is down: refused, unless [`ConditionalWrites::Active`] says that
//!   only one process writes.
//! - Where a backend enforces no conditions, two processes that overwrite one key at the same moment rely on the
//!   settling check, which runs [`Settings::settle_after`] later.
//! - Where such a backend alone can be reached, and another process is just bringing an older version of the key there, a
//!   write looks whether it is still there before it is acknowledged: a put is sent again, an upload fails. What lands later still overwrites
//!   the only copy.
//! - Presigned URLs for anything but reading are refused ([`Reason::WouldBypass`]): whoever used one would write to one backend, without a stamp and
//!   without a marker for the others. Write through the failover, or presign at one backend on purpose and
//!   [`mend`](Failover::mend) afterwards.
//! - An `ETag` belongs to the backend that gave it. A conditional write translates it where both hold the same version;
//!   while its backend does not serve, what depends on it fails and says so.
//! - Parts of a multipart upload go to every backend as they come: one whose limits they do not fit leaves the upload, has a marker, and is
//!   caught up afterwards. `lifeboat_core`'s `PartLimits` tell what suits all.
//! - A request that has to wait for others, for their key or for memory, fails with [`Reason::Busy`] when its time is
//!   over; nothing was sent.
//! - A backend that refuses a key stays behind for it: [`Status::refused`] names the key and what it answered. It is
//!   tried again after pauses of up to five minutes, and by every [`Failover::catch_up`].
//! - A difference that no marker explains is settled only when nothing has moved for longer than
//!   [`Settings::write_deadline`]: until then it may be a write on its way.
//! - A process that starts while a backend is down cannot read that backend's journal:
//!   [`BackendStatus::journal_read`] says so, and reads are served from what is there.
//!
//! # What it takes
//!
//! - A write that a backend has missed leaves one marker of no bytes in each backend that has it, about 300 bytes of name. Every process keeps
//!   all markers in memory, some 1.1 kB for each (a million took 1,105 bytes each and 6.2 s to read from memory on two cores: the
//!   long test `journal_size`).
//! - Every process lists the whole journal of each backend once per [`Settings::journal_poll`]: a request where it is
//!   empty, and one for each thousand markers. After an outage of many hours raise the interval, or bring the backend back to shorten it.
//! - Catch-up costs up to seven requests for a key, however many other objects there are.
//!
//! # What is told
//!
//! An [`Observer`] is told typed [`Event`]s, [`Failover::status`] is a snapshot, each operation is a `tracing` span (target
//! `lifeboat_failover`, level debug, with `operation`, `key` and the `backend` that served), and these numbers go through the `metrics`
//! facade. Its handles are made when a failover is built: install the recorder before.
//!
//! | name | kind | labels | meaning |
//! |---|---|---|---|
//! | `lifeboat_requests_total` | counter | backend, operation, outcome | what was asked of a backend: `ok`, `refused` (not found, a condition, denied) or `failed` |
//! | `lifeboat_request_seconds` | histogram | backend, operation | from the call to the answer; of a listing, to its first page |
//! | `lifeboat_health` | gauge | backend | 0 serving, 1 suspect, 2 ejected, 3 probing |
//! | `lifeboat_journal_markers` | gauge | | markers known |
//! | `lifeboat_journal_oldest_seconds` | gauge | | age of the oldest marker |
//! | `lifeboat_behind_keys` | gauge | backend | keys of which it may lack the latest version |
//! | `lifeboat_behind_bytes` | gauge | backend | bytes of those, as far as their markers say |
//! | `lifeboat_catch_up_keys_total` | counter | backend | keys brought up to date |
//! | `lifeboat_catch_up_bytes_total` | counter | backend | bytes written by catch-up |
//! | `lifeboat_hedges_total` | counter | outcome | hedges `fired` and `won` |
//! | `lifeboat_conflicts_total` | counter | | versions kept as conflicts |
//!
//! `operation` is `get`, `head`, `list`, `put` (on a condition or not), `multipart`, `delete` or `copy` (renames, too).
//! Counted is what operations of the application ask: a read or a write once for each backend and attempt, a listing once, however many
//! pages it has. Not counted is what was given up because another backend had answered, nor what catch-up, journals and probes ask.
//!
//! # Cancel safety
//!
//! Reads may be dropped at any time. A write, a delete, a copy and a completion run to their end in the background when
//! their future is dropped. A dropped multipart upload leaves its parts, as with every store.

mod backend;
mod body;
mod builder;
mod catch_up;
mod clock;
mod confirming;
mod engine;
mod error;
mod etag;
mod events;
mod failover;
mod flag;
mod health;
mod journal;
mod latency;
mod level;
mod list;
mod locks;
mod memory;
mod object_store_impl;
mod observe;
mod presence;
mod read;
mod seam;
mod seeding;
mod settings;
mod settle;
mod status;
mod tokens;
mod write;

pub use builder::FailoverBuilder;
pub use catch_up::mend::MendReport;
pub use catch_up::patience::RefusedKey;
pub use catch_up::runner::CatchUpReport;
pub use error::{FailoverError, Reason};
pub use events::{Event, Observer, Operation};
pub use failover::{Conflict, Failover};
pub use health::HealthState;
pub use journal::Marker;
pub use presence::UncleanEnd;
pub use seam::{Clock, Spawner, SystemClock, TokioSpawner};
pub use settings::{ConditionalWrites, Failback, HealthSettings, Settings, StaleReads};
pub use status::{BackendStatus, JournalStatus, Status};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
