//! Copies that a service stored otherwise than they were sent. Such a copy bears the stamp of its version, so that it passes
//! for level. Where it could be neither replaced nor removed at once, the marker of its write is ambiguous: what that names
//! is no source while another backend has the same version, and before it goes the copy is read and compared.

use std::sync::Arc;

use lifeboat_core::stamp::content_checksum;
use object_store::path::Path;
use object_store::{ObjectMeta, Result};

use super::copying::ONE_PUT;
use super::verdict::Settlement;
use super::{Reconciled, Seen, seen_at};
use crate::backend::Mask;
use crate::engine::Engine;
use crate::error::{describe, within};
use crate::journal::index::Known;
use crate::write::conditional::head;

/// Backends of which a marker says that a put there had no clear answer.
fn unclear<'a>(known: impl IntoIterator<Item = &'a Known>) -> Mask {
    let unclear = |known: &&Known| known.marker.ambiguous && !known.marker.delete;
    known.into_iter().filter(unclear).filter_map(|known| known.target).collect()
}

/// Another backend with the same stamped version, of which nothing is unclear.
fn clear_twin(at: usize, seen: &[(usize, Seen)], unclear: Mask) -> Option<usize> {
    let (_, Some(tag)) = seen_at(seen, at)? else { return None };
    let twin = |other: usize| {
        let same = |(_, other): &(ObjectMeta, _)| *other == Some(*tag);
        other != at && !unclear.has(other) && seen_at(seen, other).is_some_and(same)
    };
    seen.iter().map(|(at, _)| *at).find(|at| twin(*at))
}

impl Settlement {
    /// Takes a source of which nothing is unclear, where there is one.
    pub(super) fn prefer_clear(&mut self, seen: &[(usize, Seen)], known: &[Known]) {
        let unclear = unclear(known);
        if let Some(winner) = self.winner.filter(|winner| unclear.has(*winner)) {
            self.winner = clear_twin(winner, seen, unclear).or(self.winner);
        }
    }

    /// Lets copies that were read, and found spoilt, count as lagging, where another backend has the same version.
    pub(super) fn renew(&mut self, spoilt: Mask, seen: &[(usize, Seen)]) {
        for at in spoilt.iter().filter(|at| !self.lagging.contains(at)).collect::<Vec<_>>() {
            if let Some(twin) = clear_twin(at, seen, spoilt) {
                self.lagging.push(at);
                self.winner = Some(twin);
            }
        }
    }
}

impl Engine {
    /// Whether the copy that a marker speaks of is what was sent. One that is not is to be brought again.
    pub(super) async fn is_sound(self: &Arc<Self>, known: &Known, done: &mut Reconciled) -> bool {
        let key = &known.marker.key;
        match self.is_as_sent(key, known).await {
            Ok(true) => true,
            Ok(false) => {
                done.spoilt |= known.target.into_iter().collect();
                tracing::warn!(%key, path = %known.path, "a copy was stored otherwise than sent");
                false
            }
            Err(error) => {
                tracing::debug!(%key, why = %describe(&error), "a copy could not be read yet");
                false
            }
        }
    }

    /// Reads the copy that a marker speaks of, before that goes: whether its bytes are those that its stamp speaks of, as far as
    /// anybody can tell. What was answered is; large objects bear no checksum, their parts had one each.
    async fn is_as_sent(self: &Arc<Self>, key: &Path, known: &Known) -> Result<bool> {
        let Some(at) = unclear([known]).iter().next().filter(|_| !known.landed) else {
            return Ok(true);
        };
        let look = within(self.settings.attempt_deadline, head(&*self.backends[at].store, key));
        let Some((meta, Some(tag))) = look.await? else { return Ok(true) };
        let sent = tag.stamp == known.marker.version_stamp() && meta.size <= ONE_PUT;
        let Some(checksum) = tag.checksum.filter(|_| sent) else { return Ok(true) };
        let body = match self.open_source(key, at, &meta).await {
            Ok(Some(read)) => self.read_whole((at, read), key).await,
            Ok(None) => return Ok(true),
            Err(error) => Err(error),
        };
        match body {
            Ok((body, _memory)) => Ok(content_checksum(body.payload.iter()) == checksum),
            // It lets nobody read it: its marker is not to wait for that.
            Err(error) if self.is_refusal(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
