//! Google Cloud Storage's XML API on the wire: error codes and their classes, documents, checksums.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG};
use http::{HeaderMap, HeaderValue, Method, Uri};
use lifeboat_core::http::{
    Algorithm, Checksum, Dialect, Exchange, Operation, Traffic, VendorError, body_checksum,
    element_text,
};
use lifeboat_core::{Class, Effect, Fault, Verdict};
use object_store::client::HttpRequest;

/// The wire of one bucket.
#[derive(Debug, Clone)]
pub(crate) struct GcsDialect {
    /// Host of the storage endpoint.
    pub(crate) host: String,
    pub(crate) bucket: String,
}

impl Dialect for GcsDialect {
    fn store(&self) -> &'static str {
        "GCS"
    }

    fn traffic(&self, uri: &Uri) -> Traffic {
        if uri.host() == Some(self.host.as_str()) { Traffic::Data } else { Traffic::Credential }
    }

    fn vendor_error(&self, _: &HeaderMap, body: &[u8]) -> VendorError {
        VendorError {
            code: element_text(body, "Code"),
            message: element_text(body, "Message"),
            region: None,
        }
    }

    fn verdict_by_code(&self, code: &str) -> Option<Verdict> {
        verdict_by_code(code)
    }

    fn remedy(&self, exchange: &Exchange) -> Option<String> {
        let status = exchange.status().map_or(0, |status| status.as_u16());
        Some(match (exchange.code.as_deref(), status) {
            (Some("NoSuchBucket"), _) => {
                format!("bucket `{}` not found at {}: check its name", self.bucket, exchange.host)
            }
            (Some("ExpiredToken"), _) => "renew the credentials".into(),
            (_, 401) => "check the credentials".into(),
            (_, 403) => "check what these credentials may do in this bucket".into(),
            _ => return None,
        })
    }

    fn document_roots(&self, operation: Operation) -> &'static [&'static str] {
        match operation {
            Operation::List => &["ListBucketResult"],
            Operation::Copy | Operation::ConditionalCopy => &["CopyObjectResult"],
            Operation::MultipartCreate => &["InitiateMultipartUploadResult"],
            Operation::MultipartComplete => &["CompleteMultipartUploadResult"],
            _ => &[],
        }
    }

    fn is_sound(&self, operation: Operation, headers: &HeaderMap) -> bool {
        let about_an_object = matches!(
            operation,
            Operation::Get | Operation::Head | Operation::Put | Operation::ConditionalPut
        );
        !about_an_object
            || (headers.contains_key(ETAG) && headers.contains_key("x-goog-generation"))
    }

    fn download_checksum(&self, headers: &HeaderMap) -> Option<Checksum> {
        // Stored gzipped and sent unpacked: the hash is of what is stored.
        let stored = headers.get("x-goog-stored-content-encoding");
        let unpacked = stored.is_some_and(|value| value != "identity")
            && !headers.contains_key(CONTENT_ENCODING);
        if unpacked { None } else { hash(headers) }
    }

    fn receipt_algorithm(&self) -> Option<Algorithm> {
        Some(Algorithm::Crc32c)
    }

    fn upload_receipt(&self, headers: &HeaderMap) -> Option<Checksum> {
        hash(headers)
    }

    /// Requests are authorised by a token, not signed, so a checksum can be added: Google refuses
    /// a body that does not match it with `BadDigest` before anything is stored.
    fn prepare(&self, request: &mut HttpRequest, operation: Operation) {
        if matches!(operation, Operation::Get | Operation::Head) {
            // Else Google unpacks what was stored gzipped, and can then tell neither its length
            // nor a range of it.
            request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let upload = matches!(operation, Operation::Put | Operation::ConditionalPut);
        if !upload || request.method() != Method::PUT {
            return;
        }
        let checksum = body_checksum(Algorithm::Crc32c, request.body());
        let value = format!("crc32c={}", checksum.to_base64());
        if let Ok(value) = HeaderValue::from_str(&value) {
            request.headers_mut().insert("x-goog-hash", value);
        }
    }
}

/// `x-goog-hash: crc32c=…,md5=…`, in one header or several; objects put together from parts have
/// no MD5.
fn hash(headers: &HeaderMap) -> Option<Checksum> {
    let find = |name: &str, algorithm| {
        headers
            .get_all("x-goog-hash")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
            .and_then(|value| Checksum::from_base64(algorithm, value))
    };
    find("crc32c", Algorithm::Crc32c).or_else(|| find("md5", Algorithm::Md5))
}

/// The table from Google's error codes to classes.
///
/// Codes: Google Cloud Storage documentation, "HTTP status and error codes for XML". What is not
/// here is decided by the status.
fn verdict_by_code(code: &str) -> Option<Verdict> {
    Some(match code {
        // Pressure. Nothing was done.
        "SlowDown"                       // 503
        | "TooManyRequests"              // 429
        | "RateLimitExceeded" => Verdict::fault(Fault::Throttled, Effect::None), // 429

        // Google cannot or will not authenticate us.
        "AccountProblem"                 // 403
        | "AuthenticationRequired"       // 401
        | "ExpiredToken"                 // 400
        | "InvalidSecurity"              // 403
        | "InvalidToken"                 // 400
        | "NotSignedUp"                  // 403
        | "RequestTimeTooSkewed"         // 403
        | "SignatureDoesNotMatch"        // 403
        | "UserAccountDisabled"          // 403
        | "UserProjectAccountProblem"    // 403: billing
        => Verdict::fault(Fault::IdentityLost, Effect::None),

        // One key or one identity: decided by evidence from other keys.
        "AccessDenied"                   // 403
        | "UserProjectMissing" => Verdict::new(Class::Denied, Effect::None), // 400

        // Google failed; a write may have happened.
        "InternalError"                  // 500
        | "BackendError"                 // 503
        | "ServiceUnavailable" => Verdict::fault(Fault::Down, Effect::Unknown), // 503

        // Google cannot serve this bucket; nothing was done.
        "NoSuchBucket"                   // 404: says nothing about any key
        // What arrived is not what was sent: the path failed, not the request.
        | "BadDigest"                    // 400
        | "IncompleteBody" => Verdict::fault(Fault::Down, Effect::None), // 400
        "RequestTimeout" => Verdict::fault(Fault::Slow, Effect::None), // 400
        _ => return None,
    })
}
