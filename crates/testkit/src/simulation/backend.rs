//! [`SimBackend`]: a bucket in memory. It is linearizable per request, stricter than real services in what it asks of
//! its clients, and as lax as the laxest of them where its settings say so. Faults are not here, they are in
//! [`fault_store`](crate::fault_store).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use md5::{Digest, Md5};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyMode, Error, ObjectMeta, PutMode, PutResult, Result, TagSet,
};
use tokio::time::Instant;

use super::order::{self, Order};
use super::view::SimView;
use crate::fault_store::SENT;
use crate::signing::hex;

/// What a service does with the conditions of conditional writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// It enforces them.
    Enforced,
    /// It accepts them and does as if they were not there.
    Ignored,
    /// It answers `NotSupported`.
    Refused,
}

/// How a backend behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackendSettings {
    /// Conditions of puts and copies.
    pub conditions: Conditions,
    /// In which order listings come.
    pub order: Order,
    /// ETags are digests of the content, so that equal content has equal ETags; otherwise each write has its own.
    pub content_etags: bool,
    /// How far its clock is ahead, in milliseconds; it dates objects with it.
    pub clock_ahead: i64,
    /// Bodies come in pieces of this many bytes.
    pub chunk: usize,
    /// Entries on a page of a listing. Pages are fetched one by one: a listing is no snapshot.
    pub page: usize,
    /// How many times slower than the others it is.
    pub slower: u32,
}

impl Default for BackendSettings {
    fn default() -> Self {
        Self {
            conditions: Conditions::Enforced,
            order: Order::Bytes,
            content_etags: false,
            clock_ahead: 0,
            chunk: 64,
            page: 5,
            slower: 1,
        }
    }
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// The content.
    pub bytes: Bytes,
    /// Attributes and user metadata, by name.
    pub attributes: BTreeMap<String, String>,
    /// The tags as they were sent.
    pub tags: String,
    /// The ETag, with its quotes.
    pub e_tag: String,
    /// When it was written, by the backend's clock.
    pub last_modified: DateTime<Utc>,
}

/// A change that was made: what, where, when and by whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Applied {
    /// When, in milliseconds since the simulation began.
    pub at: u64,
    /// When the request was sent. It may have been long ago.
    pub sent: u64,
    /// Which client, by the number that it was [seen as](SimBackend::as_seen_by); `None` where someone wrote behind
    /// the clients' backs.
    pub client: Option<u64>,
    /// What was done: `put`, `delete` and so on.
    pub what: &'static str,
    /// To which key.
    pub key: Path,
    /// What is there now.
    pub now: Option<Bytes>,
}

/// A bucket in memory. Clones are the same bucket.
#[derive(Clone)]
pub struct SimBackend {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    settings: BackendSettings,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Path, Stored>,
    uploads: BTreeMap<u64, Upload>,
    serial: u64,
    log: Vec<Applied>,
    /// What was there before each change of `log`.
    before: Vec<Option<Stored>>,
    /// The most objects there ever were.
    most: usize,
}

struct Upload {
    key: Path,
    attributes: BTreeMap<String, String>,
    tags: String,
    parts: BTreeMap<usize, Bytes>,
}

/// What a put brings.
pub(super) struct Content {
    pub(super) bytes: Bytes,
    pub(super) attributes: Attributes,
    pub(super) tags: TagSet,
}

impl fmt::Debug for SimBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBackend").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl SimBackend {
    /// Makes an empty bucket. Its time begins now.
    pub fn new(name: impl Into<String>, settings: BackendSettings) -> Self {
        let (name, began, state) = (name.into(), Instant::now(), Mutex::default());
        Self { shared: Arc::new(Shared { name, settings, began, state }) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How it behaves.
    pub fn settings(&self) -> &BackendSettings {
        &self.shared.settings
    }

    /// The bucket as a client's store; the number tells clients apart in the [log](Self::log).
    pub fn as_seen_by(&self, client: u64) -> SimView {
        SimView::new(self.clone(), client)
    }

    /// Everything it holds.
    pub fn objects(&self) -> BTreeMap<Path, Stored> {
        self.state().objects.clone()
    }

    /// One object.
    pub fn object(&self, key: &Path) -> Option<Stored> {
        self.state().objects.get(key).cloned()
    }

    /// The keys that begin with a prefix, in byte order.
    pub fn keys(&self, prefix: &str) -> Vec<Path> {
        let state = self.state();
        state.objects.keys().filter(|key| key.as_ref().starts_with(prefix)).cloned().collect()
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// Every change so far, oldest first.
    pub fn log(&self) -> Vec<Applied> {
        self.state().log.clone()
    }

    /// Looks at the log without copying it.
    pub(super) fn with_log<T>(&self, look: impl FnOnce(&[Applied]) -> T) -> T {
        look(&self.state().log)
    }

    /// Writes behind everyone's back, as another tool would.
    pub fn write_directly(&self, key: &Path, bytes: impl Into<Bytes>) {
        let content =
            Content { bytes: bytes.into(), attributes: Attributes::new(), tags: TagSet::default() };
        let stored = self.stored(content, &mut self.state());
        self.change(&mut self.state(), None, "foreign put", key, stored.ok());
    }

    /// Puts an object there that was written the day before.
    pub(super) fn hold(&self, key: &Path, bytes: Bytes, attributes: Attributes) {
        let content = Content { bytes, attributes, tags: TagSet::default() };
        let mut state = self.state();
        let Ok(mut stored) = self.stored(content, &mut state) else { return };
        stored.last_modified -= chrono::TimeDelta::days(1);
        self.change(&mut state, None, "earlier put", key, Some(stored));
    }

    /// Deletes behind everyone's back.
    pub fn delete_directly(&self, key: &Path) {
        self.change(&mut self.state(), None, "foreign delete", key, None);
    }

    /// Loses every change that was made at or after a moment (milliseconds since its time began), as a provider that
    /// restores a backup does. Returns the keys that are different now.
    pub fn lose_since(&self, moment: u64) -> Vec<Path> {
        let mut state = self.state();
        let kept = state.log.iter().position(|change| change.at >= moment);
        let Some(kept) = kept else { return Vec::new() };
        let mut then = BTreeMap::new();
        for (change, before) in state.log[kept..].iter().zip(&state.before[kept..]).rev() {
            then.insert(change.key.clone(), before.clone());
        }
        let mut lost = Vec::new();
        for (key, before) in then {
            if state.objects.get(&key) != before.as_ref() {
                self.change(&mut state, None, "lost", &key, before);
                lost.push(key);
            }
        }
        lost
    }

    /// Milliseconds since its time began.
    pub fn now(&self) -> u64 {
        millis(self.shared.began.elapsed())
    }

    pub(super) fn put(
        &self,
        client: u64,
        key: &Path,
        content: Content,
        mode: &PutMode,
    ) -> Result<PutResult> {
        let mut state = self.state();
        let what = match mode {
            PutMode::Overwrite => "put",
            PutMode::Create => "create",
            PutMode::Update(_) => "update",
        };
        self.check_mode(&state, key, mode)?;
        let stored = self.stored(content, &mut state)?;
        let e_tag = Some(stored.e_tag.clone());
        self.change(&mut state, Some(client), what, key, Some(stored));
        Ok(PutResult { e_tag, version: None, extensions: object_store::Extensions::new() })
    }

    fn check_mode(&self, state: &State, key: &Path, mode: &PutMode) -> Result<()> {
        if *mode == PutMode::Overwrite {
            return Ok(());
        }
        match self.shared.settings.conditions {
            Conditions::Ignored => return Ok(()),
            Conditions::Refused => return Err(not_supported("conditions")),
            Conditions::Enforced => {}
        }
        let current = state.objects.get(key);
        match mode {
            PutMode::Create if current.is_some() => Err(exists(key)),
            PutMode::Update(wanted)
                if current.map(|stored| &stored.e_tag) != wanted.e_tag.as_ref() =>
            {
                let source = format!("{:?} is not current", wanted.e_tag).into();
                Err(Error::Precondition { path: key.to_string(), source })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn delete(&self, client: u64, key: &Path) {
        let mut state = self.state();
        // Deletes of what is not there succeed, and are a change all the same: they are logged.
        self.change(&mut state, Some(client), "delete", key, None);
    }

    pub(super) fn copy(&self, client: u64, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        let mut state = self.state();
        let mut stored = state.objects.get(from).cloned().ok_or_else(|| missing(from))?;
        if mode == CopyMode::Create {
            match self.shared.settings.conditions {
                Conditions::Enforced if state.objects.contains_key(to) => return Err(exists(to)),
                Conditions::Refused => return Err(not_supported("conditional copies")),
                _ => {}
            }
        }
        stored.e_tag = self.e_tag(&stored.bytes, &mut state);
        stored.last_modified = self.date();
        self.change(&mut state, Some(client), "copy", to, Some(stored));
        Ok(())
    }

    pub(super) fn begin_upload(
        &self,
        key: &Path,
        attributes: &Attributes,
        tags: &TagSet,
    ) -> Result<u64> {
        let mut state = self.state();
        state.serial += 1;
        let id = state.serial;
        let (key, tags) = (key.clone(), tags.encoded().to_owned());
        let upload = Upload { key, attributes: flat(attributes)?, tags, parts: BTreeMap::new() };
        state.uploads.insert(id, upload);
        Ok(id)
    }

    pub(super) fn put_part(&self, id: u64, number: usize, bytes: Bytes) -> Result<()> {
        let mut state = self.state();
        let upload = state.uploads.get_mut(&id).ok_or_else(|| no_upload(id))?;
        upload.parts.insert(number, bytes);
        Ok(())
    }

    pub(super) fn complete_upload(&self, client: u64, id: u64, parts: usize) -> Result<PutResult> {
        let mut state = self.state();
        let whole = |upload: &Upload| upload.parts.keys().copied().eq(0..parts);
        if !state.uploads.get(&id).map(whole).ok_or_else(|| no_upload(id))? {
            let source = "one or more of the parts could not be found".into();
            return Err(Error::Generic { store: "SimBackend", source });
        }
        let Some(upload) = state.uploads.remove(&id) else { return Err(no_upload(id)) };
        let bytes: Bytes = upload.parts.values().flatten().copied().collect::<Vec<u8>>().into();
        let e_tag = self.e_tag(&bytes, &mut state);
        let last_modified = self.date();
        let stored = Stored {
            bytes,
            attributes: upload.attributes,
            tags: upload.tags,
            e_tag: e_tag.clone(),
            last_modified,
        };
        self.change(&mut state, Some(client), "complete", &upload.key, Some(stored));
        let extensions = object_store::Extensions::new();
        Ok(PutResult { e_tag: Some(e_tag), version: None, extensions })
    }

    pub(super) fn abort_upload(&self, id: u64) {
        self.state().uploads.remove(&id);
    }

    /// A page of a listing: what comes after a place, and whether there is more.
    pub(super) fn page(
        &self,
        prefix: Option<&Path>,
        after: Option<&Path>,
    ) -> (Vec<ObjectMeta>, bool) {
        let state = self.state();
        let order = self.shared.settings.order;
        let mut found: Vec<_> = (state.objects.iter())
            .filter(|(key, _)| order::lies_below(key, prefix))
            .filter(|(key, _)| after.is_none_or(|after| order.compare(key, after).is_gt()))
            .collect();
        found.sort_by(|(one, _), (other, _)| order.compare(one, other));
        let more = found.len() > self.shared.settings.page;
        found.truncate(self.shared.settings.page);
        (found.into_iter().map(|(key, stored)| stored.meta(key)).collect(), more)
    }

    /// The most pages that a listing of everything ever took.
    pub(super) fn most_pages(&self) -> u32 {
        u32::try_from(self.state().most / self.shared.settings.page + 1).unwrap_or(u32::MAX)
    }

    /// Everything below a prefix, at one moment.
    pub(super) fn everything(&self, prefix: Option<&Path>) -> Vec<ObjectMeta> {
        let state = self.state();
        let below = state.objects.iter().filter(|(key, _)| order::lies_below(key, prefix));
        below.map(|(key, stored)| stored.meta(key)).collect()
    }

    pub(super) fn read(&self, key: &Path) -> Result<Stored> {
        self.object(key).ok_or_else(|| missing(key))
    }

    fn stored(&self, content: Content, state: &mut State) -> Result<Stored> {
        Ok(Stored {
            e_tag: self.e_tag(&content.bytes, state),
            bytes: content.bytes,
            attributes: flat(&content.attributes)?,
            tags: content.tags.encoded().to_owned(),
            last_modified: self.date(),
        })
    }

    fn e_tag(&self, bytes: &Bytes, state: &mut State) -> String {
        state.serial += 1;
        if self.shared.settings.content_etags {
            format!("\"{}\"", hex(&Md5::digest(bytes)))
        } else {
            format!("\"{}-{}\"", self.shared.name, state.serial)
        }
    }

    /// The date of a write: whole seconds, as in HTTP headers.
    fn date(&self) -> DateTime<Utc> {
        let now = i64::try_from(self.now()).unwrap_or(i64::MAX);
        let millis = super::EPOCH_MILLIS.saturating_add(now) + self.shared.settings.clock_ahead;
        DateTime::from_timestamp(millis / 1000, 0).unwrap_or_default()
    }

    fn change(
        &self,
        state: &mut State,
        client: Option<u64>,
        what: &'static str,
        key: &Path,
        stored: Option<Stored>,
    ) {
        let now = stored.as_ref().map(|stored| stored.bytes.clone());
        let before = match stored {
            Some(stored) => state.objects.insert(key.clone(), stored),
            None => state.objects.remove(key),
        };
        state.before.push(before);
        state.most = state.most.max(state.objects.len());
        let at = self.now();
        let sent = SENT.try_with(|sent| millis(sent.saturating_duration_since(self.shared.began)));
        let sent = sent.unwrap_or(at);
        state.log.push(Applied { at, sent, client, what, key: key.clone(), now });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    pub(super) fn meta(&self, key: &Path) -> ObjectMeta {
        ObjectMeta {
            location: key.clone(),
            last_modified: self.last_modified,
            size: self.bytes.len() as u64,
            e_tag: Some(self.e_tag.clone()),
            version: None,
        }
    }

    /// The attributes as `object_store` has them.
    pub fn object_attributes(&self) -> Attributes {
        let pairs = self.attributes.iter();
        pairs.map(|(name, value)| (attribute(name), value.clone())).collect()
    }
}

/// How user metadata is told from the other attributes in a [`Stored`].
const METADATA: &str = "metadata:";

/// Attributes in a fixed order. User metadata must have names that every provider keeps: Azure wants identifiers, and
/// Amazon returns them in lower case.
fn flat(attributes: &Attributes) -> Result<BTreeMap<String, String>> {
    let name = |attribute: &Attribute| match attribute {
        Attribute::Metadata(name) => {
            let portable = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !name.chars().all(portable) {
                return Err(not_supported("a metadata name that some provider would change"));
            }
            Ok(format!("{METADATA}{name}"))
        }
        other => Ok(format!("{other:?}")),
    };
    attributes.iter().map(|(key, value)| Ok((name(key)?, value.to_string()))).collect()
}

fn attribute(name: &str) -> Attribute {
    match name {
        "ContentDisposition" => Attribute::ContentDisposition,
        "ContentEncoding" => Attribute::ContentEncoding,
        "ContentLanguage" => Attribute::ContentLanguage,
        "ContentType" => Attribute::ContentType,
        "CacheControl" => Attribute::CacheControl,
        "StorageClass" => Attribute::StorageClass,
        other => {
            Attribute::Metadata(other.strip_prefix(METADATA).unwrap_or(other).to_owned().into())
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn missing(key: &Path) -> Error {
    Error::NotFound { path: key.to_string(), source: "no such key".into() }
}

fn exists(key: &Path) -> Error {
    Error::AlreadyExists { path: key.to_string(), source: "the key is taken".into() }
}

fn no_upload(id: u64) -> Error {
    Error::NotFound { path: format!("upload {id}"), source: "NoSuchUpload".into() }
}

fn not_supported(what: &str) -> Error {
    Error::NotSupported { source: what.into() }
}
