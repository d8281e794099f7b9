//! The end of a drill: every object of every side, read at that side itself, against the notes and
//! against each other.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use serde::Serialize;

use super::{KeyId, Oracle, ROOT, Seen, Verdict};

/// How many keys are read at once: enough to be quick, few enough not to be throttled.
const READS_AT_ONCE: usize = 16;

/// What the sides hold at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Keys that were looked at, on every side.
    pub keys: u64,
    /// Keys whose sides differ, or hold what should not be there.
    pub different: u64,
}

impl Audit {
    /// Whether every side holds the same, and what was acknowledged.
    pub fn converged(&self) -> bool {
        self.different == 0
    }
}

impl Oracle {
    /// Reads everything at every side, and compares bytes and attributes.
    ///
    /// # Errors
    /// A side that cannot be read.
    pub(crate) async fn audit(&self, sides: &[&dyn ObjectStore]) -> Result<Audit, StoreError> {
        let strangers = self.strangers(sides).await?;
        let keys: Vec<(KeyId, Path)> =
            self.notes().keys.iter().enumerate().map(|(id, key)| (id, key.path.clone())).collect();
        let mut audit = Audit { keys: keys.len() as u64, different: strangers };
        let reads = keys.into_iter().map(|(id, path)| async move {
            let looks = sides.iter().map(|side| look(*side, &path));
            Ok::<_, StoreError>((id, try_join_all(looks).await?))
        });
        let mut reads = stream::iter(reads).buffer_unordered(READS_AT_ONCE);
        while let Some((id, seen)) = reads.try_next().await? {
            audit.different += u64::from(!self.agree(id, &seen));
        }
        Ok(audit)
    }

    /// How many objects are listed somewhere that were never written.
    async fn strangers(&self, sides: &[&dyn ObjectStore]) -> Result<u64, StoreError> {
        let mut strangers = BTreeSet::new();
        for side in sides {
            let mut listed = side.list(Some(&Path::from(ROOT)));
            while let Some(meta) = listed.try_next().await? {
                if !self.notes().by_path.contains_key(&meta.location) {
                    strangers.insert(meta.location);
                }
            }
        }
        for path in &strangers {
            self.notes().tell(|| format!("`{path}`: is there at the end, and was never written"));
        }
        Ok(strangers.len() as u64)
    }

    /// Whether all sides agree on a key; what was lost or came back is noted.
    fn agree(&self, id: KeyId, seen: &[Seen]) -> bool {
        let mut notes = self.notes();
        let key = &notes.keys[id];
        let verdicts: Vec<Verdict> = seen.iter().map(|seen| key.judge(key.floor, seen)).collect();
        let (path, was_there) = (key.path.clone(), key.is_there());
        let any_good = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Good(_)));
        if !any_good && was_there {
            notes.lost.insert(id);
        }
        if verdicts.contains(&Verdict::Resurrected) {
            notes.resurrected.insert(id);
        }
        let equal = verdicts.windows(2).all(|pair| pair[0] == pair[1]);
        if !(any_good && equal) {
            notes.tell(|| format!("`{path}`: at the end the sides hold {verdicts:?}"));
        }
        any_good && equal
    }
}

/// Everything that a side has of a key.
async fn look(backend: &dyn ObjectStore, path: &Path) -> Result<Seen, StoreError> {
    let found = match backend.get(path).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Ok(Seen::Absent),
        Err(error) => return Err(error),
    };
    let (size, attributes) = (found.meta.size, found.attributes.clone());
    Ok(Seen::Object { size, offset: 0, bytes: found.bytes().await?, attributes })
}
