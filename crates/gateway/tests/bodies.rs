//! Bodies between clients and backends that fail, lie or are large; and keys that do not fit.

mod common;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use common::{BUCKET, Request, builder, memory, start, stored};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use lifeboat_core::{AnyStore, BlobStore, Identity};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result, UploadPart,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// Bodies end after half of their length, without an error.
    ShortBodies,
    /// Bodies end with an error.
    BrokenBodies,
    /// Everything fails, and says where and as whom.
    Everything,
}

/// A store that goes wrong, and counts.
#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    wrong: Wrong,
    largest_part: Arc<AtomicU64>,
    aborted: Arc<AtomicUsize>,
    deletes: Arc<AtomicUsize>,
}

impl Faulty {
    fn new(wrong: Wrong) -> Self {
        Self {
            inner: InMemory::new(),
            wrong,
            largest_part: Arc::default(),
            aborted: Arc::default(),
            deletes: Arc::default(),
        }
    }

    fn store(self) -> Arc<dyn BlobStore> {
        Arc::new(AnyStore::new(self, Identity::new("faulty", "", BUCKET)))
    }

    fn fail(&self) -> Result<()> {
        match self.wrong {
            Wrong::Everything => Err(failure()),
            _ => Ok(()),
        }
    }
}

fn failure() -> object_store::Error {
    let source = "http://10.1.2.3/private?token=hush-hush failed".into();
    object_store::Error::Generic { store: "faulty", source }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        at: &Path,
        body: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.fail()?;
        self.inner.put_opts(at, body, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.fail()?;
        let inner = self.inner.put_multipart_opts(at, options).await?;
        let (largest_part, aborted) = (Arc::clone(&self.largest_part), Arc::clone(&self.aborted));
        Ok(Box::new(Counted { inner, largest_part, aborted }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.fail()?;
        let result = self.inner.get_opts(at, options).await?;
        let (meta, range, attributes) =
            (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let wrong = self.wrong;
        let half = usize::try_from((range.end - range.start) / 2).unwrap();
        let end = match wrong {
            Wrong::BrokenBodies => vec![Err(failure())],
            _ => Vec::new(),
        };
        let cut = result.into_stream().map(move |piece| match wrong {
            Wrong::Nothing => piece,
            _ => piece.map(|piece| piece.slice(..half)),
        });
        let payload = GetResultPayload::Stream(cut.chain(futures::stream::iter(end)).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions: http::Extensions::default() })
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.deletes.fetch_add(1, Ordering::Relaxed);
        match self.fail() {
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
            Ok(()) => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fail() {
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
            Ok(()) => self.inner.list(prefix),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.fail()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.fail()?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct Counted {
    inner: Box<dyn MultipartUpload>,
    largest_part: Arc<AtomicU64>,
    aborted: Arc<AtomicUsize>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for Counted {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        self.largest_part.fetch_max(part.content_length() as u64, Ordering::Relaxed);
        let sent: BoxFuture<'static, Result<()>> = self.inner.put_part(part);
        sent
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.aborted.fetch_add(1, Ordering::Relaxed);
        self.inner.abort().await
    }
}

/// Polls until it holds; whoever calls this waits for a task that has nothing else to do.
async fn eventually(mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it did not come to hold");
}

#[tokio::test]
async fn a_body_that_the_backend_cuts_short_is_never_a_success() {
    for wrong in [Wrong::ShortBodies, Wrong::BrokenBodies] {
        let store = Faulty::new(wrong).store();
        store.put(&"k".into(), vec![b'x'; 1 << 20].into()).await.unwrap();
        let gateway = builder(&store).start().await.unwrap();
        let (get, _) = Request::new(&gateway, "GET", "/bucket/k").sign();
        let answer = get.open().await;
        assert_eq!(answer.status(), 200, "the head went out before the body broke");
        let body = answer.bytes().await;
        assert!(body.is_err(), "{wrong:?}: {:?} bytes came as if whole", body.map(|b| b.len()));
    }
}

#[tokio::test]
async fn a_copy_of_a_body_that_breaks_off_stores_nothing() {
    let store = Faulty::new(Wrong::ShortBodies).store();
    store.put(&"k".into(), "0123456789".into()).await.unwrap();
    let gateway = builder(&store).start().await.unwrap();
    Request::new(&gateway, "PUT", "/bucket/copy")
        .header("x-amz-copy-source", "/bucket/k")
        .header("x-amz-metadata-directive", "REPLACE")
        .send()
        .await
        .expect(500, "InternalError");
    Request::new(&gateway, "HEAD", "/bucket/copy").send().await.expect(404, "");
}

#[tokio::test]
async fn what_a_backend_says_of_itself_does_not_reach_the_client() {
    let gateway = builder(&Faulty::new(Wrong::Everything).store()).start().await.unwrap();
    let upload = Request::new(&gateway, "POST", "/bucket/k").query("uploads", "");
    let delete = Request::new(&gateway, "POST", "/bucket").query("delete", "");
    let requests = [
        Request::new(&gateway, "GET", "/bucket/k"),
        Request::new(&gateway, "PUT", "/bucket/k").body("x"),
        Request::new(&gateway, "PUT", "/bucket/k").body(vec![b'x'; 17 << 20]),
        Request::new(&gateway, "DELETE", "/bucket/k"),
        Request::new(&gateway, "GET", "/bucket").query("list-type", "2"),
        Request::new(&gateway, "GET", "/bucket").query("list-type", "2").query("delimiter", "/"),
        Request::new(&gateway, "PUT", "/bucket/l").header("x-amz-copy-source", "/bucket/k"),
        upload,
    ];
    for request in requests {
        let answer = request.send().await.expect(500, "InternalError");
        assert!(!answer.body.contains("10.1.2.3") && !answer.body.contains("hush"), "{answer:?}");
    }
    let keys = "<Delete><Object><Key>k</Key></Object></Delete>";
    let answer = delete.body(keys).send().await.expect(200, "InternalError");
    assert!(!answer.body.contains("hush"), "{answer:?}");
}

#[tokio::test]
async fn a_bulk_delete_does_not_ask_a_dead_backend_for_every_key() {
    let faulty = Faulty::new(Wrong::Everything);
    let deletes = Arc::clone(&faulty.deletes);
    let gateway = builder(&faulty.store()).start().await.unwrap();
    let keys = "<Object><Key>k</Key></Object>".repeat(100);
    let delete = Request::new(&gateway, "POST", "/bucket").query("delete", "");
    let answer = delete.body(format!("<Delete>{keys}</Delete>")).send().await;
    assert_eq!(answer.body.matches("<Code>InternalError</Code>").count(), 100);
    assert!(deletes.load(Ordering::Relaxed) < 20, "{deletes:?}");
}

#[tokio::test]
async fn a_large_put_streams_in_parts_within_a_small_budget() {
    let faulty = Faulty::new(Wrong::Nothing);
    let largest = Arc::clone(&faulty.largest_part);
    let store = faulty.store();
    let gateway = builder(&store).memory(16 << 20).start().await.unwrap();
    let size = (70 << 20) + 7;
    let body: Bytes = (0..=u8::MAX).flat_map(|n| [n; 251]).cycle().take(size).collect();
    let put = Request::new(&gateway, "PUT", "/bucket/k").body(body.clone());
    put.send().await.expect(200, "");
    assert_eq!(largest.load(Ordering::Relaxed), 8 << 20);
    assert_eq!(stored(&store, "k").await, Some(body));
}

#[tokio::test]
async fn parts_of_a_huge_unsigned_chunk_go_on_before_the_chunk_has_ended() {
    let faulty = Faulty::new(Wrong::Nothing);
    let largest = Arc::clone(&faulty.largest_part);
    let store = faulty.store();
    let gateway = builder(&store).memory(16 << 20).start().await.unwrap();
    let size = 70 << 20;
    let (put, _) = Request::new(&gateway, "PUT", "/bucket/k")
        .header("x-amz-decoded-content-length", &size.to_string())
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .sign();
    let line = format!("{size:x}\r\n");
    let trailer = "\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
    let length = line.len() + size + trailer.len();
    let head = put.head(&format!("connection: close\r\ncontent-length: {length}\r\n"));
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all((head + &line).as_bytes()).await.unwrap();
    let half = vec![b'x'; size / 2];
    stream.write_all(&half).await.unwrap();
    eventually(|| largest.load(Ordering::Relaxed) == 8 << 20).await;
    stream.write_all(&half).await.unwrap();
    stream.write_all(trailer.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.contains("<Code>BadDigest</Code>"),
        "the checksum at the end is wrong: {answer}"
    );
    assert_eq!(stored(&store, "k").await, None);
}

#[tokio::test]
async fn a_large_put_that_turns_out_wrong_is_aborted_at_the_backend() {
    let faulty = Faulty::new(Wrong::Nothing);
    let aborted = Arc::clone(&faulty.aborted);
    let gateway = builder(&faulty.store()).start().await.unwrap();
    let (put, _) = Request::new(&gateway, "PUT", "/bucket/k").body(vec![b'x'; 40 << 20]).sign();
    let changed = put.body(vec![b'y'; 40 << 20]).send_as_is().await;
    changed.expect(400, "XAmzContentSHA256Mismatch");
    eventually(|| aborted.load(Ordering::Relaxed) == 1).await;
}

#[tokio::test]
async fn a_conditional_put_larger_than_memory_is_refused_and_not_made_unconditional() {
    let store = memory();
    let gateway = builder(&store).memory(20 << 20).start().await.unwrap();
    let put = |size: usize| {
        Request::new(&gateway, "PUT", "/bucket/k")
            .header("if-none-match", "*")
            .body(vec![b'x'; size])
    };
    put((20 << 20) + 1).send().await.expect(400, "EntityTooLarge");
    put(18 << 20).send().await.expect(200, "");
    put(18 << 20).send().await.expect(412, "PreconditionFailed");
}

#[tokio::test]
async fn keys_that_stores_cannot_carry_are_refused_in_every_operation() {
    let (gateway, store) = start().await;
    for key in ["a//b", "/a", "a/", "a%01b"] {
        let path = format!("/bucket/{key}");
        for method in ["GET", "PUT", "DELETE"] {
            let refused = Request::new(&gateway, method, &path).send().await;
            let refused = refused.expect(400, "InvalidArgument");
            assert!(refused.element("Message").unwrap().contains("key"), "{refused:?}");
        }
        let copy = Request::new(&gateway, "PUT", &path).header("x-amz-copy-source", "/bucket/x");
        copy.send().await.expect(400, "InvalidArgument");
        let begin = Request::new(&gateway, "POST", &path).query("uploads", "");
        begin.send().await.expect(400, "InvalidArgument");
    }
    let keys = "<Delete><Object><Key>a//b</Key></Object><Object><Key>fine</Key></Object></Delete>";
    let delete = Request::new(&gateway, "POST", "/bucket").query("delete", "").body(keys);
    let answer = delete.send().await.expect(200, "InvalidArgument");
    assert!(answer.body.contains("<Deleted><Key>fine</Key>"), "{answer:?}");
    assert_eq!(store.list(None).count().await, 0);
}

#[tokio::test]
async fn absent_objects_and_buckets_are_told_apart() {
    let (gateway, _) = start().await;
    Request::new(&gateway, "GET", "/bucket/k").send().await.expect(404, "NoSuchKey");
    Request::new(&gateway, "GET", "/elsewhere/k").send().await.expect(404, "NoSuchBucket");
    let update = Request::new(&gateway, "PUT", "/bucket/k").header("if-match", "\"1\"").body("x");
    update.send().await.expect(404, "NoSuchKey");
    Request::new(&gateway, "DELETE", "/bucket/k").send().await.expect(204, "");
    let copy = Request::new(&gateway, "PUT", "/bucket/l").header("x-amz-copy-source", "/bucket/k");
    copy.send().await.expect(404, "NoSuchKey");
}

#[tokio::test]
async fn what_is_not_implemented_says_so() {
    let (gateway, store) = start().await;
    store.put(&"k".into(), "x".into()).await.unwrap();
    for query in ["acl", "tagging", "retention"] {
        let get = Request::new(&gateway, "GET", "/bucket/k").query(query, "");
        get.send().await.expect(501, "NotImplemented");
    }
    for query in ["versioning", "policy", "lifecycle", "versions"] {
        let get = Request::new(&gateway, "GET", "/bucket").query(query, "");
        get.send().await.expect(501, "NotImplemented");
    }
    let delete = Request::new(&gateway, "DELETE", "/bucket/k").header("if-match", "\"0\"");
    delete.send().await.expect(501, "NotImplemented");
    let version = Request::new(&gateway, "GET", "/bucket/k").query("versionId", "3");
    version.send().await.expect(501, "NotImplemented");
    Request::new(&gateway, "DELETE", "/bucket").send().await.expect(501, "NotImplemented");
    let create = Request::new(&gateway, "PUT", "/another");
    create.send().await.expect(501, "NotImplemented");
    let again = Request::new(&gateway, "PUT", "/bucket");
    again.send().await.expect(409, "BucketAlreadyOwnedByYou");
    assert!(stored(&store, "k").await.is_some());
}
