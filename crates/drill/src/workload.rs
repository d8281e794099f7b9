//! The requests: which kinds, in what mix and of what sizes, and how each is sent and judged.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutOptions,
    PutPayload,
};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::Serialize;

use crate::oracle::{FOLDERS, Intent, Oracle, Seen, Write, folder};

/// The smallest part that every provider takes (Amazon S3 and those like it).
const PART: u64 = 5 << 20;

/// How many keys there should be: enough for reads to spread, few enough to be read at the end.
const KEYS: usize = 400;

/// Sizes of small objects: most are a few KiB, as in any bucket; some are empty, some fill several
/// reads of a socket.
const SIZES: [u64; 8] = [0, 100, 1 << 10, 4 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// One in so many reads asks for what was deleted.
const DELETED_READS: u32 = 20;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A whole object.
    Get,
    /// A part of an object.
    Range,
    /// A new object.
    Put,
    /// A new version of an object.
    Overwrite,
    /// None any more.
    Delete,
    /// A folder.
    List,
    /// A large object, in parts.
    Multipart,
}

impl Kind {
    /// The mix, in parts of a thousand: reads outnumber writes two to one, as in most buckets.
    const MIX: [(Self, u32); 7] = [
        (Self::Get, 460),
        (Self::Range, 140),
        (Self::Put, 100),
        (Self::Overwrite, 140),
        (Self::Delete, 55),
        (Self::List, 100),
        (Self::Multipart, 5),
    ];

    /// Draws one from the mix.
    pub(crate) fn draw(random: &mut StdRng) -> Self {
        let mut left = random.random_range(0..1_000);
        for (kind, share) in Self::MIX {
            if left < share {
                return kind;
            }
            left -= share;
        }
        Self::Get
    }

    /// Whether it changes nothing.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Range | Self::List)
    }
}

/// Sends one request and judges the answer. What it finds wrong with data is noted by the oracle;
/// what comes back is only whether the request was served.
pub(crate) async fn perform(
    store: &dyn ObjectStore,
    oracle: &Oracle,
    kind: Kind,
    random: &mut StdRng,
) -> Result<(), StoreError> {
    match kind {
        Kind::Get => get(store, oracle, random).await,
        Kind::Range => range(store, oracle, random).await,
        Kind::List => list(store, oracle, random).await,
        Kind::Put => write(store, oracle, Intent::Put, random).await,
        Kind::Overwrite => write(store, oracle, Intent::Overwrite, random).await,
        Kind::Delete => write(store, oracle, Intent::Delete, random).await,
        Kind::Multipart => write(store, oracle, Intent::Multipart, random).await,
    }
}

/// Puts a new object: how a drill begins.
pub(crate) async fn preload(
    store: &dyn ObjectStore,
    oracle: &Oracle,
    random: &mut StdRng,
) -> Result<(), StoreError> {
    write(store, oracle, Intent::Put, random).await
}

async fn get(
    store: &dyn ObjectStore,
    oracle: &Oracle,
    random: &mut StdRng,
) -> Result<(), StoreError> {
    let of_deleted = random.random_ratio(1, DELETED_READS);
    let deleted = if of_deleted { oracle.begin_read_of_deleted(random) } else { None };
    let Some(read) = deleted.or_else(|| oracle.begin_read(random)) else { return Ok(()) };
    let seen = see(store, &read.path, GetOptions::default()).await?;
    oracle.end_read(&read, &seen);
    Ok(())
}

async fn range(
    store: &dyn ObjectStore,
    oracle: &Oracle,
    random: &mut StdRng,
) -> Result<(), StoreError> {
    let Some(read) = oracle.begin_read(random) else { return Ok(()) };
    // Within the first byte there is no range.
    let Some(size) = read.size.filter(|size| *size > 1) else {
        let seen = see(store, &read.path, GetOptions::default()).await?;
        oracle.end_read(&read, &seen);
        return Ok(());
    };
    let start = random.random_range(0..size - 1);
    let end = random.random_range(start + 1..=size);
    let options =
        GetOptions { range: Some(GetRange::Bounded(start..end)), ..GetOptions::default() };
    match see(store, &read.path, options).await {
        Ok(seen) => oracle.end_read(&read, &seen),
        // The object may have become smaller meanwhile: the whole shows whether that is right.
        Err(error) => {
            let Ok(seen) = see(store, &read.path, GetOptions::default()).await else {
                return Err(error);
            };
            let has_range = matches!(&seen, Seen::Object { size, .. } if *size > start);
            oracle.end_read(&read, &seen);
            return if has_range { Err(error) } else { Ok(()) };
        }
    };
    Ok(())
}

/// What the store shows of a key.
async fn see(
    store: &dyn ObjectStore,
    path: &Path,
    options: GetOptions,
) -> Result<Seen, StoreError> {
    let found = match store.get_opts(path, options).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Ok(Seen::Absent),
        Err(error) => return Err(error),
    };
    let (size, offset) = (found.meta.size, found.range.start);
    let attributes = found.attributes.clone();
    Ok(Seen::Object { size, offset, bytes: found.bytes().await?, attributes })
}

async fn list(
    store: &dyn ObjectStore,
    oracle: &Oracle,
    random: &mut StdRng,
) -> Result<(), StoreError> {
    let list = oracle.begin_list(folder(random.random_range(0..FOLDERS)));
    let listed: Vec<ObjectMeta> = if random.random() {
        store.list(Some(&list.folder)).try_collect().await?
    } else {
        store.list_with_delimiter(Some(&list.folder)).await?.objects
    };
    oracle.end_list(&list, &listed);
    Ok(())
}

async fn write(
    store: &dyn ObjectStore,
    oracle: &Oracle,
    intent: Intent,
    random: &mut StdRng,
) -> Result<(), StoreError> {
    let size = match intent {
        Intent::Multipart => PART + random.random_range(1..PART / 8),
        _ => SIZES[random.random_range(0..SIZES.len())],
    };
    let write = oracle.begin_write(intent, size, KEYS, random);
    let result = send(store, &write).await;
    oracle.end_write(&write, result.is_ok());
    result
}

async fn send(store: &dyn ObjectStore, write: &Write) -> Result<(), StoreError> {
    let Some(object) = &write.object else {
        return match store.delete(&write.path).await {
            // Deleting what is not there is what was wanted.
            Err(StoreError::NotFound { .. }) => Ok(()),
            other => other,
        };
    };
    let body = object.body();
    if body.len() as u64 <= PART {
        let options = PutOptions { attributes: object.attributes(), ..PutOptions::default() };
        store.put_opts(&write.path, body.into(), options).await?;
        return Ok(());
    }
    let mut upload = store.put_multipart(&write.path).await?;
    let parts: Vec<PutPayload> = parts_of(&body);
    let sent = futures::future::try_join_all(parts.into_iter().map(|part| upload.put_part(part)));
    let done = match sent.await {
        Ok(_) => upload.complete().await.map(drop),
        Err(error) => Err(error),
    };
    if done.is_err() {
        // What came before is the answer; a part that stays behind costs storage, not correctness.
        let _ = upload.abort().await;
    }
    done
}

fn parts_of(body: &bytes::Bytes) -> Vec<PutPayload> {
    let part = usize::try_from(PART).unwrap_or(usize::MAX);
    let cuts = (0..body.len()).step_by(part);
    cuts.map(|from| body.slice(from..body.len().min(from.saturating_add(part))).into()).collect()
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn mix_adds_up_to_a_thousand() {
        assert_eq!(Kind::MIX.iter().map(|(_, share)| share).sum::<u32>(), 1_000);
    }

    #[tokio::test]
    async fn every_kind_is_served_by_a_plain_store_and_found_clean() {
        let (store, oracle) = (InMemory::new(), Oracle::default());
        let mut random = StdRng::seed_from_u64(3);
        for _ in 0..50 {
            preload(&store, &oracle, &mut random).await.unwrap();
        }
        for round in 0..600 {
            let kind = if round == 7 { Kind::Multipart } else { Kind::draw(&mut random) };
            perform(&store, &oracle, kind, &mut random).await.unwrap();
        }
        let findings = oracle.findings();
        assert!(findings.is_clean() && findings.acked_writes > 150, "{findings:?}");
        assert!(oracle.audit(&[&store, &store]).await.unwrap().converged());
    }
}
