//! Turns what a store answered into an error that a person can act on.

use std::error::Error as StdError;
use std::io;

use lifeboat_core::http::{
    CredentialFailure, Exchange, IntegrityError, Operation, Traffic, WireFailure,
};
use lifeboat_core::{BlobStore, Class, Error, ErrorKind, Fault, causes};
use object_store::path::Path;

/// Describes `error`, returned by `store` for `key`: its kind, the backend, the key and the remedy.
///
/// The kind comes from the store's own verdict, never from the text. The cause stays behind
/// [`source`](StdError::source).
///
/// ```
/// use lifeboat_core::{AnyStore, ErrorKind, Identity};
/// use lifeboat_transfer::describe;
/// use object_store::{ObjectStoreExt, memory::InMemory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = AnyStore::new(InMemory::new(), Identity::new("memory", "", "a"));
/// let key = "missing".into();
/// let error = describe(&store, &key, store.head(&key).await.unwrap_err());
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(error.to_string(), "memory/a, key `missing`: no such object");
/// # }
/// ```
pub fn describe(store: &dyn BlobStore, key: &Path, error: object_store::Error) -> Error {
    let found = Finding::of(store, &error);
    let mut described = Error::new(found.kind, found.message).with_backend(backend_name(store));
    if !key.is_root() {
        described = described.with_key(key);
    }
    if let Some(remedy) = found.remedy {
        described = described.with_remedy(remedy);
    }
    described.with_source(error)
}

/// What a person calls `store`: the name it was given, a folder by its path, anything else by
/// provider, region and bucket.
///
/// ```
/// use lifeboat_core::{AnyStore, Identity};
/// use lifeboat_transfer::backend_name;
/// use object_store::memory::InMemory;
///
/// let folder = AnyStore::new(InMemory::new(), Identity::new("file", "", "/srv/media"));
/// assert_eq!(backend_name(&folder), "/srv/media");
/// let named = AnyStore::new(InMemory::new(), Identity::new("file", "", "/srv").with_id("disk"));
/// assert_eq!(backend_name(&named), "disk");
/// ```
pub fn backend_name(store: &dyn BlobStore) -> String {
    let (identity, name) = (store.identity(), store.identity().name());
    let is_given = name != identity.to_string();
    if is_given || !is_folder(store) { name } else { identity.bucket().to_owned() }
}

fn is_folder(store: &dyn BlobStore) -> bool {
    store.identity().provider() == "file"
}

/// Where Amazon's own chain looks first.
const AWS_REMEDY: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile";

struct Finding {
    kind: ErrorKind,
    message: String,
    remedy: Option<String>,
}

impl Finding {
    fn of(store: &dyn BlobStore, error: &object_store::Error) -> Self {
        let wire = WireFailure::find(error);
        let exchange = wire.and_then(WireFailure::exchange);
        let missing_credentials = Self::of_credentials(store, error);
        let advice = match missing_credentials {
            // What is known of the storage says nothing about where credentials come from.
            Some(_) => None,
            None => wire.and_then(WireFailure::remedy).map(str::to_owned),
        };
        let found = missing_credentials
            .or_else(|| Self::of_own_error(store, error))
            .or_else(|| Self::of_variant(store, error))
            .unwrap_or_else(|| Self::of_class(store, error));
        let remedy = advice.or(found.remedy);
        let message = match exchange.and_then(evidence) {
            Some(evidence) => format!("{} ({evidence})", found.message),
            None => found.message,
        };
        Self { kind: found.kind, message, remedy }
    }

    fn new(kind: ErrorKind, message: &str) -> Self {
        Self { kind, message: message.to_owned(), remedy: None }
    }

    fn advise(mut self, remedy: &str) -> Self {
        self.remedy = Some(remedy.to_owned());
        self
    }

    /// Credentials that never came are another matter than those that are not accepted.
    fn of_credentials(store: &dyn BlobStore, error: &object_store::Error) -> Option<Self> {
        let is_aws = store.identity().provider() == "aws";
        let missing = |message: String, is_aws: bool| {
            let found = Self::new(ErrorKind::Credentials, &message);
            Some(found.advise(if is_aws { AWS_REMEDY } else { "check the credential source" }))
        };
        let failure = causes(error).find_map(<dyn StdError>::downcast_ref::<CredentialFailure>);
        if let Some(CredentialFailure { origin, .. }) = failure {
            return missing(format!("no credentials: {origin} gave none"), origin.contains("AWS"));
        }
        let wire = WireFailure::find(error)?;
        match wire.exchange() {
            Some(exchange) if exchange.traffic == Traffic::Credential => {
                missing(format!("no credentials from {}", exchange.host), is_aws)
            }
            // The request never left because its signature could not be made. The failure tells
            // the source in its text.
            None if wire.verdict().as_fault() == Some(Fault::IdentityLost) => {
                missing("no credentials: their source gave none".into(), is_aws)
            }
            _ => None,
        }
    }

    /// An error of ours below says it best.
    fn of_own_error(store: &dyn BlobStore, error: &object_store::Error) -> Option<Self> {
        causes(error).find_map(|cause| {
            if let Some(own) = cause.downcast_ref::<Error>() {
                let remedy = own.remedy().map(str::to_owned);
                let kind = match own.kind() {
                    // No provider is at fault where there is none.
                    ErrorKind::Unavailable if is_folder(store) => ErrorKind::Local,
                    kind => kind,
                };
                return Some(Self { kind, message: own.message().to_owned(), remedy });
            }
            let integrity = cause.downcast_ref::<IntegrityError>()?;
            let found = Self::new(ErrorKind::Integrity, &integrity.to_string());
            Some(found.advise("try again; if it stays, the object or the path to it is damaged"))
        })
    }

    /// Answers that need no look at the class.
    fn of_variant(store: &dyn BlobStore, error: &object_store::Error) -> Option<Self> {
        use object_store::Error as E;
        Some(match error {
            // A missing bucket says nothing about any object.
            E::NotFound { .. } if store.classify(error).is_fault() => {
                let what = if is_folder(store) { "no such folder" } else { "no such bucket" };
                Self::new(ErrorKind::NotFound, what)
            }
            E::NotFound { .. } => Self::new(ErrorKind::NotFound, "no such object"),
            E::AlreadyExists { .. } => Self::new(ErrorKind::Conflict, "the object exists already"),
            E::Precondition { .. } => {
                Self::new(ErrorKind::Conflict, "the object is not in the expected state")
            }
            E::NotModified { .. } => Self::new(ErrorKind::Conflict, "the object was not modified"),
            E::NotSupported { .. } | E::NotImplemented { .. } => {
                Self::new(ErrorKind::NotSupported, "the store cannot do this")
            }
            E::InvalidPath { source } => {
                let message = format!("not a valid key: {}", printable(&source.to_string()));
                Self::new(ErrorKind::Configuration, &message).advise("rename it")
            }
            _ => return None,
        })
    }

    fn of_class(store: &dyn BlobStore, error: &object_store::Error) -> Self {
        match store.classify(error).class {
            Class::Denied | Class::Fault(_) if is_folder(store) && is_refused_here(error) => {
                Self::new(ErrorKind::Local, "access denied")
                    .advise("check the permissions of the file and of the folders above it")
            }
            Class::Denied => Self::new(ErrorKind::Denied, "access denied")
                .advise("check what the credentials are allowed to do with this key"),
            Class::Fault(fault) => Self::of_fault(fault),
            Class::Cancelled => Self::new(ErrorKind::Local, "the request was cancelled"),
            _ => Self::of_answer(error),
        }
    }

    fn of_fault(fault: Fault) -> Self {
        match fault {
            Fault::Throttled => Self::new(ErrorKind::Unavailable, "the provider asks for less")
                .advise("wait, or copy fewer objects at once"),
            Fault::IdentityLost => {
                Self::new(ErrorKind::Credentials, "the provider does not accept the credentials")
                    .advise("check the credentials, and that the clock is right")
            }
            Fault::Slow => Self::new(ErrorKind::Unavailable, "the provider did not answer in time"),
            _ => {
                Self::new(ErrorKind::Unavailable, "the provider cannot be reached or cannot serve")
            }
        }
    }

    /// Refused for what it says, on the wire or by the local machine.
    fn of_answer(error: &object_store::Error) -> Self {
        let Some(wire) = WireFailure::find(error) else {
            if causes(error).any(<dyn StdError>::is::<io::Error>) {
                return Self::new(ErrorKind::Local, "the local machine refused the operation");
            }
            return Self::new(ErrorKind::Configuration, "the request is not valid");
        };
        let Some(exchange) = wire.exchange() else {
            return Self::new(ErrorKind::Configuration, "the request cannot be sent");
        };
        let status = exchange.status().map_or(0, |status| status.as_u16());
        let what = wire.operation();
        match status {
            416 => {
                Self::new(ErrorKind::Configuration, "the range lies beyond the end of the object")
                    .advise("ask for bytes within the object's size")
            }
            405 | 501 => Self::new(
                ErrorKind::NotSupported,
                &format!("the provider does not support this {what}"),
            ),
            413 | 414 | 431 => Self::of_limit(what),
            400 if exchange.code.as_deref().is_some_and(is_about_limits) => Self::of_limit(what),
            304 | 409 | 412 => {
                Self::new(ErrorKind::Conflict, "the object is not in the expected state")
            }
            // A refusal that no code explains.
            401 | 403 => Self::new(ErrorKind::Denied, &format!("the provider refused this {what}")),
            _ => Self::new(
                ErrorKind::Configuration,
                &format!("the provider finds this {what} invalid"),
            ),
        }
    }

    fn of_limit(what: Operation) -> Self {
        Self::new(ErrorKind::NotSupported, &format!("this {what} exceeds the provider's limits"))
            .advise("use a shorter key, less metadata, or a smaller object")
    }
}

/// Codes of a 400 that speak of limits, at S3, Azure and Google.
fn is_about_limits(code: &str) -> bool {
    const CODES: [&str; 9] = [
        "EntityTooLarge",
        "EntityTooSmall",
        "KeyTooLong",
        "KeyTooLongError",
        "MaxMessageLengthExceeded",
        "MetadataTooLarge",
        "OutOfRangeInput",
        "RequestBodyTooLarge",
        "RequestHeaderSectionTooLarge",
    ];
    CODES.contains(&code)
}

/// Whether the file system, not a mount that has gone, says no.
fn is_refused_here(error: &object_store::Error) -> bool {
    causes(error).filter_map(<dyn StdError>::downcast_ref::<io::Error>).any(|cause| {
        use io::ErrorKind as K;
        matches!(cause.kind(), K::PermissionDenied | K::ReadOnlyFilesystem)
    })
}

/// Names in a text may hold what a terminal obeys.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// Status and vendor code of the last attempt.
fn evidence(exchange: &Exchange) -> Option<String> {
    match (exchange.status(), exchange.code.as_deref()) {
        (Some(status), Some(code)) => Some(format!("{} {code}", status.as_u16())),
        (Some(status), None) => Some(status.to_string()),
        (None, code) => code.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_core::{AnyStore, Identity};
    use object_store::memory::InMemory;

    use super::*;

    fn kind_of(error: object_store::Error) -> ErrorKind {
        let store = AnyStore::new(InMemory::new(), Identity::new("memory", "", "a"));
        describe(&store, &"k".into(), error).kind()
    }

    fn boxed(source: impl StdError + Send + Sync + 'static) -> Box<dyn StdError + Send + Sync> {
        Box::new(source)
    }

    #[test]
    fn kinds_come_from_variant_class_and_typed_causes() {
        use object_store::Error as E;
        let path = || "k".to_owned();
        let text = || "x".to_owned().into();
        let generic = |source| E::Generic { store: "test", source };
        let reset = boxed(io::Error::from(io::ErrorKind::ConnectionReset));
        let invalid = boxed(io::Error::from(io::ErrorKind::InvalidInput));
        let damaged = boxed(IntegrityError::Length { expected: 2, actual: 1 });
        let own = Error::new(ErrorKind::NotSupported, "no conditions");
        let failure = CredentialFailure { origin: "AWS profile `x`".into(), cause: text() };
        let unknown = E::UnknownConfigurationKey { store: "test", key: path() };
        let cases = [
            (E::NotFound { path: path(), source: text() }, ErrorKind::NotFound),
            (E::PermissionDenied { path: path(), source: text() }, ErrorKind::Denied),
            (E::Unauthenticated { path: path(), source: text() }, ErrorKind::Credentials),
            (generic(reset), ErrorKind::Unavailable),
            (generic(invalid), ErrorKind::Local),
            (generic(damaged), ErrorKind::Integrity),
            (generic(boxed(failure)), ErrorKind::Credentials),
            (unknown, ErrorKind::Configuration),
            (own.into(), ErrorKind::NotSupported),
        ];
        for (error, expected) in cases {
            let text = error.to_string();
            assert_eq!(kind_of(error), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_said_twice_when_the_cause_is_an_error_of_ours() {
        let store = AnyStore::new(InMemory::new(), Identity::new("memory", "", "a"));
        let own = Error::new(ErrorKind::Local, "disk full")
            .with_backend("inner")
            .with_key("k")
            .with_remedy("make room");
        let described = describe(&store, &"k".into(), own.into());
        assert_eq!(described.to_string(), "memory/a, key `k`: disk full; make room");
        assert_eq!(described.remedy(), Some("make room"));
    }

    #[test]
    fn control_characters_in_names_are_not_printed() {
        let source = Path::parse("a\u{1b}[2J").unwrap_err();
        let store = AnyStore::new(InMemory::new(), Identity::new("memory", "", "a"));
        let text = describe(&store, &"k".into(), source.into()).to_string();
        assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}"), "{text}");
    }
}
