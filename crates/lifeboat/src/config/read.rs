//! Reads TOML tables with errors that name file, line, key and remedy.
//!
//! Not by serde: its messages show the offending line, which may hold a secret, and do not suggest
//! the nearest known key.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use lifeboat_core::{Error, ErrorKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Keys that people put secrets under. None is a setting.
const SECRETS: [&str; 21] = [
    "access_key",
    "access_key_id",
    "account_key",
    "api_key",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "client_secret",
    "connection_string",
    "key",
    "password",
    "private_key",
    "sas",
    "sas_key",
    "sas_token",
    "secret",
    "secret_access_key",
    "secret_key",
    "service_account_key",
    "session_token",
    "token",
];

/// A key this far from a known one is a typing error.
const TYPING_ERROR: f64 = 0.7;

/// The text of a configuration file, for line numbers.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn error(&self, span: &Range<usize>, message: impl Into<String>) -> Error {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let message = format!("{}:{line}: {}", self.name, message.into());
        Error::new(ErrorKind::Configuration, message)
    }
}

/// Whether `key` is one that people put secrets under.
pub(super) fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key.to_ascii_lowercase().replace('-', "_").as_str())
}

/// What to do instead of writing a secret down.
pub(super) const SECRET_REMEDY: &str = "give secrets through the environment \
    (credentials = { env = \"PREFIX\" } reads PREFIX_ACCESS_KEY_ID and PREFIX_SECRET_ACCESS_KEY), a \
    profile, or a file (credentials = { file = \"/run/secrets/…\" })";

/// What to say about a key that is not known.
pub(super) fn suggest<'k>(key: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(key, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((closeness, name)) if closeness >= TYPING_ERROR => format!("did you mean `{name}`?"),
        _ => format!("known are {}", known.join(", ")),
    }
}

const DURATION_REMEDY: &str = "write one such as \"500ms\" or \"2s\"";

/// A table under reading: each key is asked for once, and what is left over is unknown.
pub(super) struct Reader<'a, 'i> {
    source: Source<'a>,
    table: &'a DeTable<'i>,
    known: &'static [&'static str],
}

impl<'a, 'i> Reader<'a, 'i> {
    /// Starts reading; unknown keys and secrets are refused at once.
    pub(super) fn new(
        source: Source<'a>,
        table: &'a DeTable<'i>,
        known: &'static [&'static str],
    ) -> Result<Self, Error> {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            if is_secret(name) {
                let message = format!("`{name}` is a secret, and this file is no place for one");
                return Err(source.error(&key.span(), message).with_remedy(SECRET_REMEDY));
            }
            let message = format!("unknown key `{name}`");
            let remedy = suggest(name, known.iter().copied());
            return Err(source.error(&key.span(), message).with_remedy(remedy));
        }
        Ok(Self { source, table, known })
    }

    fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
        debug_assert!(self.known.contains(&key), "{key} is asked for but not known");
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// An error that names the line of `key`.
    pub(super) fn wrong(&self, key: &str, message: &str) -> Error {
        let span = self.value(key).map_or(0..0, Spanned::span);
        self.source.error(&span, message)
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'i>>, wanted: &str) -> Error {
        let found = value.get_ref().type_str();
        let message = format!("`{key}` is to be {wanted}, not of type {found}");
        self.source.error(&value.span(), message)
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<String>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::String(text) if text.is_empty() => {
                Err(self.source.error(&value.span(), format!("`{key}` is empty")))
            }
            DeValue::String(text) => Ok(Some(text.to_string())),
            _ => Err(self.wrong_type(key, value, "a string")),
        }
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Boolean(flag) => Ok(Some(*flag)),
            _ => Err(self.wrong_type(key, value, "true or false")),
        }
    }

    pub(super) fn count(
        &self,
        key: &str,
        bounds: RangeInclusive<usize>,
    ) -> Result<Option<usize>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let wanted = format!("a number from {} to {}", bounds.start(), bounds.end());
        let DeValue::Integer(integer) = value.get_ref() else {
            return Err(self.wrong_type(key, value, &wanted));
        };
        let integer = integer.to_string();
        let number = integer.parse().ok().filter(|number| bounds.contains(number));
        number.map(Some).ok_or_else(|| {
            let message = format!("`{key}` is to be {wanted}, not {integer}");
            self.source.error(&value.span(), message)
        })
    }

    /// A duration above zero.
    pub(super) fn duration(&self, key: &str, longest: Duration) -> Result<Option<Duration>, Error> {
        let above_zero = |duration: &Duration| !duration.is_zero() && *duration <= longest;
        self.duration_if(key, &above_zero, &format!("above 0 and {}", up_to(longest)))
    }

    /// A duration, or none at all: `"0s"`.
    pub(super) fn pause(&self, key: &str, longest: Duration) -> Result<Option<Duration>, Error> {
        self.duration_if(key, &|duration| *duration <= longest, &up_to(longest))
    }

    fn duration_if(
        &self,
        key: &str,
        fits: &dyn Fn(&Duration) -> bool,
        wanted: &str,
    ) -> Result<Option<Duration>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let DeValue::String(text) = value.get_ref() else {
            let error = self.wrong_type(key, value, "a duration in quotes");
            return Err(error.with_remedy(DURATION_REMEDY));
        };
        let parsed = humantime::parse_duration(text).ok().filter(fits);
        parsed.map(Some).ok_or_else(|| {
            self.source
                .error(&value.span(), format!("`{key}` is no duration {wanted}"))
                .with_remedy(DURATION_REMEDY)
        })
    }

    pub(super) fn table(&self, key: &str) -> Result<Option<&'a DeTable<'i>>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Table(table) => Ok(Some(table)),
            _ => Err(self.wrong_type(key, value, "a table")),
        }
    }

    pub(super) fn tables(&self, key: &str) -> Result<Vec<(Range<usize>, &'a DeTable<'i>)>, Error> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let DeValue::Array(entries) = value.get_ref() else {
            return Err(self.wrong_type(key, value, &format!("a list: [[{key}]]")));
        };
        entries
            .iter()
            .map(|entry| match entry.get_ref() {
                DeValue::Table(table) => Ok((entry.span(), table)),
                _ => Err(self.wrong_type(key, entry, &format!("a table: [[{key}]]"))),
            })
            .collect()
    }
}

fn up_to(longest: Duration) -> String {
    format!("up to {}", humantime::format_duration(longest))
}
