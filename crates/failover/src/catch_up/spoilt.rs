//! Copies that a service stored otherwise than they were sent. Such a copy bears the stamp of its version, so that it passes
//! for level. Where it could be neither replaced nor removed at once, the marker of its write is ambiguous: what that names
//! is no source while another backend has the same version, and before it goes the copy is read and compared.

use std::sync::Arc;

use lifeboat_core::stamp::content_checksum;
use object_store::path::Path;
use object_store::{ObjectMeta, Result};

use super::copying::ONE_PUT;
use super::verdict::Settlement;
use super::{Seen, seen_at};
use crate::backend::Mask;
use crate::engine::Engine;
use crate::journal::index::Known;

/// Backends of which a marker says that a put there had no clear answer.
fn unclear<'a>(known: impl IntoIterator<Item = &'a Known>) -> Mask {
    let unclear = |known: &&Known| known.marker.ambiguous && !known.marker.delete;
    known.into_iter().filter(unclear).filter_map(|known| known.target).collect()
}

/// Another backend with the same stamped version, of which nothing is unclear.
fn clear_twin(at: usize, seen: &[(usize, Seen)], unclear: Mask) -> Option<usize> {
    let (meta, Some(tag)) = seen_at(seen, at)? else { return None };
    let twin = |other: usize| {
        let same =
            |(there, other): &(ObjectMeta, _)| *other == Some(*tag) && there.size == meta.size;
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
}

impl Engine {
    /// Lets a copy count as lagging whose marker would go now, and whose bytes are not those that its stamp speaks of. Large
    /// objects bear no checksum: their parts had one each.
    pub(super) async fn find_spoilt(
        self: &Arc<Self>,
        key: &Path,
        settlement: &mut Settlement,
        seen: &[(usize, Seen)],
        known: &[Known],
    ) -> Result<()> {
        let over = known.iter().filter(|known| self.is_over(known));
        for at in unclear(over).iter() {
            let Some((meta, Some(tag))) = seen_at(seen, at) else { continue };
            let Some(checksum) = tag.checksum.filter(|_| meta.size <= ONE_PUT) else { continue };
            let Some(twin) = clear_twin(at, seen, unclear(known)) else { continue };
            let Some(read) = self.open_source(key, at, meta).await? else { continue };
            let (body, _memory) = self.read_whole((at, read), key).await?;
            if content_checksum(body.payload.iter()) != checksum {
                tracing::warn!(%key, backend = %self.backends[at].id, "stored otherwise than sent");
                settlement.lagging.push(at);
                settlement.winner = Some(twin);
            }
        }
        Ok(())
    }
}
