//! What a test needs to reach the running servers: the environment contract, the credentials, and fresh buckets.
//! Installing and starting the servers is in [`servers`](crate::servers).

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use chrono::Utc;
use hyper::Request;

use crate::error::{Error, Result, io};
use crate::http_client::{Body, HttpClient, full};
use crate::proxy::FaultProxy;
use crate::signing;

/// The region that the S3 servers sign for.
pub const REGION: &str = "us-east-1";

/// Names the PEM file with the private key whose signatures the GCS endpoint accepts.
pub const GCS_KEY_VARIABLE: &str = "LIFEBOAT_TESTBED_GCS_KEY";

/// The e-mail address to sign GCS URLs as; any is accepted.
pub const GCS_ACCOUNT: &str = "testbed@lifeboat.example.com";

/// How much of a server's refusal is quoted.
const QUOTED: usize = 400;

/// A kind of storage server in the test bed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerKind {
    /// `SeaweedFS`: a real S3-compatible store. It lists in directory order, not in key order.
    SeaweedFs,
    /// Azurite: Microsoft's emulator of Azure Blob Storage.
    Azurite,
    /// fake-gcs-server behind [`gcs_xml`](crate::gcs_xml): Google Cloud Storage.
    Gcs,
    /// moto: a mock of S3 with strict listing and conditional semantics. It checks no signature.
    Moto,
}

impl ServerKind {
    /// Every kind, in the order in which they are started.
    pub const ALL: [Self; 4] = [Self::SeaweedFs, Self::Azurite, Self::Gcs, Self::Moto];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SeaweedFs => "seaweedfs",
            Self::Azurite => "azurite",
            Self::Gcs => "gcs",
            Self::Moto => "moto",
        }
    }

    /// The environment variable that holds its URL.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::SeaweedFs => "LIFEBOAT_TESTBED_SEAWEEDFS",
            Self::Azurite => "LIFEBOAT_TESTBED_AZURITE",
            Self::Gcs => "LIFEBOAT_TESTBED_GCS",
            Self::Moto => "LIFEBOAT_TESTBED_MOTO",
        }
    }

    /// The credentials with all rights. For GCS they are in a file, see [`endpoint`].
    pub(crate) fn credentials(self) -> Credentials {
        match self {
            Self::SeaweedFs | Self::Moto => Credentials::new("lifeboat", "lifeboat-secret"),
            Self::Azurite => Credentials::new(
                "devstoreaccount1",
                // The emulator's own key, the same everywhere and published in its documentation.
                "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
            ),
            Self::Gcs => Credentials::new(GCS_ACCOUNT, ""),
        }
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ServerKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::Invalid(format!("no server is called {text:?}: the known ones are {known}"))
        })
    }
}

/// Who to be on a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// S3: the access key. Azure: the account. GCS: the service account's e-mail address.
    pub id: String,
    /// S3: the secret key. Azure: the account key in base64. GCS: the private key in PEM.
    pub secret: String,
}

impl Credentials {
    /// Puts a pair together.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).field("secret", &"…").finish()
    }
}

/// Where a server is and who to be there.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What answers there.
    pub kind: ServerKind,
    /// The URL that clients take as their endpoint, without a trailing slash.
    pub url: String,
    /// Credentials with all rights.
    pub credentials: Credentials,
}

impl Endpoint {
    /// The address to connect to, for a proxy to stand in front of.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the URL is not `http://ADDRESS:PORT` with an optional path.
    pub fn address(&self) -> Result<SocketAddr> {
        let authority = self.url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        let address = authority.and_then(|authority| authority.parse().ok());
        address.ok_or_else(|| Error::Invalid(format!("{} is not http://ADDRESS:PORT", self.url)))
    }

    /// The same server, reached through a proxy in front of it.
    ///
    /// # Errors
    ///
    /// Those of [`address`](Self::address).
    pub fn through(&self, proxy: &FaultProxy) -> Result<Self> {
        let direct = self.address()?.to_string();
        let url = self.url.replacen(&direct, &proxy.address().to_string(), 1);
        Ok(Self { url, ..self.clone() })
    }

    /// Credentials that may read and list but not write. Only `SeaweedFS` has them.
    pub fn reader(&self) -> Option<Credentials> {
        let tells_users_apart = self.kind == ServerKind::SeaweedFs;
        tells_users_apart.then(|| Credentials::new("reader", "reader-secret"))
    }
}

/// Says where a server of the running test bed is.
///
/// # Errors
///
/// [`Error::NotRunning`] when the tests were not started through `cargo testbed test`.
pub fn endpoint(kind: ServerKind) -> Result<Endpoint> {
    let url = variable(kind.variable())?;
    let mut credentials = kind.credentials();
    if kind == ServerKind::Gcs {
        let path = variable(GCS_KEY_VARIABLE)?;
        credentials.secret =
            std::fs::read_to_string(&path).map_err(io(format!("read the key {path}")))?;
    }
    Ok(Endpoint { kind, url: url.trim_end_matches('/').to_owned(), credentials })
}

fn variable(variable: &'static str) -> Result<String> {
    std::env::var(variable).map_err(|_| Error::NotRunning { variable })
}

/// Makes a bucket (or container) with a random name on the running server of that kind and returns the name.
///
/// # Errors
///
/// [`Error::NotRunning`] without a test bed; [`Error::Request`] or [`Error::Refused`] when the server fails.
pub async fn fresh_bucket(kind: ServerKind) -> Result<String> {
    let name = format!("t-{:016x}", rand::random::<u64>());
    create_bucket(&endpoint(kind)?, &name).await?;
    Ok(name)
}

/// As [`fresh_bucket`] on the GCS server, with object versioning switched on: old generations stay readable.
///
/// # Errors
///
/// Those of [`fresh_bucket`].
pub async fn fresh_versioned_gcs_bucket() -> Result<String> {
    let name = format!("v-{:016x}", rand::random::<u64>());
    let body = serde_json::json!({ "name": name, "versioning": { "enabled": true } });
    let request = gcs_bucket(&endpoint(ServerKind::Gcs)?, &body)?;
    send(ServerKind::Gcs, request, &format!("create the bucket {name}"), &[]).await?;
    Ok(name)
}

/// Makes a bucket (or container); one that is already there is fine.
///
/// # Errors
///
/// [`Error::Request`] when the server cannot be reached, [`Error::Refused`] when it says no.
pub async fn create_bucket(endpoint: &Endpoint, name: &str) -> Result<()> {
    let request = match endpoint.kind {
        ServerKind::SeaweedFs | ServerKind::Moto => {
            s3_request(endpoint, "PUT", &format!("/{name}"), "")?
        }
        ServerKind::Azurite => azure_container(endpoint, name)?,
        ServerKind::Gcs => gcs_bucket(endpoint, &serde_json::json!({ "name": name }))?,
    };
    let action = format!("create the bucket {name}");
    send(endpoint.kind, request, &action, &[409]).await
}

/// Sends a set-up request; `also_good` are statuses that count as success beside 2xx.
pub(crate) async fn send(
    kind: ServerKind,
    request: Request<Body>,
    action: &str,
    also_good: &[u16],
) -> Result<()> {
    let answer = HttpClient::new().fetch(request).await?;
    let status = answer.status();
    if status.is_success() || also_good.contains(&status.as_u16()) {
        return Ok(());
    }
    let body = String::from_utf8_lossy(answer.body()).chars().take(QUOTED).collect();
    let (what, action) = (kind.to_string(), action.to_owned());
    Err(Error::Refused { what, action, status: status.as_u16(), body })
}

/// A signed S3 request without a query. `path` is already escaped.
pub(crate) fn s3_request(
    endpoint: &Endpoint,
    method: &str,
    path: &str,
    body: &str,
) -> Result<Request<Body>> {
    let host = endpoint.url.trim_start_matches("http://");
    let pair = (endpoint.credentials.id.as_str(), endpoint.credentials.secret.as_str());
    let headers = signing::s3_headers((method, host, path), body.as_bytes(), pair, Utc::now());
    build(method, &format!("{}{path}", endpoint.url), headers, body)
}

fn azure_container(endpoint: &Endpoint, name: &str) -> Result<Request<Body>> {
    let Credentials { id, secret } = &endpoint.credentials;
    let path = format!("/{id}/{name}");
    let query = [("restype", "container")];
    let headers = signing::azure_headers("PUT", &path, &query, (id, secret), Utc::now())?;
    build("PUT", &format!("{}/{name}?restype=container", endpoint.url), headers, "")
}

fn gcs_bucket(endpoint: &Endpoint, bucket: &serde_json::Value) -> Result<Request<Body>> {
    let url = format!("{}/storage/v1/b?project=testbed", endpoint.url);
    let headers = vec![("content-type", "application/json".to_owned())];
    build("POST", &url, headers, &bucket.to_string())
}

fn build(
    method: &str,
    url: &str,
    headers: Vec<(&'static str, String)>,
    body: &str,
) -> Result<Request<Body>> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request
        .body(full(body.to_owned()))
        .map_err(|error| Error::Invalid(format!("{url} makes no request: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_server_name_lists_the_known_ones() {
        let error = "minio".parse::<ServerKind>().expect_err("no such server");
        assert_eq!(
            error.to_string(),
            "no server is called \"minio\": the known ones are seaweedfs, azurite, gcs, moto"
        );
    }

    #[tokio::test]
    async fn an_endpoint_through_a_proxy_keeps_its_path_and_credentials() {
        let endpoint = Endpoint {
            kind: ServerKind::Azurite,
            url: "http://127.0.0.1:9/account".to_owned(),
            credentials: ServerKind::Azurite.credentials(),
        };
        let proxy =
            FaultProxy::start(endpoint.address().expect("an address")).await.expect("a proxy");
        let through = endpoint.through(&proxy).expect("an endpoint");
        assert_eq!(through.url, format!("{}/account", proxy.url()));
        assert_eq!(through.credentials, endpoint.credentials);
    }

    #[test]
    fn debug_output_of_credentials_hides_the_secret() {
        let text = format!("{:?}", Credentials::new("who", "hush-hush"));
        assert!(text.contains("who") && !text.contains("hush"), "{text}");
    }
}
