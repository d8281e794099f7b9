//! The wrapper around an `object_store` client that makes it a backend.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer, Url};
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::behaviour::{Behaviour, COPY_CREATE_LIMIT, CopyCreate};
use super::checked_body::CheckedBody;
use super::dialect::Dialect;
use super::etag::EtagKnowledge;
use super::exchange::{Exchange, Operation, Outcome, Traffic};
use super::failure::WireFailure;
use super::inquiry::BucketInquiry;
use super::operating::{Operating, Shared};
use super::shaping::ShapedUpload;
use super::trace::Trace;
use super::traced_upload::TracedUpload;
use super::validate;
use crate::conditions::{self, ConditionGate};
use crate::reserved::RESERVED_PREFIX;
use crate::{
    BlobStore, BucketRules, Capabilities, CapabilityReport, ErrorKind, Identity, Probe, Verdict,
    classify_default,
};

/// Deletes under way at once, where each key is a request of its own.
const SINGLE_DELETES: usize = 16;
/// Bulk deletes under way at once.
const BULK_DELETES: usize = 4;
/// Attempts at a create that meets another one in flight (Amazon's 409 `ConditionalRequestConflict`
/// asks to "retry the upload"); with doubling pauses from 50 ms, about 0.8 s in all.
const CREATE_ATTEMPTS: u32 = 5;

/// An `object_store` client as a [`BlobStore`]: errors carry the wire, reads are checked, limits
/// are kept, conditions are only used where they hold.
///
/// Cloning is cheap and shares everything.
pub struct WireStore<S> {
    pub(super) inner: Arc<S>,
    pub(super) operating: Operating,
    /// Unset in the view that the capability probe gets.
    gated: bool,
    inquiry: Option<Arc<dyn BucketInquiry>>,
}

impl<S> Clone for WireStore<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            operating: self.operating.clone(),
            gated: self.gated,
            inquiry: self.inquiry.clone(),
        }
    }
}

impl<S: ObjectStore + Signer + MultipartStore> WireStore<S> {
    /// Wraps `inner`, which must have been built with a [`WireConnector`](super::WireConnector) of
    /// the same dialect; without it errors are classified by [`classify_default`] only.
    pub fn new(
        inner: S,
        identity: Identity,
        dialect: Arc<dyn Dialect>,
        behaviour: Behaviour,
    ) -> Self {
        let declared = &behaviour.declared;
        let gate = ConditionGate::new(
            declared.create_if_absent,
            declared.compare_and_swap,
            behaviour.trust,
        );
        let shared = Shared {
            name: identity.to_string().into(),
            identity,
            dialect,
            gate,
            ordered: OnceLock::new(),
            etags: EtagKnowledge::new(behaviour.etags),
            behaviour,
        };
        let operating = Operating(Arc::new(shared));
        Self { inner: Arc::new(inner), operating, gated: true, inquiry: None }
    }

    /// Adds what can ask the provider what its bucket does by itself.
    pub fn with_inquiry(mut self, inquiry: Arc<dyn BucketInquiry>) -> Self {
        self.inquiry = Some(inquiry);
        self
    }

    fn ungated(&self) -> Self {
        Self { gated: false, ..self.clone() }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.operating.0
    }

    pub(super) async fn run<T>(
        &self,
        operation: Operation,
        key: Option<&Path>,
        future: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let trace = Arc::new(Trace::new(operation));
        trace.scope(future).await.map_err(|error| self.operating.annotate_key(&trace, key, error))
    }

    /// A create that meets another one in flight is repeated: a 409 is no "exists" yet.
    async fn conditional_put(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let mut pause = Duration::from_millis(50);
        for _ in 1..CREATE_ATTEMPTS {
            let put = self.inner.put_opts(location, payload.clone(), options.clone());
            match self.run(Operation::ConditionalPut, Some(location), put).await {
                Err(error) if is_conflict_in_flight(&error) => tokio::time::sleep(pause).await,
                result => return result,
            }
            pause *= 2;
        }
        let put = self.inner.put_opts(location, payload, options);
        self.run(Operation::ConditionalPut, Some(location), put).await
    }

    /// A HEAD is answered without a body, so a missing bucket looks like a missing key, and an
    /// expired token like a malformed request. Where the answer is that mute, the first byte is
    /// asked for, which is refused in words.
    async fn head_or_ask(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = || {
            let head = self.inner.get_opts(location, options.clone());
            self.run(Operation::Head, Some(location), head)
        };
        match head().await {
            Err(error) if is_mute(&error) => {}
            result => return result,
        }
        let range = Some((0..1).into());
        let ask = GetOptions { head: false, range, ..options.clone() };
        let asked = self.run(Operation::Head, Some(location), self.inner.get_opts(location, ask));
        match asked.await {
            Err(error) if !is_range_beyond_the_end(&error) => Err(error),
            // The object has come into being meanwhile.
            _ => head().await,
        }
    }

    async fn read_and_create(&self, from: &Path, to: &Path) -> Result<()> {
        let source = self.get_opts(from, GetOptions::default()).await?;
        if source.meta.size > COPY_CREATE_LIMIT {
            let message = format!("the source has {} bytes", source.meta.size);
            return Err(crate::Error::new(ErrorKind::NotSupported, message)
                .with_backend(&self.operating.0.name)
                .with_key(from)
                .with_remedy(format!(
                    "this provider has no conditional copy; objects up to {COPY_CREATE_LIMIT} \
                     bytes are read and created instead, copy larger ones without the condition"
                ))
                .into());
        }
        let attributes = source.attributes.clone();
        let payload = source.bytes().await?.into();
        let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        self.put_opts(to, payload, options).await.map(|_| ())
    }

    /// Deletes one batch; gives one result for each key, in order.
    async fn delete_batch(self, keys: Vec<Path>) -> Vec<Result<Path>> {
        // One trace for both tries: what the first may have done is not forgotten by the second.
        let trace = Arc::new(Trace::new(Operation::Delete).with_keys(&keys));
        let mut results = self.try_delete(&trace, &keys).await;
        // A connection that broke before any answer is often one that had been idle for too long.
        // `object_store` repeats a put then, but no delete, though a key cannot be deleted twice.
        if matches!(trace.last().1, Some(Exchange { outcome: Outcome::Broken(_), .. })) {
            results = self.try_delete(&trace, &keys).await;
        }
        self.operating.per_key(&trace, keys, results)
    }

    async fn try_delete(&self, trace: &Arc<Trace>, keys: &[Path]) -> Vec<Result<Path>> {
        let keys: Vec<_> = keys.iter().cloned().map(Ok).collect();
        trace.scope(self.inner.delete_stream(stream::iter(keys).boxed()).collect()).await
    }

    fn delete_batches(&self) -> (usize, usize) {
        match self.shared().behaviour.declared.bulk_delete {
            Some(limit) if limit > 1 => (limit as usize, BULK_DELETES),
            _ => (1, SINGLE_DELETES),
        }
    }

    /// The key as the client is to be given it for a presigned URL.
    fn key_to_sign(&self, key: &Path) -> Result<Path> {
        /// RFC 3986, unreserved characters, and the delimiter of keys.
        const KEPT: &AsciiSet =
            &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
        if !self.shared().behaviour.encode_signed_keys {
            return Ok(key.clone());
        }
        Ok(Path::parse(utf8_percent_encode(key.as_ref(), KEPT).to_string())?)
    }

    fn listing(
        &self,
        inner: BoxStream<'static, Result<ObjectMeta>>,
        prefix: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let trace = Arc::new(Trace::new(Operation::List));
        let operating = self.operating.clone();
        let prefix = prefix.cloned();
        let mut inner = inner;
        stream::poll_fn(move |context| {
            trace.enter(|| inner.as_mut().poll_next_unpin(context)).map(|item| {
                item.map(|item| {
                    item.map_err(|error| operating.annotate_key(&trace, prefix.as_ref(), error))
                })
            })
        })
        .boxed()
    }
}

/// Whether the failure is a HEAD's answer that does not say what is wrong.
fn is_mute(error: &Error) -> bool {
    let exchange = WireFailure::find(error).and_then(WireFailure::exchange);
    exchange.is_some_and(|exchange| {
        let status = exchange.status().map_or(0, |status| status.as_u16());
        exchange.method == Method::HEAD
            && exchange.traffic == Traffic::Data
            && exchange.code.is_none()
            && matches!(status, 400 | 403 | 404)
    })
}

/// 416: what is asked for is there, and has no first byte.
fn is_range_beyond_the_end(error: &Error) -> bool {
    let exchange = WireFailure::find(error).and_then(WireFailure::exchange);
    exchange.and_then(Exchange::status).is_some_and(|status| status.as_u16() == 416)
}

/// 409 on a create under S3: another write of the key is under way.
fn is_conflict_in_flight(error: &Error) -> bool {
    let code = WireFailure::find(error).and_then(WireFailure::exchange);
    code.and_then(|exchange| exchange.code.as_deref())
        .is_some_and(|code| matches!(code, "ConditionalRequestConflict" | "OperationAborted"))
}

impl<S: ObjectStore> fmt::Debug for WireStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireStore")
            .field("identity", &self.operating.0.identity)
            .field("behaviour", &self.operating.0.behaviour)
            .finish_non_exhaustive()
    }
}

impl<S: ObjectStore> fmt::Display for WireStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operating.0.name)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore + Signer + MultipartStore> ObjectStore for WireStore<S> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        validate::attributes(&options.attributes)?;
        validate::mode(&options.mode)?;
        if options.mode == PutMode::Overwrite {
            let put = self.inner.put_opts(location, payload, options);
            return self.run(Operation::Put, Some(location), put).await;
        }
        if self.gated {
            let store = self.ungated();
            self.shared().gate.admit(&store, &classify_default, &options.mode).await?;
        }
        self.conditional_put(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        validate::attributes(&options.attributes)?;
        let create = self.inner.put_multipart_opts(location, options);
        let inner = self.run(Operation::MultipartCreate, Some(location), create).await?;
        let upload: Box<dyn MultipartUpload> = Box::new(TracedUpload {
            inner,
            operating: self.operating.clone(),
            key: location.clone(),
        });
        let limits = self.shared().behaviour.declared.parts;
        Ok(if ShapedUpload::needed(&limits) {
            Box::new(ShapedUpload::new(upload, limits, self.shared().name.to_string()))
        } else {
            upload
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        validate::conditions(&options)?;
        if options.head {
            return self.head_or_ask(location, options).await;
        }
        let whole_object = options.range.is_none();
        let trace = Arc::new(Trace::new(Operation::Get).with_whole_object(whole_object));
        let got = trace.scope(self.inner.get_opts(location, options)).await;
        let mut result =
            got.map_err(|error| self.operating.annotate_key(&trace, Some(location), error))?;
        result.payload = match result.payload {
            GetResultPayload::Stream(stream) => {
                let expected = result.range.end - result.range.start;
                let checksum = self.operating.checksum_to_verify(&trace);
                let operating = self.operating.clone();
                let body = CheckedBody::new(stream, operating, trace, expected, checksum);
                GetResultPayload::Stream(body.boxed())
            }
            #[allow(unreachable_patterns, reason = "there is a second variant with feature `fs`")]
            file => file,
        };
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        object_store::coalesce_ranges(
            ranges,
            |range| self.get_range(location, range),
            object_store::OBJECT_STORE_COALESCE_DEFAULT,
        )
        .await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (batch, concurrency) = self.delete_batches();
        let store = self.clone();
        locations
            .chunks(batch)
            .map(move |chunk| {
                let (keys, errors): (Vec<_>, Vec<_>) = chunk.into_iter().partition(Result::is_ok);
                let keys: Vec<Path> = keys.into_iter().flatten().collect();
                let store = store.clone();
                async move {
                    let mut results = store.delete_batch(keys).await;
                    results.extend(errors);
                    stream::iter(results)
                }
            })
            .buffered(concurrency)
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(self.inner.list(prefix), prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let native = self.shared().behaviour.native_offset;
        if native && self.capabilities().ordered_listing.is_yes() {
            return self.listing(self.inner.list_with_offset(prefix, offset), prefix);
        }
        // "Start after this key" skips whole folders where keys do not come in order.
        let offset = offset.clone();
        self.list(prefix)
            .filter(move |item| {
                let wanted = item.as_ref().map_or(true, |meta| meta.location > offset);
                futures::future::ready(wanted)
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.run(Operation::List, prefix, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let create = options.mode == CopyMode::Create;
        if create && self.shared().behaviour.copy_create == CopyCreate::ReadAndCreate {
            return self.read_and_create(from, to).await;
        }
        if create && self.gated {
            let store = self.ungated();
            self.shared().gate.admit(&store, &classify_default, &PutMode::Create).await?;
        }
        let operation = if create { Operation::ConditionalCopy } else { Operation::Copy };
        self.run(operation, Some(from), self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let RenameOptions { target_mode, extensions } = options;
        let mode = match target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        let mut options = CopyOptions::new().with_mode(mode);
        options.extensions = extensions;
        self.copy_opts(from, to, options).await?;
        // A key renamed to itself must not be deleted, whatever the copy onto itself was worth.
        if from == to { Ok(()) } else { self.delete(from).await }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore + Signer + MultipartStore> BlobStore for WireStore<S> {
    fn identity(&self) -> &Identity {
        &self.shared().identity
    }

    fn capabilities(&self) -> Capabilities {
        let shared = self.shared();
        let declared = shared.behaviour.declared;
        let metadata = shared.gate.found().map(|found| found.user_metadata.support);
        Capabilities {
            create_if_absent: shared.gate.create_if_absent(),
            compare_and_swap: shared.gate.compare_and_swap(),
            user_metadata: metadata.unwrap_or(declared.user_metadata),
            ordered_listing: *shared.ordered.get().unwrap_or(&declared.ordered_listing),
            ..declared
        }
    }

    async fn confirm_capabilities(&self) -> Result<CapabilityReport> {
        let store = self.ungated();
        let report = conditions::probe_capabilities(&store, &classify_default).await?;
        self.shared().gate.remember(report.conditions);
        // A concurrent probe found the same.
        let _ = self.shared().ordered.set(report.ordered_listing.support);
        Ok(report)
    }

    async fn bucket_rules(&self, prefix: &Path) -> BucketRules {
        match &self.inquiry {
            Some(inquiry) => {
                let trace = Arc::new(Trace::new(Operation::Inquire));
                trace.scope(inquiry.ask(&*self.inner, prefix)).await
            }
            None => BucketRules::unknown("it is not known how to ask this provider"),
        }
    }

    async fn probe(&self) -> Result<Probe> {
        let beacon = Path::from_iter([RESERVED_PREFIX, "beacon"]);
        let trace = Arc::new(Trace::new(Operation::Get).with_details());
        let answer = trace.scope(self.inner.get_opts(&beacon, GetOptions::default())).await;
        let (_, exchange) = trace.last();
        if let Err(error) = answer {
            let error = self.operating.annotate_key(&trace, Some(&beacon), error);
            let missing = matches!(error, Error::NotFound { .. });
            if !missing || self.classify(&error).is_fault() {
                return Err(error);
            }
        }
        Ok(exchange.map_or_else(Probe::default, |exchange| Probe {
            latency: exchange.latency,
            clock_skew_seconds: exchange.clock_skew_seconds,
            server: exchange.server,
        }))
    }

    fn classify(&self, error: &Error) -> Verdict {
        classify_default(error)
    }

    fn signer(&self) -> Option<Arc<dyn Signer>> {
        Some(Arc::new(self.clone()))
    }

    fn multipart_store(&self) -> Option<Arc<dyn MultipartStore>> {
        Some(Arc::new(self.clone()))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore + Signer + MultipartStore + PaginatedListStore> PaginatedListStore
    for WireStore<S>
{
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        options: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        let key = prefix.map(Path::from);
        let page = self.inner.list_paginated(prefix, options);
        self.run(Operation::List, key.as_ref(), page).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore + Signer + MultipartStore> Signer for WireStore<S> {
    async fn signed_url(&self, method: Method, path: &Path, expires_in: Duration) -> Result<Url> {
        let key = self.key_to_sign(path)?;
        let sign = self.inner.signed_url(method, &key, expires_in);
        self.run(Operation::Sign, Some(path), sign).await
    }

    async fn signed_url_opts(
        &self,
        method: Method,
        path: &Path,
        expires_in: Duration,
        options: &SignedUrlOptions,
    ) -> Result<Url> {
        let key = self.key_to_sign(path)?;
        let sign = self.inner.signed_url_opts(method, &key, expires_in, options);
        self.run(Operation::Sign, Some(path), sign).await
    }

    async fn signed_urls(
        &self,
        method: Method,
        paths: &[Path],
        expires_in: Duration,
    ) -> Result<Vec<Url>> {
        let keys = paths.iter().map(|path| self.key_to_sign(path)).collect::<Result<Vec<_>>>()?;
        let sign = self.inner.signed_urls(method, &keys, expires_in);
        self.run(Operation::Sign, None, sign).await
    }
}
