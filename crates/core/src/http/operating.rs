//! What all operations of a store share: who it is, and how its errors are read.

use std::sync::{Arc, OnceLock};

use object_store::path::Path;
use object_store::{Error, Result};

use super::behaviour::Behaviour;
use super::checksum::Checksum;
use super::dialect::{self, Dialect, VendorError};
use super::etag::{EtagDigest, EtagKnowledge};
use super::exchange::{Exchange, Operation, Outcome, Traffic};
use super::failure::{CredentialFailure, WireFailure};
use super::integrity::IntegrityError;
use super::trace::Trace;
use crate::class::causes;
use crate::conditions::ConditionGate;
use crate::{Class, Effect, Fault, Identity, Support, Verdict, classify_default};

/// What all operations of a store share; the part of [`WireStore`](super::WireStore) that does not depend on the
/// client's type.
#[derive(Debug, Clone)]
pub(super) struct Operating(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) identity: Identity,
    pub(super) name: Arc<str>,
    pub(super) dialect: Arc<dyn Dialect>,
    pub(super) behaviour: Behaviour,
    pub(super) gate: ConditionGate,
    pub(super) ordered: OnceLock<Support>,
    pub(super) etags: EtagKnowledge,
}

impl Operating {
    pub(super) fn etags(&self) -> &EtagKnowledge {
        &self.0.etags
    }

    pub(super) fn annotate(&self, trace: &Trace, error: Error) -> Error {
        self.annotate_key(trace, None, error)
    }

    /// The error of a body that is not what was announced.
    pub(super) fn corrupt(&self, trace: &Trace, mismatch: IntegrityError) -> Error {
        let (attempts, _) = trace.last();
        let effect = Effect::None;
        let failure = WireFailure {
            backend: Arc::clone(&self.0.name),
            operation: trace.operation,
            key: None,
            attempts,
            exchange: None,
            verdict: Verdict::fault(Fault::Down, effect),
            remedy: Some("read it again, or from another backend".into()),
            cause: Some(Box::new(mismatch)),
        };
        Error::Generic { store: self.0.dialect.store(), source: Box::new(failure) }
    }

    /// Attaches what was seen on the wire to an error of the store.
    pub(super) fn annotate_key(&self, trace: &Trace, key: Option<&Path>, error: Error) -> Error {
        if WireFailure::find(&error).is_some() || matches!(error, Error::NotImplemented { .. }) {
            return error;
        }
        let (attempts, exchange) = trace.last();
        let verdict = self.verdict(trace, attempts, exchange.as_ref(), &error);
        // A completion that was repeated because its first answer was lost finds no upload any
        // more, and a credential source's 404 speaks of no key: neither is "not found".
        let lost_completion = is_lost_completion(trace, exchange.as_ref());
        let status = match exchange.as_ref().map(|exchange| (exchange.traffic, exchange.outcome)) {
            Some((Traffic::Data, Outcome::Answered(status))) if !lost_completion => status.as_u16(),
            _ => 0,
        };
        let remedy = exchange.as_ref().and_then(|exchange| self.remedy(exchange));
        let path = key.map(ToString::to_string).unwrap_or_default();
        let wrap = |cause| {
            Box::new(WireFailure {
                backend: Arc::clone(&self.0.name),
                operation: trace.operation,
                key: key.map(ToString::to_string),
                attempts,
                exchange,
                verdict,
                remedy,
                cause: Some(cause),
            })
        };
        match error {
            Error::NotFound { source, .. } if lost_completion => {
                Error::Generic { store: self.0.dialect.store(), source: wrap(source) }
            }
            Error::NotFound { path, source } => Error::NotFound { path, source: wrap(source) },
            Error::AlreadyExists { path, source } => {
                Error::AlreadyExists { path, source: wrap(source) }
            }
            Error::Precondition { path, source } => {
                Error::Precondition { path, source: wrap(source) }
            }
            Error::NotModified { path, source } => {
                Error::NotModified { path, source: wrap(source) }
            }
            Error::PermissionDenied { path, source } => {
                Error::PermissionDenied { path, source: wrap(source) }
            }
            Error::Unauthenticated { path, source } => {
                Error::Unauthenticated { path, source: wrap(source) }
            }
            Error::NotSupported { source } => Error::NotSupported { source: wrap(source) },
            // Listings and bulk deletes hide the status behind `Generic`.
            Error::Generic { store, source } => match status {
                401 => Error::Unauthenticated { path, source: wrap(source) },
                403 => Error::PermissionDenied { path, source: wrap(source) },
                404 => Error::NotFound { path, source: wrap(source) },
                412 => Error::Precondition { path, source: wrap(source) },
                _ => Error::Generic { store, source: wrap(source) },
            },
            other => other,
        }
    }

    fn verdict(
        &self,
        trace: &Trace,
        attempts: u32,
        exchange: Option<&Exchange>,
        error: &Error,
    ) -> Verdict {
        let verdict = match exchange {
            _ if is_lost_completion(trace, exchange) => {
                Verdict { certain: false, ..Verdict::fault(Fault::Down, Effect::Unknown) }
            }
            Some(exchange) => dialect::verdict(&*self.0.dialect, exchange, trace.operation),
            None => without_exchange(trace, attempts, error),
        };
        // An earlier attempt may have landed, whatever the last one says.
        let landed = trace.maybe_applied() && !trace.operation.is_read();
        if landed { Verdict { effect: Effect::Unknown, ..verdict } } else { verdict }
    }

    fn remedy(&self, exchange: &Exchange) -> Option<String> {
        if exchange.traffic == Traffic::Credential {
            return Some("check the credential source".into());
        }
        match exchange.outcome {
            Outcome::NotConnected => {
                Some("check the endpoint, the region and the network path to it".into())
            }
            _ => self.0.dialect.remedy(exchange),
        }
    }

    /// One result per key out of what the store gave for a batch: one each, or one error for all.
    pub(super) fn per_key(
        &self,
        trace: &Trace,
        keys: Vec<Path>,
        results: Vec<Result<Path>>,
    ) -> Vec<Result<Path>> {
        if results.len() == keys.len() {
            let paired = keys.into_iter().zip(results);
            return paired
                .map(|(key, result)| match result {
                    // What is gone is deleted; S3 says so, Azure and Google call it an error.
                    Ok(_) | Err(Error::NotFound { .. }) if !self.bucket_is_missing(trace) => {
                        Ok(key)
                    }
                    Ok(_) => Ok(key),
                    Err(error) => Err(match trace.key_error(&key) {
                        Some(vendor) => self.key_failure(trace, &key, vendor),
                        None => self.annotate_key(trace, Some(&key), error),
                    }),
                })
                .collect();
        }
        let (attempts, exchange) = trace.last();
        let error = results.into_iter().find_map(Result::err);
        let verdict = match &error {
            Some(error) => self.verdict(trace, attempts, exchange.as_ref(), error),
            None => Verdict { certain: false, ..Verdict::fault(Fault::Down, Effect::Unknown) },
        };
        let text = error.map(|error| error.to_string());
        let remedy = exchange.as_ref().and_then(|exchange| self.remedy(exchange));
        let store = self.0.dialect.store();
        keys.into_iter()
            .map(|key| {
                let failure = WireFailure {
                    backend: Arc::clone(&self.0.name),
                    operation: Operation::Delete,
                    key: Some(key.to_string()),
                    attempts,
                    exchange: exchange.clone(),
                    verdict,
                    remedy: remedy.clone(),
                    cause: text.clone().map(Into::into),
                };
                Err(Error::Generic { store, source: Box::new(failure) })
            })
            .collect()
    }

    /// The error of one key of a bulk delete that was otherwise answered.
    fn key_failure(&self, trace: &Trace, key: &Path, vendor: VendorError) -> Error {
        let VendorError { code, message, .. } = vendor;
        let code = code.unwrap_or_default();
        let verdict = self
            .0
            .dialect
            .verdict_by_code(&code)
            .unwrap_or(Verdict { certain: false, ..Verdict::fault(Fault::Down, Effect::Unknown) });
        let failure = Box::new(WireFailure {
            backend: Arc::clone(&self.0.name),
            operation: trace.operation,
            key: Some(key.to_string()),
            attempts: trace.last().0,
            exchange: None,
            verdict,
            remedy: None,
            cause: Some(format!("{code}: {}", message.unwrap_or_default()).into()),
        });
        match verdict.class {
            Class::Denied => Error::PermissionDenied { path: key.to_string(), source: failure },
            _ => Error::Generic { store: self.0.dialect.store(), source: failure },
        }
    }

    /// A 404 on a delete means "gone" for a key, but nothing of the kind for a bucket.
    fn bucket_is_missing(&self, trace: &Trace) -> bool {
        let (_, exchange) = trace.last();
        exchange.is_some_and(|exchange| {
            dialect::verdict(&*self.0.dialect, &exchange, trace.operation).is_fault()
        })
    }
}

/// Whether a completion is told that there is no such upload after an attempt that may have
/// completed it.
fn is_lost_completion(trace: &Trace, exchange: Option<&Exchange>) -> bool {
    trace.operation == Operation::MultipartComplete
        && trace.maybe_applied()
        && exchange.and_then(|exchange| exchange.code.as_deref()) == Some("NoSuchUpload")
}

/// The verdict where no attempt failed on the wire: the request never left, or its answer could
/// not be read.
fn without_exchange(trace: &Trace, attempts: u32, error: &Error) -> Verdict {
    if causes(error).any(<dyn std::error::Error>::is::<CredentialFailure>) {
        return Verdict::fault(Fault::IdentityLost, Effect::None);
    }
    if attempts == 0 {
        let verdict = classify_default(error);
        // Refused on our side for what it says.
        return if verdict.certain { verdict } else { Verdict::answer() };
    }
    let effect = if trace.operation.is_read() { Effect::None } else { Effect::Unknown };
    match error {
        // The answer was sound, but the client could not read it: one odd object, or a broken
        // provider. Enough to ask elsewhere, not to condemn.
        Error::Generic { .. } => Verdict { certain: false, ..Verdict::fault(Fault::Down, effect) },
        other => classify_default(other),
    }
}

impl Operating {
    /// The checksum that the body of this operation is to be compared with, if any.
    pub(super) fn checksum_to_verify(&self, trace: &Trace) -> Option<Checksum> {
        if !self.0.behaviour.verify_reads {
            return None;
        }
        trace
            .checksum()
            .filter(|checksum| !checksum.is_from_etag() || self.etags().get() != EtagDigest::Never)
    }
}
