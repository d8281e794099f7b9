//! The configured backends, in order of preference.

use std::path::Path;
use std::sync::Arc;

use lifeboat_core::{BlobStore, Error, ErrorKind};

use crate::config;

/// Reads a configuration file and builds every backend it names. Sends nothing: a provider that is
/// down does not keep a program from starting.
///
/// # Errors
/// A file that cannot be read, malformed settings (with file and line), credentials that are not
/// there.
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
    backends: Vec<(String, Arc<dyn BlobStore>)>,
}

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
        for mut settings in config::parse(file, text)? {
            let name = settings.name.clone().unwrap_or_else(|| settings.provider.clone());
            check_name(&name)?;
            if fleet.names().any(|known| known == name) {
                let message = format!("{file}: two backends are called `{name}`");
                return Err(Error::new(ErrorKind::Configuration, message)
                    .with_remedy("give each a name of its own"));
            }
            settings.name = Some(name.clone());
            let store = config::build(&settings).map_err(|error| match error.backend() {
                Some(_) => error,
                None => error.with_backend(&name),
            })?;
            fleet.backends.push((name, store));
        }
        Ok(fleet)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.backends.iter().map(|(name, _)| &**name)
    }

    /// Names and stores, in order.
    pub fn backends(&self) -> impl Iterator<Item = (&str, &Arc<dyn BlobStore>)> {
        self.backends.iter().map(|(name, store)| (&**name, store))
    }

    /// The backend of this name.
    ///
    /// # Errors
    /// There is none; the error lists those there are.
    pub fn backend(&self, name: &str) -> Result<Arc<dyn BlobStore>, Error> {
        if let Some((_, store)) = self.backends().find(|(known, _)| *known == name) {
            return Ok(Arc::clone(store));
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

/// A name stands before a colon on the command line, and in metric labels.
fn check_name(name: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.chars().all(fits) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Configuration, format!("`{name}` is no name for a backend"))
        .with_remedy("use letters, digits, `-`, `_` and `.`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_keep_their_order_and_names() {
        let text = "[[backend]]\nname = \"b\"\nurl = \"memory://x\"\n\
                    [[backend]]\nurl = \"memory://y\"\n";
        let fleet = Fleet::from_toml("lifeboat.toml", text).unwrap();
        assert_eq!(fleet.names().collect::<Vec<_>>(), ["b", "memory"]);
        assert_eq!(fleet.backend("b").unwrap().identity().id(), "b");
        let error = fleet.backend("bb").unwrap_err().to_string();
        assert_eq!(error, "no backend is called `bb`; configured are b, memory");
    }

    #[test]
    fn two_of_one_name_are_refused() {
        let text = "[[backend]]\nurl = \"memory://x\"\n[[backend]]\nurl = \"memory://y\"\n";
        let error = Fleet::from_toml("lifeboat.toml", text).unwrap_err().to_string();
        assert!(error.contains("two backends are called `memory`"), "{error}");
    }
}
