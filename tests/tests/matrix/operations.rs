//! The columns: what is asked while the primary is broken, and what must hold of the answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};
use lifeboat_failover::{Failover, FailoverError, Reason, Settings};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, PutResult, Result, UpdateVersion,
};

/// Bytes of an object.
const SIZE: usize = 48 << 10;
/// Bytes of a part but for the last one: the least that Amazon takes.
const PART: usize = 5 << 20;
/// Keys of the bulk delete, and of the listing.
const MANY: usize = 12;
/// What scheduling and a machine that does much else may add to a deadline.
const SLACK: Duration = Duration::from_secs(4);

pub(crate) const COLUMNS: [&str; 15] = [
    "get",
    "range",
    "head",
    "list",
    "put",
    "put-new",
    "mp-begin",
    "mp-part",
    "mp-complete",
    "copy",
    "delete",
    "bulk",
    "create",
    "update",
    "active-create+update",
];

/// How one cell ended.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) column: &'static str,
    pub(crate) text: String,
    pub(crate) elapsed: Duration,
    pub(crate) violation: Option<String>,
}

/// What a key may hold at the end.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) key: Path,
    pub(crate) states: Vec<Option<Bytes>>,
}

/// What a cell gives back: who served, and what the keys may hold now.
type Done = (Option<String>, Vec<Expected>);
type Ended = std::result::Result<Done, (Error, Vec<Expected>)>;

fn content(key: &Path, version: u8, size: usize) -> Bytes {
    let seed = key.as_ref().bytes().fold(version, u8::wrapping_add);
    (0..=250_u8).cycle().map(|at| seed.wrapping_add(at)).take(size).collect::<Vec<_>>().into()
}

/// Everything about one fault on one primary.
pub(crate) struct Workload<'a> {
    pub(crate) failover: &'a Failover,
    pub(crate) active: &'a Failover,
    pub(crate) settings: &'a Settings,
    pub(crate) replica: String,
    pub(crate) prefix: String,
    /// Bits flip in what is read.
    pub(crate) flips_bits: bool,
}

/// Uploads that were under way when the primary broke.
pub(crate) struct Uploads {
    at_part: Box<dyn MultipartUpload>,
    at_completion: Box<dyn MultipartUpload>,
}

impl Workload<'_> {
    fn key(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    /// Writes what there is before the fault.
    pub(crate) async fn prepare(&self) -> Uploads {
        self.active.loaded().await;
        let names = ["get", "range", "head", "put", "source", "gone", "update", "active-update"];
        let listed = (0..MANY).map(|at| format!("listed/{at:02}"));
        let bulk = (0..MANY).map(|at| format!("bulk/{at:02}"));
        let keys = names.iter().map(|name| (*name).to_owned()).chain(listed).chain(bulk);
        stream::iter(keys.map(|name| self.key(&name)))
            .for_each_concurrent(6, |key| async move {
                self.failover.put(&key, content(&key, 0, SIZE).into()).await.unwrap();
            })
            .await;
        let at_part = self.failover.put_multipart(&self.key("mp-part")).await.unwrap();
        let completion = self.key("mp-complete");
        let mut at_completion = self.failover.put_multipart(&completion).await.unwrap();
        for part in parts(&completion) {
            at_completion.put_part(part).await.unwrap();
        }
        Uploads { at_part, at_completion }
    }

    /// Runs every column at once.
    pub(crate) async fn run(&self, uploads: Uploads) -> (Vec<Cell>, Vec<Expected>) {
        let Uploads { at_part, at_completion } = uploads;
        let (read, write) = (self.read_bound(), self.write_bound());
        let cells: Vec<futures::future::LocalBoxFuture<'_, (Cell, Vec<Expected>)>> = vec![
            Box::pin(self.cell("get", read, self.get())),
            Box::pin(self.cell("range", read, self.range())),
            Box::pin(self.cell("head", read, self.head())),
            Box::pin(self.cell("list", read, self.list())),
            Box::pin(self.cell("put", write, self.put("put"))),
            Box::pin(self.cell("put-new", write, self.put("put-new"))),
            Box::pin(self.cell("mp-begin", write * 3, self.begin())),
            Box::pin(self.cell("mp-part", write * 2, self.parts("mp-part", at_part))),
            Box::pin(self.cell("mp-complete", write, self.complete(at_completion))),
            Box::pin(self.cell("copy", write, self.copy())),
            Box::pin(self.cell("delete", write, self.delete())),
            Box::pin(self.cell("bulk", write, self.bulk())),
            Box::pin(self.cell("create", write * 2, self.create(self.failover, "create"))),
            Box::pin(self.cell("update", read + write * 2, self.update(self.failover, "update"))),
            Box::pin(self.cell("active-create+update", read + write * 5, self.active())),
        ];
        let done = join_all(cells).await;
        let (cells, expected): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let mut expected: Vec<Expected> = expected.into_iter().flatten().collect();
        let untouched = ["get", "range", "head", "source"].map(str::to_owned);
        let listed = (0..MANY).map(|at| format!("listed/{at:02}"));
        expected.extend(untouched.into_iter().chain(listed).map(|name| {
            let key = self.key(&name);
            Expected { states: vec![Some(content(&key, 0, SIZE))], key }
        }));
        (cells, expected)
    }

    /// A read ends with its last byte, or with the deadline of the first one and that of a stalled body.
    fn read_bound(&self) -> Duration {
        self.settings.read_deadline + self.settings.stall_deadline + SLACK
    }

    /// A write ends within its deadline, after which what it left open is recorded, and the fault judged.
    fn write_bound(&self) -> Duration {
        let settings = self.settings;
        let size = Duration::from_secs(2 * PART as u64 / Settings::SLOWEST_UPLOAD);
        let judged = settings.health.probe_deadline + settings.attempt_deadline;
        settings.write_deadline + size + judged + SLACK
    }

    async fn cell(
        &self,
        column: &'static str,
        bound: Duration,
        work: impl Future<Output = Ended>,
    ) -> (Cell, Vec<Expected>) {
        let began = Instant::now();
        let ended = tokio::time::timeout(bound, work).await;
        let elapsed = began.elapsed();
        let cell = |text, violation| Cell { column, text, elapsed, violation };
        match ended {
            Err(_) => {
                let why = format!("{column} did not end within {bound:?}");
                (cell("LATE".into(), Some(why)), Vec::new())
            }
            Ok(Ok((Some(tag), expected))) => {
                let other = tag.contains(&self.replica);
                (cell(if other { "ok(other)" } else { "ok(primary)" }.into(), None), expected)
            }
            Ok(Ok((None, expected))) => (cell("ok".into(), None), expected),
            Ok(Err((error, expected))) => {
                // A checksum fails at the end of a body, when its first pieces have been handed out.
                let lost = FailoverError::find(&error)
                    .is_some_and(|error| error.reason() == Reason::BodyLost);
                let corrupt = self.flips_bits && lost && matches!(column, "get" | "copy");
                let why = (!corrupt && !is_documented(column, &error))
                    .then(|| format!("{column}: {}", described(&error)));
                (cell(name(&error), why), expected)
            }
        }
    }

    async fn get(&self) -> Ended {
        let key = self.key("get");
        let work = async {
            let found = self.failover.get(&key).await?;
            let tag = found.meta.e_tag.clone();
            assert!(found.bytes().await? == content(&key, 0, SIZE), "other bytes of {key}");
            Ok(tag)
        };
        work.await.map(|tag| (tag, Vec::new())).map_err(|error| (error, Vec::new()))
    }

    async fn range(&self) -> Ended {
        let key = self.key("range");
        let work = async {
            let options =
                GetOptions { range: Some(GetRange::Bounded(1000..9000)), ..Default::default() };
            let found = self.failover.get_opts(&key, options).await?;
            let tag = found.meta.e_tag.clone();
            let whole = content(&key, 0, SIZE);
            let bytes = found.bytes().await?;
            // No service has a checksum of a range: that a bit flips in one is for TLS to find.
            let right = bytes == whole.slice(1000..9000);
            assert!(right || self.flips_bits, "other bytes of {key}");
            Ok(tag)
        };
        work.await.map(|tag| (tag, Vec::new())).map_err(|error| (error, Vec::new()))
    }

    async fn head(&self) -> Ended {
        let key = self.key("head");
        let found = self.failover.head(&key).await.map_err(|error| (error, Vec::new()))?;
        assert_eq!(found.size, SIZE as u64);
        Ok((found.e_tag, Vec::new()))
    }

    async fn list(&self) -> Ended {
        let folder = self.key("listed");
        let listed: Result<Vec<_>> = self.failover.list(Some(&folder)).try_collect().await;
        let mut listed = listed.map_err(|error| (error, Vec::new()))?;
        listed.sort_by(|a, b| a.location.cmp(&b.location));
        let keys: Vec<Path> = listed.iter().map(|object| object.location.clone()).collect();
        let wanted: Vec<Path> = (0..MANY).map(|at| self.key(&format!("listed/{at:02}"))).collect();
        assert_eq!(keys, wanted);
        assert!(listed.iter().all(|object| object.size == SIZE as u64), "{listed:?}");
        Ok((listed.swap_remove(0).e_tag, Vec::new()))
    }

    /// Keeps in mind what a write that ended like this may have left.
    fn wrote(key: Path, ended: Result<PutResult>, before: Option<Bytes>, after: Bytes) -> Ended {
        match ended {
            Ok(put) => Ok((put.e_tag, vec![Expected { key, states: vec![Some(after)] }])),
            Err(error) => {
                let nothing = matches!(error, Error::Precondition { .. })
                    || FailoverError::find(&error)
                        .is_some_and(|error| error.effect() == lifeboat_core::Effect::None);
                let states = if nothing { vec![before] } else { vec![before, Some(after)] };
                Err((error, vec![Expected { key, states }]))
            }
        }
    }

    async fn put(&self, name: &str) -> Ended {
        let key = self.key(name);
        let before = (name == "put").then(|| content(&key, 0, SIZE));
        let after = content(&key, 1, SIZE);
        let ended = self.failover.put(&key, after.clone().into()).await;
        Self::wrote(key, ended, before, after)
    }

    async fn begin(&self) -> Ended {
        let key = self.key("mp-begin");
        match self.failover.put_multipart(&key).await {
            Ok(upload) => self.parts("mp-begin", upload).await,
            Err(error) => Err((error, vec![Expected { key, states: vec![None] }])),
        }
    }

    async fn parts(&self, name: &str, mut upload: Box<dyn MultipartUpload>) -> Ended {
        let key = self.key(name);
        for part in parts(&key) {
            if let Err(error) = upload.put_part(part).await {
                return Err((error, vec![Expected { key, states: vec![None] }]));
            }
        }
        let ended = upload.complete().await;
        let after = content(&key, 1, PART + SIZE);
        Self::wrote(key, ended, None, after)
    }

    async fn complete(&self, mut upload: Box<dyn MultipartUpload>) -> Ended {
        let key = self.key("mp-complete");
        let ended = upload.complete().await;
        let after = content(&key, 1, PART + SIZE);
        Self::wrote(key, ended, None, after)
    }

    async fn copy(&self) -> Ended {
        let (source, key) = (self.key("source"), self.key("copied"));
        let after = Some(content(&source, 0, SIZE));
        match self.failover.copy(&source, &key).await {
            Ok(()) => Ok((None, vec![Expected { key, states: vec![after] }])),
            Err(error) => Err((error, vec![Expected { key, states: vec![None, after] }])),
        }
    }

    async fn delete(&self) -> Ended {
        let key = self.key("gone");
        match self.failover.delete(&key).await {
            Ok(()) => Ok((None, vec![Expected { key, states: vec![None] }])),
            Err(error) => {
                let before = Some(content(&key, 0, SIZE));
                Err((error, vec![Expected { key, states: vec![None, before] }]))
            }
        }
    }

    async fn bulk(&self) -> Ended {
        let keys: Vec<Path> = (0..MANY).map(|at| self.key(&format!("bulk/{at:02}"))).collect();
        let wanted = stream::iter(keys.clone().into_iter().map(Ok)).boxed();
        let results: Vec<Result<Path>> = self.failover.delete_stream(wanted).collect().await;
        let mut expected = Vec::new();
        let mut failed = None;
        for (key, result) in keys.into_iter().zip(results) {
            let states = match result {
                Ok(_) => vec![None],
                Err(error) => {
                    failed = Some(error);
                    vec![None, Some(content(&key, 0, SIZE))]
                }
            };
            expected.push(Expected { key, states });
        }
        assert_eq!(expected.len(), MANY, "every key has its outcome");
        match failed {
            None => Ok((None, expected)),
            Some(error) => Err((error, expected)),
        }
    }

    async fn create(&self, failover: &Failover, name: &str) -> Ended {
        let key = self.key(name);
        let after = content(&key, 1, SIZE);
        let options = PutOptions { mode: PutMode::Create, ..Default::default() };
        let ended = failover.put_opts(&key, after.clone().into(), options).await;
        Self::wrote(key, ended, None, after)
    }

    /// Reads, and writes on the condition that nothing has changed.
    async fn update(&self, failover: &Failover, name: &str) -> Ended {
        let key = self.key(name);
        let (before, after) = (content(&key, 0, SIZE), content(&key, 1, SIZE));
        let found = match failover.head(&key).await {
            Ok(found) => found,
            Err(error) => return Err((error, vec![Expected { key, states: vec![Some(before)] }])),
        };
        let version = UpdateVersion { e_tag: found.e_tag, version: found.version };
        let options = PutOptions { mode: PutMode::Update(version), ..Default::default() };
        let ended = failover.put_opts(&key, after.clone().into(), options).await;
        Self::wrote(key, ended, Some(before), after)
    }

    /// The only writer, whose first healthy backend decides: after three writes it knows which one that is.
    async fn active(&self) -> Ended {
        let mut expected = Vec::new();
        let mut first = None;
        for name in ["active-0", "active-1", "active-2"] {
            let key = self.key(name);
            let after = content(&key, 1, SIZE);
            let ended = self.active.put(&key, after.clone().into()).await;
            let (error, more) = split(Self::wrote(key, ended, None, after));
            expected.extend(more);
            first = first.or(error);
        }
        let (error, more) = split(self.create(self.active, "active-create").await);
        expected.extend(more);
        first = first.or(error);
        let ended = self.update(self.active, "active-update").await;
        let tag = ended.as_ref().ok().and_then(|(tag, _)| tag.clone());
        let (error, more) = split(ended);
        expected.extend(more);
        match first.or(error) {
            None => Ok((tag, expected)),
            Some(error) => Err((error, expected)),
        }
    }
}

fn split(ended: Ended) -> (Option<Error>, Vec<Expected>) {
    match ended {
        Ok((_, expected)) => (None, expected),
        Err((error, expected)) => (Some(error), expected),
    }
}

fn parts(key: &Path) -> [PutPayload; 2] {
    let whole = content(key, 1, PART + SIZE);
    [whole.slice(..PART).into(), whole.slice(PART..).into()]
}

fn described(error: &Error) -> String {
    lifeboat_core::causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The error's name in the table.
fn name(error: &Error) -> String {
    if let Some(error) = FailoverError::find(error) {
        return format!("{:?}", error.reason());
    }
    let text = format!("{error:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

/// Whether the documentation of the column promises no more than this.
fn is_documented(column: &str, error: &Error) -> bool {
    let conditional = matches!(column, "create" | "update" | "active-create+update");
    let undecidable = FailoverError::find(error).is_some_and(|found| {
        found.reason() == Reason::Undecidable && error.to_string().contains("conditional_writes")
    });
    // An `ETag` belongs to the backend that gave it.
    let foreign = column.contains("update") && matches!(error, Error::Precondition { .. });
    conditional && (undecidable || foreign)
}
