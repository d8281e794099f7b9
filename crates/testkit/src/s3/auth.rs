//! Signature Version 4, verified: in the `Authorization` header and in presigned URLs, with AWS's own errors.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use percent_encoding::percent_decode_str;

use super::chunked::ChunkSigner;
use super::options::Options;
use hyper::header::HeaderName;

use crate::bed::Credentials;
use crate::call::Call;
use crate::refusal::Refusal;
use crate::signing::{Scope, escape_bytes};

/// How far a request's clock may be off.
const SKEW: TimeDelta = TimeDelta::minutes(15);

/// The longest that a presigned URL may be valid: seven days.
const LONGEST: i64 = 7 * 24 * 3600;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How the body that follows is protected.
#[derive(Debug)]
pub(super) enum Payload {
    /// By nothing.
    Unsigned,
    /// By its SHA-256 in hexadecimal.
    Hash(String),
    /// It comes in chunks, each signed where there is a signer.
    Chunked(Option<ChunkSigner>),
}

/// The parts of a signature, wherever they came from.
struct Signature<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    signed: Vec<&'a str>,
    value: &'a str,
    timestamp: &'a str,
    presigned: bool,
}

/// Lets a request in, or says why not.
pub(super) fn authenticate(call: &Call, options: &Options) -> Result<Payload, Refusal> {
    let hash = call.header("x-amz-content-sha256");
    if options.credentials.is_empty() {
        return Ok(payload(hash.unwrap_or("UNSIGNED-PAYLOAD"), None));
    }
    let signature = match call.header("authorization") {
        Some(text) => from_header(call, text)?,
        None if call.query.has("X-Amz-Algorithm") => from_query(call)?,
        None => return Err(Refusal::new(403, "AccessDenied", "Access Denied")),
    };
    let known = options.credentials.iter().find(|known| known.id == signature.access_key);
    let known = known.ok_or_else(|| {
        let text = "The AWS Access Key Id you provided does not exist in our records.";
        Refusal::new(403, "InvalidAccessKeyId", text).detail("AWSAccessKeyId", signature.access_key)
    })?;
    check_region(&signature, &options.region)?;
    if !signature.presigned {
        check_skew(signature.timestamp)?;
    }
    check_signed_headers(call, &signature)?;
    let hash = match (hash, signature.presigned) {
        (Some(hash), _) => hash,
        (None, true) => "UNSIGNED-PAYLOAD",
        (None, false) => {
            let text = "Missing required header for this request: x-amz-content-sha256";
            return Err(Refusal::new(400, "InvalidRequest", text));
        }
    };
    verify(call, &signature, known, hash)?;
    if signature.presigned {
        check_expiry(call, signature.timestamp)?;
    }
    let scope = Scope { date: signature.date, region: signature.region };
    let signer = ChunkSigner::new(&scope, &known.secret, signature.timestamp, signature.value);
    Ok(payload(hash, Some(signer)))
}

fn payload(hash: &str, signer: Option<ChunkSigner>) -> Payload {
    match hash {
        "UNSIGNED-PAYLOAD" => Payload::Unsigned,
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Payload::Chunked(None),
        hash if hash.starts_with("STREAMING-") => Payload::Chunked(signer),
        hash => Payload::Hash(hash.to_owned()),
    }
}

fn malformed(what: &str) -> Refusal {
    let text = format!("The authorization header is malformed; {what}");
    Refusal::new(400, "AuthorizationHeaderMalformed", text)
}

fn bad_parameter(what: &str) -> Refusal {
    Refusal::new(400, "AuthorizationQueryParametersError", what)
}

/// Takes `ACCESSKEY/DATE/REGION/s3/aws4_request` apart.
fn credential(text: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = text.rsplitn(5, '/').collect();
    match parts[..] {
        ["aws4_request", "s3", region, date, access_key] => Some((access_key, date, region)),
        _ => None,
    }
}

fn from_header<'a>(call: &'a Call, text: &'a str) -> Result<Signature<'a>, Refusal> {
    let fields = text.strip_prefix(ALGORITHM).ok_or_else(|| {
        let text = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
        Refusal::new(400, "InvalidRequest", text)
    })?;
    let field = |name: &str| {
        let mut fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
        let found = fields.find(|(known, _)| *known == name).map(|(_, value)| value);
        found.ok_or_else(|| malformed(&format!("{name} is missing.")))
    };
    let (access_key, date, region) = credential(field("Credential")?)
        .ok_or_else(|| malformed("the Credential is mal-formed."))?;
    let timestamp = call.header("x-amz-date").ok_or_else(|| {
        let text = "AWS authentication requires a valid Date or x-amz-date header";
        Refusal::new(403, "AccessDenied", text)
    })?;
    let signed = field("SignedHeaders")?.split(';').collect();
    let value = field("Signature")?;
    Ok(Signature { access_key, date, region, signed, value, timestamp, presigned: false })
}

fn from_query(call: &Call) -> Result<Signature<'_>, Refusal> {
    let field = |name: &str| {
        let text = format!("Query-string authentication requires the {name} parameter.");
        call.query.text(name).ok_or_else(|| bad_parameter(&text))
    };
    if field("X-Amz-Algorithm")? != ALGORITHM {
        return Err(bad_parameter("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
    }
    let (access_key, date, region) = credential(field("X-Amz-Credential")?)
        .ok_or_else(|| bad_parameter("Error parsing the X-Amz-Credential parameter."))?;
    let timestamp = field("X-Amz-Date")?;
    let signed = field("X-Amz-SignedHeaders")?.split(';').collect();
    let value = field("X-Amz-Signature")?;
    field("X-Amz-Expires")?;
    Ok(Signature { access_key, date, region, signed, value, timestamp, presigned: true })
}

fn check_region(signature: &Signature<'_>, expected: &str) -> Result<(), Refusal> {
    if signature.region == expected {
        return Ok(());
    }
    let what = format!("the region '{}' is wrong; expecting '{expected}'", signature.region);
    let refusal = if signature.presigned {
        bad_parameter(&format!("Error parsing the X-Amz-Credential parameter; {what}"))
    } else {
        malformed(&what)
    };
    Err(refusal.detail("Region", expected))
}

fn time(timestamp: &str) -> Option<DateTime<Utc>> {
    let time = NaiveDateTime::parse_from_str(timestamp, "%Y%m%dT%H%M%SZ");
    time.ok().map(|time| time.and_utc())
}

fn check_skew(timestamp: &str) -> Result<(), Refusal> {
    let text = "AWS authentication requires a valid Date or x-amz-date header";
    let made = time(timestamp).ok_or_else(|| Refusal::new(403, "AccessDenied", text))?;
    let now = Utc::now();
    if (now - made).abs() <= SKEW {
        return Ok(());
    }
    let text = "The difference between the request time and the current time is too large.";
    Err(Refusal::new(403, "RequestTimeTooSkewed", text)
        .detail("RequestTime", timestamp)
        .detail("ServerTime", now.format("%Y-%m-%dT%H:%M:%SZ").to_string())
        .detail("MaxAllowedSkewMilliseconds", SKEW.num_milliseconds().to_string()))
}

fn check_expiry(call: &Call, timestamp: &str) -> Result<(), Refusal> {
    let expires = call.query.value("X-Amz-Expires").unwrap_or_default();
    let seconds: i64 =
        expires.parse().map_err(|_| bad_parameter("X-Amz-Expires should be a number"))?;
    if !(0..=LONGEST).contains(&seconds) {
        let text = "X-Amz-Expires must be less than a week (in seconds) and not negative";
        return Err(bad_parameter(text));
    }
    let text = "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"";
    let made = time(timestamp).ok_or_else(|| bad_parameter(text))?;
    let now = Utc::now();
    let end = made + TimeDelta::seconds(seconds);
    if now > end {
        return Err(Refusal::new(403, "AccessDenied", "Request has expired")
            .detail("X-Amz-Expires", expires)
            .detail("Expires", end.format("%Y-%m-%dT%H:%M:%SZ").to_string())
            .detail("ServerTime", now.format("%Y-%m-%dT%H:%M:%SZ").to_string()));
    }
    if made - now > SKEW {
        return Err(Refusal::new(403, "AccessDenied", "Request is not valid yet"));
    }
    Ok(())
}

/// The host and everything that AWS gives a meaning to must be covered.
fn check_signed_headers(call: &Call, signature: &Signature<'_>) -> Result<(), Refusal> {
    let names = call.headers.keys().map(HeaderName::as_str);
    let mut must = names.filter(|name| *name == "host" || name.starts_with("x-amz-"));
    let Some(name) = must.find(|name| !signature.signed.contains(name)) else { return Ok(()) };
    let text = "There were headers present in the request which were not signed";
    Err(Refusal::new(403, "AccessDenied", text).detail("HeadersNotSigned", name))
}

fn verify(
    call: &Call,
    signature: &Signature<'_>,
    known: &Credentials,
    hash: &str,
) -> Result<(), Refusal> {
    let canonical = canonical_request(call, &signature.signed, hash);
    let scope = Scope { date: signature.date, region: signature.region };
    let expected = scope.sign(&known.secret, signature.timestamp, &canonical);
    if expected == signature.value && signature.timestamp.starts_with(signature.date) {
        return Ok(());
    }
    let text = "The request signature we calculated does not match the signature you provided. \
                Check your key and signing method.";
    Err(Refusal::new(403, "SignatureDoesNotMatch", text)
        .detail("AWSAccessKeyId", signature.access_key)
        .detail("SignatureProvided", signature.value)
        .detail("CanonicalRequest", canonical))
}

fn canonical_request(call: &Call, signed: &[&str], hash: &str) -> String {
    let path: Vec<String> = call
        .path
        .split('/')
        .map(|segment| escape_bytes(&percent_decode_str(segment).collect::<Vec<u8>>()))
        .collect();
    let header = |name: &&str| {
        let values = call.headers.get_all(*name).iter();
        let values: Vec<String> = values.map(|value| squeeze(value.as_bytes())).collect();
        format!("{name}:{}\n", values.join(","))
    };
    let headers: String = signed.iter().map(header).collect();
    let query = call.query.canonical("X-Amz-Signature");
    let (path, signed) = (path.join("/"), signed.join(";"));
    format!("{}\n{path}\n{query}\n{headers}\n{signed}\n{hash}", call.method)
}

/// A header's value with runs of spaces made one.
fn squeeze(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_key_with_slashes_is_taken_apart_from_the_right() {
        let text = "a/b/20260101/eu-1/s3/aws4_request";
        assert_eq!(credential(text), Some(("a/b", "20260101", "eu-1")));
        assert_eq!(credential("a/20260101/eu-1/ec2/aws4_request"), None);
    }
}
