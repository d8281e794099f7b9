//! The HTTP client under a store: bounded, watched, and suspicious.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, response};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::checksum::Checksum;
use super::credential_health::CredentialHealth;
use super::dialect::{self, Dialect, VendorError, clock_skew, retry_after};
use super::document::{delete_errors, escape, root_element};
use super::exchange::{Exchange, Operation, Outcome, Traffic};
use super::hashing;
use super::integrity::IntegrityError;
use super::response::GuardedBody;
use super::trace::Trace;
use super::upload::{self, WatchedBody};
use super::{Deadlines, HttpSettings};
use crate::{Effect, Error, ErrorKind};

/// Error documents are a few hundred bytes; whoever sends more is no object store.
const LONGEST_ERROR: usize = 64 << 10;
/// A full page of an Azure listing (5,000 blobs with 1 KiB names) is about 10 MiB.
const LONGEST_DOCUMENT: usize = 64 << 20;
/// Idle connections are closed by us before the other side does it: Amazon and Azure do so after
/// 20 s and more, and a request on a connection that is just being closed has an unknown outcome.
const LONGEST_IDLE: Duration = Duration::from_secs(15);
/// Longest time for a document as a whole, however steadily it drips: 64 MiB at 1 Mbit/s.
const LONGEST_READ: Duration = Duration::from_mins(9);

/// Makes the HTTP clients of one store: data, credentials and sessions alike.
///
/// `object_store` calls [`HttpConnector::connect`] once for each kind of traffic; they share one
/// connection pool here, and are told apart by host.
#[derive(Clone)]
pub struct WireConnector {
    client: reqwest::Client,
    /// For metadata services of this machine, which no proxy can speak for.
    direct: reqwest::Client,
    dialect: Arc<dyn Dialect>,
    deadlines: Deadlines,
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

fn client_builder(settings: &HttpSettings) -> Result<reqwest::ClientBuilder, Error> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(settings.deadlines.connect)
        // A signature covers host and path: following a redirect cannot work, and would send
        // credentials to whoever answered.
        .redirect(reqwest::redirect::Policy::none())
        // Bodies are passed on as they are stored, whichever features other crates switch on.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .pool_idle_timeout(LONGEST_IDLE)
        .user_agent(settings.user_agent.as_str())
        .dns_resolver(Arc::new(ShuffledDns));
    for pem in &settings.ca_certificates {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| {
            configuration("a CA certificate cannot be read", "give PEM text", error)
        })?;
        builder = builder.tls_certs_merge(certificates);
    }
    Ok(builder)
}

fn configuration(message: &str, remedy: &str, source: reqwest::Error) -> Error {
    Error::new(ErrorKind::Configuration, message).with_remedy(remedy).with_source(source)
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

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Attempt {
    trace: Option<Arc<Trace>>,
    operation: Operation,
    traffic: Traffic,
    method: Method,
    authority: Option<Authority>,
    started: Instant,
}

impl Attempt {
    fn is_upload(&self) -> bool {
        self.traffic == Traffic::Data
            && self.method == Method::PUT
            && matches!(
                self.operation,
                Operation::Put | Operation::ConditionalPut | Operation::MultipartPart
            )
    }

    /// Keys of a bulk delete beyond the first.
    fn further_keys(&self) -> u32 {
        let keys = self.trace.as_ref().map_or(0, |trace| trace.keys());
        u32::try_from(keys).unwrap_or(u32::MAX).saturating_sub(1)
    }

    /// Keeps what a bulk delete says of single keys. An answer about keys that were not asked about
    /// is none; `object_store` panics on it.
    fn note_key_errors(&self, body: &[u8]) -> bool {
        match &self.trace {
            Some(trace) if self.operation == Operation::Delete => {
                trace.note_key_errors(delete_errors(body))
            }
            _ => true,
        }
    }

    /// The host, without the port.
    pub(super) fn host(&self) -> String {
        self.authority.as_ref().map(|authority| authority.host().to_owned()).unwrap_or_default()
    }

    fn exchange(&self, outcome: Outcome) -> Exchange {
        Exchange {
            method: self.method.clone(),
            traffic: self.traffic,
            host: self.authority.as_ref().map(ToString::to_string).unwrap_or_default(),
            outcome,
            code: None,
            message: None,
            region: None,
            request_id: None,
            retry_after: None,
            clock_skew_seconds: None,
            server: None,
            latency: self.started.elapsed(),
        }
    }

    fn record(&self, exchange: Exchange, maybe_applied: bool) {
        let latency = exchange.latency;
        tracing::debug!(operation = %self.operation, %exchange, ?latency, "attempt failed");
        if let Some(trace) = &self.trace {
            trace.record(exchange, maybe_applied);
        }
    }

    /// Remembers how the body of this attempt ended.
    pub(super) fn amend(&self, outcome: Outcome) {
        if let Some(trace) = &self.trace {
            trace.amend(self.exchange(outcome));
        }
    }

    /// Counts a sound answer; its details are kept for those who want them.
    fn count(&self, head: &response::Parts) {
        let (status, latency) = (head.status.as_u16(), self.started.elapsed());
        tracing::debug!(operation = %self.operation, status, ?latency, "attempt answered");
        match &self.trace {
            Some(trace) if trace.detailed => {
                let outcome = Outcome::Answered(head.status);
                let vendor = VendorError::default();
                trace.record(described(self, outcome, &head.headers, &vendor), false);
            }
            Some(trace) => trace.count(),
            None => {}
        }
    }

    /// Turns a failure on the wire into the error that `object_store` acts on.
    pub(super) fn fail(
        &self,
        outcome: Outcome,
        kind: HttpErrorKind,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> HttpError {
        let maybe_applied = self.traffic == Traffic::Data && outcome != Outcome::NotConnected;
        self.record(self.exchange(outcome), maybe_applied);
        // object_store repeats a request whose connection broke, whatever it was. A conditional
        // put that did land would then be refused by its own first attempt.
        let kind = match (self.operation, kind) {
            (_, HttpErrorKind::Connect) => HttpErrorKind::Connect,
            (operation, _) if operation.is_conditional() => HttpErrorKind::Unknown,
            (_, kind) => kind,
        };
        HttpError::new(kind, cause)
    }
}

/// No head of an answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:.1?}")]
struct NoFirstByte(Duration);

/// An answer that must not be repeated by the layer above.
#[derive(Debug, thiserror::Error)]
#[error("answered {0}")]
struct Ambiguous(StatusCode);

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

    /// Decides whether an answer is one.
    async fn judge(
        &self,
        attempt: &Arc<Attempt>,
        answer: http::Response<reqwest::Body>,
        sent: Sent,
    ) -> Result<HttpResponse, HttpError> {
        let (mut head, body) = answer.into_parts();
        // While a copy or a completion is under way some providers send white space now and then.
        let assembling = attempt.operation.is_assembly() && head.status.is_success();
        let stall = if assembling { self.deadlines.assembly } else { self.deadlines.stall };
        let body = GuardedBody::new(body, Arc::clone(attempt), head.status, stall);
        if !head.status.is_success() {
            return self.refusal(attempt, head, body).await;
        }
        if attempt.traffic == Traffic::Data {
            if self.answers_with_document(attempt) {
                return self.document(attempt, head, body).await;
            }
            if let Some(unsound) = self.unsound_head(attempt, &mut head) {
                return unsound;
            }
            self.check_receipt(attempt, &head, sent).await?;
            self.note_checksum(attempt, &head);
        }
        attempt.count(&head);
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
    }

    /// An answer with an error status: read, recorded, and passed on without what may be secret.
    async fn refusal(
        &self,
        attempt: &Arc<Attempt>,
        mut head: response::Parts,
        body: GuardedBody,
    ) -> Result<HttpResponse, HttpError> {
        // A body that cannot be read still leaves the status, which is what matters.
        let read = body.collect_up_to(LONGEST_ERROR);
        let body = match tokio::time::timeout(self.deadlines.stall, read).await {
            Ok(Ok(body)) => body,
            _ => Bytes::new(),
        };
        let vendor = self.dialect.vendor_error(&head.headers, &body);
        let status = head.status;
        // An ingress without backends says 404, a firewall 403. Neither speaks for the provider,
        // whose own refusals have a code (but for HEAD, which has no body: see `WireStore`).
        let foreign = attempt.traffic == Traffic::Data
            && attempt.method != Method::HEAD
            && vendor.code.is_none()
            && matches!(status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN);
        let outcome = if foreign { Outcome::Nonsense(status) } else { Outcome::Answered(status) };
        let maybe_applied = self.record(attempt, outcome, &head.headers, &vendor);
        // What may have landed must not be repeated behind the caller's back.
        if maybe_applied && attempt.operation.is_conditional() {
            return Err(HttpError::new(HttpErrorKind::Unknown, Ambiguous(status)));
        }
        let passed_on = if foreign { StatusCode::BAD_GATEWAY } else { status };
        Ok(error_answer(&mut head, passed_on, &vendor))
    }

    /// Records an answer that is a failure; tells whether the request may have had its effect.
    fn record(
        &self,
        attempt: &Attempt,
        outcome: Outcome,
        headers: &HeaderMap,
        vendor: &VendorError,
    ) -> bool {
        let exchange = described(attempt, outcome, headers, vendor);
        let verdict = dialect::verdict(&*self.dialect, &exchange, attempt.operation);
        let maybe_applied = verdict.effect == Effect::Unknown;
        attempt.record(exchange, maybe_applied);
        maybe_applied
    }

    fn answers_with_document(&self, attempt: &Attempt) -> bool {
        // An operation may make other requests on its way: a completion without parts sends one,
        // a bulk delete of a single key may be a plain DELETE. They have no document.
        let method = match attempt.operation {
            Operation::List => Method::GET,
            Operation::Copy | Operation::ConditionalCopy => Method::PUT,
            Operation::Delete | Operation::MultipartCreate | Operation::MultipartComplete => {
                Method::POST
            }
            _ => return false,
        };
        attempt.method == method && !self.dialect.document_roots(attempt.operation).is_empty()
    }

    /// A success that must come with a certain document. Any other document, an error document
    /// above all, is a failure: `object_store` would take it for an empty listing, or for a copy
    /// that was made.
    async fn document(
        &self,
        attempt: &Arc<Attempt>,
        mut head: response::Parts,
        body: GuardedBody,
    ) -> Result<HttpResponse, HttpError> {
        let read = body.collect_up_to(LONGEST_DOCUMENT);
        let body = match tokio::time::timeout(LONGEST_READ, read).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => {
                let outcome = match error.kind() {
                    HttpErrorKind::Timeout => Outcome::BodyStalled(head.status),
                    _ => Outcome::BodyBroken(head.status),
                };
                return Err(attempt.fail(outcome, error.kind(), error));
            }
            Err(_) => {
                let late = NoFirstByte(LONGEST_READ);
                let outcome = Outcome::BodyStalled(head.status);
                return Err(attempt.fail(outcome, HttpErrorKind::Timeout, late));
            }
        };
        let root = root_element(&body);
        let expected = self.dialect.document_roots(attempt.operation);
        if root.is_some_and(|root| expected.contains(&root)) && attempt.note_key_errors(&body) {
            attempt.count(&head);
            let body = if attempt.operation == Operation::List { body } else { unalarming(body) };
            return Ok(HttpResponse::from_parts(head, body.into()));
        }
        let vendor = match root {
            Some("Error") => self.dialect.vendor_error(&head.headers, &body),
            _ => VendorError::default(),
        };
        let maybe_applied =
            self.record(attempt, Outcome::Nonsense(head.status), &head.headers, &vendor);
        if maybe_applied && attempt.operation.is_conditional() {
            return Err(HttpError::new(HttpErrorKind::Unknown, Ambiguous(head.status)));
        }
        Ok(error_answer(&mut head, StatusCode::INTERNAL_SERVER_ERROR, &vendor))
    }

    /// A success whose head lacks what every object store sends with one.
    fn unsound_head(
        &self,
        attempt: &Attempt,
        head: &mut response::Parts,
    ) -> Option<Result<HttpResponse, HttpError>> {
        if self.dialect.is_sound(attempt.operation, &head.headers) {
            return None;
        }
        let vendor = VendorError::default();
        let outcome = Outcome::Nonsense(head.status);
        let maybe_applied = self.record(attempt, outcome, &head.headers, &vendor);
        if maybe_applied && attempt.operation.is_conditional() {
            return Some(Err(HttpError::new(HttpErrorKind::Unknown, Ambiguous(head.status))));
        }
        Some(Ok(error_answer(head, StatusCode::BAD_GATEWAY, &vendor)))
    }

    /// Keeps what is sent, to compare the provider's receipt with; memory is shared, not copied.
    fn keep(&self, attempt: &Attempt, request: &HttpRequest) -> Sent {
        let Some(algorithm) = self.dialect.receipt_algorithm().filter(|_| attempt.is_upload())
        else {
            return Sent::default();
        };
        let chunks = upload::chunks(request.body());
        let size = request.body().content_length() as u64;
        // A slow hash is computed while the body is on its way. Parts often come without a
        // receipt; theirs is computed only if there is one.
        let beside = attempt.operation != Operation::MultipartPart
            && hashing::worth_a_thread(algorithm, size);
        let hash = beside.then(|| {
            let chunks = chunks.clone();
            tokio::task::spawn_blocking(move || {
                Checksum::of(algorithm, chunks.iter().map(AsRef::as_ref))
            })
        });
        Sent { chunks, hash }
    }

    /// Compares what the provider says it received with what was sent.
    async fn check_receipt(
        &self,
        attempt: &Attempt,
        head: &response::Parts,
        sent: Sent,
    ) -> Result<(), HttpError> {
        if !attempt.is_upload() {
            return Ok(());
        }
        let Some(receipt) = self.dialect.upload_receipt(&head.headers) else { return Ok(()) };
        let hash = match sent.hash {
            Some(hash) => hash.await.ok().filter(|hash| hash.algorithm() == receipt.algorithm()),
            None => None,
        };
        let actual = hash.unwrap_or_else(|| {
            Checksum::of(receipt.algorithm(), sent.chunks.iter().map(AsRef::as_ref))
        });
        if actual.matches(&receipt) {
            return Ok(());
        }
        let mismatch = IntegrityError::stored(receipt, actual);
        // `Interrupted` lets object_store send an idempotent upload once more, which mends it.
        Err(attempt.fail(Outcome::Corrupt(head.status), HttpErrorKind::Interrupted, mismatch))
    }

    fn note_checksum(&self, attempt: &Attempt, head: &response::Parts) {
        let Some(trace) = &attempt.trace else { return };
        if trace.whole_object
            && head.status == StatusCode::OK
            && let Some(checksum) = self.dialect.download_checksum(&head.headers)
        {
            trace.expect(checksum);
        }
    }
}

/// What an answer's head says about the exchange.
fn described(
    attempt: &Attempt,
    outcome: Outcome,
    headers: &HeaderMap,
    vendor: &VendorError,
) -> Exchange {
    let VendorError { code, message, region } = vendor.clone();
    Exchange {
        code,
        message,
        region,
        request_id: request_id(headers),
        retry_after: retry_after(headers),
        clock_skew_seconds: clock_skew(headers),
        server: text(headers, http::header::SERVER.as_str()),
        ..attempt.exchange(outcome)
    }
}

/// What was sent, as long as a receipt may come for it.
#[derive(Default)]
struct Sent {
    chunks: Vec<Bytes>,
    hash: Option<tokio::task::JoinHandle<Checksum>>,
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

/// `object_store` searches these two words in the whole document and takes any hit for a failure,
/// a key that holds one included. Real failures were found before; here they are written so that
/// only an XML reader sees them.
fn unalarming(body: Bytes) -> Bytes {
    let text = String::from_utf8_lossy(&body);
    if !text.contains("SlowDown") && !text.contains("InternalError") {
        return body;
    }
    let text =
        text.replace("SlowDown", "&#83;lowDown").replace("InternalError", "&#73;nternalError");
    Bytes::from(text)
}

/// An error answer in place of the one that came: same meaning, none of the provider's details
/// (Amazon's `SignatureDoesNotMatch` repeats the session token).
fn error_answer(
    head: &mut response::Parts,
    status: StatusCode,
    vendor: &VendorError,
) -> HttpResponse {
    let code = escape(vendor.code.as_deref().unwrap_or("Unspecified"));
    let message = escape(vendor.message.as_deref().unwrap_or_default());
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let mut answer = HttpResponse::new(Bytes::from(body).into());
    *answer.status_mut() = status;
    *answer.headers_mut() = std::mem::take(&mut head.headers);
    answer.headers_mut().remove(http::header::CONTENT_LENGTH);
    answer
}

/// The provider's id of the request: Amazon and its kin, Azure, Google.
fn request_id(headers: &HeaderMap) -> Option<String> {
    ["x-amz-request-id", "x-ms-request-id", "x-guploader-uploadid"]
        .into_iter()
        .find_map(|name| text(headers, name))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    /// Ids and server names are short; a longer one is somebody's joke.
    const LONGEST: usize = 200;
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.chars().take(LONGEST).collect())
}

/// Resolves names with the system's resolver and shuffles the addresses, so that parallel
/// connections spread over a provider's front ends instead of all hitting the first.
#[derive(Debug)]
struct ShuffledDns;

impl Resolve for ShuffledDns {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            use rand::seq::SliceRandom;
            let mut addresses: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            addresses.shuffle(&mut rand::rng());
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}
