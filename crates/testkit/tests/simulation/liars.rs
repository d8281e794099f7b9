//! Stores that break one promise each. The simulation must notice every one of them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use lifeboat_testkit::simulation::{
    Conditions, Effort, Plan, ProcessContext, Profile, Running, simulate_plan,
};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, Extensions, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};

/// What a store lies about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Acknowledges a put and does nothing.
    DroppedPut,
    /// Acknowledges a delete and does nothing.
    DroppedDelete,
    /// Says "not found" of what is there.
    FalseNotFound,
    /// Fails for no reason.
    FalseAlarm,
    /// Forgets the attributes.
    LostAttributes,
    /// Says "exists" of what it has just created itself.
    FalseConflict,
    /// Gives less of a part than was asked for.
    ShortPart,
    /// Leaves a key out of a listing.
    HiddenKey,
    /// Lists a key twice.
    DoubledKey,
    /// Takes for ever.
    Slow,
    /// Lets a task panic.
    Panic,
    /// Has a task that outlives the process.
    Zombie,
    /// Leaves something in its journal.
    Leftover,
}

/// How often a store lies: once in so many operations of the kind.
const SELDOM: u64 = 4;

#[derive(Debug)]
struct Liar {
    inner: Arc<dyn ObjectStore>,
    lie: Lie,
    count: Arc<AtomicU64>,
}

impl fmt::Display for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Liar({:?}, {})", self.lie, self.inner)
    }
}

impl Liar {
    fn now(&self, lie: Lie) -> bool {
        self.lie == lie && self.count.fetch_add(1, Ordering::Relaxed) % SELDOM == SELDOM - 1
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Liar {
    async fn put_opts(
        &self,
        at: &Path,
        body: PutPayload,
        mut how: PutOptions,
    ) -> Result<PutResult> {
        if self.now(Lie::DroppedPut) {
            return Ok(PutResult { e_tag: None, version: None, extensions: Extensions::new() });
        }
        if self.now(Lie::FalseConflict) && how.mode == object_store::PutMode::Create {
            return Err(Error::AlreadyExists { path: at.to_string(), source: "lie".into() });
        }
        if self.now(Lie::LostAttributes) {
            how.attributes = Attributes::new();
        }
        self.inner.put_opts(at, body, how).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        if self.now(Lie::FalseNotFound) {
            return Err(Error::NotFound { path: at.to_string(), source: "lie".into() });
        }
        if self.now(Lie::FalseAlarm) {
            return Err(Error::Generic { store: "Liar", source: "lie".into() });
        }
        if self.now(Lie::Slow) {
            tokio::time::sleep(Duration::from_mins(5)).await;
        }
        self.inner.get_opts(at, how).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut parts = self.inner.get_ranges(at, ranges).await?;
        // Always: few operations are of this kind.
        if self.lie == Lie::ShortPart
            && let Some(last) = parts.last_mut()
        {
            last.truncate(last.len().saturating_sub(1));
        }
        Ok(parts)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        if self.now(Lie::DroppedDelete) { locations } else { self.inner.delete_stream(locations) }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let entries = self.inner.list(prefix);
        if self.now(Lie::HiddenKey) {
            return entries.skip(1).boxed();
        }
        if self.now(Lie::DoubledKey) {
            let twice = |entry: ObjectMeta| Ok(stream::iter([Ok(entry.clone()), Ok(entry)]));
            return entries
                .map_ok(twice)
                .try_filter_map(|twice| async { twice.map(Some) })
                .try_flatten()
                .boxed();
        }
        entries
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        let beyond = move |entry: &ObjectMeta| std::future::ready(entry.location > offset);
        self.list(prefix).try_filter(beyond).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, how: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, how).await
    }
}

struct Lying(Arc<Liar>);

#[async_trait]
impl Running for Lying {
    fn store(&self) -> Arc<dyn ObjectStore> {
        self.0.clone()
    }

    async fn converge(&self, _: Effort) {}
}

fn start(lie: Lie, context: &ProcessContext) -> Arc<dyn Running> {
    let inner = Arc::clone(&context.stores[0]);
    let beat = Arc::clone(&inner);
    let heartbeat = async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = beat.get_opts(&Path::from("heartbeat"), GetOptions::new()).await;
        }
    };
    match lie {
        Lie::Zombie => drop(tokio::spawn(heartbeat)),
        Lie::Panic => context.spawner.spawn(Box::pin(async { panic!("as it should be") })),
        Lie::Leftover => {
            let key = Path::from(".lifeboat/journal/b0/left");
            context.backends[0].write_directly(&key, "x");
        }
        _ => {}
    }
    Arc::new(Lying(Arc::new(Liar { inner, lie, count: Arc::default() })))
}

/// Runs a few seeds, and says in what words the lie was noticed.
fn caught(lie: Lie) -> Vec<String> {
    let mut profile = Profile::default();
    profile.backends = (1, 1);
    // Nothing but crashes, so that there is no excuse.
    profile.episodes = usize::from(lie == Lie::Zombie);
    (profile.losses, profile.foreign, profile.crashes) = (0, 0, 1000);
    profile.conditions = lie == Lie::FalseConflict;
    (0..10)
        .flat_map(|seed| {
            let mut plan = Plan::draw(seed, &profile);
            plan.episodes.clear();
            plan.backends[0].conditions = Conditions::Enforced;
            let application = |context: &ProcessContext| start(lie, context);
            let report = simulate_plan(plan, &profile, &application);
            report.violations
        })
        .collect()
}

#[test]
fn every_lie_is_noticed_for_what_it_is() {
    let lies = [
        (Lie::DroppedPut, "in the end"),
        (Lie::DroppedDelete, "in the end"),
        (Lie::FalseNotFound, "saw None"),
        (Lie::FalseAlarm, "a read failed"),
        (Lie::LostAttributes, "torn"),
        (Lie::FalseConflict, "refused to create"),
        (Lie::ShortPart, "torn"),
        (Lie::HiddenKey, "missing in a listing"),
        (Lie::DoubledKey, "listed twice"),
        (Lie::Slow, "took"),
        (Lie::Panic, "panicked"),
        (Lie::Zombie, "after its end"),
        (Lie::Leftover, "markers are left"),
    ];
    for (lie, word) in lies {
        let said = caught(lie);
        assert!(said.iter().any(|said| said.contains(word)), "{lie:?}: {said:?}");
    }
}
