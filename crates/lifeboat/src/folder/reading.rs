//! Reading an object: opening it, holding it to what it was when it was opened, streaming it.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, Result,
};

use super::errors::{changed, failed, invalid, missing_or_failed, not_a_file};
use super::root::Root;
use super::{attributes, blocking};

/// Bytes per piece of a body: large enough that the hop to a blocking thread does not show, small
/// enough that many bodies at once do not either.
const PIECE: u64 = 1 << 20;

/// 9999-12-31T23:59:59Z, the last second that every format of a date can say.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// An object that is open for reading.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    meta: ObjectMeta,
    attributes: Attributes,
}

pub(super) fn open(root: &Root, key: &Path) -> Result<Opened> {
    let path = root.locate(key)?;
    let metadata = fs::metadata(&path);
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) => {
            root.check()?;
            return Err(missing_or_failed(key, "read", error));
        }
    };
    // Opening a pipe would wait for somebody to write into it.
    if !metadata.is_file() {
        return Err(not_a_file(key));
    }
    let file = File::open(&path).map_err(|error| missing_or_failed(key, "open", error))?;
    let metadata = file.metadata().map_err(|error| failed(key, "read", error))?;
    let attributes = attributes::read(&file);
    let attributes = attributes.map_err(|error| failed(key, "read the attributes of", error))?;
    Ok(Opened { file, meta: object_meta(key.clone(), &metadata), attributes })
}

impl Opened {
    pub(super) fn into_result(mut self, options: &GetOptions) -> Result<GetResult> {
        options.check_preconditions(&self.meta)?;
        let range = match &options.range {
            Some(range) => self.within(range)?,
            None => 0..self.meta.size,
        };
        let (meta, attributes) = (self.meta.clone(), std::mem::take(&mut self.attributes));
        let body = if options.head { stream::empty().boxed() } else { self.body(range.clone()) };
        Ok(GetResult {
            payload: GetResultPayload::Stream(body),
            meta,
            range,
            attributes,
            extensions: object_store::Extensions::default(),
        })
    }

    pub(super) fn ranges(mut self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let read = |range: &Range<u64>| {
            let range = self.within(&GetRange::Bounded(range.clone()))?;
            self.piece(&range)
        };
        ranges.iter().map(read).collect()
    }

    fn within(&self, range: &GetRange) -> Result<Range<u64>> {
        range.as_range(self.meta.size).map_err(|error| invalid(&self.meta.location, error))
    }

    /// Pieces of the range; the last one only if the file is still what it was.
    fn body(self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let pieces = stream::unfold(Some((self, range)), |state| async move {
            let (mut opened, mut rest) = state?;
            if rest.is_empty() {
                return None;
            }
            let read = blocking(move || {
                let piece = rest.start..rest.end.min(rest.start + PIECE);
                rest.start = piece.end;
                opened.piece(&piece).map(|piece| (piece, (opened, rest)))
            });
            match read.await {
                Ok((piece, state)) => Some((Ok(piece), Some(state))),
                Err(error) => Some((Err(error), None)),
            }
        });
        // `collect_bytes` polls once more after the end.
        pieces.fuse().boxed()
    }

    fn piece(&mut self, range: &Range<u64>) -> Result<Bytes> {
        let key = self.meta.location.clone();
        let length = range.end - range.start;
        let mut piece = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        let read = self.file.seek(SeekFrom::Start(range.start));
        let read = read.and_then(|_| (&self.file).take(length).read_to_end(&mut piece));
        read.map_err(|error| failed(&key, "read", error))?;
        self.check_unchanged()?;
        if piece.len() as u64 == length { Ok(piece.into()) } else { Err(changed(&key)) }
    }

    /// Fails if somebody wrote into the file; replacing it is no harm, this is the old one.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        let key = &self.meta.location;
        let now = self.file.metadata().map_err(|error| failed(key, "read", error))?;
        if self.meta.e_tag == Some(e_tag(&now)) { Ok(()) } else { Err(changed(key)) }
    }
}

pub(super) fn object_meta(location: Path, metadata: &Metadata) -> ObjectMeta {
    // A date beyond what dates can say must not end the program.
    let age = since_epoch(metadata).min(LATEST);
    ObjectMeta {
        location,
        last_modified: (UNIX_EPOCH + age).into(),
        size: metadata.len(),
        e_tag: Some(e_tag(metadata)),
        version: None,
    }
}

/// Inode, modification time in nanoseconds, size.
pub(super) fn e_tag(metadata: &Metadata) -> String {
    let modified = since_epoch(metadata).as_nanos();
    format!("\"{:x}-{modified:x}-{:x}\"", inode(metadata), metadata.len())
}

/// Zero for what claims to be older than 1970.
fn since_epoch(metadata: &Metadata) -> Duration {
    let modified: io::Result<SystemTime> = metadata.modified();
    modified.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default()
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_metadata: &Metadata) -> u64 {
    0
}
