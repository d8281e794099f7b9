//! Losers of conflicts: kept under a name of their own before they are overwritten.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lifeboat_core::VersionTag;
use lifeboat_core::stamp::key_hash;
use object_store::path::Path;
use object_store::{ObjectMeta, Result};

use super::{Seen, seen_at};
use crate::backend::Mask;
use crate::engine::Engine;
use crate::events::Event;

/// Where conflicts lie.
pub(crate) const CONFLICTS: &str = "conflicts";

/// Longest part of a key in the name of a conflict: providers allow 1024 bytes for the whole.
const LONGEST_SHOWN: usize = 880;

/// A key as the names of conflicts show it: one that is too long is cut, and ends in its hash.
fn shown(key: &Path) -> String {
    let text = key.as_ref();
    if text.len() <= LONGEST_SHOWN {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(LONGEST_SHOWN);
    format!("{}-{:016x}", text[..end].trim_end_matches('/'), key_hash(key))
}

/// `.lifeboat/conflicts/<key>/<stamp, or what tells apart what carries none>`. The same loser has the same name,
/// whoever keeps it.
fn conflict_path(key: &Path, backend: &str, meta: &ObjectMeta, tag: Option<VersionTag>) -> Path {
    let version = if let Some(tag) = tag {
        tag.to_string()
    } else {
        // The time alone would not do: providers tell it in seconds.
        let e_tag = meta.e_tag.as_deref().unwrap_or_default();
        let print = key_hash(&Path::from_iter([backend, e_tag, &meta.size.to_string()]));
        format!("unstamped-{}-{print:016x}", meta.last_modified.timestamp_millis())
    };
    let name = format!("{}/{CONFLICTS}/{}/{version}", lifeboat_core::RESERVED_PREFIX, shown(key));
    Path::parse(name).unwrap_or_default()
}

impl Engine {
    /// Keeps a version that lost, before it is overwritten; not everywhere when it is `late`. Whether it is kept now: it is not
    /// if it was late from the beginning.
    pub(super) async fn keep_conflict(
        self: &Arc<Self>,
        key: &Path,
        loser: usize,
        seen: &[(usize, Seen)],
        late: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let Some((meta, tag)) = seen_at(seen, loser) else { return Ok(true) };
        let kept_at = conflict_path(key, &self.backends[loser].id, meta, *tag);
        let before = self.patience.kept(&kept_at);
        let mut kept = before.unwrap_or(Mask::NONE);
        let mut last = None;
        for target in self.in_use().without(kept).iter() {
            if late() {
                break;
            }
            match self.copy_object(key, loser, meta, target, &kept_at).await {
                Ok(_) => kept.set(target),
                Err(error) => last = Some(error),
            }
        }
        if kept.is_empty() {
            return last.map_or(Ok(false), Err);
        }
        self.patience.keep(&kept_at, kept);
        // Counted when it is kept, not again while the key cannot be settled.
        if before.is_some() {
            return Ok(true);
        }
        self.conflicts.fetch_add(1, Ordering::AcqRel);
        self.observers.conflicts.increment(1);
        tracing::warn!(%key, %kept_at, "two versions competed; the loser was kept");
        self.observers.tell(|| Event::Conflict { key: key.clone(), kept_at: kept_at.clone() });
        Ok(true)
    }
}
