//! Compares two trees byte for byte, by reading both.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lifeboat_core::{BlobStore, Error};
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, GetResult, ObjectStoreExt};

use crate::attributes::differences;
use crate::body::Body;
use crate::job::read_failed;
use crate::tree::{Listing, moved};
use crate::{CopyOptions, describe};

/// In what an object and its copy differ.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// They have different sizes.
    Size {
        /// Bytes at the source.
        source: u64,
        /// Bytes at the target.
        target: u64,
    },
    /// They have the same size, and the first different byte is here.
    Content {
        /// Bytes before it, which are equal.
        offset: u64,
    },
    /// The bytes are equal, these attributes are not.
    Attributes(Vec<String>),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Size { source, target } => write!(f, "{source} bytes became {target}"),
            Self::Content { offset } => write!(f, "contents differ from byte {offset} on"),
            Self::Attributes(names) => write!(f, "attributes differ: {}", names.join(", ")),
        }
    }
}

/// How many of one kind were found, and the first of them.
#[derive(Debug)]
pub struct Findings<T> {
    count: u64,
    first: Vec<T>,
}

impl<T> Findings<T> {
    /// Enough to act on; a tree in which everything differs must not fill the memory.
    pub const MOST: usize = 1_000;

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first of them, at most [`Findings::MOST`].
    pub fn first(&self) -> &[T] {
        &self.first
    }

    fn add(&mut self, item: T) {
        self.count += 1;
        if self.first.len() < Self::MOST {
            self.first.push(item);
        }
    }
}

impl<T> Default for Findings<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

/// What a comparison found. Keys are those of the source, but for [`extra`](Self::extra).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Objects that were read from both and are equal.
    pub identical: u64,
    /// Bytes of the equal objects.
    pub bytes: u64,
    /// Objects that the target lacks.
    pub missing: Findings<Path>,
    /// Objects that differ.
    pub different: Findings<(Path, Difference)>,
    /// Objects that only the target has, by its keys.
    pub extra: Findings<Path>,
    /// What could not be compared, and why.
    pub failures: Findings<(Path, Error)>,
}

impl VerifyReport {
    /// Whether both trees are equal, with nothing left uncompared.
    pub fn is_identical(&self) -> bool {
        self.missing.count == 0
            && self.different.count == 0
            && self.extra.count == 0
            && self.failures.count == 0
    }

    fn record(&mut self, key: Path, outcome: Result<Outcome, Error>) {
        match outcome {
            Ok(Outcome::Equal(bytes)) => {
                self.identical += 1;
                self.bytes += bytes;
            }
            Ok(Outcome::Missing) => self.missing.add(key),
            Ok(Outcome::Differs(difference)) => self.different.add((key, difference)),
            Err(error) => self.failures.add((key, error)),
        }
    }
}

enum Outcome {
    Equal(u64),
    Missing,
    Differs(Difference),
}

/// Compares everything under `from` in `source` with the same names under `to` in `target`: bytes
/// by reading both, attributes as [`copy_object`](crate::copy_object) carries them over.
///
/// Names that only the target has are looked for by a second listing. Nothing is written.
///
/// # Errors
/// Fails if either store stops listing. What cannot be read is part of the report.
///
/// # Cancel safety
/// Reads only.
pub async fn verify_tree(
    source: &dyn BlobStore,
    from: &Path,
    target: &dyn BlobStore,
    to: &Path,
) -> Result<VerifyReport, Error> {
    let pair = Pair { source, from, target, to };
    let mut report = VerifyReport::default();
    pair.compare_all(&mut report).await?;
    pair.find_extra(&mut report).await?;
    Ok(report)
}

#[derive(Clone, Copy)]
struct Pair<'a> {
    source: &'a dyn BlobStore,
    from: &'a Path,
    target: &'a dyn BlobStore,
    to: &'a Path,
}

impl Pair<'_> {
    async fn compare_all(&self, report: &mut VerifyReport) -> Result<(), Error> {
        let mut listing = Listing::new(self.source, self.from);
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < CopyOptions::OBJECTS_IN_FLIGHT {
                let Some(object) = listing.waiting.pop_front() else { break };
                running.push(async move {
                    let outcome = self.compare(&object.location).await;
                    (object.location, outcome)
                });
            }
            tokio::select! {
                Some((key, outcome)) = running.next() => report.record(key, outcome),
                found = listing.advance(), if listing.wants_more() => match found {
                    Some(Ok(object)) => listing.waiting.push_back(object),
                    Some(Err(error)) => report.failures.add((self.from.clone(), error)),
                    None => {}
                },
                else => return listing.stopped_by.map_or(Ok(()), Err),
            }
        }
    }

    async fn compare(&self, key: &Path) -> Result<Outcome, Error> {
        let copy = moved(key, self.from, self.to);
        let original = self.source.get_opts(key, GetOptions::default()).await;
        let original = original.map_err(|error| describe(self.source, key, error))?;
        let other = match self.target.get_opts(&copy, GetOptions::default()).await {
            Ok(other) => other,
            Err(StoreError::NotFound { .. }) => return Ok(Outcome::Missing),
            Err(error) => return Err(describe(self.target, &copy, error)),
        };
        let (size, target) = (original.meta.size, other.meta.size);
        if size != target {
            return Ok(Outcome::Differs(Difference::Size { source: size, target }));
        }
        let names = differences(&original.attributes, &other.attributes);
        match self.first_difference(key, original, &copy, other).await? {
            Some(offset) => Ok(Outcome::Differs(Difference::Content { offset })),
            None if names.is_empty() => Ok(Outcome::Equal(size)),
            None => Ok(Outcome::Differs(Difference::Attributes(names))),
        }
    }

    /// Reads both to their ends, whose checksums are verified there.
    async fn first_difference(
        &self,
        key: &Path,
        original: GetResult,
        copy: &Path,
        other: GetResult,
    ) -> Result<Option<u64>, Error> {
        let (mut ours, mut theirs) = (Body::new(original), Body::new(other));
        let mut offset = 0;
        let mut expected = Bytes::new();
        loop {
            if expected.is_empty() {
                let piece = ours.read(u64::MAX).await;
                expected = match piece.map_err(|error| read_failed(self.source, key, error))? {
                    Some(piece) => piece,
                    None => break,
                };
            }
            let piece = theirs.read(expected.len() as u64).await;
            let piece = piece.map_err(|error| read_failed(self.target, copy, error))?;
            // Both announced the same length, so neither ends before the other.
            let Some(piece) = piece else { return Ok(Some(offset)) };
            let wanted = expected.split_to(piece.len());
            if piece != wanted {
                let equal = piece.iter().zip(&wanted).take_while(|(one, other)| one == other);
                return Ok(Some(offset + equal.count() as u64));
            }
            offset += piece.len() as u64;
        }
        let end = theirs.read(1).await.map_err(|error| read_failed(self.target, copy, error))?;
        Ok(end.map(|_| offset))
    }

    /// Looks at each name of the target, unless counting already shows that there is no other.
    async fn find_extra(&self, report: &mut VerifyReport) -> Result<(), Error> {
        let known = report.identical + report.different.count;
        if report.failures.count == 0 && self.count_target().await? == Some(known) {
            return Ok(());
        }
        let mut listing = Listing::new(self.target, self.to);
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < CopyOptions::OBJECTS_IN_FLIGHT {
                let Some(object) = listing.waiting.pop_front() else { break };
                let original = moved(&object.location, self.to, self.from);
                running.push(async move {
                    let found = match self.source.head(&original).await {
                        Ok(_) => Ok(true),
                        Err(StoreError::NotFound { .. }) => Ok(false),
                        Err(error) => Err(describe(self.source, &original, error)),
                    };
                    (object.location, found)
                });
            }
            tokio::select! {
                Some((key, found)) = running.next() => match found {
                    Ok(true) => {}
                    Ok(false) => report.extra.add(key),
                    Err(error) => report.failures.add((key, error)),
                },
                found = listing.advance(), if listing.wants_more() => match found {
                    Some(Ok(object)) => listing.waiting.push_back(object),
                    Some(Err(error)) => report.failures.add((self.to.clone(), error)),
                    None => {}
                },
                else => return listing.stopped_by.map_or(Ok(()), Err),
            }
        }
    }

    /// How many names the target has; `None` if some could not be listed.
    async fn count_target(&self) -> Result<Option<u64>, Error> {
        let mut listing = Listing::new(self.target, self.to);
        let mut count = Some(0);
        while listing.wants_more() {
            match listing.advance().await {
                Some(Ok(_)) => count = count.map(|count| count + 1),
                Some(Err(_)) => count = None,
                None => {}
            }
        }
        listing.stopped_by.map_or(Ok(count), Err)
    }
}
