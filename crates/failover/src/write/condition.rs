//! A caller's condition in the words of the backend that decides it. An `ETag` that another backend gave names a
//! version all the same; where the decider provably holds that version, its own `ETag` stands for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lifeboat_core::{Effect, VersionTag};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, PutMode, Result, UpdateVersion};
use tokio::time::Instant;

use super::conditional::head;
use crate::catch_up::{Basis, Urgency};
use crate::engine::Engine;
use crate::error::{FailoverError, Reason, within};
use crate::etag;
use crate::events::Operation;

type Held = Option<(ObjectMeta, Option<VersionTag>)>;

impl Engine {
    /// The condition in the decider's own words.
    ///
    /// # Errors
    /// The version that the condition names is not the present one, or that cannot be known.
    pub(crate) async fn own_condition(
        self: &Arc<Self>,
        at: usize,
        key: &Path,
        mode: PutMode,
        ends: Instant,
    ) -> Result<PutMode> {
        let PutMode::Update(version) = mode else { return Ok(mode) };
        let own = match self.giver_of(&version) {
            // None was given: the backend's own answer to that.
            Giver::None => version,
            Giver::One(owner) => {
                let own = own_words(&version);
                if owner == at { own } else { self.translate(at, owner, key, &own, ends).await? }
            }
            Giver::Nobody => {
                return Err(precondition(key, "the ETag was given by none of these backends"));
            }
        };
        Ok(PutMode::Update(own))
    }

    fn giver_of(&self, version: &UpdateVersion) -> Giver {
        let tags = [version.e_tag.as_deref(), version.version.as_deref()];
        let mut givers = tags.into_iter().flatten().map(|tag| match etag::parse(tag).0 {
            None => Some(0),
            Some(id) => self.backends.iter().position(|backend| backend.id == id),
        });
        let Some(first) = givers.next() else { return Giver::None };
        match first {
            Some(owner) if givers.all(|giver| giver == first) => Giver::One(owner),
            _ => Giver::Nobody,
        }
    }

    /// The decider's `ETag` for the version that `wanted` names at its owner, if both hold it now.
    async fn translate(
        self: &Arc<Self>,
        at: usize,
        owner: usize,
        key: &Path,
        wanted: &UpdateVersion,
        ends: Instant,
    ) -> Result<UpdateVersion> {
        let open = |why: &str| {
            FailoverError::new(Reason::Undecidable, Some(key), Effect::None)
                .answered(&self.backends[owner].id, format!("it gave the ETag, and {why}"))
        };
        if !self.backends[owner].is_in_use() {
            return Err(open(self.backends[owner].state().as_str()).into());
        }
        let (there, here) = futures::join!(self.held(owner, key), self.held(at, key));
        let (there, here) = match (there, here) {
            (Ok(there), Ok(here)) => (there, here),
            (Err(error), _) => {
                return Err(open("cannot be asked")
                    .failed(&self.backends[owner].id, &error)
                    .into());
            }
            (_, Err(error)) => {
                return Err(open("serves").failed(&self.backends[at].id, &error).into());
            }
        };
        let Some((object, tag)) = there.filter(|(meta, _)| names(wanted, meta)) else {
            return Err(precondition(key, "the backend that gave the ETag holds another version"));
        };
        // It joined without history: it cannot decide about what it does not have.
        let joined = !self.backends[at].seeded.load(Ordering::Acquire);
        let here = match here {
            None if joined => {
                self.reconcile(key, Urgency::Now(at), Basis::Compared).await;
                self.held(at, key).await?
            }
            here => here,
        };
        let late = || Instant::now() >= ends;
        match (tag, here) {
            // What was written before there were stamps is the same if its bytes are.
            (None, Some((meta, None)))
                if meta.size == object.size
                    && self.same_bytes(key, (owner, &object), (at, &meta), &late).await?
                        == Some(true) =>
            {
                Ok(UpdateVersion { e_tag: meta.e_tag, version: meta.version })
            }
            (Some(tag), Some((meta, Some(same)))) if tag == same => {
                Ok(UpdateVersion { e_tag: meta.e_tag, version: meta.version })
            }
            // It has been overwritten where conditions are decided.
            (Some(tag), Some((_, Some(newer))))
                if newer.belongs_to(key) && tag.belongs_to(key) && newer.stamp > tag.stamp =>
            {
                Err(precondition(key, "the ETag names an older version"))
            }
            _ => {
                let why = "nothing proves that the deciding backend holds that version: read the \
                           object again";
                Err(open(why).into())
            }
        }
    }

    /// What a backend holds now.
    async fn held(&self, at: usize, key: &Path) -> Result<Held> {
        let head = head(&*self.backends[at].store, key);
        let found = within(self.settings.attempt_deadline, head).await;
        match &found {
            Ok(_) => self.backends[at].answered(),
            Err(error) => drop(self.judge(at, Operation::ConditionalPut, error).await),
        }
        found
    }
}

/// Who gave the tags of a condition.
enum Giver {
    /// There is none.
    None,
    One(usize),
    /// A backend that is not among ours, or several.
    Nobody,
}

fn own_words(version: &UpdateVersion) -> UpdateVersion {
    let own = |tag: &Option<String>| tag.as_deref().map(|tag| etag::parse(tag).1.to_owned());
    UpdateVersion { e_tag: own(&version.e_tag), version: own(&version.version) }
}

/// Whether an object is the version that a condition names.
fn names(wanted: &UpdateVersion, meta: &ObjectMeta) -> bool {
    // Some services put an ETag in quotes in one answer and not in another.
    let bare = |tag: &Option<String>| tag.as_deref().map(|tag| tag.trim_matches('"').to_owned());
    let same = |wanted: &Option<String>, there: &Option<String>| {
        wanted.is_none() || bare(wanted) == bare(there)
    };
    same(&wanted.e_tag, &meta.e_tag) && same(&wanted.version, &meta.version)
}

pub(crate) fn precondition(key: &Path, why: &'static str) -> Error {
    Error::Precondition { path: key.to_string(), source: why.into() }
}
