//! What differs between providers on the wire.

use std::fmt::Debug;
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};
use object_store::client::HttpRequest;

use super::{Algorithm, Checksum, Exchange, Operation, Outcome, Traffic};
use crate::{Class, Effect, Fault, Verdict};

/// What an error answer says, read from headers and body.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct VendorError {
    /// The vendor's code, such as `SlowDown`.
    pub code: Option<String>,
    /// The vendor's message.
    pub message: Option<String>,
    /// The region that the provider says the bucket is in.
    pub region: Option<String>,
}

/// One provider API as it is on the wire: its error codes, its checksums, its documents.
pub trait Dialect: Debug + Send + Sync + 'static {
    /// The name that `object_store` uses in its `Generic` errors.
    fn store(&self) -> &'static str;

    /// Whether a request to `uri` goes to the object storage endpoint or to a credential source.
    fn traffic(&self, uri: &Uri) -> Traffic;

    /// Reads an error answer. `body` is empty for HEAD.
    fn vendor_error(&self, headers: &HeaderMap, body: &[u8]) -> VendorError;

    /// The table from the vendor's code to a class. `None` leaves it to [`verdict_by_status`].
    fn verdict_by_code(&self, code: &str) -> Option<Verdict>;

    /// What to do about a failure, in words.
    fn remedy(&self, exchange: &Exchange) -> Option<String>;

    /// The names of the root elements of the documents that answer `operation`, if it is answered
    /// by a document.
    fn document_roots(&self, operation: Operation) -> &'static [&'static str];

    /// Whether the head of a success is one that this kind of store sends: an object has an `ETag`,
    /// a copy is done and not merely begun.
    fn is_sound(&self, operation: Operation, headers: &HeaderMap) -> bool;

    /// The checksum of the whole object that came with a GET, the cheapest first.
    fn download_checksum(&self, headers: &HeaderMap) -> Option<Checksum>;

    /// The algorithm of [`upload_receipt`](Self::upload_receipt), if the provider gives receipts.
    fn receipt_algorithm(&self) -> Option<Algorithm>;

    /// The checksum of what the provider says it has received, if it says so unasked.
    fn upload_receipt(&self, headers: &HeaderMap) -> Option<Checksum>;

    /// Adds headers that are not part of the signature, before the request leaves.
    fn prepare(&self, request: &mut HttpRequest, operation: Operation);
}

/// Classifies one attempt: first how it ended, then the vendor's code, then the status.
pub(super) fn verdict(dialect: &dyn Dialect, exchange: &Exchange, operation: Operation) -> Verdict {
    let by_code = exchange.code.as_deref().and_then(|code| dialect.verdict_by_code(code));
    let verdict = match exchange.outcome {
        Outcome::NotConnected => Verdict::fault(Fault::Down, Effect::None),
        Outcome::NoFirstByte | Outcome::BodyStalled(_) => {
            Verdict::fault(Fault::Slow, Effect::Unknown)
        }
        Outcome::Broken(_) | Outcome::BodyBroken(_) | Outcome::Corrupt(_) => {
            Verdict::fault(Fault::Down, Effect::Unknown)
        }
        Outcome::Answered(status) => by_code.unwrap_or_else(|| verdict_by_status(status)),
        Outcome::Nonsense(_) => {
            by_code.unwrap_or_else(|| Verdict::fault(Fault::Down, Effect::Unknown))
        }
    };
    let verdict = match exchange.traffic {
        Traffic::Data => verdict,
        // A credential source that does not serve leaves us without an identity, and the data
        // request was never sent.
        Traffic::Credential => Verdict::fault(Fault::IdentityLost, Effect::None),
    };
    let effect = if operation.is_read() { Effect::None } else { verdict.effect };
    Verdict { effect, ..verdict }.with_retry_after(exchange.retry_after)
}

/// What a status says where the vendor's code says nothing.
///
/// Source: RFC 9110; 503 is `Down` unless a code says that it is a throttle, because an outage and
/// a load balancer without backends answer 503 too.
pub fn verdict_by_status(status: StatusCode) -> Verdict {
    match status.as_u16() {
        401 => Verdict::fault(Fault::IdentityLost, Effect::None),
        403 => Verdict::new(Class::Denied, Effect::None),
        // 407 is the proxy on the way, not the provider; either way there is no path.
        407 => Verdict::fault(Fault::Down, Effect::None),
        // The server gave up waiting for the request.
        408 => Verdict::fault(Fault::Slow, Effect::Unknown),
        429 => Verdict::fault(Fault::Throttled, Effect::None),
        // 501, not implemented: an answer about the request, and nothing was done.
        304 | 400..=499 | 501 => Verdict::answer(),
        // Redirects are not followed (a signature does not survive one): wrong region or endpoint.
        300..=399 => Verdict::fault(Fault::Down, Effect::None),
        // 2xx that still failed: nonsense under a success status. 5xx: the provider failed.
        _ => Verdict::fault(Fault::Down, Effect::Unknown),
    }
}

/// Reads `Retry-After` in seconds or as a date, bounded to an hour.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    /// A provider that asks for more is down, and health checks decide when to come back.
    const LONGEST: Duration = Duration::from_hours(1);
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    let wait = match value.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(std::time::SystemTime::now())
            .unwrap_or_default(),
    };
    Some(wait.min(LONGEST))
}

/// Server's clock minus ours, in seconds.
pub(super) fn clock_skew(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get(http::header::DATE)?.to_str().ok()?;
    let server = httpdate::parse_http_date(date).ok()?;
    let now = std::time::SystemTime::now();
    Some(match server.duration_since(now) {
        Ok(ahead) => i64::try_from(ahead.as_secs()).ok()?,
        Err(behind) => -i64::try_from(behind.duration().as_secs()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_classified_as_the_table_says() {
        let class = |status: u16| verdict_by_status(StatusCode::from_u16(status).unwrap()).class;
        for status in [304, 400, 404, 409, 412, 416, 501] {
            assert_eq!(class(status), Class::Answer, "{status}");
        }
        for status in [200, 301, 307, 500, 502, 503, 504, 507] {
            assert_eq!(class(status), Class::Fault(Fault::Down), "{status}");
        }
        assert_eq!(class(401), Class::Fault(Fault::IdentityLost));
        assert_eq!(class(403), Class::Denied);
        assert_eq!(class(408), Class::Fault(Fault::Slow));
        assert_eq!(class(429), Class::Fault(Fault::Throttled));
    }

    #[test]
    fn retry_after_takes_seconds_and_dates_and_is_bounded() {
        let parse = |value: &str| {
            retry_after(&HeaderMap::from_iter([(
                http::header::RETRY_AFTER,
                value.parse().unwrap(),
            )]))
        };
        assert_eq!(parse("7"), Some(Duration::from_secs(7)));
        assert_eq!(parse("999999"), Some(Duration::from_hours(1)));
        assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(parse("soon"), None);
    }
}
