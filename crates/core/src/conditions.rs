//! Finds out by trying which conditions a backend enforces, and keeps those it ignores from use.
//!
//! Some S3-compatible services accept `If-None-Match` and `If-Match` and silently ignore them: a
//! lock or a table commit is overwritten, and the answer is 200. No declaration protects from that,
//! so where it matters Lifeboat asks: create twice (the second must be refused), update with a
//! wrong ETag (must be refused), update with the right one (must pass). What is ignored is never
//! relied on: the [`ConditionGate`] answers `NotSupported` instead of a false success.

use std::fmt::Display;

use futures::StreamExt;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    PutResult, Result, UpdateVersion,
};
use tokio::sync::OnceCell;

use crate::reserved::RESERVED_PREFIX;
use crate::{Class, Support, Verdict};

/// One thing that was tried, and what happened, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Whether it may be relied on.
    pub support: Support,
    /// Whether the condition was accepted and silently not applied, the one outcome that destroys
    /// data: a caller believes it holds a lock.
    pub ignored: bool,
    /// What was seen, as a sentence for a person.
    pub detail: &'static str,
}

impl Finding {
    const fn new(support: Support, detail: &'static str) -> Self {
        Self { support, ignored: false, detail }
    }

    const fn ignored(detail: &'static str) -> Self {
        Self { support: Support::No, ignored: true, detail }
    }
}

/// Which conditions of a put are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConditionReport {
    /// `PutMode::Create`.
    pub create_if_absent: Finding,
    /// `PutMode::Update`.
    pub compare_and_swap: Finding,
    /// User metadata came back as it was sent.
    pub user_metadata: Finding,
}

/// Everything that [`probe_capabilities`] finds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapabilityReport {
    /// Which conditions of a put are enforced.
    pub conditions: ConditionReport,
    /// Whether listings come in the byte order of keys.
    pub ordered_listing: Finding,
}

/// How an error of the probed store is to be read.
pub type Classifier<'a> = &'a (dyn Fn(&Error) -> Verdict + Send + Sync);

/// Runs the whole capability probe on `store`. See
/// [`BlobStore::confirm_capabilities`](crate::BlobStore::confirm_capabilities).
///
/// # Errors
/// Fails if the store fails; what it ignores or refuses is a finding.
///
/// # Cancel safety
/// A dropped future may leave tiny objects under `.lifeboat/probe/`.
pub async fn probe_capabilities(
    store: &dyn ObjectStore,
    classify: Classifier<'_>,
) -> Result<CapabilityReport> {
    let conditions = probe_conditions(store, classify).await?;
    let ordered_listing = probe_listing_order(store).await?;
    Ok(CapabilityReport { conditions, ordered_listing })
}

/// Tries create and update conditions on one random key, which is removed afterwards.
///
/// # Errors
/// Fails if the store fails; what it ignores or refuses is a finding.
///
/// # Cancel safety
/// A dropped future may leave one tiny object under `.lifeboat/probe/`.
pub async fn probe_conditions(
    store: &dyn ObjectStore,
    classify: Classifier<'_>,
) -> Result<ConditionReport> {
    let key = Path::from_iter([RESERVED_PREFIX, "probe", &random_name()]);
    let report = try_conditions(store, &key, classify).await;
    if let Err(error) = remove(store, &key).await {
        // What was found out stands; credentials that may write but not delete are not unusual.
        tracing::warn!(%key, %error, "a probe's object could not be removed");
    }
    report
}

async fn try_conditions(
    store: &dyn ObjectStore,
    key: &Path,
    classify: Classifier<'_>,
) -> Result<ConditionReport> {
    let (create_if_absent, current) = try_create(store, key, classify).await?;
    let compare_and_swap = try_update(store, key, current, classify).await?;
    let user_metadata = try_metadata(store, key).await?;
    Ok(ConditionReport { create_if_absent, compare_and_swap, user_metadata })
}

/// Creates the key twice; returns what was learnt and the version that is there now.
async fn try_create(
    store: &dyn ObjectStore,
    key: &Path,
    classify: Classifier<'_>,
) -> Result<(Finding, PutResult)> {
    let first = match put(store, key, "create 1", PutMode::Create).await {
        Ok(first) => first,
        Err(error) if refuses_the_header(&error, classify) => {
            let current = put(store, key, "plain", PutMode::Overwrite).await?;
            let detail = "a create of a new key is refused, so conditions are not understood";
            return Ok((Finding::new(Support::No, detail), current));
        }
        Err(error) => return Err(error),
    };
    match put(store, key, "create 2", PutMode::Create).await {
        Ok(second) => {
            let detail = "a second create of the same key was accepted: the condition is ignored";
            Ok((Finding::ignored(detail), second))
        }
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
            let detail = "a second create of the same key was refused, as it must be";
            Ok((Finding::new(Support::Yes, detail), first))
        }
        Err(error) => Err(error),
    }
}

/// Updates the key with a wrong version and with the right one.
async fn try_update(
    store: &dyn ObjectStore,
    key: &Path,
    current: PutResult,
    classify: Classifier<'_>,
) -> Result<Finding> {
    // An MD5-shaped ETag that no object has, and a generation older than any.
    let wrong = UpdateVersion {
        e_tag: Some("\"00000000000000000000000000000000\"".into()),
        version: Some("1".into()),
    };
    match put(store, key, "update wrong", PutMode::Update(wrong)).await {
        Ok(_) => {
            let detail = "an update with a wrong ETag was accepted: the condition is ignored";
            return Ok(Finding::ignored(detail));
        }
        Err(Error::Precondition { .. } | Error::NotFound { .. }) => {}
        Err(error) if refuses_the_header(&error, classify) => {
            let detail = "updates with an ETag are refused as not supported";
            return Ok(Finding::new(Support::No, detail));
        }
        Err(error) => return Err(error),
    }
    match put(store, key, "update right", PutMode::Update(current.into())).await {
        Ok(_) => {
            let detail = "a wrong ETag was refused and the right one accepted, as it must be";
            Ok(Finding::new(Support::Yes, detail))
        }
        Err(Error::Precondition { .. }) => {
            let detail = "an update with the right ETag is refused too: safe, but of no use";
            Ok(Finding::new(Support::No, detail))
        }
        Err(error) => Err(error),
    }
}

const METADATA: (&str, &str) = ("lifeboatprobe", "kept");

async fn try_metadata(store: &dyn ObjectStore, key: &Path) -> Result<Finding> {
    let attribute = Attribute::Metadata(METADATA.0.into());
    let attributes = Attributes::from_iter([(attribute.clone(), METADATA.1)]);
    let options = PutOptions { attributes, ..PutOptions::default() };
    match store.put_opts(key, PutPayload::from_static(b"metadata"), options).await {
        Ok(_) => {}
        Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
            return Ok(Finding::new(Support::No, "user metadata is refused"));
        }
        Err(error) => return Err(error),
    }
    let kept = store.get(key).await?.attributes;
    Ok(match kept.get(&attribute) {
        Some(value) if value.as_ref() == METADATA.1 => {
            Finding::new(Support::Yes, "user metadata came back as it was sent")
        }
        _ => Finding::new(Support::No, "user metadata was dropped or changed"),
    })
}

/// Writes four keys whose byte order differs from folder order, lists them, removes them.
///
/// # Errors
/// Fails if the store fails.
///
/// # Cancel safety
/// A dropped future may leave up to four tiny objects under `.lifeboat/probe/`.
pub async fn probe_listing_order(store: &dyn ObjectStore) -> Result<Finding> {
    let folder = Path::from_iter([RESERVED_PREFIX, "probe", &random_name()]);
    // In byte order `!` < `-` < `/` < `0`; a store that walks folders lists `a/b` first.
    let keys = ["a!", "a-/x", "a/b", "a0"].map(|name| Path::from(format!("{folder}/{name}")));
    let listed = write_and_list(store, &folder, &keys).await;
    let mut removed = Ok(());
    for key in &keys {
        removed = removed.and(remove(store, key).await);
    }
    let listed = listed?;
    removed?;
    Ok(if listed == keys {
        Finding::new(Support::Yes, "listings come in the byte order of keys")
    } else if listed.len() == keys.len() {
        Finding::new(
            Support::No,
            "listings come in another order than that of keys: resuming by key would skip objects",
        )
    } else {
        Finding::new(Support::No, "a listing does not show all keys that were just written")
    })
}

async fn write_and_list(
    store: &dyn ObjectStore,
    folder: &Path,
    keys: &[Path],
) -> Result<Vec<Path>> {
    for key in keys {
        store.put(key, PutPayload::from_static(b"x")).await?;
    }
    let mut listing = store.list(Some(folder));
    let mut listed = Vec::with_capacity(keys.len());
    while let Some(meta) = listing.next().await {
        listed.push(meta?.location);
    }
    Ok(listed)
}

/// Whether the store says that it does not know the condition, rather than that it does not hold.
fn refuses_the_header(error: &Error, classify: Classifier<'_>) -> bool {
    match error {
        Error::NotImplemented { .. } | Error::NotSupported { .. } => true,
        // "Exists already" for a random key is the echo of an own attempt, no finding.
        Error::Generic { .. } => {
            let verdict = classify(error);
            verdict.class == Class::Answer && verdict.certain
        }
        _ => false,
    }
}

async fn put(store: &dyn ObjectStore, key: &Path, body: &str, mode: PutMode) -> Result<PutResult> {
    store.put_opts(key, body.to_owned().into_bytes().into(), mode.into()).await
}

async fn remove(store: &dyn ObjectStore, key: &Path) -> Result<()> {
    match store.delete(key).await {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn random_name() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Whether a declaration alone is enough to rely on a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The provider's own API guarantees it (Amazon S3, Azure, Google).
    Declared,
    /// A declaration says what to expect; the first conditional put probes.
    Probed,
}

/// Lets a conditional put pass only where the condition is known to be enforced.
#[derive(Debug)]
pub struct ConditionGate {
    create: Support,
    update: Support,
    trust: Trust,
    found: OnceCell<ConditionReport>,
}

impl ConditionGate {
    /// Starts from what is declared for `PutMode::Create` and `PutMode::Update`.
    pub fn new(create: Support, update: Support, trust: Trust) -> Self {
        Self { create, update, trust, found: OnceCell::new() }
    }

    /// What is known of create-if-absent now.
    pub fn create_if_absent(&self) -> Support {
        self.found.get().map_or(self.create, |found| found.create_if_absent.support)
    }

    /// What is known of compare-and-swap now.
    pub fn compare_and_swap(&self) -> Support {
        self.found.get().map_or(self.update, |found| found.compare_and_swap.support)
    }

    /// What was found out, if somebody asked.
    pub fn found(&self) -> Option<&ConditionReport> {
        self.found.get()
    }

    /// Remembers findings; the first ones stay.
    pub fn remember(&self, report: ConditionReport) {
        // A second, concurrent probe found the same; nothing is lost if it comes late.
        let _ = self.found.set(report);
    }

    /// Passes a put of `mode` on `key`, or says why it cannot be relied on.
    ///
    /// `store` is the unguarded store; it is probed on the first conditional put where the
    /// declaration is not enough. Concurrent callers share one probe.
    ///
    /// # Errors
    /// `NotSupported` where the condition is ignored or refused; the probe's own error where the
    /// backend failed while it was asked (the next call asks again).
    ///
    /// # Cancel safety
    /// Dropping the future abandons the probe; the next caller starts anew.
    pub async fn admit(
        &self,
        store: &dyn ObjectStore,
        classify: Classifier<'_>,
        mode: &PutMode,
    ) -> Result<()> {
        let declared = match mode {
            PutMode::Overwrite => return Ok(()),
            PutMode::Create => self.create,
            PutMode::Update(_) => self.update,
        };
        if self.found.get().is_none() {
            if declared == Support::Yes && self.trust == Trust::Declared {
                return Ok(());
            }
            if declared == Support::No {
                let why = "declared by its provider as not enforced";
                return Err(unsupported_condition(store, mode, why));
            }
        }
        let found = self.found.get_or_try_init(|| probe_conditions(store, classify)).await?;
        let finding = match mode {
            PutMode::Create => found.create_if_absent,
            _ => found.compare_and_swap,
        };
        if finding.support.is_yes() {
            return Ok(());
        }
        Err(unsupported_condition(store, mode, finding.detail))
    }
}

/// The refusal of a put on a condition that `store` does not enforce: `NotSupported`, with the remedy.
pub fn unsupported_condition(store: impl Display, mode: &PutMode, why: &str) -> Error {
    let name = match mode {
        PutMode::Update(_) => "compare-and-swap (PutMode::Update)",
        _ => "create-if-absent (PutMode::Create)",
    };
    crate::Error::new(
        crate::ErrorKind::NotSupported,
        format!("{store} cannot be relied on for {name}: {why}"),
    )
    .with_remedy("use a backend that enforces conditions for locks and table commits")
    .into()
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::classify_default;

    #[tokio::test]
    async fn memory_store_enforces_conditions_and_is_left_empty() {
        let store = InMemory::new();
        let report = probe_capabilities(&store, &classify_default).await.unwrap();
        assert_eq!(report.conditions.create_if_absent.support, Support::Yes);
        assert_eq!(report.conditions.compare_and_swap.support, Support::Yes);
        assert_eq!(report.conditions.user_metadata.support, Support::Yes);
        assert_eq!(report.ordered_listing.support, Support::Yes);
        assert_eq!(store.list(None).count().await, 0);
    }

    #[tokio::test]
    async fn declared_no_is_refused_without_a_request() {
        let gate = ConditionGate::new(Support::No, Support::No, Trust::Probed);
        let store = InMemory::new();
        let refused = gate.admit(&store, &classify_default, &PutMode::Create).await.unwrap_err();
        assert!(matches!(refused, Error::NotSupported { .. }), "{refused}");
        assert!(gate.found().is_none());
    }

    #[tokio::test]
    async fn unknown_is_probed_once_and_then_passes() {
        let gate = ConditionGate::new(Support::Unknown, Support::Unknown, Trust::Probed);
        let store = InMemory::new();
        gate.admit(&store, &classify_default, &PutMode::Create).await.unwrap();
        assert_eq!(gate.compare_and_swap(), Support::Yes);
    }
}
