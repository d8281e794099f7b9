//! The configured backends, in order of preference.

use std::path::Path;
use std::sync::Arc;

use lifeboat_core::{BlobStore, Error, ErrorKind};
use lifeboat_failover::{Failover, FailoverBuilder, Settings};

use crate::absent::Absent;
use crate::config;

/// Reads a configuration file and builds every backend it names. Sends nothing: a provider that is
/// down does not keep a program from starting, and neither does one whose credentials are missing:
/// see [`Fleet::failures`].
///
/// # Errors
/// A file that cannot be read, malformed settings (with file and line).
pub fn open(path: impl AsRef<Path>) -> Result<Fleet, Error> {
    let path = path.as_ref();
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(ErrorKind::Configuration, format!("{shown} cannot be read"))
            .with_remedy("give the file with --config or LIFEBOAT_CONFIG")
            .with_source(error)
    })?;
    Fleet::from_toml(&shown, &text)
}

/// The configured backends, in order of preference.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    backends: Vec<(String, Built)>,
    /// Names of those that are declared to hold everything.
    seeded: Vec<String>,
    failover: Settings,
}

/// A backend, or why it cannot be built.
type Built = Result<Arc<dyn BlobStore>, Arc<Error>>;

impl Fleet {
    /// No backend at all: what there is without a configuration file.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Builds the backends of a configuration text; `file` is its name in errors.
    ///
    /// # Errors
    /// As [`open`].
    pub fn from_toml(file: &str, text: &str) -> Result<Self, Error> {
        let mut fleet = Self::empty();
        let document = config::parse(file, text)?;
        fleet.failover = document.failover;
        for mut settings in document.backends {
            let name = settings.name.clone().unwrap_or_else(|| settings.provider.clone());
            check_name(file, &name)?;
            if fleet.names().any(|known| known == name) {
                let message = format!("{file}: two backends are called `{name}`");
                return Err(Error::new(ErrorKind::Configuration, message)
                    .with_remedy("give each a name of its own"));
            }
            settings.name = Some(name.clone());
            if settings.seeded {
                fleet.seeded.push(name.clone());
            }
            let store = config::build(&settings).map_err(|error| Arc::new(named(error, &name)));
            fleet.backends.push((name, store));
        }
        Ok(fleet)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.backends.iter().map(|(name, _)| &**name)
    }

    /// Names and stores of the backends that could be built, in order.
    pub fn backends(&self) -> impl Iterator<Item = (&str, &Arc<dyn BlobStore>)> {
        self.backends.iter().filter_map(|(name, store)| Some((&**name, store.as_ref().ok()?)))
    }

    /// Names of the backends that could not be built, and why: credentials that are not there, a
    /// region that does not exist.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.backends.iter().filter_map(|(name, store)| Some((&**name, &**store.as_ref().err()?)))
    }

    /// The settings of the `[failover]` table.
    pub fn failover_settings(&self) -> Settings {
        self.failover.clone()
    }

    /// All configured backends as one store, in their order: add observers, and build. One that could not be built takes
    /// part as a backend that is down, so that nothing it misses is forgotten.
    pub fn failover(&self) -> FailoverBuilder {
        let mut builder = Failover::builder().settings(self.failover_settings());
        for (name, store) in &self.backends {
            let store: Arc<dyn BlobStore> = match store {
                Ok(store) => Arc::clone(store),
                Err(reason) => Arc::new(Absent::new(name, Arc::clone(reason))),
            };
            builder = if self.seeded.contains(name) {
                builder.seeded_backend(store)
            } else {
                builder.backend(store)
            };
        }
        builder
    }

    /// The backend of this name.
    ///
    /// # Errors
    /// There is none (the error lists those there are), or it could not be built.
    pub fn backend(&self, name: &str) -> Result<Arc<dyn BlobStore>, Error> {
        if let Some((_, store)) = self.backends.iter().find(|(known, _)| known == name) {
            return store.as_ref().map(Arc::clone).map_err(again);
        }
        let mut known: Vec<&str> = self.names().collect();
        known.sort_by(|a, b| {
            strsim::jaro_winkler(name, b).total_cmp(&strsim::jaro_winkler(name, a))
        });
        let remedy = match &*known {
            [] => "no backend is configured: give a URL, or a file with --config".to_owned(),
            known => format!("configured are {}", known.join(", ")),
        };
        let message = format!("no backend is called `{name}`");
        Err(Error::new(ErrorKind::NotFound, message).with_remedy(remedy))
    }
}

/// The error under the name that the configuration gives the backend.
fn named(error: Error, name: &str) -> Error {
    let told = Error::new(error.kind(), error.message()).with_backend(name);
    let told = match error.remedy() {
        Some(remedy) => told.with_remedy(remedy),
        None => told,
    };
    told.with_source(error)
}

/// The same error for another caller.
fn again(error: &Arc<Error>) -> Error {
    let mut told = Error::new(error.kind(), error.message());
    if let Some(backend) = error.backend() {
        told = told.with_backend(backend);
    }
    if let Some(remedy) = error.remedy() {
        told = told.with_remedy(remedy);
    }
    told.with_source(Arc::clone(error))
}

/// A name stands before a colon on the command line, and in metric labels.
fn check_name(file: &str, name: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // One letter before a colon is a drive on some systems.
    if name.len() > 1 && name.chars().all(fits) {
        return Ok(());
    }
    let message = format!("{file}: `{name}` is no name for a backend");
    Err(Error::new(ErrorKind::Configuration, message)
        .with_remedy("use two or more letters, digits, `-`, `_` and `.`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_keep_their_order_and_names() {
        let text = "[[backend]]\nname = \"bb\"\nurl = \"memory://x\"\n\
                    [[backend]]\nurl = \"memory://y\"\n";
        let fleet = Fleet::from_toml("lifeboat.toml", text).unwrap();
        assert_eq!(fleet.names().collect::<Vec<_>>(), ["bb", "memory"]);
        assert_eq!(fleet.backend("bb").unwrap().identity().id(), "bb");
        let error = fleet.backend("bbb").unwrap_err().to_string();
        assert_eq!(error, "no backend is called `bbb`; configured are bb, memory");
    }

    #[test]
    fn backend_that_cannot_be_built_does_not_keep_the_others_from_working() {
        let text = "[[backend]]\nname = \"good\"\nurl = \"memory://x\"\n\
                    [[backend]]\nname = \"bad\"\nurl = \"nowhere://b\"\n";
        let fleet = Fleet::from_toml("lifeboat.toml", text).unwrap();
        assert_eq!(fleet.backends().map(|(name, _)| name).collect::<Vec<_>>(), ["good"]);
        let failures: Vec<_> = fleet.failures().collect();
        assert_eq!(failures[0].0, "bad");
        let error = fleet.backend("bad").unwrap_err().to_string();
        assert!(error.starts_with("bad: ") && error.contains("nowhere"), "{error}");
    }

    #[test]
    fn two_of_one_name_are_refused() {
        let text = "[[backend]]\nurl = \"memory://x\"\n[[backend]]\nurl = \"memory://y\"\n";
        let error = Fleet::from_toml("lifeboat.toml", text).unwrap_err().to_string();
        assert!(error.contains("two backends are called `memory`"), "{error}");
    }
}
