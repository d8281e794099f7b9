//! What was found out about one backend, and how it is shown.

use lifeboat::{BlobStore, BucketRule, Error, Jurisdiction, Support};
use serde::Serialize;
use serde_json::Value;

use crate::exit::{Exit, to_text};
use crate::output::{Table, escape, facts, indent};

/// Whether something holds, as far as it was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Yes,
    No,
    Unknown,
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether the bucket has a rule that concerns the journal.
#[derive(Debug, Serialize)]
pub(crate) struct Rule {
    present: Verdict,
    detail: Option<String>,
}

impl Rule {
    const NOT_ASKED: Self = Self { present: Verdict::Unknown, detail: None };

    fn in_words(&self) -> String {
        let detail = self.detail.iter().map(|detail| format!(" ({})", escape(detail)));
        format!("{}{}", self.present.as_str(), detail.collect::<String>())
    }
}

impl From<BucketRule> for Rule {
    fn from(rule: BucketRule) -> Self {
        let (present, detail) = match rule {
            BucketRule::Absent => (Verdict::No, None),
            BucketRule::Present(rule) => (Verdict::Yes, Some(rule)),
            BucketRule::Unknown(why) => (Verdict::Unknown, Some(why)),
        };
        Self { present, detail }
    }
}

/// A capability as its provider declares it, and as it was found to be.
#[derive(Debug, Serialize)]
pub(crate) struct Capability {
    name: &'static str,
    declared: &'static str,
    probed: Option<&'static str>,
    detail: Option<&'static str>,
}

impl Capability {
    pub(crate) fn declared(name: &'static str, declared: Support) -> Self {
        Self { name, declared: declared.as_str(), probed: None, detail: None }
    }

    pub(crate) fn confirm(&mut self, support: Support, detail: &'static str) {
        self.probed = Some(support.as_str());
        self.detail = Some(detail);
    }
}

/// What was found out about one backend.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    name: String,
    provider: String,
    region: String,
    bucket: String,
    jurisdiction: &'static str,
    /// Whether nothing failed; warnings do not count.
    pub(crate) ok: bool,
    pub(crate) reachable: Verdict,
    pub(crate) authenticated: Verdict,
    pub(crate) writable: Verdict,
    pub(crate) latency_ms: Option<f64>,
    pub(crate) clock_skew_seconds: Option<i64>,
    pub(crate) server: Option<String>,
    /// New objects cannot be deleted for a while.
    pub(crate) object_lock: Rule,
    /// A lifecycle rule deletes objects.
    pub(crate) expiry: Rule,
    pub(crate) capabilities: Vec<Capability>,
    /// Whether the provider declares what it does not do.
    pub(crate) contradicted: bool,
    warnings: Vec<String>,
    pub(crate) error: Option<Value>,
    #[serde(skip)]
    pub(crate) failure: Option<Error>,
}

impl Report {
    pub(crate) fn new(name: String, store: &dyn BlobStore) -> Self {
        let identity = store.identity();
        Self {
            provider: identity.provider().to_owned(),
            region: identity.region().to_owned(),
            bucket: identity.bucket().to_owned(),
            jurisdiction: identity.jurisdiction().as_str(),
            ..Self::of_nothing(name)
        }
    }

    /// What is known of a backend that cannot be built.
    pub(crate) fn not_built(name: String, error: Error) -> Self {
        let mut report = Self::of_nothing(name);
        report.finish(Some(error));
        report
    }

    fn of_nothing(name: String) -> Self {
        Self {
            name,
            provider: String::new(),
            region: String::new(),
            bucket: String::new(),
            jurisdiction: Jurisdiction::Unknown.as_str(),
            ok: false,
            reachable: Verdict::Unknown,
            authenticated: Verdict::Unknown,
            writable: Verdict::Unknown,
            latency_ms: None,
            clock_skew_seconds: None,
            server: None,
            object_lock: Rule::NOT_ASKED,
            expiry: Rule::NOT_ASKED,
            capabilities: Vec::new(),
            contradicted: false,
            warnings: Vec::new(),
            error: None,
            failure: None,
        }
    }

    pub(crate) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Whether it passes: a provider that does not do what it declares does not.
    pub(crate) fn is_good(&self, strict: bool) -> bool {
        self.ok && !self.contradicted && (!strict || self.warnings.is_empty())
    }

    /// What it failed of.
    pub(crate) fn exit(&self) -> Exit {
        match &self.failure {
            Some(error) => Exit::of(error),
            None => Exit::NotSupported,
        }
    }

    /// As lines for a person.
    pub(crate) fn in_words(&self) -> String {
        let mark = if self.ok { "ok" } else { "FAILED" };
        let mut text = if self.provider.is_empty() { String::new() } else { facts(&self.facts()) };
        if self.ok || self.capabilities.iter().any(|capability| capability.probed.is_some()) {
            text += &self.table();
        }
        let warnings =
            self.warnings.iter().map(|warning| format!("warning: {}\n", escape(warning)));
        text.extend(warnings.chain(self.failure.iter().map(to_text)));
        format!("{}: {mark}\n{}", escape(&self.name), indent(&text))
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let place = [&self.provider, &self.region, &self.bucket];
        let place: Vec<_> = place.into_iter().filter(|part| !part.is_empty()).cloned().collect();
        let mut facts = vec![
            ("backend", format!("{} ({})", place.join(" "), owner(self.jurisdiction))),
            ("reachable", self.reachable.as_str().to_owned()),
            ("authenticated", self.authenticated.as_str().to_owned()),
            ("writable", self.writable.as_str().to_owned()),
        ];
        facts.extend(self.latency_ms.map(|ms| ("latency", format!("{ms:.1} ms"))));
        facts.extend(self.clock_skew_seconds.map(|skew| ("clock skew", format!("{skew} s"))));
        facts.extend(self.server.clone().map(|server| ("server", server)));
        facts.push(("object lock", self.object_lock.in_words()));
        facts.push(("expiry", self.expiry.in_words()));
        facts
    }

    fn table(&self) -> String {
        let mut table = Table::new(&["capability", "declared", "probed", ""]);
        for capability in &self.capabilities {
            table.row([
                capability.name.to_owned(),
                capability.declared.to_owned(),
                capability.probed.unwrap_or("-").to_owned(),
                capability.detail.unwrap_or_default().to_owned(),
            ]);
        }
        table.render()
    }
}

/// Whose law the provider is under, in words.
fn owner(jurisdiction: &str) -> String {
    match jurisdiction {
        "unknown" => "owner unknown".into(),
        "self-hosted" => "self-hosted".into(),
        known => format!("owner under {known} law"),
    }
}
