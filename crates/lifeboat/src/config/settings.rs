//! The settings as data, and how they are read from TOML.

use std::path::PathBuf;
use std::time::Duration;

use lifeboat_core::{Error, ErrorKind};
use lifeboat_failover::Settings;
use toml::de::DeTable;

use super::read::{Reader, Source};
use super::{failover, url};

/// One backend as it is configured. Holds no secret, only where secrets are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a key of the file")]
pub struct BackendSettings {
    /// How commands and metrics call it.
    pub name: Option<String>,
    /// `s3`, `azure`, `gcs`, `file`, `memory`, or an id of the catalogue.
    pub provider: String,
    /// Bucket, container, or absolute folder.
    pub bucket: String,
    /// The part of the bucket that is used.
    pub prefix: Option<String>,
    /// The provider's region.
    pub region: Option<String>,
    /// Account, tenant or service label.
    pub account: Option<String>,
    /// Another endpoint than the provider's own.
    pub endpoint: Option<String>,
    /// Whether the endpoint may be plain HTTP.
    pub allow_http: bool,
    /// Whether whole reads are not checked against checksums.
    pub skip_verify_reads: bool,
    /// Whether it is Microsoft's emulator.
    pub emulator: bool,
    /// It is declared to hold everything that exists; see `lifeboat_failover`.
    pub seeded: bool,
    /// Where the credentials come from.
    pub credentials: CredentialSettings,
    /// What differs from the default HTTP settings.
    pub http: HttpOverrides,
}

/// Where credentials come from. At most one of the fields is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CredentialSettings {
    /// The provider's own chain.
    #[default]
    Default,
    /// `{prefix}_ACCESS_KEY_ID` and `{prefix}_SECRET_ACCESS_KEY`.
    Environment(String),
    /// A profile of `~/.aws/config`.
    Profile(String),
    /// A file that holds nothing but the credentials.
    File(PathBuf),
    /// Unsigned requests.
    Anonymous,
    /// A named source of the provider: `managed-identity`, `workload-identity`, `azure-cli`.
    Source(String),
}

/// What differs from the default HTTP settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpOverrides {
    /// Name look-up, TCP and TLS handshake.
    pub connect: Option<Duration>,
    /// From the end of the request to the head of the answer.
    pub first_byte: Option<Duration>,
    /// The same for server-side copies and multipart completions.
    pub assembly: Option<Duration>,
    /// Longest pause within a body.
    pub stall: Option<Duration>,
    /// Further attempts after the first.
    pub retries: Option<usize>,
    /// No further attempt is begun after this time.
    pub retry_budget: Option<Duration>,
    /// Proxy for all traffic.
    pub proxy: Option<String>,
    /// File with certificates of private authorities, PEM.
    pub ca_certificate: Option<PathBuf>,
}

const BACKEND_KEYS: &[&str] = &[
    "name",
    "url",
    "provider",
    "bucket",
    "prefix",
    "region",
    "account",
    "endpoint",
    "allow_http",
    "verify_reads",
    "seeded",
    "emulator",
    "credentials",
    "http",
];
const CREDENTIAL_KEYS: &[&str] = &["env", "profile", "file", "anonymous", "source"];
const HTTP_KEYS: &[&str] = &[
    "connect",
    "first_byte",
    "assembly",
    "stall",
    "retries",
    "retry_budget",
    "proxy",
    "ca_certificate",
];
/// A deadline beyond this is none: a person would have gone home.
const LONGEST_DEADLINE: Duration = Duration::from_mins(10);
/// More attempts within one backend only delay the next one.
const MOST_RETRIES: usize = 20;

/// Reads a configuration file's text. `name` is shown in errors.
///
/// # Errors
/// Malformed TOML, unknown keys, secrets, values of the wrong kind; each with its line.
pub(crate) fn parse(name: &str, text: &str) -> Result<Document, Error> {
    let source = Source { name, text };
    let document = DeTable::parse(text).map_err(|error| {
        // The error's own text shows the line, which may hold a secret.
        let span = error.span().unwrap_or(0..0);
        source.error(&span, format!("this is no TOML: {}", error.message()))
    })?;
    let reader = Reader::new(source, document.get_ref(), &["backend", "failover"])?;
    let tables = reader.tables("backend")?;
    if tables.is_empty() {
        let message = format!("{name} names no backend");
        return Err(Error::new(ErrorKind::Configuration, message)
            .with_remedy("add one: [[backend]] with url = \"stackit://bucket?region=eu01\""));
    }
    let backends = tables
        .into_iter()
        .map(|(span, table)| {
            backend(source, table).map_err(|error| {
                let has_line = error.to_string().starts_with(name);
                if has_line { error } else { source.error(&span, error.to_string()) }
            })
        })
        .collect::<Result<_, _>>()?;
    let failover = match reader.table("failover")? {
        Some(table) => failover::settings(source, table)?,
        None => Settings::default(),
    };
    Ok(Document { backends, failover })
}

/// A whole configuration file.
#[derive(Debug)]
pub(crate) struct Document {
    /// In order of preference.
    pub(crate) backends: Vec<BackendSettings>,
    /// How they work together.
    pub(crate) failover: Settings,
}

fn backend(source: Source<'_>, table: &DeTable<'_>) -> Result<BackendSettings, Error> {
    let reader = Reader::new(source, table, BACKEND_KEYS)?;
    let mut settings = match reader.string("url")? {
        Some(text) => url::parse(&text)?,
        None => BackendSettings::default(),
    };
    let from_url = !settings.provider.is_empty();
    let once = |key: &str, current: &mut Option<String>| -> Result<(), Error> {
        let Some(value) = reader.string(key)? else { return Ok(()) };
        if current.is_some() {
            return Err(twice(key));
        }
        *current = Some(value);
        Ok(())
    };
    once("prefix", &mut settings.prefix)?;
    once("region", &mut settings.region)?;
    once("account", &mut settings.account)?;
    once("endpoint", &mut settings.endpoint)?;
    settings.name = reader.string("name")?;
    for (key, field) in [("provider", &mut settings.provider), ("bucket", &mut settings.bucket)] {
        match reader.string(key)? {
            Some(_) if from_url => return Err(twice(key)),
            Some(value) => *field = value,
            None if from_url || key == "bucket" => {}
            None => {
                return Err(Error::new(ErrorKind::Configuration, "a backend without `provider`")
                    .with_remedy("add provider = \"stackit\", or url = \"stackit://bucket\""));
            }
        }
    }
    settings.allow_http = reader.boolean("allow_http")?.unwrap_or(settings.allow_http);
    settings.emulator = reader.boolean("emulator")?.unwrap_or(settings.emulator);
    settings.seeded = reader.boolean("seeded")?.unwrap_or(false);
    if let Some(verify) = reader.boolean("verify_reads")? {
        settings.skip_verify_reads = !verify;
    }
    if let Some(table) = reader.table("credentials")? {
        if settings.credentials != CredentialSettings::Default {
            return Err(twice("credentials"));
        }
        settings.credentials = credentials(source, table)?;
    }
    if let Some(table) = reader.table("http")? {
        settings.http = http(source, table)?;
    }
    Ok(settings)
}

/// A proxy with a password comes from the environment (`HTTPS_PROXY`), not from the file.
fn proxy(reader: &Reader<'_, '_>) -> Result<Option<String>, Error> {
    let proxy = reader.string("proxy")?;
    if proxy.as_deref().is_some_and(|proxy| proxy.contains('@')) {
        let message = "`proxy` holds credentials, and this file is no place for them";
        return Err(Error::new(ErrorKind::Configuration, message)
            .with_remedy("leave it out and set HTTPS_PROXY in the environment"));
    }
    Ok(proxy)
}

fn twice(key: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("`{key}` is given twice, by `url` and by itself"))
        .with_remedy("keep one of them")
}

fn credentials(source: Source<'_>, table: &DeTable<'_>) -> Result<CredentialSettings, Error> {
    let reader = Reader::new(source, table, CREDENTIAL_KEYS)?;
    let mut found: Vec<CredentialSettings> = Vec::new();
    found.extend(reader.string("env")?.map(CredentialSettings::Environment));
    found.extend(reader.string("profile")?.map(CredentialSettings::Profile));
    found.extend(reader.string("file")?.map(|path| CredentialSettings::File(path.into())));
    found.extend(reader.string("source")?.map(CredentialSettings::Source));
    let anonymous = reader.boolean("anonymous")?.unwrap_or(false);
    found.extend(anonymous.then_some(CredentialSettings::Anonymous));
    if found.len() > 1 {
        return Err(Error::new(ErrorKind::Configuration, "more than one source of credentials")
            .with_remedy("keep one of env, profile, file, source and anonymous"));
    }
    Ok(found.pop().unwrap_or_default())
}

fn http(source: Source<'_>, table: &DeTable<'_>) -> Result<HttpOverrides, Error> {
    let reader = Reader::new(source, table, HTTP_KEYS)?;
    Ok(HttpOverrides {
        connect: reader.duration("connect", LONGEST_DEADLINE)?,
        first_byte: reader.duration("first_byte", LONGEST_DEADLINE)?,
        assembly: reader.duration("assembly", LONGEST_DEADLINE)?,
        stall: reader.duration("stall", LONGEST_DEADLINE)?,
        retries: reader.count("retries", 0..=MOST_RETRIES)?,
        retry_budget: reader.duration("retry_budget", LONGEST_DEADLINE)?,
        proxy: proxy(&reader)?,
        ca_certificate: reader.string("ca_certificate")?.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse("lifeboat.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn backends_are_read_in_order() {
        let text = r#"
            [[backend]]
            name = "one"
            url = "s3://bucket/some/prefix?region=eu-north-1"
            [[backend]]
            provider = "stackit"
            bucket = "b"
            region = "eu01"
            credentials = { env = "STACKIT" }
            [backend.http]
            first_byte = "1500ms"
            retries = 0
        "#;
        let [one, two] = &*parse("lifeboat.toml", text).unwrap().backends else {
            panic!("two backends")
        };
        assert_eq!(one.name.as_deref(), Some("one"));
        assert_eq!((&*one.provider, &*one.bucket), ("s3", "bucket"));
        assert_eq!(one.prefix.as_deref(), Some("some/prefix"));
        assert_eq!(two.region.as_deref(), Some("eu01"));
        assert_eq!(two.credentials, CredentialSettings::Environment("STACKIT".into()));
        assert_eq!(two.http.first_byte, Some(Duration::from_millis(1500)));
        assert_eq!(two.http.retries, Some(0));
    }

    #[test]
    fn unknown_key_suggests_the_nearest_and_names_the_line() {
        let text = "[[backend]]\nprovider = \"stackit\"\nregoin = \"eu01\"\n";
        assert_eq!(error(text), "lifeboat.toml:3: unknown key `regoin`; did you mean `region`?");
        assert!(error("[[backends]]\n").contains("did you mean `backend`?"));
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        let text = "[[backend]]\nprovider = \"s3\"\nsecret_access_key = \"hunter2\"\n";
        let shown = error(text);
        assert!(shown.contains("no place for one") && shown.contains("environment"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let url = "[[backend]]\nurl = \"s3://AKIA:hunter2@bucket\"\n";
        assert!(!error(url).contains("hunter2"), "{}", error(url));
        let proxy =
            "[[backend]]\nurl = \"memory://x\"\nhttp = { proxy = \"http://u:hunter2@p\" }\n";
        assert!(error(proxy).contains("no place for them") && !error(proxy).contains("hunter2"));
        let malformed = "[[backend]]\nsecret_access_key = hunter2\n";
        assert!(!error(malformed).contains("hunter2"), "{}", error(malformed));
    }

    #[test]
    fn values_of_the_wrong_kind_are_named() {
        let text = "[[backend]]\nurl = \"memory://x\"\n[backend.http]\nconnect = \"fast\"\n";
        assert!(
            error(text).starts_with("lifeboat.toml:4: `connect` is no duration"),
            "{}",
            error(text)
        );
        let text = "[[backend]]\nurl = 7\n";
        assert!(error(text).contains("`url` is to be a string"), "{}", error(text));
        assert!(error("").contains("names no backend"));
    }

    #[test]
    fn the_failover_table_is_read_and_its_errors_name_the_line() {
        let head = "[[backend]]\nurl = \"memory://x\"\nseeded = true\n[failover]\n";
        let text = format!("{head}quarantine = \"5s\"\nstale_reads = \"serve\"\nmin_copies = 2\n");
        let document = parse("lifeboat.toml", &text).unwrap();
        assert_eq!(document.failover.quarantine, Duration::from_secs(5));
        assert_eq!(document.failover.stale_reads, lifeboat_failover::StaleReads::Serve);
        assert_eq!(document.failover.min_copies, 2);
        assert!(document.backends[0].seeded);
        for (line, why) in [
            ("stale_reads = \"maybe\"", "`stale_reads` is to be \"refuse\" or \"serve\""),
            ("min_copies = 99", "`min_copies` is to be a number from 1 to 32, not 99"),
            ("settle_rate = 0", "`settle_rate` is to be a number from 1 to 1000000, not 0"),
            (
                "min_copies = \"2\"",
                "`min_copies` is to be a number from 1 to 32, not of type string",
            ),
            ("probe_initial = \"100us\"", "`probe_initial` is to be a millisecond at least"),
            (
                "journal_poll = 5",
                "`journal_poll` is to be a duration in quotes, not of type integer; write one such as \
                 \"500ms\" or \"2s\"",
            ),
        ] {
            let wrong = error(&format!("{head}{line}\n"));
            assert_eq!(wrong, format!("lifeboat.toml:5: {why}"));
        }
    }

    #[test]
    fn two_sources_of_credentials_are_one_too_many() {
        let text =
            "[[backend]]\nurl = \"memory://x\"\ncredentials = { env = \"A\", profile = \"b\" }";
        assert!(error(text).contains("more than one source"), "{}", error(text));
        let text = "[[backend]]\nurl = \"memory://x?env=A\"\ncredentials = { profile = \"b\" }";
        assert!(error(text).contains("`credentials` is given twice"), "{}", error(text));
        let text = "[[backend]]\nurl = \"memory://x?env=A&profile=b\"";
        assert!(error(text).contains("more than one source"), "{}", error(text));
    }
}
