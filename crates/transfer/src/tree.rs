//! Copies everything under a prefix.

use std::collections::VecDeque;

use futures::StreamExt;
use futures::stream::{BoxStream, FuturesUnordered};
use lifeboat_core::{BlobStore, Error, ErrorKind, is_reserved};
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::budget::Budget;
use crate::job::{Job, is_one_store};
use crate::object::Copied;
use crate::{CopyOptions, Progress, backend_name, describe};

/// What a copy of a tree did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Objects that were copied.
    pub objects: u64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// Objects that were not copied, and names that could not be listed.
    pub failed: u64,
    /// The first of them, by key of the source, at most [`Summary::MOST_FAILURES`].
    pub failures: Vec<(Path, Error)>,
}

impl Summary {
    /// Enough to act on; a run in which everything fails must not fill the memory with errors.
    pub const MOST_FAILURES: usize = 1_000;

    /// Whether everything that was found was copied.
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }

    fn record(&mut self, key: Path, result: Result<Copied, Error>, progress: &dyn Progress) {
        match result {
            Ok(copied) => {
                self.objects += 1;
                self.bytes += copied.size;
                progress.finished(&key);
            }
            Err(error) => {
                self.failed += 1;
                progress.failed(&key, &error);
                if self.failures.len() < Self::MOST_FAILURES {
                    self.failures.push((key, error));
                }
            }
        }
    }
}

/// How far the listing runs ahead of the copies: one page of every provider, so that the watcher
/// sees a total early, and little memory (some 300 KiB).
const LOOK_AHEAD: usize = 1_000;

/// Copies everything under `from` in `source` to the same names under `to` in `target`.
///
/// The listing is streamed and [reserved](is_reserved) keys stay where they are. An object that
/// fails is reported and does not stop the others; nothing is tried twice, the stores retry by
/// themselves.
///
/// # Errors
/// Fails if the target lies inside the source, or if the source stops listing. Objects that were
/// listed before are copied all the same, and the watcher was told of each.
///
/// # Cancel safety
/// As [`copy_object`](crate::copy_object), for each object in flight.
pub async fn copy_tree(
    source: &dyn BlobStore,
    from: &Path,
    target: &dyn BlobStore,
    to: &Path,
    options: &CopyOptions,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    if is_inside(source, from, target, to) {
        let message = "the target lies inside the source, which would copy the copies";
        return Err(Error::new(ErrorKind::Configuration, message)
            .with_backend(backend_name(target))
            .with_key(to)
            .with_remedy("choose a target outside of it"));
    }
    let budget = Budget::new(options.memory);
    let job = Job { source, target, options, progress, budget: &budget };
    let mut summary = Summary::default();
    let mut listing = Listing::new(source, from);
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < options.objects_in_flight.max(1) {
            let Some(object) = listing.waiting.pop_front() else { break };
            let target_key = moved(&object.location, from, to);
            let job = &job;
            running.push(async move {
                let copied = job.copy(&object.location, &target_key, Some(object.size)).await;
                (object.location, copied)
            });
        }
        tokio::select! {
            Some((key, result)) = running.next() => summary.record(key, result, progress),
            found = listing.advance(), if listing.wants_more() => match found {
                Some(Ok(object)) => {
                    progress.discovered(1, object.size);
                    listing.waiting.push_back(object);
                }
                Some(Err(error)) => summary.record(from.clone(), Err(error), progress),
                None => {}
            },
            else => break,
        }
    }
    match listing.stopped_by {
        Some(error) => Err(error),
        None => Ok(summary),
    }
}

/// A listing that is read ahead, up to a bound.
pub(crate) struct Listing<'a> {
    store: &'a dyn BlobStore,
    prefix: &'a Path,
    stream: BoxStream<'static, object_store::Result<ObjectMeta>>,
    /// What was found and not yet taken.
    pub(crate) waiting: VecDeque<ObjectMeta>,
    ended: bool,
    /// Why it ended before its end.
    pub(crate) stopped_by: Option<Error>,
}

impl<'a> Listing<'a> {
    pub(crate) fn new(store: &'a dyn BlobStore, prefix: &'a Path) -> Self {
        let stream = store.list((!prefix.is_root()).then_some(prefix));
        let waiting = VecDeque::new();
        Self { store, prefix, stream, waiting, ended: false, stopped_by: None }
    }

    pub(crate) fn wants_more(&self) -> bool {
        !self.ended && self.waiting.len() < LOOK_AHEAD
    }

    /// The next object; an error is one name that cannot be copied. `None` says nothing about the
    /// end: that is `wants_more`.
    pub(crate) async fn advance(&mut self) -> Option<Result<ObjectMeta, Error>> {
        match self.stream.next().await {
            Some(Ok(object)) if is_reserved(&object.location) => None,
            Some(Ok(object)) if object.location.prefix_matches(self.prefix) => Some(Ok(object)),
            Some(Ok(object)) => {
                let message = format!("the listing of `{}` shows this key", self.prefix);
                let error = Error::new(ErrorKind::Unavailable, message)
                    .with_backend(backend_name(self.store))
                    .with_key(&object.location);
                Some(Err(error))
            }
            Some(Err(error)) => self.failed(error),
            None => {
                self.ended = true;
                None
            }
        }
    }

    /// A fault ends the listing; an answer is about one name, and the listing goes on.
    fn failed(&mut self, error: object_store::Error) -> Option<Result<ObjectMeta, Error>> {
        let about_one_name = matches!(error, object_store::Error::InvalidPath { .. })
            || !self.store.classify(&error).is_fault();
        let error = describe(self.store, self.prefix, error);
        if about_one_name {
            return Some(Err(error));
        }
        self.ended = true;
        self.stopped_by = Some(error);
        None
    }
}

/// The key at the other end.
pub(crate) fn moved(key: &Path, from: &Path, to: &Path) -> Path {
    match key.prefix_match(from) {
        Some(rest) => to.parts().chain(rest).collect(),
        None => key.clone(),
    }
}

/// Whether what is written would be listed as part of the source.
fn is_inside(source: &dyn BlobStore, from: &Path, target: &dyn BlobStore, to: &Path) -> bool {
    if is_one_store(source, target) {
        return to.prefix_matches(from);
    }
    // Two views of one disk.
    let (one, other) = (source.identity(), target.identity());
    let folder = |bucket: &str, path: &Path| {
        let bucket = bucket.trim_end_matches('/');
        if path.is_root() { bucket.to_owned() } else { format!("{bucket}/{path}") }
    };
    one.provider() == "file" && other.provider() == "file" && {
        let (outer, inner) = (folder(one.bucket(), from), folder(other.bucket(), to));
        inner.strip_prefix(&outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}
