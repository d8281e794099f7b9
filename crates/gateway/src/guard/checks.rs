//! What the head of a request must satisfy, as a pure function.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use url::form_urlencoded;

use super::refusal::Refusal;
use crate::service::Wanted;

/// What differs between gateways.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Requests must be signed for it.
    pub(crate) region: String,
    /// In bytes, decoded.
    pub(crate) largest_body: u64,
}

/// How the body of an admitted request is to be read.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Most bytes on the wire.
    pub(crate) limit: u64,
    /// Whether it comes in chunks, and of which kind.
    pub(crate) chunks: Option<Chunks>,
    /// Checksums of a document, which is verified here because the library parses it at once.
    pub(crate) document: Option<Wanted>,
}

/// The framing `aws-chunked`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// Each chunk has a signature, so it has to be held whole.
    Signed,
    /// Chunks may be cut up at will.
    Unsigned,
}

/// Amazon Signature Version 4, "Authenticating requests: using query parameters": seven days.
const LONGEST_PRESIGNED_SECONDS: u64 = 604_800;

/// 10,000 parts of a completion with a checksum each, or 1,000 long keys, need under 4 MiB.
pub(crate) const LARGEST_DOCUMENT: u64 = 8 << 20;

/// The framing of chunks: a signed chunk has 88 bytes of it, and the smallest chunks that SDKs send
/// are 8 KiB (S3: "each chunk at least 8 KiB").
const FRAMING_PART: u64 = 16;

/// The trailers, which the library limits to 16 KiB, and chunks of tiny bodies.
const FRAMING_BASE: u64 = 64 << 10;

/// Headers that change nothing but how the body is framed and checked, or that the signature covers
/// without naming them. Everything else with `x-amz-` has to be named.
const UNSIGNED_ALLOWED: &[&str] = &[
    "x-amz-checksum-algorithm",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-mode",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-type",
    "x-amz-content-sha256",
    "x-amz-decoded-content-length",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-trailer",
    "x-amz-user-agent",
];

/// Headers whose promise the gateway does not keep, by their beginnings.
const NOT_IMPLEMENTED: &[&str] = &[
    "x-amz-bypass-governance-retention",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-expected-bucket-owner",
    "x-amz-grant-",
    "x-amz-mfa",
    "x-amz-object-lock-",
    "x-amz-server-side-encryption",
    "x-amz-source-expected-bucket-owner",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
];

/// Canned ACLs that say what is so anyway.
const HARMLESS_ACLS: &[&str] = &["private", "bucket-owner-full-control", "bucket-owner-read"];

type Query<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Admits the request, or says why not. Its signature is still to be verified.
pub(crate) fn check(head: &Parts, rules: &Rules) -> Result<Plan, Refusal> {
    // Parsed as the library does it, so that both see the same.
    let query: Query<'_> =
        form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).collect();
    let headers = &head.headers;
    refuse_forms(head)?;
    refuse_old_signatures(&query)?;
    refuse_tokens(headers, &query)?;
    let claim = claim(headers, &query)?;
    check_claim(&claim, headers, rules)?;
    refuse_unimplemented(headers, &query)?;
    plan(head, rules)
}

/// Browser forms are buffered by the library, up to 5 GiB, before their signature is looked at.
fn refuse_forms(head: &Parts) -> Result<(), Refusal> {
    let kinds = head.headers.get_all(CONTENT_TYPE);
    let form = kinds.iter().any(|kind| {
        let kind = kind.as_bytes().trim_ascii_start();
        kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
    });
    if head.method == Method::POST && form {
        return Err(Refusal::unknown("browser forms (POST object) are not implemented; use PUT"));
    }
    Ok(())
}

const ONLY_V4: &str = "the authorization mechanism is not supported; sign with AWS4-HMAC-SHA256 (Signature Version 4)";

fn refuse_old_signatures(query: &Query<'_>) -> Result<(), Refusal> {
    let old = |name: &str| {
        name.eq_ignore_ascii_case("Signature") || name.eq_ignore_ascii_case("AWSAccessKeyId")
    };
    if query.iter().any(|(name, _)| old(name)) {
        return Err(Refusal::bad("InvalidRequest", ONLY_V4));
    }
    Ok(())
}

/// Nobody here can tell a good session token from a bad one.
fn refuse_tokens(headers: &HeaderMap, query: &Query<'_>) -> Result<(), Refusal> {
    const TOKEN: &str = "x-amz-security-token";
    if headers.contains_key(TOKEN) || query.iter().any(|(name, _)| name.eq_ignore_ascii_case(TOKEN))
    {
        let message = "session tokens are not accepted; use a key pair of the gateway";
        return Err(Refusal::bad("InvalidToken", message));
    }
    Ok(())
}

/// What a signature claims to cover.
struct Claim<'a> {
    place: Place,
    credential: Cow<'a, str>,
    signed_headers: Vec<String>,
}

/// Where a signature stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Query,
}

impl Place {
    /// S3's refusal of a claim there that is malformed.
    fn malformed(self, message: impl Into<Cow<'static, str>>) -> Refusal {
        match self {
            Self::Header => Refusal::bad("AuthorizationHeaderMalformed", message),
            Self::Query => Refusal::bad("AuthorizationQueryParametersError", message),
        }
    }
}

fn claim<'a>(headers: &'a HeaderMap, query: &Query<'a>) -> Result<Claim<'a>, Refusal> {
    let in_query = query.iter().any(|(name, _)| name == "X-Amz-Signature");
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    match (authorizations.next(), in_query) {
        (Some(_), true) => {
            Err(Refusal::bad("InvalidArgument", "give one signature, in the header or in the URL"))
        }
        (None, false) => Err(Refusal::denied("a signature is required")),
        (None, true) => query_claim(query),
        (Some(value), false) if authorizations.next().is_none() => {
            let text = value.to_str().map_err(|_| Refusal::bad("InvalidRequest", ONLY_V4))?;
            header_claim(text)
        }
        (Some(_), false) => {
            Err(Refusal::bad("InvalidArgument", "give one Authorization header, not several"))
        }
    }
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`, in this order: what the library
/// reads, and nothing that it might read otherwise.
fn header_claim(text: &str) -> Result<Claim<'_>, Refusal> {
    let fields = text
        .strip_prefix("AWS4-HMAC-SHA256")
        .filter(|rest| rest.starts_with([' ', '\t']))
        .ok_or(Refusal::bad("InvalidRequest", ONLY_V4))?;
    let mut fields = fields.split(',').map(str::trim);
    let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
    let parts = (field("Credential"), field("SignedHeaders"), field("Signature"), fields.next());
    let (Some(credential), Some(signed), Some(_), None) = parts else {
        let message = "the Authorization header must hold Credential, SignedHeaders and Signature";
        return Err(Place::Header.malformed(message));
    };
    let signed_headers = signed.split(';').map(str::to_owned).collect();
    Ok(Claim { place: Place::Header, credential: credential.into(), signed_headers })
}

fn query_claim<'a>(query: &Query<'a>) -> Result<Claim<'a>, Refusal> {
    let the_only = |name: &str| {
        let mut values = query.iter().filter(|(given, _)| given == name).map(|(_, value)| value);
        let value = values.next().filter(|_| values.next().is_none());
        value.ok_or_else(|| Place::Query.malformed(format!("{name} must be given once")))
    };
    let expires = the_only("X-Amz-Expires")?.parse::<u64>().unwrap_or(u64::MAX);
    if expires > LONGEST_PRESIGNED_SECONDS {
        let message = "X-Amz-Expires must be a number of seconds, at most 604800 (a week)";
        return Err(Place::Query.malformed(message));
    }
    let signed_headers = the_only("X-Amz-SignedHeaders")?.split(';').map(str::to_owned).collect();
    let credential = the_only("X-Amz-Credential")?.clone();
    Ok(Claim { place: Place::Query, credential, signed_headers })
}

fn check_claim(claim: &Claim<'_>, headers: &HeaderMap, rules: &Rules) -> Result<(), Refusal> {
    let mut scope = claim.credential.rsplit('/');
    let scope = (scope.next(), scope.next(), scope.next());
    if scope.0 != Some("aws4_request") || scope.1 != Some("s3") {
        let message = "the credential must be KEY/DATE/REGION/s3/aws4_request";
        return Err(claim.place.malformed(message));
    }
    if scope.2 != Some(rules.region.as_str()) {
        let message = format!("the region is wrong; sign for '{}'", rules.region);
        return Err(claim.place.malformed(message));
    }
    let signed = |name: &str| claim.signed_headers.iter().any(|signed| signed == name);
    if !signed(HOST.as_str()) {
        return Err(Refusal::denied("the header host must be signed"));
    }
    if let Some(absent) = claim.signed_headers.iter().find(|name| !headers.contains_key(*name)) {
        let message = format!("the header {absent} is signed but was not sent");
        return Err(Refusal::denied(message));
    }
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-")) {
        // The date of a signed header is part of what is signed, named or not.
        let covered = claim.place == Place::Header && name == "x-amz-date";
        if !covered && !UNSIGNED_ALLOWED.contains(&name.as_str()) && !signed(name.as_str()) {
            let message = format!("the header {name} was sent but is not signed");
            return Err(Refusal::denied(message));
        }
        // The library leaves such values out of what it verifies.
        if std::str::from_utf8(value.as_bytes()).is_err() {
            return Err(Refusal::bad("InvalidArgument", format!("the header {name} is no text")));
        }
    }
    Ok(())
}

fn refuse_unimplemented(headers: &HeaderMap, query: &Query<'_>) -> Result<(), Refusal> {
    let unknown =
        |name: &HeaderName| NOT_IMPLEMENTED.iter().any(|start| name.as_str().starts_with(start));
    if let Some(name) = headers.keys().find(|name| unknown(name)) {
        let message = format!("what the header {name} asks for is not implemented");
        return Err(Refusal::unknown(message));
    }
    if let Some(acl) = headers.get("x-amz-acl")
        && !HARMLESS_ACLS.iter().any(|harmless| acl == harmless)
    {
        return Err(Refusal::unknown("ACLs are not implemented; leave x-amz-acl out"));
    }
    if query.iter().any(|(name, value)| name == "versionId" && value != "null") {
        return Err(Refusal::unknown("object versions are not implemented; leave versionId out"));
    }
    Ok(())
}

fn plan(head: &Parts, rules: &Rules) -> Result<Plan, Refusal> {
    let payload = head.headers.get("x-amz-content-sha256").map_or(&b""[..], |v| v.as_bytes());
    let chunks = if payload.starts_with(b"STREAMING-UNSIGNED") {
        Some(Chunks::Unsigned)
    } else if payload.starts_with(b"STREAMING-") {
        Some(Chunks::Signed)
    } else {
        None
    };
    if head.method == Method::POST {
        return document_plan(head, chunks);
    }
    let largest = rules.largest_body;
    let limit = match chunks {
        Some(_) => largest.saturating_add(largest / FRAMING_PART).saturating_add(FRAMING_BASE),
        None => largest,
    };
    let decoded = length(&head.headers, "x-amz-decoded-content-length");
    if length(&head.headers, CONTENT_LENGTH) > limit || decoded > largest {
        return Err(too_large(largest));
    }
    Ok(Plan { limit, chunks, document: None })
}

/// POST requests carry a document (which keys to delete, which parts to complete) or nothing.
fn document_plan(head: &Parts, chunks: Option<Chunks>) -> Result<Plan, Refusal> {
    if chunks.is_some() {
        return Err(Refusal::unknown("a document in chunks is not implemented; send it whole"));
    }
    if length(&head.headers, CONTENT_LENGTH) > LARGEST_DOCUMENT {
        return Err(too_large(LARGEST_DOCUMENT));
    }
    // The checksums of a completion are the object's, not the document's.
    let query = head.uri.query().unwrap_or_default();
    let deletion = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "delete");
    let wanted = Wanted::from_headers(&head.headers, deletion);
    Ok(Plan { limit: LARGEST_DOCUMENT, chunks: None, document: Some(wanted) })
}

/// A length that was announced; none is zero, because then the bytes themselves are counted.
fn length(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> u64 {
    let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("0");
    text.trim().parse().unwrap_or(u64::MAX)
}

pub(crate) fn too_large(limit: u64) -> Refusal {
    Refusal::bad("EntityTooLarge", format!("the body is larger than the {limit} bytes allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Request};

    const AUTHORIZATION_VALUE: &str = "AWS4-HMAC-SHA256 \
        Credential=key/20260102/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";

    fn verdict(build: impl FnOnce(&mut HeaderMap)) -> Result<Plan, &'static str> {
        let (mut head, ()) = Request::put("/bucket/k").body(()).unwrap().into_parts();
        head.headers.insert(HOST, HeaderValue::from_static("localhost"));
        head.headers.insert(AUTHORIZATION, HeaderValue::from_static(AUTHORIZATION_VALUE));
        build(&mut head.headers);
        let rules = Rules { region: "us-east-1".into(), largest_body: 100 };
        check(&head, &rules).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_header_that_is_read_in_two_ways_is_refused() {
        assert!(verdict(|_| ()).is_ok());
        let twice = verdict(|headers| {
            headers.append(AUTHORIZATION, HeaderValue::from_static(AUTHORIZATION_VALUE));
        });
        assert_eq!(twice.unwrap_err(), "InvalidArgument");
        for changed in [
            AUTHORIZATION_VALUE
                .replace("SignedHeaders=host", "SignedHeaders=host, SignedHeaders=a"),
            AUTHORIZATION_VALUE.replace("Signature=00", "Signature=00, SignedHeaders=x-amz-acl"),
            AUTHORIZATION_VALUE.replace("SignedHeaders=host, ", ""),
        ] {
            let refused = verdict(|headers| {
                headers.insert(AUTHORIZATION, changed.parse().unwrap());
            });
            assert_eq!(refused.unwrap_err(), "AuthorizationHeaderMalformed", "{changed}");
        }
    }

    #[test]
    fn what_the_library_would_leave_out_of_the_signature_is_refused() {
        let signed = AUTHORIZATION_VALUE.replace("=host", "=host;x-amz-meta-a");
        let with = |values: &[&[u8]]| {
            verdict(|headers| {
                headers.insert(AUTHORIZATION, signed.parse().unwrap());
                for value in values {
                    headers.append("x-amz-meta-a", HeaderValue::from_bytes(value).unwrap());
                }
            })
        };
        assert!(with(&[b"x"]).is_ok());
        assert_eq!(with(&[b"x", b"\xff"]).unwrap_err(), "InvalidArgument");
        assert_eq!(with(&[]).unwrap_err(), "AccessDenied", "signed and absent");
    }

    #[test]
    fn a_length_that_is_no_number_is_too_large() {
        for (name, value) in [("content-length", "x"), ("x-amz-decoded-content-length", "-1")] {
            let refused = verdict(|headers| {
                headers.insert(name, value.parse().unwrap());
            });
            assert_eq!(refused.unwrap_err(), "EntityTooLarge", "{name}");
        }
    }
}
