//! The oracle must be able to fail: each kind of harm is done to a plain store behind its back, and
//! must be found.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutOptions};
use rand::SeedableRng;

use super::*;

const MOST: usize = 100;

struct Scene {
    oracle: Oracle,
    store: Arc<InMemory>,
    other: Arc<InMemory>,
    random: StdRng,
}

impl Scene {
    fn new() -> Self {
        let (store, other) = (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
        Self { oracle: Oracle::default(), store, other, random: StdRng::seed_from_u64(1) }
    }

    async fn send(&self, write: &Write) {
        for side in [&self.store, &self.other] {
            match &write.object {
                Some(object) => {
                    let attributes = object.attributes();
                    let options = PutOptions { attributes, ..PutOptions::default() };
                    side.put_opts(&write.path, object.body().into(), options).await.unwrap();
                }
                None => side.delete(&write.path).await.unwrap(),
            }
        }
    }

    async fn write(&mut self, intent: Intent) -> Write {
        let write = self.oracle.begin_write(intent, 1_000, MOST, &mut self.random);
        self.send(&write).await;
        self.oracle.end_write(&write, true);
        write
    }

    async fn see(&self, path: &Path) -> Seen {
        match self.store.get(path).await {
            Ok(found) => {
                let (size, attributes) = (found.meta.size, found.attributes.clone());
                let bytes = found.bytes().await.unwrap();
                Seen::Object { size, offset: 0, bytes, attributes }
            }
            Err(_) => Seen::Absent,
        }
    }

    async fn read(&mut self) -> Verdict {
        let read = self.oracle.begin_read(&mut self.random).unwrap();
        let seen = self.see(&read.path).await;
        self.oracle.end_read(&read, &seen)
    }

    async fn audit(&self) -> Audit {
        self.oracle.audit(&[&*self.store, &*self.other]).await.unwrap()
    }
}

#[tokio::test]
async fn honest_store_is_found_clean() {
    let mut scene = Scene::new();
    for intent in [Intent::Put, Intent::Put, Intent::Overwrite, Intent::Delete, Intent::Multipart] {
        scene.write(intent).await;
        assert!(matches!(scene.read().await, Verdict::Good(_)));
    }
    assert!(scene.audit().await.converged());
    let findings = scene.oracle.findings();
    assert!(findings.is_clean() && findings.acked_writes == 5, "{findings:?}");
}

#[tokio::test]
async fn lost_write_is_found_by_a_reader_and_at_the_end() {
    let mut scene = Scene::new();
    let write = scene.write(Intent::Put).await;
    scene.store.delete(&write.path).await.unwrap();
    assert_eq!(scene.read().await, Verdict::Missing);
    assert!(!scene.audit().await.converged());
    assert_eq!(scene.oracle.findings().lost_writes, 0, "the other side still has it");
    scene.other.delete(&write.path).await.unwrap();
    assert!(!scene.audit().await.converged());
    let findings = scene.oracle.findings();
    assert_eq!((findings.lost_writes, findings.stale_reads), (1, 1), "{findings:?}");
}

#[tokio::test]
async fn deleted_key_that_comes_back_is_found() {
    let mut scene = Scene::new();
    let old = scene.write(Intent::Put).await;
    scene.write(Intent::Delete).await;
    scene.send(&old).await;
    assert_eq!(scene.read().await, Verdict::Resurrected);
    assert!(!scene.audit().await.converged());
    let findings = scene.oracle.findings();
    assert_eq!((findings.resurrected_deletes, findings.lost_writes), (1, 0), "{findings:?}");
}

#[tokio::test]
async fn older_version_is_stale_and_no_version_is_corrupt() {
    let mut scene = Scene::new();
    let old = scene.write(Intent::Put).await;
    let new = scene.write(Intent::Overwrite).await;
    assert_eq!(old.path, new.path);
    scene.send(&old).await;
    assert_eq!(scene.read().await, Verdict::Stale);
    assert!(!scene.audit().await.converged());
    assert_eq!(scene.oracle.findings().lost_writes, 1, "both sides hold the old one");
    scene.store.put(&old.path, "nonsense".into()).await.unwrap();
    assert_eq!(scene.read().await, Verdict::Corrupt);
    // Right bytes under wrong attributes are wrong, too.
    scene.store.put(&new.path, new.object.unwrap().body().into()).await.unwrap();
    assert_eq!(scene.read().await, Verdict::Corrupt);
}

#[tokio::test]
async fn listing_that_hides_shows_too_much_or_invents_is_found() {
    let mut scene = Scene::new();
    let write = scene.write(Intent::Put).await;
    let meta = scene.store.head(&write.path).await.unwrap();
    let list = || scene.oracle.begin_list(folder(0));
    scene.oracle.end_list(&list(), std::slice::from_ref(&meta));
    assert!(scene.oracle.findings().is_clean());
    scene.oracle.end_list(&list(), &[]);
    assert_eq!(scene.oracle.findings().stale_reads, 1);
    let mut stranger = meta.clone();
    stranger.location = folder(0).join("stranger");
    scene.oracle.end_list(&list(), &[meta.clone(), stranger]);
    assert_eq!(scene.oracle.findings().corrupt_reads, 1);
    let write = scene.oracle.begin_write(Intent::Delete, 0, MOST, &mut scene.random);
    scene.oracle.end_write(&write, true);
    scene.oracle.end_list(&scene.oracle.begin_list(folder(0)), &[meta]);
    assert_eq!(scene.oracle.findings().resurrected_deletes, 1);
}

#[tokio::test]
async fn failed_write_may_show_until_the_next_one_is_acknowledged() {
    let mut scene = Scene::new();
    let first = scene.write(Intent::Put).await;
    let failed = scene.oracle.begin_write(Intent::Overwrite, 9, MOST, &mut scene.random);
    scene.oracle.end_write(&failed, false);
    assert!(matches!(scene.read().await, Verdict::Good(_)));
    scene.send(&failed).await;
    assert!(matches!(scene.read().await, Verdict::Good(_)));
    scene.write(Intent::Overwrite).await;
    assert!(matches!(scene.read().await, Verdict::Good(_)));
    scene.send(&failed).await;
    assert_eq!(scene.read().await, Verdict::Stale, "it landed late");
    scene.send(&first).await;
    assert_eq!(scene.read().await, Verdict::Stale);
}

#[tokio::test]
async fn read_that_overlaps_a_write_may_show_either() {
    let mut scene = Scene::new();
    let first = scene.write(Intent::Put).await;
    let before = scene.see(&first.path).await;
    let read = scene.oracle.begin_read(&mut scene.random).unwrap();
    scene.write(Intent::Overwrite).await;
    assert!(matches!(scene.oracle.end_read(&read, &before), Verdict::Good(_)));
    let after = scene.see(&first.path).await;
    assert!(matches!(scene.oracle.end_read(&read, &after), Verdict::Good(_)));
}

#[tokio::test]
async fn sides_that_hold_different_good_versions_have_not_converged() {
    let mut scene = Scene::new();
    scene.write(Intent::Put).await;
    let failed = scene.oracle.begin_write(Intent::Overwrite, 9, MOST, &mut scene.random);
    scene.oracle.end_write(&failed, false);
    let object = failed.object.unwrap();
    let options = PutOptions { attributes: object.attributes(), ..PutOptions::default() };
    scene.store.put_opts(&failed.path, object.body().into(), options).await.unwrap();
    let audit = scene.audit().await;
    assert_eq!((audit.keys, audit.different), (1, 1));
    assert_eq!(scene.oracle.findings().lost_writes, 0);
    let stranger = folder(3).join("stranger");
    scene.store.put(&stranger, "x".into()).await.unwrap();
    assert_eq!(scene.audit().await.different, 2);
}
