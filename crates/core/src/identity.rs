//! Who a backend is: provider, region, bucket, and who owns the company behind it.

use std::fmt;

/// The legal reach the *owner* of a provider is under, which is not the place where the disks are.
///
/// A US parent company puts a data centre in Frankfurt under the US CLOUD Act, so the owner's
/// jurisdiction, not the region's country, is what a user filters by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Jurisdiction {
    /// Owned in a member state of the European Union.
    Eu,
    /// Owned in Switzerland.
    Ch,
    /// Owned in the United Kingdom.
    Uk,
    /// Owned in the United States, or by a US parent.
    Us,
    /// Owned elsewhere, or with a foreign parent that could not be verified.
    Other,
    /// Software that the user runs; its jurisdiction is the user's own.
    SelfHosted,
    /// Not known.
    Unknown,
}

impl Jurisdiction {
    /// The word used in configuration, on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eu => "eu",
            Self::Ch => "ch",
            Self::Uk => "uk",
            Self::Us => "us",
            Self::Other => "other",
            Self::SelfHosted => "self-hosted",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Jurisdiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names one backend: one bucket (or container) at one provider.
///
/// `Display` reads `provider:region/bucket`. [`Identity::id`] is stable across restarts and safe in
/// object names and metric labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    id: String,
    name: Option<String>,
    provider: String,
    region: String,
    bucket: String,
    jurisdiction: Jurisdiction,
}

impl Identity {
    /// Names a backend by provider, region and bucket; the id is derived from the three.
    pub fn new(
        provider: impl Into<String>,
        region: impl Into<String>,
        bucket: impl Into<String>,
    ) -> Self {
        let (provider, region, bucket) = (provider.into(), region.into(), bucket.into());
        let id = [&provider, &region, &bucket]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(|part| label(part))
            .collect::<Vec<_>>()
            .join(".");
        Self { id, name: None, provider, region, bucket, jurisdiction: Jurisdiction::Unknown }
    }

    /// Gives the backend a name of the user's choice as its id.
    ///
    /// Characters other than ASCII letters, digits, `-`, `_` and `.` become `-`.
    pub fn with_id(mut self, id: impl AsRef<str>) -> Self {
        self.id = label(id.as_ref());
        self.name = Some(id.as_ref().to_owned());
        self
    }

    /// Records who owns the provider.
    pub fn with_jurisdiction(mut self, jurisdiction: Jurisdiction) -> Self {
        self.jurisdiction = jurisdiction;
        self
    }

    /// The stable id: ASCII letters, digits, `-`, `_` and `.` only.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What a person calls it: the name the user chose, else provider, region and bucket.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.to_string())
    }

    /// The provider's id, such as `stackit` or `aws`.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The provider's region id, empty where the provider has none.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The bucket or container.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Whose law the owner of the provider is under.
    pub fn jurisdiction(&self) -> Jurisdiction {
        self.jurisdiction
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.provider)?;
        if !self.region.is_empty() {
            write!(f, ":{}", self.region)?;
        }
        if !self.bucket.is_empty() {
            write!(f, "/{}", self.bucket)?;
        }
        Ok(())
    }
}

/// Keeps what is safe in an object name and in a metric label.
fn label(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.chars().map(|c| if safe(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_safe_in_object_names_and_display_stays_readable() {
        let identity = Identity::new("stackit", "eu01", "my bucket/ä");
        assert_eq!(identity.id(), "stackit.eu01.my-bucket--");
        assert_eq!(identity.to_string(), "stackit:eu01/my bucket/ä");
        assert_eq!(identity.with_id("primary one").id(), "primary-one");
    }

    #[test]
    fn absent_region_leaves_no_gap() {
        assert_eq!(Identity::new("memory", "", "x").to_string(), "memory/x");
        assert_eq!(Identity::new("memory", "", "x").id(), "memory.x");
    }
}
