//! S3 on the wire: error codes and their classes, documents, checksum headers.

use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, Uri};
use lifeboat_core::http::{
    Algorithm, Checksum, Dialect, Exchange, Operation, Traffic, VendorError, element_text,
};
use lifeboat_core::{Class, Effect, Fault, Verdict};
use object_store::client::HttpRequest;

/// The wire of one S3 endpoint.
#[derive(Debug, Clone)]
pub(crate) struct S3Dialect {
    /// Host of the endpoint; the bucket may stand before it.
    pub(crate) host: String,
    /// The configured region, for error texts.
    pub(crate) region: String,
}

impl Dialect for S3Dialect {
    fn store(&self) -> &'static str {
        "S3"
    }

    fn traffic(&self, uri: &Uri) -> Traffic {
        let host = uri.host().unwrap_or_default();
        let below = |parent: &str| {
            host.strip_suffix(parent).is_some_and(|label| label.is_empty() || label.ends_with('.'))
        };
        // A directory bucket's session is a credential that the data endpoint itself gives out.
        let session = uri.query() == Some("session");
        let zonal = host.contains(".s3express-");
        if !session && (below(&self.host) || zonal) { Traffic::Data } else { Traffic::Credential }
    }

    fn vendor_error(&self, headers: &HeaderMap, body: &[u8]) -> VendorError {
        let region = headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
        VendorError {
            code: element_text(body, "Code"),
            message: element_text(body, "Message"),
            region: region.map(str::to_owned).or_else(|| element_text(body, "Region")),
        }
    }

    fn verdict_by_code(&self, code: &str) -> Option<Verdict> {
        verdict_by_code(code)
    }

    fn remedy(&self, exchange: &Exchange) -> Option<String> {
        let status = exchange.status().map_or(0, |status| status.as_u16());
        let wrong_region = exchange.region.as_ref().filter(|region| **region != self.region);
        if let (Some(region), 300..=400) = (wrong_region, status) {
            return Some(format!("the bucket is in region {region}: set region = \"{region}\""));
        }
        Some(match (exchange.code.as_deref(), status) {
            (Some("NoSuchBucket"), _) => format!(
                "bucket not found at {}: check its name and the region {}",
                exchange.host, self.region
            ),
            (Some("InvalidAccessKeyId"), _) => {
                "the access key is unknown here: check that it belongs to this provider".into()
            }
            (Some("SignatureDoesNotMatch"), _) => {
                "check the secret access key, and the region that requests are signed for".into()
            }
            (Some("AuthorizationHeaderMalformed"), _) => {
                format!("requests are signed for region {}: check it", self.region)
            }
            (Some("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired"), _) => {
                "renew the credentials".into()
            }
            (Some("RequestTimeTooSkewed"), _) => match exchange.clock_skew_seconds {
                Some(skew) => format!("this clock is {} s off: synchronise it", skew.abs()),
                None => "this machine's clock is off: synchronise it".into(),
            },
            (_, 301 | 307 | 308) => {
                format!("check the endpoint {} and the region {}", exchange.host, self.region)
            }
            (_, 401) => "check the credentials".into(),
            (_, 403) => "check what these credentials may do in this bucket".into(),
            _ => return None,
        })
    }

    fn document_roots(&self, operation: Operation) -> &'static [&'static str] {
        match operation {
            Operation::List => &["ListBucketResult"],
            Operation::Delete => &["DeleteResult"],
            Operation::Copy | Operation::ConditionalCopy => &["CopyObjectResult"],
            Operation::MultipartCreate => &["InitiateMultipartUploadResult"],
            Operation::MultipartComplete => &["CompleteMultipartUploadResult"],
            Operation::Inquire => &["ObjectLockConfiguration", "LifecycleConfiguration"],
            _ => &[],
        }
    }

    fn is_sound(&self, operation: Operation, headers: &HeaderMap) -> bool {
        match operation {
            Operation::Get | Operation::Head => {}
            Operation::Put | Operation::ConditionalPut => return headers.contains_key(ETAG),
            _ => return true,
        }
        // A page of a web server has an `ETag` too.
        let page = headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
        headers.keys().any(|name| name.as_str().starts_with("x-amz-"))
            || (headers.contains_key(ETAG) && !page)
    }

    fn download_checksum(&self, headers: &HeaderMap) -> Option<Checksum> {
        let value = |name: &str| headers.get(name)?.to_str().ok();
        // A checksum of part checksums says nothing about a stream that is read as a whole.
        if value("x-amz-checksum-type") != Some("COMPOSITE") {
            let announced = [
                ("x-amz-checksum-crc64nvme", Algorithm::Crc64Nvme),
                ("x-amz-checksum-crc32c", Algorithm::Crc32c),
                ("x-amz-checksum-crc32", Algorithm::Crc32),
                ("x-amz-checksum-sha256", Algorithm::Sha256),
            ];
            for (name, algorithm) in announced {
                if let Some(checksum) =
                    value(name).and_then(|text| Checksum::from_base64(algorithm, text))
                {
                    return Some(checksum);
                }
            }
        }
        // Under any other encryption the ETag is not the MD5 of the plain text.
        let encryption = value("x-amz-server-side-encryption").unwrap_or("AES256");
        let customer_key = headers.contains_key("x-amz-server-side-encryption-customer-algorithm");
        if encryption != "AES256" || customer_key {
            return None;
        }
        Checksum::from_md5_etag(value(ETAG.as_str())?)
    }

    /// The service verifies the checksum that was sent; it has nothing to add.
    fn receipt_algorithm(&self) -> Option<Algorithm> {
        None
    }

    fn upload_receipt(&self, _: &HeaderMap) -> Option<Checksum> {
        None
    }

    fn prepare(&self, _: &mut HttpRequest, _: Operation) {}
}

/// The table from S3 error codes to classes.
///
/// Codes: Amazon S3 API reference, "Error responses"; those of Ceph RGW (`rgw_common.cc`), MinIO
/// ("S3 error codes") and StorageGRID where they add any. What is not here is decided by the
/// status.
fn verdict_by_code(code: &str) -> Option<Verdict> {
    if code.starts_with("KMS.") {
        // Amazon, 400: the key that the bucket is encrypted with cannot be used.
        return Some(Verdict::fault(Fault::Down, Effect::None));
    }
    Some(match code {
        // Pressure. Nothing was done.
        "SlowDown"                      // Amazon, 503: reduce your request rate
        | "SlowDownRead"                // MinIO, 503
        | "SlowDownWrite"               // MinIO, 503
        | "Throttling"                  // common to Amazon's services, 400
        | "ThrottlingException"         // common to Amazon's services, 400
        | "RequestLimitExceeded"        // Amazon, 503
        | "BandwidthLimitExceeded"      // Amazon, 503
        | "TooManyRequests"             // Backblaze B2, Cloudflare R2, 429
        | "TooManyRequestsException"    // Amazon, 429
        | "ReducedRedundancyLimitExceeded" => Verdict::fault(Fault::Throttled, Effect::None),

        // The provider cannot or will not authenticate us.
        "AccountProblem"                // Amazon, 403: a problem with your account
        | "AllAccessDisabled"           // Amazon, 403
        | "AccessKeyDisabled"           // MinIO: XMinioAccessKeyDisabled's short form
        | "XMinioAccessKeyDisabled"     // MinIO, 403
        | "AuthFailure"
        | "AuthorizationHeaderMalformed" // Amazon, 400: signed for another region
        | "CredentialsNotSupported"     // Amazon, 400
        | "ExpiredToken"                // Amazon, 400
        | "ExpiredTokenException"       // STS, 400
        | "InvalidAccessKeyId"          // Amazon, 403
        | "InvalidClientTokenId"        // STS, 403
        | "InvalidSecurity"             // Amazon, 403
        | "InvalidToken"                // Amazon, 400
        | "MissingSecurityHeader"       // Amazon, 400
        | "NotSignedUp"                 // Amazon, 403
        | "RequestExpired"              // common to Amazon's services, 400
        | "RequestTimeTooSkewed"        // Amazon, 403: the clocks differ by more than 15 minutes
        | "SignatureDoesNotMatch"       // Amazon, 403
        | "TokenRefreshRequired"        // Amazon, 400
        | "UnrecognizedClientException" // common to Amazon's services, 400
        | "UserSuspended" => Verdict::fault(Fault::IdentityLost, Effect::None), // Ceph, 403

        // The provider failed; a write may have happened.
        "InternalError"                 // Amazon, 500 and inside a 200
        | "ServiceUnavailable"          // Amazon, 503
        | "ServerTimeout"
        | "Busy" => Verdict::fault(Fault::Down, Effect::Unknown), // Amazon, 503

        // The provider cannot serve this bucket from here; nothing was done.
        "NoSuchBucket"                  // Amazon, 404: says nothing about any key
        | "PermanentRedirect"           // Amazon, 301
        | "TemporaryRedirect"           // Amazon, 307
        | "Redirect"                    // Amazon, 307
        | "IllegalLocationConstraintException" // Amazon, 400
        | "QuotaExceeded"               // Ceph, 403
        | "XMinioStorageFull"           // MinIO, 507
        | "XMinioAdminBucketQuotaExceeded" // MinIO, 400
        | "InsufficientStorage"         // 507
        // What arrived is not what was sent: the path failed, not the request.
        | "BadDigest"                   // Amazon, 400
        | "XAmzContentChecksumMismatch" // Amazon, 400
        | "XAmzContentSHA256Mismatch"   // Amazon, 400
        | "IncompleteBody" => Verdict::fault(Fault::Down, Effect::None), // Amazon, 400

        // The server gave up waiting for the body.
        "RequestTimeout" => Verdict::fault(Fault::Slow, Effect::None), // Amazon, 400

        // One key or one identity: decided by evidence from other keys.
        "AccessDenied" => Verdict::new(Class::Denied, Effect::None), // Amazon, 403

        // An object in cold storage that must be restored first.
        "InvalidObjectState"            // Amazon, 403
        // A write of the same key is in flight; see RFC 9110 on 409.
        | "ConditionalRequestConflict"  // Amazon, 409
        | "OperationAborted" => Verdict::answer(), // Amazon, 409
        _ => return None,
    })
}
