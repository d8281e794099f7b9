//! Listing a folder in the byte order of keys, holding one folder's names per level at a time.

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use lifeboat_core::{Error as OwnError, ErrorKind};
use object_store::path::{Error as KeyError, Path};
use object_store::{Error, ListResult, ObjectMeta, Result};
use walkdir::{DirEntry, WalkDir};

use super::blocking;
use super::errors::{failed, is_missing};
use super::reading::object_meta;
use super::root::{Root, is_staging};

/// Objects per hop to a blocking thread.
const BATCH: usize = 256;

/// What a walk comes by.
enum Found {
    Object(ObjectMeta),
    Folder(Path),
}

/// A walk through the folder, as an iterator over its objects. Blocks.
pub(super) struct Walk {
    root: Arc<Root>,
    prefix: Path,
    offset: Option<Path>,
    deep: bool,
    entries: Option<walkdir::IntoIter>,
}

impl Walk {
    /// Objects under `prefix` whose key is greater than `offset`.
    pub(super) fn new(root: &Arc<Root>, prefix: Option<&Path>, offset: Option<&Path>) -> Self {
        Self {
            root: Arc::clone(root),
            prefix: prefix.cloned().unwrap_or_default(),
            offset: offset.cloned(),
            deep: true,
            entries: None,
        }
    }

    fn advance(&mut self) -> Option<Result<Found>> {
        if self.entries.is_none() {
            match self.begin() {
                Ok(entries) => self.entries = Some(entries?),
                Err(error) => return Some(Err(error)),
            }
        }
        loop {
            let found = match self.entries.as_mut()?.next()? {
                Ok(entry) => self.look_at(&entry),
                Err(error) => unreadable(&error).map(Err),
            };
            if found.is_some() {
                return found;
            }
        }
    }

    /// Starts the walk; `None` where there is nothing under the prefix.
    fn begin(&self) -> Result<Option<walkdir::IntoIter>> {
        let start = self.root.join(&self.prefix);
        match fs::metadata(&start) {
            Ok(metadata) if metadata.is_dir() && !is_staging(&self.prefix) => {}
            Ok(_) => return Ok(None),
            Err(error) if is_missing(error.kind()) => return self.root.check().map(|()| None),
            Err(error) => return Err(failed(&self.prefix, "list", error)),
        }
        let walk = WalkDir::new(start).min_depth(1).follow_links(true).sort_by(by_key);
        let walk = if self.deep { walk } else { walk.max_depth(1) };
        Ok(Some(walk.into_iter()))
    }

    fn look_at(&mut self, entry: &DirEntry) -> Option<Result<Found>> {
        let is_folder = entry.file_type().is_dir();
        let key = match self.key_of(entry.path()) {
            Ok(key) => key,
            Err(error) => {
                self.leave(is_folder);
                return Some(Err(error));
            }
        };
        if is_folder {
            if is_staging(&key) || self.is_passed(&key) {
                self.leave(true);
                return None;
            }
            return Some(Ok(Found::Folder(key)));
        }
        if self.offset.as_ref().is_some_and(|offset| key <= *offset) {
            return None;
        }
        if !entry.file_type().is_file() {
            return Some(Err(not_listable(entry.path())));
        }
        match entry.metadata() {
            Ok(metadata) => Some(Ok(Found::Object(object_meta(key, &metadata)))),
            Err(error) => unreadable(&error).map(Err),
        }
    }

    /// Whether all keys below this folder are at or before the offset.
    fn is_passed(&self, folder: &Path) -> bool {
        let Some(offset) = &self.offset else { return false };
        let below = format!("{folder}/");
        !offset.as_ref().starts_with(&below) && below.as_str() < offset.as_ref()
    }

    fn leave(&mut self, is_folder: bool) {
        if let (true, Some(entries)) = (is_folder && self.deep, &mut self.entries) {
            entries.skip_current_dir();
        }
    }

    /// The key of a file; an error that names the file where it can have none.
    fn key_of(&self, path: &FilePath) -> Result<Path> {
        let relative = path.strip_prefix(self.root.path()).unwrap_or(path);
        let mut key = String::new();
        for name in relative {
            let name = name.to_str().ok_or_else(|| not_unicode(path))?;
            if !key.is_empty() {
                key.push('/');
            }
            key.push_str(name);
        }
        Ok(Path::parse(key)?)
    }
}

impl Iterator for Walk {
    type Item = Result<ObjectMeta>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.advance()? {
                Ok(Found::Folder(_)) => {}
                Ok(Found::Object(object)) => return Some(Ok(object)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Walks on blocking threads, a batch at a time, as the stream is read.
pub(super) fn stream(walk: Walk) -> BoxStream<'static, Result<ObjectMeta>> {
    let batches = stream::unfold(Some(walk), |walk| async move {
        let mut walk = walk?;
        let batch = blocking(move || {
            let batch: Vec<_> = walk.by_ref().take(BATCH).collect();
            Ok((batch, walk))
        });
        match batch.await {
            Ok((batch, _)) if batch.is_empty() => None,
            Ok((batch, walk)) => Some((batch, Some(walk))),
            Err(error) => Some((vec![Err(error)], None)),
        }
    });
    batches.map(stream::iter).flatten().fuse().boxed()
}

/// One level: the objects directly under the prefix, and the folders that have objects below.
pub(super) fn level(root: &Arc<Root>, prefix: Option<&Path>) -> Result<ListResult> {
    let mut walk = Walk { deep: false, ..Walk::new(root, prefix, None) };
    let (mut objects, mut common_prefixes) = (Vec::new(), Vec::new());
    while let Some(found) = walk.advance() {
        match found? {
            Found::Object(object) => objects.push(object),
            // A name below that cannot be listed counts: whoever goes there is told.
            Found::Folder(folder) if Walk::new(root, Some(&folder), None).next().is_some() => {
                common_prefixes.push(folder);
            }
            Found::Folder(_) => {}
        }
    }
    Ok(ListResult { common_prefixes, objects, extensions: object_store::Extensions::default() })
}

/// Compares names as parts of keys: what lies in a folder sorts as if the name ended in `/`.
fn by_key(one: &DirEntry, other: &DirEntry) -> Ordering {
    fn name(entry: &DirEntry) -> impl Iterator<Item = &u8> {
        let end: &[u8] = if entry.file_type().is_dir() { b"/" } else { b"" };
        entry.file_name().as_encoded_bytes().iter().chain(end)
    }
    name(one).cmp(name(other))
}

/// What a walk could not look at; `None` if it was removed in the meantime.
fn unreadable(error: &walkdir::Error) -> Option<Error> {
    let path = error.path().map(FilePath::to_owned);
    let gone = |path: &FilePath| {
        fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let missing = error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
    if missing && path.as_deref().is_some_and(gone) {
        return None;
    }
    // The text names the file, and for a loop both ends of it.
    let message = format!("cannot list: {error}");
    let kind = error.io_error().map_or(io::ErrorKind::InvalidInput, io::Error::kind);
    let own = OwnError::new(ErrorKind::Local, message)
        .with_remedy("remove a broken link, or make the file readable")
        .with_source(io::Error::from(kind));
    Some(own.into())
}

fn not_listable(path: &FilePath) -> Error {
    let message = format!("`{}` is neither a file nor a folder", path.display());
    OwnError::new(ErrorKind::Local, message)
        .with_remedy("move it out of the folder")
        .with_source(io::Error::from(io::ErrorKind::InvalidInput))
        .into()
}

fn not_unicode(path: &FilePath) -> Error {
    let shown = path.display().to_string();
    let bytes = path.as_os_str().as_encoded_bytes();
    match std::str::from_utf8(bytes) {
        Err(source) => KeyError::NonUnicode { path: shown, source }.into(),
        Ok(_) => KeyError::InvalidPath { path: path.to_owned() }.into(),
    }
}
