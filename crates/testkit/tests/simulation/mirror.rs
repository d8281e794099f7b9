//! A mirror that cannot go wrong as long as nothing fails: every write goes to all backends, one after the other,
//! under a lock that all processes share (which no real application has). It must not be accused of anything.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use lifeboat_testkit::simulation::{
    Effort, Plan, ProcessContext, Profile, Running, SimSpawner, simulate_plan,
};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result, UploadPart,
};
use tokio::sync::OwnedMutexGuard;

type Locks = Arc<Mutex<BTreeMap<Path, Arc<tokio::sync::Mutex<()>>>>>;

#[derive(Clone, Debug)]
struct Mirror {
    stores: Vec<Arc<dyn ObjectStore>>,
    locks: Locks,
    spawner: SimSpawner,
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mirror")
    }
}

impl Mirror {
    async fn lock(&self, key: &Path) -> OwnedMutexGuard<()> {
        let lock = Arc::clone(self.locks.lock().unwrap().entry(key.clone()).or_default());
        lock.lock_owned().await
    }

    /// Writes go on when their caller does not wait for them any more.
    async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.spawner.spawn(Box::pin(async move { drop(sender.send(work.await)) }));
        match receiver.await {
            Ok(done) => done,
            Err(_) => std::future::pending().await,
        }
    }

    async fn replicate(&self, key: &Path, body: PutPayload, how: PutOptions) -> Result<PutResult> {
        let (mirror, key) = (self.clone(), key.clone());
        let replicate = async move {
            let _guard = mirror.lock(&key).await;
            let mut first = None;
            for store in &mirror.stores {
                let put = store.put_opts(&key, body.clone(), how.clone()).await?;
                first.get_or_insert(put);
            }
            Ok(first.unwrap())
        };
        self.finish(replicate).await
    }

    async fn remove(&self, key: &Path) -> Result<()> {
        let (mirror, key) = (self.clone(), key.clone());
        let remove = async move {
            let _guard = mirror.lock(&key).await;
            for store in &mirror.stores {
                store.delete(&key).await?;
            }
            Ok(())
        };
        self.finish(remove).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Mirror {
    async fn put_opts(&self, at: &Path, body: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.replicate(at, body, how).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let how = PutOptions { attributes: how.attributes, ..PutOptions::default() };
        Ok(Box::new(Gathered { mirror: self.clone(), at: at.clone(), how, parts: Vec::new() }))
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.stores[0].get_opts(at, how).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.stores[0].get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let mirror = self.clone();
        let delete = move |key: Result<Path>| {
            let mirror = mirror.clone();
            async move {
                let key = key?;
                mirror.remove(&key).await?;
                Ok(key)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.stores[0].list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.stores[0].list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.stores[0].list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        assert_eq!(how.mode, CopyMode::Overwrite, "the workload does nothing else");
        let found = self.stores[0].get(from).await?;
        let how = PutOptions { attributes: found.attributes.clone(), ..PutOptions::default() };
        self.replicate(to, found.bytes().await?.into(), how).await.map(drop)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, _: RenameOptions) -> Result<()> {
        self.copy_opts(from, to, CopyOptions::new()).await?;
        self.remove(from).await
    }
}

#[derive(Debug)]
struct Gathered {
    mirror: Mirror,
    at: Path,
    how: PutOptions,
    parts: Vec<Bytes>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for Gathered {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data);
        Box::pin(std::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let body = std::mem::take(&mut self.parts).into_iter().collect();
        self.mirror.replicate(&self.at, body, self.how.clone()).await
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}

struct Process(Mirror);

#[async_trait]
impl Running for Process {
    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.0.clone())
    }

    async fn converge(&self, effort: Effort) {
        if effort == Effort::CatchUp {
            return;
        }
        let mut keys = Vec::new();
        for store in &self.0.stores {
            let listed: Vec<_> = store.list(None).collect().await;
            keys.extend(listed.into_iter().map(|meta| meta.unwrap().location));
        }
        for key in keys {
            if self.0.copy_opts(&key, &key, CopyOptions::new()).await.is_err() {
                self.0.remove(&key).await.unwrap();
            }
        }
    }
}

#[test]
fn mirror_is_not_accused_in_fine_weather_whatever_crashes() {
    let mut profile = Profile::default();
    profile.conditions = false;
    (profile.losses, profile.foreign, profile.crashes) = (0, 0, 700);
    // It knows of no backend that came later.
    profile.joins = 0;
    let mut crashed = 0;
    for seed in 0..200 {
        let mut plan = Plan::draw(seed, &profile);
        plan.episodes.clear();
        let locks = Locks::default();
        let start = |context: &ProcessContext| -> Arc<dyn Running> {
            let (stores, locks) = (context.stores.clone(), Arc::clone(&locks));
            let spawner = context.spawner.clone();
            Arc::new(Process(Mirror { stores, locks, spawner }))
        };
        crashed += plan.crashes.len();
        let report = simulate_plan(plan, &profile, &start);
        assert!(report.violations.is_empty(), "{report}");
    }
    assert!(crashed > 100, "{crashed} crashes");
}
