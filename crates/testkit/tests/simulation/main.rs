//! The simulation itself on trial: it lets a correct store pass, catches a naive one, and repeats itself.

mod liars;
mod mirror;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use lifeboat_testkit::simulation::{
    Condition, Conditions, Effort, Plan, ProcessContext, Profile, Report, Running, Variant,
    simulate, simulate_plan,
};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// A process that has nothing to bring to one state.
struct Plain(Arc<dyn ObjectStore>);

#[async_trait]
impl Running for Plain {
    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.0)
    }

    async fn converge(&self, _: Effort) {}
}

fn bare(context: &ProcessContext) -> Arc<dyn Running> {
    Arc::new(Plain(Arc::clone(&context.stores[0])))
}

/// What people write first: everything goes to the first store, and when that fails, to the second.
#[derive(Debug)]
struct Naive {
    first: Arc<dyn ObjectStore>,
    second: Arc<dyn ObjectStore>,
}

fn naive(context: &ProcessContext) -> Arc<dyn Running> {
    let [first, second] = [0, 1].map(|number| Arc::clone(&context.stores[number]));
    Arc::new(Plain(Arc::new(Naive { first, second })))
}

impl fmt::Display for Naive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Naive({}, {})", self.first, self.second)
    }
}

/// How long the naive store waits for the first one; no wait at all would only ever hang.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

impl Naive {
    async fn either<T, W: Future<Output = Result<T>>>(
        &self,
        ask: impl Fn(Arc<dyn ObjectStore>) -> W,
    ) -> Result<T> {
        match tokio::time::timeout(PATIENCE, ask(Arc::clone(&self.first))).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => ask(Arc::clone(&self.second)).await,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Naive {
    async fn put_opts(&self, at: &Path, body: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.either(|store| {
            let (body, how) = (body.clone(), how.clone());
            async move { store.put_opts(at, body, how).await }
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.first.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.either(|store| {
            let how = how.clone();
            async move { store.get_opts(at, how).await }
        })
        .await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.first.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (first, second) = (Arc::clone(&self.first), Arc::clone(&self.second));
        let delete = move |key: Result<Path>| {
            let naive = Self { first: Arc::clone(&first), second: Arc::clone(&second) };
            async move {
                let key = key?;
                naive
                    .either(|store| {
                        let key = key.clone();
                        async move { store.delete(&key).await }
                    })
                    .await?;
                Ok(key)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.first.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.first.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.first.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.first.copy_opts(from, to, how).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, how: RenameOptions) -> Result<()> {
        self.first.rename_opts(from, to, how).await
    }
}

fn one_backend_in_fine_weather() -> Profile {
    let mut profile = Profile::default();
    profile.backends = (1, 1);
    profile.episodes = 0;
    // A bare backend does not enforce conditions where it is told not to.
    profile.conditions = false;
    profile
}

#[test]
fn bare_backend_in_fine_weather_passes() {
    for seed in 0..200 {
        let report = simulate(seed, &one_backend_in_fine_weather(), &bare);
        assert!(report.violations.is_empty(), "{report}");
        assert!(report.operations().0 >= 40, "something was done");
    }
}

#[test]
fn bare_backend_passes_under_faults_that_leave_nothing_open() {
    let mut profile = Profile::default();
    profile.backends = (1, 1);
    (profile.losses, profile.foreign) = (0, 0);
    for seed in 0..200 {
        let mut plan = Plan::draw(seed, &profile);
        plan.backends[0].conditions = Conditions::Enforced;
        // A bare store has no deadlines and no memory, so nothing may hang or land late.
        plan.episodes.retain(|episode| {
            use Condition::{Ambiguous, Broken, Errors, Refused};
            matches!(episode.condition, Refused | Errors(..) | Ambiguous(_) | Broken(_))
        });
        let report = simulate_plan(plan, &profile, &bare);
        assert!(report.violations.is_empty(), "{report}");
    }
}

fn says(report: &Report, part: &str) -> bool {
    report.violations.iter().any(|violation| violation.contains(part))
}

#[test]
fn naive_fallback_is_caught_losing_writes_and_bringing_deleted_keys_back() {
    let mut profile = Profile::default();
    profile.losses = 0;
    profile.foreign = 0;
    let reports: Vec<_> = (0..20).map(|seed| simulate(seed, &profile, &naive)).collect();
    let caught = reports.iter().filter(|report| !report.violations.is_empty()).count();
    assert!(caught >= 15, "only {caught} of 20 seeds catch it");
    assert!(reports.iter().any(|report| says(report, "differs after")), "diverging copies");
    assert!(reports.iter().any(|report| says(report, "in the end")), "lost writes");
    assert!(reports.iter().any(|report| says(report, "saw")), "stale reads");
}

#[test]
fn setups_are_drawn_from_the_seed_alone_and_each_is_drawn() {
    let profile = Profile::default();
    let draw = |seed| Plan::draw(seed, &profile);
    let plans: Vec<_> = (0..500).map(draw).collect();
    for (seed, plan) in plans.iter().enumerate() {
        assert_eq!(plan.to_string(), draw(seed as u64).to_string());
    }
    let often = |is: &dyn Fn(&Plan) -> bool| plans.iter().filter(|plan| is(plan)).count();
    let usual = often(&|plan| plan.variant == Variant::default());
    assert!((250..350).contains(&usual), "{usual} of 500 are set up as usual");
    assert!(often(&|plan| plan.variant.copies == 2) > 10);
    assert!(often(&|plan| plan.variant.asynchronous) > 10);
    assert!(often(&|plan| plan.variant.intent) > 10);
    assert!(often(&|plan| plan.variant.stale) > 10);
    assert!(often(&|plan| plan.joins == Some(0)) > 10);
    assert!(often(&|plan| plan.joins == Some(1)) > 10);
    assert!(often(&|plan| plan.names.iter().any(|name| name.contains('~'))) > 10);
    assert!(often(&|plan| plan.names.iter().any(|name| name.len() > 640 / 3)) > 10);
}

#[test]
fn new_draws_leave_the_weather_of_a_seed_what_it_was() {
    let mut usual = Profile::default();
    (usual.variants, usual.joins, usual.names) = (0, 0, 0);
    for seed in 0..100 {
        let [one, other] = [Profile::default(), usual.clone()].map(|profile| {
            let plan = Plan::draw(seed, &profile);
            format!("{:?} {:?} {:?}", plan.episodes, plan.crashes, plan.backends)
        });
        assert_eq!(one, other);
    }
}

#[test]
fn empty_backend_that_joined_and_is_asked_alone_is_caught() {
    let mut profile = Profile::default();
    (profile.episodes, profile.joins, profile.conditions) = (0, 1000, false);
    let plans = (0..20).map(|seed| Plan::draw(seed, &profile));
    let joins = plans.filter(|plan| plan.joins == Some(0));
    let reports: Vec<_> = joins.map(|plan| simulate_plan(plan, &profile, &bare)).collect();
    let denied = |report: &Report| says(report, "did not see what was there before");
    assert!(reports.iter().any(denied), "{} seeds", reports.len());
}

/// Each process writes to a backend of its own, and in the end the first backend wins.
struct Split {
    mine: Arc<dyn ObjectStore>,
    stores: Vec<Arc<dyn ObjectStore>>,
}

fn split(context: &ProcessContext) -> Arc<dyn Running> {
    let stores = context.stores.clone();
    Arc::new(Split { mine: Arc::clone(&stores[context.process % 2]), stores })
}

#[async_trait]
impl Running for Split {
    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.mine)
    }

    async fn converge(&self, _: Effort) {
        for meta in self.stores[0].list(None).collect::<Vec<_>>().await {
            let key = meta.unwrap().location;
            let found = self.stores[0].get(&key).await.unwrap();
            let how = PutOptions { attributes: found.attributes.clone(), ..PutOptions::default() };
            let bytes = found.bytes().await.unwrap();
            self.stores[1].put_opts(&key, bytes.into(), how).await.unwrap();
        }
    }
}

#[test]
fn loser_that_is_not_kept_is_told_where_one_asks_for_it() {
    let mut profile = Profile::default();
    profile.backends = (2, 2);
    (profile.episodes, profile.joins, profile.conditions) = (0, 0, false);
    for asked in [false, true] {
        profile.losers = asked;
        let mut reports = (0..20).map(|seed| simulate(seed, &profile, &split));
        assert_eq!(reports.any(|report| says(&report, "this is not kept")), asked);
    }
}

#[test]
fn same_seed_gives_the_same_history_bit_for_bit() {
    let profile = Profile::default();
    for seed in 0..30 {
        let [one, other] = [0, 1].map(|_| simulate(seed, &profile, &naive).history);
        assert!(one.digest() == other.digest(), "{one}\n\nis not\n\n{other}");
    }
    let [one, other] = [1, 2].map(|seed| simulate(seed, &profile, &naive).history.digest());
    assert_ne!(one, other);
}
