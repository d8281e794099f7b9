//! What is known of one provider, and how its endpoints are resolved. Where the data comes from is
//! in `data`, how it is searched in `catalogue`.

use lifeboat_core::{Capabilities, Jurisdiction, PartLimits, Support};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{CatalogueError, check_endpoint, near};
use crate::words;

/// The region that requests are signed for where neither provider nor user names one: what S3
/// software takes by default.
const DEFAULT_SIGNING_REGION: &str = "us-east-1";

/// The longest label of a host name. Source: RFC 1035, section 2.3.4.
const LONGEST_LABEL: usize = 63;

/// The API a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Api {
    /// Amazon S3's, or compatible with it.
    S3,
    /// Azure Blob Storage's.
    Azure,
    /// Google Cloud Storage's.
    Gcs,
}

impl Api {
    /// The word used in the data, in JSON and in crate names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Azure => "azure",
            Self::Gcs => "gcs",
        }
    }
}

/// Where the bucket's name goes in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Addressing {
    /// Into the path: `https://host/bucket/key`.
    Path,
    /// Into the host name: `https://bucket.host/key`.
    Virtual,
    /// Either is taken.
    Both,
}

/// The order in which a listing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Listing {
    /// By the bytes of the keys.
    KeyOrder,
    /// Name by name within each folder, so that `a/c` comes before `a-b`.
    DirectoryOrder,
    /// Documented to be in no order that can be seen in the keys.
    Unordered,
    /// No evidence found.
    Unknown,
}

/// How well an entry of the catalogue is founded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Little evidence: one client's profile, or a name seen in public code.
    Low,
    /// The provider's documentation, read in part or not recently.
    Medium,
    /// The provider's documentation or measurements, recent.
    High,
}

/// Limits of the provider, filled up with Amazon S3's where nothing else is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Limits {
    /// Limits of multipart uploads.
    #[serde(flatten, with = "words::part_limits")]
    pub parts: PartLimits,
    /// Most keys in one bulk delete request; `None` where the provider has no such request.
    pub bulk_delete: Option<u32>,
    /// Where a deviation from Amazon S3 was read; `None` where there is none to tell.
    pub source: Option<String>,
}

/// The names of the environment variables that hold an access key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CredentialVariables {
    /// Holds the access key's id.
    pub access_key_id: String,
    /// Holds the secret access key.
    pub secret_access_key: String,
}

/// A place where a provider keeps buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Region {
    /// The provider's own name of it, such as `eu01`.
    pub id: String,
    /// The city, where it is known.
    pub city: Option<String>,
    /// ISO 3166-1 alpha-2, or `EU`, or `global`.
    pub country: String,
    /// The endpoint, in which `{account}` may still have to be filled in: see
    /// [`Provider::endpoint`].
    pub endpoint: String,
    /// The region name that requests are signed for.
    pub signing_region: String,
}

/// One object storage service: who owns it, where it is, how it is reached and what it can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Provider {
    /// Stable and lower case; also the scheme of its URLs.
    pub id: String,
    /// What the provider calls the service.
    pub name: String,
    /// The company (or project) behind it, with its parent where that is another one.
    pub owner: String,
    /// ISO 3166-1 alpha-2, or `global`, or `unknown`.
    pub owner_country: String,
    /// Whose law the owner answers to. A US parent makes it `us`, wherever the disks are.
    #[serde(serialize_with = "words::word")]
    pub jurisdiction: Jurisdiction,
    /// The API it speaks.
    pub api: Api,
    /// The endpoint's template, with `{region}`, `{account}` and `{endpoint}` to be filled in: see
    /// [`Provider::endpoint`].
    pub endpoint: String,
    /// Where the bucket's name goes in a request.
    pub addressing: Addressing,
    /// The region name that requests are signed for, where it is one for the whole provider.
    pub signing_region: Option<String>,
    /// The regions; empty for self-hosted software.
    pub regions: Vec<Region>,
    /// The environment variables that the provider's own tools read access keys from.
    pub env: Option<CredentialVariables>,
    /// What serves the API: `own`, `unknown`, a product, or `… (inferred)`.
    pub software: String,
    /// Whether a put that must create (`If-None-Match: *`) is refused where the key exists.
    #[serde(serialize_with = "words::word")]
    pub conditional_create: Support,
    /// Whether a put that must replace one version (`If-Match`) is refused where another is
    /// current.
    #[serde(serialize_with = "words::word")]
    pub conditional_update: Support,
    /// Whether it takes the checksum headers and trailers that AWS SDKs send by default since
    /// January 2025.
    #[serde(serialize_with = "words::word")]
    pub sdk_checksums: Support,
    /// Whether CRC-64/NVME is among the checksums it takes; SHA-256 is understood by all that take
    /// any.
    #[serde(serialize_with = "words::word")]
    pub crc64nvme: Support,
    /// Whether the ETag of an object written by one put is the MD5 of its body, customer and KMS
    /// keys aside.
    #[serde(serialize_with = "words::word")]
    pub etag_md5: Support,
    /// The order in which listings come.
    pub listing: Listing,
    /// Whether objects can have tags.
    #[serde(serialize_with = "words::word")]
    pub tagging: Support,
    /// Limits on parts, objects and bulk deletes.
    pub limits: Limits,
    /// What a user should know and no other field says.
    pub note: Option<String>,
    /// The provider's documentation.
    pub docs: String,
    /// Where these facts were read.
    pub source: String,
    /// How well they are founded.
    pub confidence: Confidence,
}

impl Provider {
    /// Looks up a region by its id.
    ///
    /// # Errors
    ///
    /// [`CatalogueError::UnknownRegion`], which lists the known ones.
    pub fn region(&self, id: &str) -> Result<&Region, CatalogueError> {
        self.regions.iter().find(|region| region.id == id).ok_or_else(|| {
            let known = self.region_ids();
            CatalogueError::UnknownRegion {
                provider: self.id.clone(),
                region: id.into(),
                near: near(id, &known),
                known,
            }
        })
    }

    /// The regions in a country (ISO 3166-1 alpha-2, in either case).
    pub fn regions_in(&self, country: &str) -> impl Iterator<Item = &Region> {
        self.regions.iter().filter(move |region| region.country.eq_ignore_ascii_case(country))
    }

    /// The region that is meant where none is given: the only one, if there is only one.
    pub fn default_region(&self) -> Option<&Region> {
        match self.regions.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether the endpoint contains an account, which [`Provider::endpoint`] then has to be given.
    pub fn needs_account(&self) -> bool {
        self.endpoint.contains("{account}")
    }

    /// Whether the software is self-hosted, so that [`Provider::endpoint`] has to be given one.
    pub fn needs_endpoint(&self) -> bool {
        self.endpoint == "{endpoint}"
    }

    /// Whether a region has to be given to sign requests: there are several, each with its own name.
    pub fn needs_region(&self) -> bool {
        self.regions.len() > 1 && self.signing_region.is_none()
    }

    /// Whether the bucket's name is put into the path rather than the host name.
    ///
    /// Wherever path style is taken it is used: it works with every bucket name (dots break the
    /// wildcard certificates of virtual hosts) and with endpoints of one's own.
    pub fn path_style(&self) -> bool {
        self.addressing != Addressing::Virtual
    }

    /// Resolves the address to send requests to.
    ///
    /// `region` may be left out where there is only one, or where the endpoint is the same for all.
    /// `account` is the account, tenant or service label that some endpoints contain. `custom`
    /// replaces the catalogue's endpoint (self-hosted software has none; elsewhere it may be a
    /// private endpoint or an emulator); the region is then free.
    ///
    /// ```
    /// use lifeboat_eu::Catalogue;
    ///
    /// let stackit = Catalogue::builtin().get("stackit")?;
    /// let endpoint = stackit.endpoint(Some("eu01"), None, None)?;
    /// assert_eq!(endpoint.as_str(), "https://object.storage.eu01.onstackit.cloud/");
    ///
    /// let upcloud = Catalogue::builtin().get("upcloud")?;
    /// let endpoint = upcloud.endpoint(Some("europe-1"), Some("mud5q"), None)?;
    /// assert_eq!(endpoint.as_str(), "https://mud5q.upcloudobjects.com/");
    /// # Ok::<(), lifeboat_eu::CatalogueError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An unknown region, or a region, account or endpoint that is needed and missing or malformed.
    /// The text says what to give.
    pub fn endpoint(
        &self,
        region: Option<&str>,
        account: Option<&str>,
        custom: Option<&Url>,
    ) -> Result<Url, CatalogueError> {
        if let Some(custom) = custom {
            check_endpoint(&self.id, custom)?;
            return Ok(custom.clone());
        }
        if self.needs_endpoint() {
            return Err(CatalogueError::MissingEndpoint { provider: self.id.clone() });
        }
        let template = self.template(region)?;
        let filled = if template.contains("{account}") {
            template.replace("{account}", self.checked_account(account, template)?)
        } else {
            template.to_owned()
        };
        filled
            .parse()
            .map_err(|error| CatalogueError::Data(format!("{}: {filled}: {error}", self.id)))
    }

    /// The region name that requests to `region` are signed for.
    ///
    /// A region that the catalogue does not know (possible with an endpoint of one's own) stands
    /// for itself unless the provider has one name for all.
    ///
    /// ```
    /// use lifeboat_eu::Catalogue;
    ///
    /// let catalogue = Catalogue::builtin();
    /// assert_eq!(catalogue.get("stackit")?.signing_region(Some("eu01")), "eu01");
    /// assert_eq!(catalogue.get("cleura")?.signing_region(Some("sto2")), "us-east-1");
    /// assert_eq!(catalogue.get("garage")?.signing_region(None), "garage");
    /// # Ok::<(), lifeboat_eu::CatalogueError>(())
    /// ```
    pub fn signing_region<'a>(&'a self, region: Option<&'a str>) -> &'a str {
        let known = match region {
            Some(id) => self.regions.iter().find(|known| known.id == id),
            None => self.default_region(),
        };
        known
            .map(|known| known.signing_region.as_str())
            .or(self.signing_region.as_deref())
            .or(region)
            .unwrap_or(DEFAULT_SIGNING_REGION)
    }

    /// What the provider can do, as far as the catalogue knows.
    pub fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::CONSERVATIVE;
        capabilities.create_if_absent = self.conditional_create;
        capabilities.compare_and_swap = self.conditional_update;
        capabilities.ordered_listing = match self.listing {
            Listing::KeyOrder => Support::Yes,
            Listing::DirectoryOrder | Listing::Unordered => Support::No,
            Listing::Unknown => Support::Unknown,
        };
        capabilities.bulk_delete = self.limits.bulk_delete;
        capabilities.parts = self.limits.parts;
        capabilities
    }

    /// The endpoint's template for a region, in which only the account may be missing.
    fn template(&self, region: Option<&str>) -> Result<&str, CatalogueError> {
        let depends = self.regions.iter().any(|region| region.endpoint != self.endpoint);
        match (region, self.default_region()) {
            (Some(id), _) if !self.regions.is_empty() => Ok(&self.region(id)?.endpoint),
            (None, Some(only)) => Ok(&only.endpoint),
            (None, None) if depends => Err(self.missing_region()),
            _ => Ok(&self.endpoint),
        }
    }

    /// Says which regions there are to choose from.
    pub(crate) fn missing_region(&self) -> CatalogueError {
        CatalogueError::MissingRegion { provider: self.id.clone(), known: self.region_ids() }
    }

    /// The account, if it can be a label of a host name and nothing else.
    fn checked_account<'a>(
        &self,
        account: Option<&'a str>,
        template: &str,
    ) -> Result<&'a str, CatalogueError> {
        let provider = self.id.clone();
        let template = template.to_owned();
        match account {
            None | Some("") => Err(CatalogueError::MissingAccount { provider, template }),
            Some(account) if is_label(account) => Ok(account),
            Some(account) => {
                Err(CatalogueError::InvalidAccount { provider, account: account.into(), template })
            }
        }
    }

    /// The ids of all regions.
    fn region_ids(&self) -> Vec<String> {
        self.regions.iter().map(|region| region.id.clone()).collect()
    }
}

/// Whether a text is one label of a host name.
fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST_LABEL
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
