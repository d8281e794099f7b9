//! The HTTP client under a store: bounded and watched. What it is answered is judged in `judge`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};

use super::attempt::Attempt;
use super::client::{client_builder, configuration};
use super::credential_health::CredentialHealth;
use super::dialect::Dialect;
use super::exchange::{Operation, Outcome, Traffic};
use super::trace::Trace;
use super::upload::{self, WatchedBody};
use super::{Deadlines, HttpSettings};
use crate::Error;

/// Makes the HTTP clients of one store: data, credentials and sessions alike.
///
/// `object_store` calls [`HttpConnector::connect`] once for each kind of traffic; they share one
/// connection pool here, and are told apart by host.
#[derive(Clone)]
pub struct WireConnector {
    client: reqwest::Client,
    /// For metadata services of this machine, which no proxy can speak for.
    direct: reqwest::Client,
    pub(super) dialect: Arc<dyn Dialect>,
    pub(super) deadlines: Deadlines,
    allow_http: bool,
    /// What `object_store` allows this client: plain HTTP for metadata services only.
    credentials_over_http: bool,
    credential_health: Arc<CredentialHealth>,
}

impl WireConnector {
    /// Prepares the client; sends nothing.
    ///
    /// # Errors
    /// A certificate or a proxy address that cannot be read.
    pub fn new(settings: &HttpSettings, dialect: Arc<dyn Dialect>) -> Result<Self, Error> {
        let deadlines = settings.deadlines;
        let mut proxied = client_builder(settings)?;
        if let Some(proxy) = &settings.proxy {
            let proxy = reqwest::Proxy::all(proxy.as_str()).map_err(|error| {
                configuration(
                    "the proxy address cannot be used",
                    "give a URL such as http://proxy:3128",
                    error.without_url(),
                )
            })?;
            proxied = proxied.proxy(proxy);
        }
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| {
                configuration("the HTTP client cannot be set up", "check CA certificates", error)
            })
        };
        Ok(Self {
            client: build(proxied)?,
            direct: build(client_builder(settings)?.no_proxy())?,
            dialect,
            deadlines,
            allow_http: settings.allow_http,
            credentials_over_http: false,
            credential_health: Arc::default(),
        })
    }
}

impl fmt::Debug for WireConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireConnector")
            .field("dialect", &self.dialect)
            .field("deadlines", &self.deadlines)
            .finish_non_exhaustive()
    }
}

impl HttpConnector for WireConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allowed = options.get_config_value(&ClientConfigKey::AllowHttp);
        let credentials_over_http = allowed.is_some_and(|value| value == "true");
        Ok(HttpClient::new(Self { credentials_over_http, ..self.clone() }))
    }
}

#[async_trait]
impl HttpService for WireConnector {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let attempt = Arc::new(self.attempt(&request));
        self.refuse_plain_http(&attempt, &request)?;
        match attempt.traffic {
            Traffic::Data => self.dialect.prepare(&mut request, attempt.operation),
            Traffic::Credential => self.credential_health.check(&attempt)?,
        }
        let sent = self.keep(&attempt, &request);
        let answer = self.send(&attempt, request).await;
        if attempt.traffic == Traffic::Credential {
            self.credential_health.note(&attempt, answer.is_ok());
        }
        self.judge(&attempt, answer?, sent).await
    }
}

/// No head of an answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:.1?}")]
pub(super) struct NoFirstByte(pub(super) Duration);

/// Plain HTTP was not allowed.
#[derive(Debug, thiserror::Error)]
#[error("refusing to send credentials to {0} over plain http; use https, or set allow_http")]
struct PlainHttp(String);

impl WireConnector {
    fn attempt(&self, request: &HttpRequest) -> Attempt {
        let trace = Trace::current();
        Attempt {
            operation: trace.as_ref().map_or(Operation::Get, |trace| trace.operation),
            trace,
            traffic: self.dialect.traffic(request.uri()),
            method: request.method().clone(),
            authority: request.uri().authority().cloned(),
            started: Instant::now(),
        }
    }

    fn refuse_plain_http(&self, attempt: &Attempt, request: &HttpRequest) -> Result<(), HttpError> {
        let allowed = match attempt.traffic {
            Traffic::Data => self.allow_http,
            Traffic::Credential => self.credentials_over_http,
        };
        if allowed || request.uri().scheme_str() != Some("http") {
            return Ok(());
        }
        let host = request.uri().host().unwrap_or_default().to_owned();
        Err(HttpError::new(HttpErrorKind::Unknown, PlainHttp(host)))
    }

    async fn send(
        &self,
        attempt: &Attempt,
        request: HttpRequest,
    ) -> Result<http::Response<reqwest::Body>, HttpError> {
        let (request, mut deadline) = self.watched(attempt, request)?;
        let local = attempt.traffic == Traffic::Credential && is_of_this_machine(&attempt.host());
        let client = if local { &self.direct } else { &self.client };
        let sending = client.execute(request);
        tokio::pin!(sending);
        loop {
            tokio::select! {
                biased;
                answer = &mut sending => {
                    return answer.map(Into::into).map_err(|error| transport_error(attempt, error));
                }
                () = tokio::time::sleep_until(deadline.at) => {
                    let later = deadline.next();
                    if later > deadline.at {
                        deadline.at = later;
                        continue;
                    }
                    let waited = attempt.started.elapsed();
                    let late = NoFirstByte(waited);
                    return Err(attempt.fail(Outcome::NoFirstByte, HttpErrorKind::Timeout, late));
                }
            }
        }
    }

    /// The request in the client's terms, and the deadline that its upload moves.
    fn watched(
        &self,
        attempt: &Attempt,
        request: HttpRequest,
    ) -> Result<(reqwest::Request, Deadline), HttpError> {
        let first_byte = if attempt.operation.is_assembly() {
            self.deadlines.assembly
        } else {
            self.deadlines.first_byte + Deadlines::PER_DELETED_KEY * attempt.further_keys()
        };
        let (parts, body) = request.into_parts();
        let url = reqwest::Url::parse(&parts.uri.to_string())
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut watched = reqwest::Request::new(parts.method, url);
        *watched.headers_mut() = parts.headers;
        let mut deadline = Deadline {
            at: tokio::time::Instant::now() + self.deadlines.connect + first_byte,
            progress: None,
            deadlines: self.deadlines,
            first_byte,
        };
        if body.content_length() > 0 {
            let (body, progress) = WatchedBody::new(&body);
            *watched.body_mut() = Some(reqwest::Body::wrap(body));
            deadline.progress = Some(progress);
            deadline.at = deadline.next();
        }
        Ok((watched, deadline))
    }
}

/// When an attempt has failed, which an upload that makes progress puts off.
struct Deadline {
    at: tokio::time::Instant,
    progress: Option<Arc<upload::Progress>>,
    deadlines: Deadlines,
    first_byte: Duration,
}

impl Deadline {
    fn next(&self) -> tokio::time::Instant {
        self.progress
            .as_ref()
            .map_or(self.at, |progress| progress.deadline(&self.deadlines, self.first_byte))
    }
}

/// Whether `host` is a metadata service: link-local, loopback, or Google's name for it.
fn is_of_this_machine(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    match literal.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => address.is_link_local() || address.is_loopback(),
        // `fd00:ec2::254` and its kin are Amazon's over IPv6.
        Ok(std::net::IpAddr::V6(address)) => address.is_unique_local() || address.is_loopback(),
        Err(_) => matches!(host, "localhost" | "metadata.google.internal" | "metadata"),
    }
}

fn transport_error(attempt: &Attempt, error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    if error.is_connect() {
        return attempt.fail(Outcome::NotConnected, HttpErrorKind::Connect, error);
    }
    if error.is_timeout() {
        return attempt.fail(Outcome::NoFirstByte, HttpErrorKind::Timeout, error);
    }
    if error.is_builder() {
        return HttpError::new(HttpErrorKind::Unknown, error);
    }
    let kind = HttpErrorKind::Interrupted;
    attempt.fail(Outcome::Broken(kind), kind, error)
}
