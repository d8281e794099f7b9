//! Azure Blob Storage on the wire: error codes and their classes, documents, checksums.

use http::header::ETAG;
use http::{HeaderMap, Uri};
use lifeboat_core::http::{
    Algorithm, Checksum, Dialect, Exchange, Operation, Traffic, VendorError, element_text,
};
use lifeboat_core::{Class, Effect, Fault, Verdict};
use object_store::client::HttpRequest;

/// The wire of one storage account.
#[derive(Debug, Clone)]
pub(crate) struct AzureDialect {
    /// Host of the account's blob endpoint.
    pub(crate) host: String,
    pub(crate) container: String,
}

impl Dialect for AzureDialect {
    fn store(&self) -> &'static str {
        "MicrosoftAzure"
    }

    fn traffic(&self, uri: &Uri) -> Traffic {
        // A user delegation key is a credential that the account itself gives out.
        let delegation = uri.query().is_some_and(|query| query.contains("comp=userdelegationkey"));
        let same_host = uri.host() == Some(self.host.as_str());
        if same_host && !delegation { Traffic::Data } else { Traffic::Credential }
    }

    fn vendor_error(&self, headers: &HeaderMap, body: &[u8]) -> VendorError {
        let code = headers.get("x-ms-error-code").and_then(|value| value.to_str().ok());
        VendorError {
            code: code.map(str::to_owned).or_else(|| element_text(body, "Code")),
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
            (Some("ContainerNotFound"), _) => {
                format!(
                    "container `{}` not found at {}: check its name",
                    self.container, exchange.host
                )
            }
            (Some("AuthenticationFailed"), _) => match exchange.clock_skew_seconds {
                Some(skew) if skew.abs() > 300 => {
                    format!("this clock is {} s off: synchronise it", skew.abs())
                }
                _ => {
                    "check the account key, the signature's expiry and this machine's clock".into()
                }
            },
            (Some("AccountIsDisabled"), _) => "the storage account is disabled".into(),
            (_, 401) => "check the credentials".into(),
            (_, 403) => {
                "check what these credentials may do in this container, and its network rules"
                    .into()
            }
            _ => return None,
        })
    }

    fn document_roots(&self, operation: Operation) -> &'static [&'static str] {
        match operation {
            Operation::List => &["EnumerationResults"],
            _ => &[],
        }
    }

    fn is_sound(&self, operation: Operation, headers: &HeaderMap) -> bool {
        match operation {
            Operation::Get | Operation::Head => {
                headers.contains_key(ETAG) && headers.contains_key("x-ms-request-id")
            }
            Operation::Put | Operation::ConditionalPut => headers.contains_key(ETAG),
            // A copy that is still pending has not happened yet, and may fail.
            Operation::Copy | Operation::ConditionalCopy => {
                headers.get("x-ms-copy-status").is_none_or(|status| status == "success")
            }
            _ => true,
        }
    }

    /// Page and append blobs keep the MD5 they were given, whatever is written to them later.
    fn download_checksum(&self, headers: &HeaderMap) -> Option<Checksum> {
        let block_blob = headers.get("x-ms-blob-type").is_some_and(|kind| kind == "BlockBlob");
        if block_blob { content_md5(headers) } else { None }
    }

    fn receipt_algorithm(&self) -> Option<Algorithm> {
        Some(Algorithm::Md5)
    }

    /// Azure computes the MD5 of what it stored by `Put Blob`, and of a block where it is asked to.
    fn upload_receipt(&self, headers: &HeaderMap) -> Option<Checksum> {
        content_md5(headers)
    }

    fn prepare(&self, _: &mut HttpRequest, _: Operation) {}
}

fn content_md5(headers: &HeaderMap) -> Option<Checksum> {
    let value = headers.get("content-md5")?.to_str().ok()?;
    Checksum::from_base64(Algorithm::Md5, value)
}

/// The table from Azure's error codes to classes.
///
/// Codes: Azure documentation, "Blob Storage error codes" and "Common REST API error codes". What
/// is not here is decided by the status.
fn verdict_by_code(code: &str) -> Option<Verdict> {
    Some(match code {
        // Pressure. Nothing was done.
        "ServerBusy"                     // 503: ingress, egress or operations over the limit
        | "TooManyRequests"              // 429
        | "AccountRequestsLimitExceeded" => Verdict::fault(Fault::Throttled, Effect::None),

        // Azure cannot or will not authenticate us.
        "AuthenticationFailed"           // 403: signature, expiry or clock
        | "InvalidAuthenticationInfo"    // 400, 401: malformed or expired token
        | "NoAuthenticationInformation"  // 401
        | "AccountIsDisabled"            // 403
        | "AuthorizationProtocolMismatch" // 403: a signature for https only
        | "KeyBasedAuthenticationNotPermitted" // 403: shared keys are switched off
        => Verdict::fault(Fault::IdentityLost, Effect::None),

        // One key or one identity: decided by evidence from other keys.
        "AuthorizationFailure"           // 403: often the account's network rules
        | "AuthorizationPermissionMismatch" // 403
        | "AuthorizationResourceTypeMismatch" // 403
        | "AuthorizationServiceMismatch" // 403
        | "AuthorizationSourceIPMismatch" // 403
        | "InsufficientAccountPermissions" // 403
        => Verdict::new(Class::Denied, Effect::None),

        // Azure failed; a write may have happened.
        "InternalError" => Verdict::fault(Fault::Down, Effect::Unknown), // 500
        "OperationTimedOut" => Verdict::fault(Fault::Slow, Effect::Unknown), // 500

        // Azure cannot serve this container now; nothing was done.
        "ContainerNotFound"              // 404: says nothing about any blob
        | "ContainerBeingDeleted"        // 409
        | "ContainerDisabled"            // 409
        | "AccountBeingCreated"          // 409
        | "KeyVaultEncryptionKeyNotFound" // 403: the customer's key is gone
        | "KeyVaultAccessTokenCannotBeAcquired" // 403
        // What arrived is not what was sent: the path failed, not the request.
        | "Md5Mismatch"                  // 400
        | "Crc64Mismatch" => Verdict::fault(Fault::Down, Effect::None), // 400

        // Answers that a status alone would misread.
        "BlobAlreadyExists"              // 409
        | "BlobArchived"                 // 409
        | "BlobBeingRehydrated"          // 409
        | "BlobImmutableDueToPolicy"     // 409
        | "LeaseIdMissing" => Verdict::answer(), // 412
        _ => return None,
    })
}
