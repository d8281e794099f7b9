//! Decides whether an answer is one: refusals are read, successes must look like what was asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, response};
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody};

use super::attempt::{Attempt, described};
use super::checksum::Checksum;
use super::connector::{NoFirstByte, WireConnector};
use super::dialect::{self, VendorError};
use super::document::{escape, root_element};
use super::exchange::{Operation, Outcome, Traffic};
use super::hashing;
use super::integrity::IntegrityError;
use super::response::GuardedBody;
use super::upload;
use crate::Effect;

/// Error documents are a few hundred bytes; whoever sends more is no object store.
const LONGEST_ERROR: usize = 64 << 10;
/// A full page of an Azure listing (5,000 blobs with 1 KiB names) is about 10 MiB.
const LONGEST_DOCUMENT: usize = 64 << 20;
/// Longest time for a document as a whole, however steadily it drips: 64 MiB at 1 Mbit/s.
const LONGEST_READ: Duration = Duration::from_mins(9);

/// An answer that must not be repeated by the layer above.
#[derive(Debug, thiserror::Error)]
#[error("answered {0}")]
struct Ambiguous(StatusCode);

/// What was sent, as long as a receipt may come for it.
#[derive(Default)]
pub(super) struct Sent {
    chunks: Vec<Bytes>,
    hash: Option<tokio::task::JoinHandle<Checksum>>,
}

impl WireConnector {
    /// Decides whether an answer is one.
    pub(super) async fn judge(
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
            if !self.dialect.is_sound(attempt.operation, &head.headers) {
                let (outcome, vendor) = (Outcome::Nonsense(head.status), VendorError::default());
                let passed_on = StatusCode::BAD_GATEWAY;
                return self.failure(attempt, &mut head, outcome, &vendor, passed_on);
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
        let passed_on = if foreign { StatusCode::BAD_GATEWAY } else { status };
        self.failure(attempt, &mut head, outcome, &vendor, passed_on)
    }

    /// Records an answer that is a failure, and makes `passed_on` of it for the layer above.
    fn failure(
        &self,
        attempt: &Attempt,
        head: &mut response::Parts,
        outcome: Outcome,
        vendor: &VendorError,
        passed_on: StatusCode,
    ) -> Result<HttpResponse, HttpError> {
        let exchange = described(attempt, outcome, &head.headers, vendor);
        let verdict = dialect::verdict(&*self.dialect, &exchange, attempt.operation);
        let maybe_applied = verdict.effect == Effect::Unknown;
        attempt.record(exchange, maybe_applied);
        // What may have landed must not be repeated behind the caller's back.
        if maybe_applied && attempt.operation.is_conditional() {
            return Err(HttpError::new(HttpErrorKind::Unknown, Ambiguous(head.status)));
        }
        Ok(error_answer(head, passed_on, vendor))
    }

    fn answers_with_document(&self, attempt: &Attempt) -> bool {
        // An operation may make other requests on its way: a completion without parts sends one,
        // a bulk delete of a single key may be a plain DELETE. They have no document.
        let method = match attempt.operation {
            Operation::List | Operation::Inquire => Method::GET,
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
        let outcome = Outcome::Nonsense(head.status);
        self.failure(attempt, &mut head, outcome, &vendor, StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Keeps what is sent, to compare the provider's receipt with; memory is shared, not copied.
    pub(super) fn keep(&self, attempt: &Attempt, request: &HttpRequest) -> Sent {
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
