//! A place that a person names: a configured backend, a URL, or a local path, and a key in it.

use std::fmt;
use std::sync::Arc;

use lifeboat_core::{BlobStore, Error, ErrorKind};
use object_store::path::Path;

use crate::Fleet;
use crate::config::{self, url};

/// A key, or a folder of keys, in some store.
#[derive(Clone)]
pub struct Location {
    /// The store: the whole bucket, or a local folder.
    pub store: Arc<dyn BlobStore>,
    /// The key or the common prefix; empty for the whole store.
    pub path: Path,
    /// What was given, for messages.
    pub text: String,
    /// Whether it is a local path.
    pub is_local: bool,
    /// Whether it was written as a folder.
    pub ends_with_slash: bool,
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Location")
            .field("store", &self.store.to_string())
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Fleet {
    /// Finds the place that `text` names: `backend:key` for a configured backend, a URL as in
    /// [`config::url`], or a local path. Keys after `backend:` are taken as they are; those in URLs
    /// are percent-decoded.
    ///
    /// # Errors
    /// An unknown backend or provider, a malformed URL or key, a local path that cannot be used.
    pub fn locate(&self, text: &str) -> Result<Location, Error> {
        if text.contains("://") {
            return from_url(text);
        }
        if let Some((name, key)) = text.split_once(':') {
            let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            // A local file may have a colon in its name; one that exists is meant.
            let looks_like_backend = name.len() > 1 && name.chars().all(word);
            if looks_like_backend && !std::path::Path::new(text).exists() {
                return in_backend(self.backend(name)?, key, text);
            }
        }
        local(text)
    }
}

fn in_backend(store: Arc<dyn BlobStore>, key: &str, text: &str) -> Result<Location, Error> {
    let ends_with_slash = key.is_empty() || key.ends_with('/');
    let path = parse_key(key)?;
    Ok(Location { store, path, text: text.to_owned(), is_local: false, ends_with_slash })
}

fn from_url(text: &str) -> Result<Location, Error> {
    let mut settings = url::parse(text)?;
    if settings.provider == "file" {
        return local(&settings.bucket);
    }
    let key = settings.prefix.take().unwrap_or_default();
    in_backend(config::build(&settings)?, &key, text)
}

fn parse_key(key: &str) -> Result<Path, Error> {
    Path::parse(key).map_err(|error| {
        Error::new(ErrorKind::Configuration, format!("`{}` is no key", key.escape_debug()))
            .with_remedy("use names separated by single slashes, without `.` and `..`")
            .with_source(error)
    })
}

/// A local path: the store is the deepest folder of it that is there.
#[cfg(feature = "folder")]
fn local(text: &str) -> Result<Location, Error> {
    use crate::folder::FolderStore;
    let unusable = |error: std::io::Error| {
        Error::new(ErrorKind::Local, format!("`{text}` cannot be used"))
            .with_remedy("check the path and its permissions")
            .with_source(error)
    };
    let whole = std::path::absolute(text).map_err(unusable)?;
    let is_root_of_store = whole.is_dir();
    let root = whole
        .ancestors()
        .skip(usize::from(!is_root_of_store))
        .find(|ancestor| ancestor.is_dir())
        .ok_or_else(|| unusable(std::io::ErrorKind::NotFound.into()))?;
    let mut key = String::new();
    for component in whole.strip_prefix(root).unwrap_or(&whole).components() {
        let name = component.as_os_str().to_str().ok_or_else(|| {
            Error::new(ErrorKind::Local, format!("`{}` is not UTF-8", whole.display()))
                .with_remedy("rename it")
        })?;
        if name == ".." {
            return Err(Error::new(ErrorKind::Local, format!("`{text}` leads through `..`"))
                .with_remedy("write the path without it"));
        }
        if !key.is_empty() {
            key.push('/');
        }
        key.push_str(name);
    }
    Ok(Location {
        store: Arc::new(FolderStore::open(root, false)?),
        path: parse_key(&key)?,
        text: text.to_owned(),
        is_local: true,
        ends_with_slash: is_root_of_store || text.ends_with('/'),
    })
}

#[cfg(not(feature = "folder"))]
fn local(text: &str) -> Result<Location, Error> {
    let message = format!("`{text}` is a local path, and folders are not part of this build");
    Err(Error::new(ErrorKind::Configuration, message)
        .with_remedy("build lifeboat with feature `folder`, or give a URL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backend_and_key_are_told_apart_from_urls() {
        let fleet = Fleet::from_toml("f", "[[backend]]\nname = \"one\"\nurl = \"memory://loc\"\n");
        let fleet = fleet.unwrap();
        let place = fleet.locate("one:a/b%20c").unwrap();
        assert_eq!((place.path.as_ref(), place.ends_with_slash), ("a/b%20c", false));
        let place = fleet.locate("memory://loc/a/b%20c/").unwrap();
        assert_eq!((place.path.as_ref(), place.ends_with_slash), ("a/b c", true));
        let error = fleet.locate("two:a").unwrap_err().to_string();
        assert!(error.contains("no backend is called `two`; configured are one"), "{error}");
        assert!(fleet.locate("one:a//b").is_err());
    }

    #[cfg(feature = "folder")]
    #[test]
    fn local_path_that_is_not_there_yet_hangs_off_the_deepest_folder() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{}/new/file.txt", folder.path().display());
        let place = Fleet::empty().locate(&text).unwrap();
        assert_eq!(place.path.as_ref(), "new/file.txt");
        assert!(place.is_local);
    }
}
