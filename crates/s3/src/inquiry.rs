//! What a bucket does by itself, as S3 tells it: its object lock and its lifecycle rules.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use lifeboat_core::http::{BucketInquiry, element_text};
use lifeboat_core::{BucketRule, BucketRules, causes};
use object_store::client::{HttpClient, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};

/// How long a question's signature holds: the tolerance that Amazon has for a clock that is off.
const VALID: Duration = Duration::from_mins(15);

/// Rules for objects larger than this do not concern what Lifeboat keeps: the body of a marker is a key, which has
/// 1,024 bytes at most.
const LARGEST_MARKER: u64 = 1024;

/// Asks one bucket.
#[derive(Debug)]
pub(crate) struct S3Inquiry {
    pub(crate) client: HttpClient,
}

#[async_trait]
impl BucketInquiry for S3Inquiry {
    async fn ask(&self, signer: &dyn Signer, prefix: &Path) -> BucketRules {
        let lock = self.document(signer, "object-lock", "ObjectLockConfigurationNotFoundError");
        let lock = read(lock.await, object_lock);
        let lifecycle = self.document(signer, "lifecycle", "NoSuchLifecycleConfiguration");
        let expiry = read(lifecycle.await, |body| expiry(body, prefix));
        BucketRules::new(lock, expiry)
    }
}

/// A document, none, or why nobody knows.
type Document = Result<Option<String>, String>;

impl S3Inquiry {
    /// Gets a document about the bucket; `none` is the error code that stands for "there is none".
    async fn document(&self, signer: &dyn Signer, name: &str, none: &str) -> Document {
        let options = SignedUrlOptions::new().with_query([(name, "")]);
        let url = signer.signed_url_opts(Method::GET, &Path::ROOT, VALID, &options).await;
        let url = url.map_err(|error| in_words(&error))?;
        let request = http::Request::get(url.as_str()).body(HttpRequestBody::empty());
        // Neither error names the URL, which holds a signature.
        let request = request.map_err(|error| error.to_string())?;
        let answer = self.client.execute(request).await.map_err(|error| in_words(&error))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|error| in_words(&error))?;
        if status.is_success() {
            return Ok(Some(String::from_utf8_lossy(&body).into_owned()));
        }
        match element_text(&body, "Code") {
            Some(code) if code == none => Ok(None),
            _ if status == StatusCode::FORBIDDEN => {
                Err("these credentials may not read it".to_owned())
            }
            Some(code) => Err(format!("the provider answers {} {code}", status.as_u16())),
            None => Err(format!("the provider answers {}", status.as_u16())),
        }
    }
}

fn read(document: Document, rule: impl FnOnce(&str) -> Option<String>) -> BucketRule {
    match document.map(|document| document.and_then(|document| rule(&document))) {
        Ok(Some(rule)) => BucketRule::Present(rule),
        Ok(None) => BucketRule::Absent,
        Err(why) => BucketRule::Unknown(why),
    }
}

/// The deepest cause says what happened; what stands above it says what was asked.
fn in_words(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The default retention of new objects. Object lock without one locks only what asks for it.
fn object_lock(document: &str) -> Option<String> {
    let retention = blocks(document, "DefaultRetention").next()?;
    let length = match (number(retention, "Days"), number(retention, "Years")) {
        (Some(days), _) => count(days, "day"),
        (None, Some(years)) => count(years, "year"),
        (None, None) => "some time".into(),
    };
    let mode = element_text(retention.as_bytes(), "Mode").unwrap_or_else(|| "unknown".into());
    Some(format!("new objects are kept for {length} in {} mode", mode.to_lowercase()))
}

/// The first enabled rule that deletes objects under `prefix`.
fn expiry(document: &str, prefix: &Path) -> Option<String> {
    let below = if prefix.as_ref().is_empty() { String::new() } else { format!("{prefix}/") };
    blocks(document, "Rule").find_map(|rule| {
        let text = |name| element_text(rule.as_bytes(), name);
        let expiration = blocks(rule, "Expiration").next()?;
        let when = match (number(expiration, "Days"), element_text(expiration.as_bytes(), "Date")) {
            (Some(days), _) => format!("after {}", count(days, "day")),
            (None, Some(date)) => format!("on {date}"),
            // What removes markers of deleted versions only.
            (None, None) => return None,
        };
        // A prefix need not be a whole folder, and a rule for a part of ours is one, too.
        let filter = text("Prefix").unwrap_or_default();
        let covers = below.starts_with(&filter) || filter.starts_with(&below);
        // Lifeboat's own objects have no tags.
        let tagged = rule.contains("<Tag>");
        let large = number(rule, "ObjectSizeGreaterThan").is_some_and(|min| min >= LARGEST_MARKER);
        if text("Status").as_deref() != Some("Enabled") || !covers || tagged || large {
            return None;
        }
        let name = text("ID").map(|id| format!(" `{id}`")).unwrap_or_default();
        let what = if filter.is_empty() { "objects".into() } else { format!("`{filter}…`") };
        Some(format!("rule{name} deletes {what} {when}"))
    })
}

/// What the elements of a name contain.
fn blocks<'a>(document: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = document;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&begin)?;
        let (inner, after) = after.split_once(&end)?;
        rest = after;
        Some(inner)
    })
}

fn number(document: &str, name: &str) -> Option<u64> {
    element_text(document.as_bytes(), name)?.parse().ok()
}

fn count(number: u64, unit: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(rules: &[&str]) -> String {
        let rules = rules.iter().map(|rule| format!("<Rule>{rule}</Rule>"));
        format!("<LifecycleConfiguration>{}</LifecycleConfiguration>", rules.collect::<String>())
    }

    fn of_markers(rules: &[&str]) -> Option<String> {
        expiry(&lifecycle(rules), &Path::from(".lifeboat"))
    }

    const EXPIRES: &str = "<Expiration><Days>7</Days></Expiration><Status>Enabled</Status>";

    #[test]
    fn rules_that_reach_the_journal_are_found_whatever_their_filter_looks_like() {
        for filter in [
            "",
            "<Filter/>",
            "<Prefix/>",
            "<Filter><Prefix></Prefix></Filter>",
            "<Prefix>.life</Prefix>",
            "<Filter><Prefix>.lifeboat/</Prefix></Filter>",
            "<Filter><Prefix>.lifeboat/journal/</Prefix></Filter>",
            "<Filter><And><Prefix>.lifeboat</Prefix><ObjectSizeGreaterThan>10</ObjectSizeGreaterThan></And></Filter>",
        ] {
            let found = of_markers(&[&format!("<ID>tidy</ID>{filter}{EXPIRES}")]);
            let found = found.unwrap_or_else(|| panic!("{filter}"));
            assert!(found.starts_with("rule `tidy` deletes "), "{found}");
            assert!(found.ends_with("after 7 days"), "{found}");
        }
        let date =
            "<Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration><Status>Enabled</Status>";
        let found = of_markers(&[date]);
        assert_eq!(found.as_deref(), Some("rule deletes objects on 2030-01-01T00:00:00Z"));
    }

    #[test]
    fn rules_that_leave_the_journal_alone_are_not_held_against_the_bucket() {
        let elsewhere = [
            format!("<Prefix>logs/</Prefix>{EXPIRES}"),
            format!("<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>{EXPIRES}"),
            format!("<Filter><ObjectSizeGreaterThan>4096</ObjectSizeGreaterThan></Filter>{EXPIRES}"),
            EXPIRES.replace("Enabled", "Disabled"),
            "<Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>".into(),
            "<Status>Enabled</Status><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>".into(),
            "<Status>Enabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>".into(),
        ];
        let mut rules: Vec<&str> = elsewhere.iter().map(String::as_str).collect();
        assert_eq!(of_markers(&rules), None);
        rules.push(EXPIRES);
        assert!(of_markers(&rules).is_some(), "the last of several");
    }

    #[test]
    fn object_lock_matters_when_it_holds_what_nobody_asked_it_to() {
        let enabled = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>";
        assert_eq!(object_lock(&format!("{enabled}</ObjectLockConfiguration>")), None);
        let retention = "<Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule>";
        let found = object_lock(&format!("{enabled}{retention}</ObjectLockConfiguration>"));
        assert_eq!(found.as_deref(), Some("new objects are kept for 1 day in governance mode"));
    }
}
