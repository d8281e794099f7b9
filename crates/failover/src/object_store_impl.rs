//! `Failover` as an `ObjectStore` and a `BlobStore`: every method and option, each a few lines on top of the engine.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use lifeboat_core::{
    BlobStore, BucketRules, Capabilities, CapabilityReport, Effect, Identity, Probe, Support,
    Verdict, classify_default, is_reserved,
};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer, Url};
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    coalesce_ranges,
};
use tracing::Instrument;

use crate::Failover;
use crate::body;
use crate::engine::Engine;
use crate::error::{FailoverError, Reason, within};
use crate::events::Operation;
use crate::health::HealthState;
use crate::journal::index::Dirt;
use crate::list::{is_complete, relabel};
use crate::observe::span;
use crate::read::KeyLock;
use crate::write::put::strip;

/// Gaps up to this size between ranges are read rather than asked for separately: 1 MiB, as in `object_store`.
const COALESCE: u64 = 1 << 20;

/// Keys under the reserved prefix are not the caller's to write.
pub(crate) fn check_key(key: &Path) -> Result<()> {
    if is_reserved(key) {
        return Err(FailoverError::new(Reason::Reserved, Some(key), Effect::None).into());
    }
    Ok(())
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failover(")?;
        for (at, backend) in self.engine.backends.iter().enumerate() {
            let before = if at == 0 { "" } else { ", " };
            write!(f, "{before}{}", backend.store.identity())?;
        }
        f.write_str(")")
    }
}

impl Failover {
    async fn awake(&self) -> &Arc<Engine> {
        self.engine.awake().await;
        &self.engine
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Failover {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        check_key(location)?;
        let engine = Arc::clone(self.awake().await);
        let (task, key) = (Arc::clone(&engine), location.clone());
        let span = span(Operation::Put, Some(location));
        let put = async move { task.put(key, payload, options).await };
        engine.detached(put.instrument(span)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        check_key(location)?;
        let engine = self.awake().await;
        let span = span(Operation::Multipart, Some(location));
        Ok(Box::new(engine.begin_upload(location.clone(), options).instrument(span).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let engine = self.awake().await;
        let head = options.head;
        let operation = if head { Operation::Head } else { Operation::Get };
        let span = span(operation, Some(location));
        // Nobody listens to most programs: a future that is wrapped in a span is copied into that.
        let served = if span.is_none() {
            engine.get_raw(location, options, KeyLock::NotOurs).await?
        } else {
            engine.get_raw(location, options, KeyLock::NotOurs).instrument(span).boxed().await?
        };
        engine.read_through(location, served.missed);
        let backend = &engine.backends[served.at];
        let mut result = served.result;
        let tag = strip(&mut result.attributes);
        if let Some(tag) = tag {
            engine.follow(location, tag.stamp);
        }
        // Guarded before labels go on: the guard speaks to the backend in its own words.
        if !head {
            result = body::guard(engine, location, served.at, tag, result);
        }
        relabel(backend, &mut result.meta);
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        // Each range is a read like any other: it is of the latest version, and its body goes on elsewhere when it breaks.
        let fetch = |range: Range<u64>| async move {
            let options =
                GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
            self.get_opts(location, options).await?.bytes().await
        };
        coalesce_ranges(ranges, fetch, COALESCE).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        futures::stream::once(async move { this.awake().await.delete_all(locations) })
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.engine.list_all(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.engine.list_all(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let span = span(Operation::List, prefix);
        self.awake().await.list_level(prefix).instrument(span).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        check_key(to)?;
        let engine = Arc::clone(self.awake().await);
        let (task, from, to) = (Arc::clone(&engine), from.clone(), to.clone());
        let span = span(Operation::Copy, Some(&to));
        let copy = async move { task.copy(from, to, options).await };
        engine.detached(copy.instrument(span)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        check_key(from)?;
        check_key(to)?;
        let engine = Arc::clone(self.awake().await);
        let (task, from, to) = (Arc::clone(&engine), from.clone(), to.clone());
        let span = span(Operation::Copy, Some(&to));
        let rename = async move { task.rename(from, to, options).await };
        engine.detached(rename.instrument(span)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Failover {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What all members can do together; conditions are the first backend's, which decides them. Listings are in order where all
    /// members list so, and one at least is known to be complete: otherwise they are joined, one after the other.
    fn capabilities(&self) -> Capabilities {
        let mut whole = self.engine.backends[0].store.capabilities();
        for backend in &self.engine.backends[1..] {
            let one = backend.store.capabilities();
            whole.user_metadata = both(whole.user_metadata, one.user_metadata);
            whole.ordered_listing = both(whole.ordered_listing, one.ordered_listing);
            whole.presigned_urls = both(whole.presigned_urls, one.presigned_urls);
            let (a, b) = (&mut whole.parts, one.parts);
            a.min_part_size = a.min_part_size.max(b.min_part_size);
            a.max_part_size = a.max_part_size.min(b.max_part_size);
            a.max_parts = a.max_parts.min(b.max_parts);
            a.equal_parts |= b.equal_parts;
            a.max_object_size = a.max_object_size.min(b.max_object_size);
        }
        if !self.engine.backends.iter().any(|backend| is_complete(backend)) {
            whole.ordered_listing = Support::No;
        }
        // One result for each key, whatever the batch.
        whole.bulk_delete = Some(1000);
        whole
    }

    async fn confirm_capabilities(&self) -> Result<CapabilityReport> {
        let mut first = None;
        for backend in &self.engine.backends {
            let asked = backend.store.confirm_capabilities();
            let report = within(crate::confirming::BOUND, asked).await;
            if backend.is_first() {
                first = Some(report?);
            } else if let Err(error) = report {
                self.engine.judge(backend.at, Operation::Probe, &error).await;
            }
        }
        first.ok_or_else(|| FailoverError::new(Reason::Unavailable, None, Effect::None).into())
    }

    async fn bucket_rules(&self, _: &Path) -> BucketRules {
        BucketRules::unknown("these are several buckets, and each has rules of its own")
    }

    async fn probe(&self) -> Result<Probe> {
        let mut last = None;
        for at in self.engine.in_use().iter() {
            let backend = &self.engine.backends[at];
            let bound = self.engine.settings.health.probe_deadline;
            match tokio::time::timeout(bound, backend.store.probe()).await {
                Ok(Ok(probe)) => return Ok(probe),
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(crate::error::CutOff(bound).into_error()),
            }
        }
        Err(last
            .unwrap_or_else(|| FailoverError::new(Reason::Unavailable, None, Effect::None).into()))
    }

    fn classify(&self, error: &object_store::Error) -> Verdict {
        match FailoverError::find(error) {
            Some(error) => error.verdict(),
            None => classify_default(error),
        }
    }

    /// For URLs that read. A URL that writes would reach one backend without a stamp, and the others would neither get
    /// the write nor a marker: those are refused, with the remedy in the error.
    fn signer(&self) -> Option<Arc<dyn Signer>> {
        let any = self.engine.backends.iter().any(|backend| backend.store.signer().is_some());
        any.then(|| Arc::new(SignerOfServing(Arc::clone(&self.engine))) as Arc<dyn Signer>)
    }

    /// None: a stateless upload has no place where it could remember which backends take part.
    fn multipart_store(&self) -> Option<Arc<dyn MultipartStore>> {
        None
    }
}

fn both(a: Support, b: Support) -> Support {
    match (a, b) {
        (Support::Yes, Support::Yes) => Support::Yes,
        (Support::No, _) | (_, Support::No) => Support::No,
        _ => Support::Unknown,
    }
}

/// Whether nobody who answered has an object.
fn is_miss(error: &object_store::Error) -> bool {
    let reason = FailoverError::find(error).map(FailoverError::reason);
    matches!(error, object_store::Error::NotFound { .. }) || reason == Some(Reason::MissNotBelieved)
}

/// URLs that are signed at once: each may cost a look.
const SIGNED_AT_ONCE: usize = 16;

/// Signs URLs that read, at the backend that would serve a read of the key now. What the URL's holder does with it, the
/// failover does not see; so URLs that write are refused.
#[derive(Debug)]
struct SignerOfServing(Arc<Engine>);

impl SignerOfServing {
    /// Has a URL signed by the backend that reads would ask first; by the next one, if that cannot sign now. One that asks for
    /// its credentials elsewhere may hang.
    async fn sign<F, S>(&self, method: &Method, key: &Path, sign: F) -> Result<Url>
    where
        F: Fn(Arc<dyn Signer>) -> S + Send + Sync,
        S: Future<Output = Result<Url>> + Send,
    {
        let engine = &self.0;
        let bound = engine.settings.attempt_deadline;
        let mut error = FailoverError::new(Reason::Unavailable, Some(key), Effect::None);
        for at in self.candidates(method, key).await? {
            let backend = &engine.backends[at];
            let Some(signer) = backend.store.signer() else { continue };
            match within(bound, sign(signer)).await {
                Ok(url) => return Ok(url),
                // It is no evidence: nothing was sent to the backend itself.
                Err(failed) if backend.store.classify(&failed).is_fault() => {
                    error = error.failed(&backend.id, &failed);
                }
                Err(failed) => return Err(failed),
            }
        }
        Err(error.away(&engine.backends).into())
    }

    /// The backends that sign URLs of a key, in the order in which reads would ask them.
    async fn candidates(&self, method: &Method, key: &Path) -> Result<Vec<usize>> {
        if *method != Method::GET && *method != Method::HEAD {
            let why = FailoverError::new(Reason::WouldBypass, Some(key), Effect::None);
            return Err(object_store::Error::NotSupported { source: Box::new(why) });
        }
        let engine = &self.0;
        engine.awake().await;
        let dirt = engine.index.dirt(key).unwrap_or_default();
        let candidates = engine.backends.iter().filter(|backend| {
            backend.is_in_use() && !dirt.behind.has(backend.at) && backend.store.signer().is_some()
        });
        let mut candidates: Vec<_> = candidates.collect();
        candidates.sort_by_key(|backend| {
            (dirt.unsure.has(backend.at), backend.state() == HealthState::Suspect, backend.at)
        });
        let Some(best) = candidates.first() else { return Err(self.nobody(key, &dirt)) };
        // It may lack what another one has: a read finds out who has it.
        if !best.seeded.load(Ordering::Acquire) || !engine.unread_journals().is_empty() {
            let head = GetOptions { head: true, ..GetOptions::default() };
            match engine.get_raw(key, head, KeyLock::NotOurs).await {
                Ok(served) if engine.backends[served.at].store.signer().is_some() => {
                    return Ok(vec![served.at]);
                }
                Err(error) if !is_miss(&error) => return Err(error),
                // It is not there, or only where nobody signs: as good as any.
                _ => {}
            }
        }
        // Of the others, those that lack nothing.
        let best = best.at;
        candidates.retain(|backend| backend.at == best || backend.seeded.load(Ordering::Acquire));
        Ok(candidates.into_iter().map(|backend| backend.at).collect())
    }

    fn nobody(&self, key: &Path, dirt: &Dirt) -> object_store::Error {
        let mut error = FailoverError::new(Reason::Unavailable, Some(key), Effect::None);
        for backend in &self.0.backends {
            let text = if backend.store.signer().is_none() {
                "makes no presigned URLs"
            } else if dirt.behind.has(backend.at) {
                "lacks the latest version"
            } else {
                backend.state().as_str()
            };
            error = error.answered(&backend.id, text);
        }
        error.into()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Signer for SignerOfServing {
    async fn signed_url(&self, method: Method, path: &Path, expires_in: Duration) -> Result<Url> {
        let sign = |signer: Arc<dyn Signer>| {
            let method = method.clone();
            async move { signer.signed_url(method, path, expires_in).await }
        };
        self.sign(&method, path, sign).await
    }

    async fn signed_url_opts(
        &self,
        method: Method,
        path: &Path,
        expires_in: Duration,
        options: &SignedUrlOptions,
    ) -> Result<Url> {
        let sign = |signer: Arc<dyn Signer>| {
            let method = method.clone();
            async move { signer.signed_url_opts(method, path, expires_in, options).await }
        };
        self.sign(&method, path, sign).await
    }

    async fn signed_urls(
        &self,
        method: Method,
        paths: &[Path],
        expires_in: Duration,
    ) -> Result<Vec<Url>> {
        let sign = |path: Path| {
            let method = method.clone();
            async move { self.signed_url(method, &path, expires_in).await }
        };
        futures::stream::iter(paths.to_vec()).map(sign).buffered(SIGNED_AT_ONCE).try_collect().await
    }
}
