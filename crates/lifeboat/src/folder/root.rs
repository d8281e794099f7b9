//! The folder itself: where a key lives, how a new file gets into place, and how one goes away.

use std::fs;
use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use lifeboat_core::{Error as OwnError, ErrorKind, RESERVED_PREFIX};
use object_store::path::Path;
use object_store::{Attributes, Error, PutPayload, PutResult, Result, TagSet};
use tempfile::NamedTempFile;

use super::attributes;
use super::errors::{FolderGone, failed, is_missing, missing_or_failed, not_a_file, unsupported};
use super::reading::{self, e_tag};

/// Below the reserved prefix: files that are being written.
const STAGING: &str = "staging";

/// Names of files in staging start so; anything else there is not ours to remove.
const STAGED: &str = "put-";

/// How old a file in staging must be to count as left over by a crash: a live upload writes at
/// least one part in that time, even over a very slow line.
const LEFTOVER_AGE: Duration = Duration::from_hours(1);

/// What file systems allow for one name: `NAME_MAX` on Linux, macOS and in every common file system.
const LONGEST_SEGMENT: usize = 255;

/// How often a folder may be pruned by a concurrent delete between making and using it. Each such
/// loss means that somebody else got on, so this bounds starvation, not progress.
const ATTEMPTS_AGAINST_PRUNING: usize = 100;

/// What happens if the key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collision {
    Overwrite,
    Refuse,
}

/// The folder. Everything here blocks.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    staged: AtomicBool,
}

impl Root {
    pub(super) fn open(path: &FilePath, create: bool) -> Result<Self, OwnError> {
        let shown = path.display();
        let failed = |error: io::Error| {
            let message = format!("cannot open the folder `{shown}`: {error}");
            let (kind, remedy) = match error.kind() {
                io::ErrorKind::NotFound => {
                    (ErrorKind::NotFound, "create it, or mount the disk that it is on")
                }
                _ => (ErrorKind::Local, "check the path and its permissions"),
            };
            OwnError::new(kind, message).with_remedy(remedy).with_source(error)
        };
        if create {
            fs::create_dir_all(path).map_err(failed)?;
        }
        let path = fs::canonicalize(path).map_err(failed)?;
        if !path.is_dir() {
            let message = format!("`{shown}` is not a folder");
            return Err(OwnError::new(ErrorKind::Configuration, message)
                .with_remedy("name the folder that holds it"));
        }
        let root = Self { path, staged: AtomicBool::new(false) };
        root.remove_leftovers();
        Ok(root)
    }

    pub(super) fn path(&self) -> &FilePath {
        &self.path
    }

    /// Whether the folder is there and readable.
    pub(super) fn check(&self) -> Result<()> {
        fs::read_dir(&self.path).map(drop).map_err(|error| FolderGone::error(&self.path, &error))
    }

    /// Where the object of this key is, if it can be in a folder at all.
    pub(super) fn locate(&self, key: &Path) -> Result<PathBuf> {
        if key.is_root() {
            return Err(unsupported(key, "the empty key names no object", "name a file"));
        }
        if is_staging(key) {
            let message = "the key lies where unfinished files are kept";
            return Err(unsupported(key, message, "use another key"));
        }
        let parts: Vec<_> = key.parts().collect();
        let names = || parts.iter().map(AsRef::as_ref);
        if names().any(|name: &str| name.len() > LONGEST_SEGMENT) {
            let message =
                "a part of the key is longer than the 255 bytes that a file name can have";
            return Err(unsupported(key, message, "shorten it, or use an object store"));
        }
        // Of no meaning elsewhere, and a way out of the folder there.
        if cfg!(windows) && names().any(|name: &str| name.contains(['\\', ':'])) {
            let message = "a part of the key has a character that a file name cannot have";
            return Err(unsupported(key, message, "replace `\\` and `:`"));
        }
        Ok(self.join(key))
    }

    /// As [`locate`](Self::locate), for keys that need not be able to exist.
    pub(super) fn join(&self, key: &Path) -> PathBuf {
        let mut path = self.path.clone();
        path.extend(key.parts().map(|part| part.as_ref().to_owned()));
        path
    }

    /// Makes an empty file that [`commit`](Self::commit) puts into place; dropped, it is removed.
    pub(super) fn stage(
        &self,
        key: &Path,
        collision: Collision,
        attributes: &Attributes,
        tags: &TagSet,
    ) -> Result<NamedTempFile> {
        let staged = self.stage_plain(key, collision)?;
        attributes::write(staged.as_file(), key, attributes, tags)?;
        Ok(staged)
    }

    fn stage_plain(&self, key: &Path, collision: Collision) -> Result<NamedTempFile> {
        let path = self.locate(key)?;
        self.check()?;
        if collision == Collision::Refuse
            && fs::symlink_metadata(&path).is_ok_and(|is| !is.is_dir())
        {
            return Err(failed(key, "create", io::ErrorKind::AlreadyExists.into()));
        }
        refuse_occupied(key, &path)?;
        self.new_file().map_err(|error| failed(key, "create", error))
    }

    fn new_file(&self) -> io::Result<NamedTempFile> {
        let folder = self.path.join(RESERVED_PREFIX).join(STAGING);
        self.staged.store(true, Ordering::Relaxed);
        for _ in 0..ATTEMPTS_AGAINST_PRUNING {
            fs::create_dir_all(&folder)?;
            let mut builder = tempfile::Builder::new();
            open_to_others(&mut builder);
            match builder.prefix(STAGED).tempfile_in(&folder) {
                // Another store on this folder was closed in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return other,
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "the staging folder keeps vanishing"))
    }

    /// Writes a whole payload.
    pub(super) fn write(key: &Path, staged: &NamedTempFile, payload: &PutPayload) -> Result<()> {
        let mut file = staged.as_file();
        let written = payload.iter().try_for_each(|piece| file.write_all(piece));
        written.map_err(|error| failed(key, "write", error))
    }

    /// Syncs the file and puts it into place, at once and for good.
    pub(super) fn commit(
        &self,
        key: &Path,
        mut staged: NamedTempFile,
        collision: Collision,
    ) -> Result<PutResult> {
        let path = self.locate(key)?;
        staged.as_file().sync_all().map_err(|error| failed(key, "sync", error))?;
        for _ in 0..ATTEMPTS_AGAINST_PRUNING {
            let folder = self.make_folder_of(key, &path)?;
            refuse_occupied(key, &path)?;
            let placed = match collision {
                Collision::Overwrite => staged.persist(&path),
                Collision::Refuse => staged.persist_noclobber(&path),
            };
            match placed {
                Ok(file) => {
                    sync_folder(folder)
                        .map_err(|error| failed(key, "sync the folder of", error))?;
                    let metadata = file.metadata().map_err(|error| failed(key, "read", error))?;
                    return Ok(PutResult {
                        e_tag: Some(e_tag(&metadata)),
                        version: None,
                        extensions: object_store::Extensions::default(),
                    });
                }
                // A delete pruned the folder, which was empty until now.
                Err(lost) if lost.error.kind() == io::ErrorKind::NotFound => staged = lost.file,
                Err(lost) => return Err(failed(key, "put into place", lost.error)),
            }
        }
        Err(pruned(key))
    }

    /// Makes the folders above a file, for good.
    fn make_folder_of<'a>(&self, key: &Path, path: &'a FilePath) -> Result<&'a FilePath> {
        let Some(folder) = path.parent() else { return Err(not_a_file(key)) };
        // Never the root: if somebody removed it, the store is gone, not empty.
        let missing: Vec<_> = folder
            .ancestors()
            .take_while(|folder| *folder != self.path && !folder.exists())
            .collect();
        for folder in missing.iter().rev() {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return match error.kind() {
                        // Pruned: the caller's next step finds out, and comes back.
                        io::ErrorKind::NotFound => Ok(folder),
                        io::ErrorKind::NotADirectory => Err(both(key)),
                        _ => Err(failed(key, "make the folder of", error)),
                    };
                }
                _ => {}
            }
            if let Some(above) = folder.parent() {
                sync_folder(above).map_err(|error| failed(key, "sync the folder of", error))?;
            }
        }
        if folder.is_file() { Err(both(key)) } else { Ok(folder) }
    }

    /// Removes an object; a missing one is removed already.
    pub(super) fn remove(&self, key: &Path) -> Result<()> {
        // What cannot be in a folder is not there.
        let Ok(path) = self.locate(key) else { return Ok(()) };
        let removed = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() || metadata.is_symlink() => fs::remove_file(&path),
            Ok(_) => return Ok(()),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => self.prune(&path).map_err(|error| failed(key, "sync the folder of", error)),
            Err(error) if is_missing(error.kind()) => self.check(),
            Err(error) => Err(failed(key, "remove", error)),
        }
    }

    /// Removes the folders above that are empty now, and makes it last.
    fn prune(&self, path: &FilePath) -> io::Result<()> {
        for folder in path.ancestors().skip(1) {
            if folder == self.path || fs::remove_dir(folder).is_err() {
                return sync_folder(folder);
            }
        }
        Ok(())
    }

    pub(super) fn copy(&self, from: &Path, to: &Path, collision: Collision) -> Result<()> {
        let mut original = reading::open(self, from)?;
        let mut staged = self.stage_plain(to, collision)?;
        io::copy(&mut original.file, staged.as_file_mut())
            .map_err(|error| failed(to, "write", error))?;
        original.check_unchanged()?;
        attributes::copy(&original.file, staged.as_file(), to)?;
        self.commit(to, staged, collision).map(drop)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path, collision: Collision) -> Result<()> {
        let (source, target) = (self.locate(from)?, self.locate(to)?);
        let metadata = fs::symlink_metadata(&source);
        let metadata = metadata.map_err(|error| missing_or_failed(from, "rename", error))?;
        if metadata.is_symlink() {
            // A relative link means something else in another folder.
            self.copy(from, to, collision)?;
            return self.remove(from);
        }
        if !metadata.is_file() {
            return Err(not_a_file(from));
        }
        self.place(from, &source, to, &target, collision)?;
        if from == to {
            return Ok(());
        }
        self.prune(&source).map_err(|error| failed(from, "sync the folder of", error))
    }

    fn place(
        &self,
        from: &Path,
        source: &FilePath,
        to: &Path,
        target: &FilePath,
        collision: Collision,
    ) -> Result<()> {
        for _ in 0..ATTEMPTS_AGAINST_PRUNING {
            let folder = self.make_folder_of(to, target)?;
            refuse_occupied(to, target)?;
            let placed = match collision {
                Collision::Overwrite => fs::rename(source, target),
                // For an instant it has both names; a crash then leaves two equal objects.
                Collision::Refuse => {
                    fs::hard_link(source, target).and_then(|()| fs::remove_file(source))
                }
            };
            match placed {
                Ok(()) => {
                    let synced = sync_folder(folder);
                    return synced.map_err(|error| failed(to, "sync the folder of", error));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::symlink_metadata(source)
                        .map_err(|error| missing_or_failed(from, "rename", error))?;
                }
                Err(error) => return Err(failed(to, "rename", error)),
            }
        }
        Err(pruned(to))
    }

    /// Removes what crashed writers left. Best effort: what stays is removed the next time.
    fn remove_leftovers(&self) {
        let Ok(entries) = fs::read_dir(self.path.join(RESERVED_PREFIX).join(STAGING)) else {
            return;
        };
        let now = SystemTime::now();
        for entry in entries.flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(STAGED);
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            let age = written.ok().and_then(|written| now.duration_since(written).ok());
            if ours && age.is_some_and(|age| age >= LEFTOVER_AGE) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Drop for Root {
    /// Leaves no empty folders of ours in the user's folder.
    fn drop(&mut self) {
        if *self.staged.get_mut() {
            let own = self.path.join(RESERVED_PREFIX);
            let _ = fs::remove_dir(own.join(STAGING)).and_then(|()| fs::remove_dir(own));
        }
    }
}

/// Whether a key lies where unfinished files are.
pub(super) fn is_staging(key: &Path) -> bool {
    let mut parts = key.parts();
    parts.next().is_some_and(|part| part.as_ref() == RESERVED_PREFIX)
        && parts.next().is_some_and(|part| part.as_ref() == STAGING)
}

/// What stands under the name already must be a file, or a folder without objects. A device or a
/// pipe would not be written to but replaced, `/dev/null` included.
fn refuse_occupied(key: &Path, path: &FilePath) -> Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let message = "a device, pipe or socket of that name is there";
        let remedy = "to write into it, read the object to standard output";
        return Err(unsupported(key, message, remedy));
    }

    let is_empty_now = || fs::remove_dir(path).is_ok();
    if path.is_dir() && !is_empty_now() && path.is_dir() {
        return Err(both(key));
    }
    Ok(())
}

fn both(key: &Path) -> Error {
    let message =
        "a folder cannot hold an object `x` beside objects `x/…`, and one of the two is there";
    unsupported(key, message, "rename one of them, or use an object store")
}

fn pruned(key: &Path) -> Error {
    let error = io::Error::new(io::ErrorKind::ResourceBusy, "its folder keeps vanishing");
    failed(key, "put into place", error)
}

/// A temporary file is private unless told otherwise; an object is as open as any file.
#[cfg(unix)]
fn open_to_others(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    // Narrowed by the process's umask.
    builder.permissions(fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn open_to_others(_builder: &mut tempfile::Builder<'_, '_>) {}

/// Makes the names in a folder last.
#[cfg(unix)]
fn sync_folder(folder: &FilePath) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, NotFound};
    match fs::File::open(folder).and_then(|folder| folder.sync_all()) {
        // Gone already, or a file system that has no such thing.
        Err(error) if matches!(error.kind(), NotFound | InvalidInput) => Ok(()),
        other => other,
    }
}

/// Elsewhere a folder cannot be opened; renames are journalled by the file system.
#[cfg(not(unix))]
fn sync_folder(_folder: &FilePath) -> io::Result<()> {
    Ok(())
}
