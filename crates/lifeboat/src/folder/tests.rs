//! The folder store against the tests of `object_store`, and against what they leave out.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path as FilePath;
use std::time::{Duration, SystemTime};

use futures::{StreamExt, TryStreamExt};
use lifeboat_core::{BlobStore, Class, Error as OwnError, ErrorKind, RESERVED_PREFIX, Support};
use lifeboat_transfer::{CopyOptions, copy_tree, verify_tree};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetRange, MultipartUpload, ObjectStore,
    ObjectStoreExt, PutMode, PutOptions, PutPayload, RenameOptions, RenameTargetMode, integration,
};
use tempfile::TempDir;

use super::FolderStore;

fn fresh() -> (FolderStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (FolderStore::open(folder.path(), false).unwrap(), folder)
}

fn key(text: &str) -> Path {
    Path::parse(text).unwrap()
}

async fn keys(store: &FolderStore) -> Vec<String> {
    store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap()
}

async fn read(store: &FolderStore, key: &Path) -> Vec<u8> {
    store.get(key).await.unwrap().bytes().await.unwrap().to_vec()
}

/// What is in the staging folder now.
fn staged(folder: &FilePath) -> usize {
    fs::read_dir(folder.join(".lifeboat/staging")).map_or(0, Iterator::count)
}

/// Everything that `object_store` tests and a folder has, each on a new folder.
///
/// Left out, because a folder has no such interface: `multipart`, `multipart_with_opts`,
/// `multipart_put_part_out_of_order` (`MultipartStore`), `list_paginated` (`PaginatedListStore`),
/// `response_extensions` (HTTP). For `put_opts` see the next test.
#[tokio::test]
async fn passes_the_integration_tests_of_object_store() {
    integration::put_get_delete_list(&fresh().0).await;
    integration::put_get_attributes(&fresh().0).await;
    integration::get_opts(&fresh().0).await;
    integration::stream_get(&fresh().0).await;
    integration::list_uses_directories_correctly(&fresh().0).await;
    integration::list_with_delimiter(&fresh().0).await;
    integration::rename_and_copy(&fresh().0).await;
    integration::copy_if_not_exists(&fresh().0).await;
    integration::copy_rename_nonexistent_object(&fresh().0).await;
    integration::multipart_race_condition(&fresh().0, true).await;
    integration::multipart_out_of_order(&fresh().0).await;
    integration::list_with_offset_exclusivity(&fresh().0).await;
    let missing = integration::get_nonexistent_object(&fresh().0, None).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
}

/// `integration::put_opts` wants `NotImplemented` where there is no compare-and-swap; every store of
/// Lifeboat answers `NotSupported` there. That is the only point in which it fails.
#[tokio::test]
async fn put_opts_differs_from_the_integration_test_only_in_the_variant_of_a_refused_update() {
    let (store, folder) = fresh();
    let run = tokio::spawn(async move { integration::put_opts(&store, false).await });
    let panic = run.await.unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("a folder has no compare-and-swap"), "{text}");
    assert_eq!(fs::read(folder.path().join("put_opts")).unwrap(), b"a", "the update had no effect");
}

#[tokio::test]
async fn odd_names_are_files_of_just_that_name() {
    let (store, folder) = fresh();
    let mut names: Vec<String> =
        ["a b", "a+b", "50%", "%20", "x#1", "ünï", "日本/語", "q?*<>|\"'", "a\\b"]
            .map(str::to_owned)
            .into();
    names.push("n".repeat(255));
    names.push(["d".repeat(250), "e".repeat(250), "f".repeat(250), "g".repeat(147)].join("/"));
    for name in &names {
        store.put(&key(name), name.clone().into()).await.unwrap();
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), name.as_bytes());
        assert_eq!(read(&store, &key(name)).await, name.as_bytes());
    }
    names.sort();
    assert_eq!(keys(&store).await, names);
}

#[tokio::test]
async fn listings_come_in_byte_order_of_keys_not_of_folders() {
    let (store, _folder) = fresh();
    let mut names = ["a/b", "a!", "a-/x", "a0", "a/b-", "a/b!/c", "a/b0/c", "b", "a.b/c"];
    for name in names {
        store.put(&key(name), "x".into()).await.unwrap();
    }
    names.sort_unstable();
    assert_eq!(keys(&store).await, names);
    for offset in ["a", "a-", "a/", "a/b", "a/b!", "a/b0/c", "a0", "z"] {
        let offset = Path::from(offset);
        let after = store.list_with_offset(None, &offset).map_ok(|object| object.location);
        let after: Vec<_> = after.try_collect().await.unwrap();
        let expected: Vec<_> = names.into_iter().map(key).filter(|key| *key > offset).collect();
        assert_eq!(after, expected, "after {offset}");
    }
}

#[tokio::test]
async fn capability_probe_confirms_what_is_declared_and_leaves_nothing() {
    let (store, folder) = fresh();
    let declared = store.capabilities();
    let report = store.confirm_capabilities().await.unwrap();
    assert_eq!(report.conditions.create_if_absent.support, Support::Yes);
    assert_eq!(report.conditions.compare_and_swap.support, Support::No);
    assert_eq!(store.capabilities(), declared);
    store.probe().await.unwrap();
    drop(store);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "not even `.lifeboat` is left");
}

#[tokio::test]
async fn x_beside_x_slash_y_is_refused_with_a_reason_and_harms_neither() {
    let (store, _folder) = fresh();
    store.put(&key("file"), "1".into()).await.unwrap();
    store.put(&key("folder/inner"), "2".into()).await.unwrap();
    let refused = [
        store.put(&key("file/below"), "x".into()).await.unwrap_err(),
        store.put(&key("file/far/below"), "x".into()).await.unwrap_err(),
        store.put(&key("folder"), "x".into()).await.unwrap_err(),
        store.put_opts(&key("folder"), "x".into(), PutMode::Create.into()).await.unwrap_err(),
        store.copy(&key("file"), &key("folder")).await.unwrap_err(),
        store.rename(&key("file"), &key("folder")).await.unwrap_err(),
    ];
    for error in refused {
        assert!(error.to_string().contains("cannot hold an object `x` beside"), "{error}");
        assert_eq!(store.classify(&error).class, Class::Answer);
    }
    assert_eq!(keys(&store).await, ["file", "folder/inner"]);
    assert_eq!(read(&store, &key("file")).await, b"1");
}

#[tokio::test]
async fn empty_folder_is_nothing_and_gives_way_to_an_object() {
    let (store, folder) = fresh();
    fs::create_dir_all(folder.path().join("x/y")).unwrap();
    let level = store.list_with_delimiter(None).await.unwrap();
    assert!(level.common_prefixes.is_empty(), "{level:?}");
    store.put(&key("x/y"), "object".into()).await.unwrap();
    assert_eq!(keys(&store).await, ["x/y"]);
}

#[tokio::test]
async fn too_long_a_segment_is_refused_on_write_and_missing_on_read() {
    let (store, _folder) = fresh();
    let long = key(&"n".repeat(256));
    let refused = store.put(&long, "x".into()).await.unwrap_err();
    assert!(matches!(refused, Error::NotSupported { .. }), "{refused}");
    assert_eq!(store.list(Some(&long)).count().await, 0);
    store.delete(&long).await.unwrap();
    // Each segment fits, the whole path does not.
    let deep = key(&vec!["d".repeat(250); 20].join("/"));
    store.put(&deep, "x".into()).await.unwrap_err();
    let missing = store.get(&deep).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
}

#[tokio::test]
async fn staging_area_is_neither_listed_nor_writable() {
    let (store, folder) = fresh();
    let mut upload = store.put_multipart(&key("big")).await.unwrap();
    upload.put_part("part".into()).await.unwrap();
    assert_eq!(staged(folder.path()), 1);
    assert!(keys(&store).await.is_empty());
    assert!(store.list_with_delimiter(None).await.unwrap().common_prefixes.is_empty());
    let staging = key(".lifeboat/staging");
    assert_eq!(store.list(Some(&staging)).count().await, 0);
    store.put(&staging.clone().join("x"), "x".into()).await.unwrap_err();
    // The reserved prefix itself is listed: leaving it out is the caller's choice.
    store.put(&Path::from_iter([RESERVED_PREFIX, "journal"]), "x".into()).await.unwrap();
    assert_eq!(keys(&store).await, [".lifeboat/journal"]);
    upload.abort().await.unwrap();
    assert_eq!(staged(folder.path()), 0);
}

#[cfg(unix)]
#[tokio::test]
async fn names_that_are_no_keys_are_errors_that_name_them_and_the_rest_is_listed() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (store, folder) = fresh();
    let make = |name: &[u8]| {
        let path = folder.path().join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    };
    make(b"good");
    make(b"a\nb");
    make(b"latin-\xe9");
    make(b"bad\x01folder/1");
    make(b"bad\x01folder/2");
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
    let listed: Vec<_> = store.list(None).collect().await;
    let good = listed.iter().filter_map(|item| item.as_ref().ok());
    assert_eq!(good.map(|object| object.location.to_string()).collect::<Vec<_>>(), ["good"]);
    let errors: Vec<_> = listed.iter().filter_map(|item| item.as_ref().err()).collect();
    for name in ["a\\nb", "latin-", "folder", "dangling"] {
        let named = errors.iter().filter(|error| format!("{error:?} {error}").contains(name));
        assert_eq!(named.count(), 1, "{name} in {errors:?}");
    }
    for error in errors {
        assert_eq!(store.classify(error).class, Class::Answer, "{error}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_loops_are_reported_and_deleting_a_link_spares_its_target() {
    use std::os::unix::fs::symlink;
    let (store, folder) = fresh();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("far"), "far").unwrap();
    symlink(outside.path(), folder.path().join("linked")).unwrap();
    symlink(outside.path().join("far"), folder.path().join("link")).unwrap();
    assert_eq!(keys(&store).await, ["link", "linked/far"]);
    assert_eq!(read(&store, &key("link")).await, b"far");
    store.delete(&key("link")).await.unwrap();
    assert!(outside.path().join("far").exists());
    symlink(folder.path(), folder.path().join("loop")).unwrap();
    let listed: Vec<_> = store.list(None).collect().await;
    let errors: Vec<_> = listed.iter().filter_map(|item| item.as_ref().err()).collect();
    assert_eq!(errors.len(), 1, "{listed:?}");
    assert!(errors[0].to_string().contains("loop"), "{}", errors[0]);
}

#[cfg(unix)]
#[tokio::test]
async fn pipe_is_not_opened_but_reported() {
    let (store, folder) = fresh();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status();
    assert!(made.unwrap().success());
    let missing = store.get(&key("pipe")).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    let error = store.list(None).next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("pipe"), "{error}");
}

#[tokio::test]
async fn attributes_and_tags_survive_put_copy_and_rename() {
    let (store, folder) = fresh();
    let attributes = Attributes::from_iter([
        (Attribute::ContentType, "text/plain; charset=utf-8"),
        (Attribute::CacheControl, "no-store"),
        (Attribute::ContentDisposition, "attachment"),
        (Attribute::ContentEncoding, "identity"),
        (Attribute::ContentLanguage, "de"),
        (Attribute::Metadata("Owner-Name".into()), "Änne"),
        (Attribute::Metadata("empty".into()), ""),
    ]);
    let mut options = PutOptions::from(attributes.clone());
    options.tags.push("team", "storage");
    store.put_opts(&key("a"), "x".into(), options).await.unwrap();
    store.copy(&key("a"), &key("b")).await.unwrap();
    store.rename(&key("b"), &key("c/d")).await.unwrap();
    for name in ["a", "c/d"] {
        assert_eq!(store.get(&key(name)).await.unwrap().attributes, attributes);
        let tags = xattr::get(folder.path().join(name), "user.lifeboat.tags").unwrap();
        assert_eq!(tags.as_deref(), Some(b"team=storage".as_slice()));
    }
    // A plain write forgets those of the object before.
    store.put(&key("a"), "y".into()).await.unwrap();
    assert!(store.get(&key("a")).await.unwrap().attributes.is_empty());
}

#[tokio::test]
async fn attributes_that_do_not_fit_are_refused_and_leave_the_object_as_it_was() {
    let (store, folder) = fresh();
    store.put(&key("a"), "before".into()).await.unwrap();
    let name = "n".repeat(300);
    let attributes = Attributes::from_iter([(Attribute::Metadata(name.into()), "x")]);
    let refused = store.put_opts(&key("a"), "after".into(), attributes.into()).await.unwrap_err();
    assert!(matches!(refused, Error::NotSupported { .. }), "{refused}");
    assert_eq!(read(&store, &key("a")).await, b"before");
    assert_eq!(staged(folder.path()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_racing_creates_have_one_winner() {
    let (store, folder) = fresh();
    for round in 0..20 {
        let target = Path::from(format!("deep/{round}/lock"));
        let racers = (0..10).map(|racer| {
            let (store, target) = (&store, target.clone());
            async move {
                let body = PutPayload::from(racer.to_string());
                (racer, store.put_opts(&target, body, PutMode::Create.into()).await)
            }
        });
        let results = futures::future::join_all(racers).await;
        let winners: Vec<_> = results.iter().filter(|(_, result)| result.is_ok()).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        let lost = |result: &object_store::Result<_>| {
            matches!(result, Ok(_) | Err(Error::AlreadyExists { .. }))
        };
        assert!(results.iter().all(|(_, result)| lost(result)), "{results:?}");
        assert_eq!(read(&store, &target).await, winners[0].0.to_string().as_bytes());
    }
    assert_eq!(staged(folder.path()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_that_prune_folders_do_not_fail_writes_into_them() {
    let (store, folder) = fresh();
    let churn = (0..8).map(|worker| {
        let store = &store;
        async move {
            let own = Path::from(format!("a/b/c/{worker}"));
            for _ in 0..50 {
                store.put(&own, "x".into()).await.unwrap();
                store.delete(&own).await.unwrap();
            }
        }
    });
    futures::future::join_all(churn).await;
    drop(store);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "all folders were pruned");
}

#[tokio::test]
async fn leftovers_of_a_crash_are_removed_at_open_once_they_are_old() {
    let (store, folder) = fresh();
    let staging = folder.path().join(".lifeboat/staging");
    fs::create_dir_all(&staging).unwrap();
    let old = SystemTime::now() - Duration::from_secs(3_700);
    for (name, is_old) in [("put-old", true), ("put-new", false), ("notes.txt", true)] {
        let file = File::create(staging.join(name)).unwrap();
        if is_old {
            file.set_modified(old).unwrap();
        }
    }
    drop(store);
    let _store = FolderStore::open(folder.path(), false).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(&staging).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["notes.txt", "put-new"]);
}

#[tokio::test]
async fn upload_with_an_unfinished_part_does_not_complete() {
    let (store, folder) = fresh();
    let mut upload = store.put_multipart(&key("a")).await.unwrap();
    upload.put_part("one".into()).await.unwrap();
    drop(upload.put_part("two".into()));
    let error = upload.complete().await.unwrap_err();
    assert!(error.to_string().contains("did not finish"), "{error}");
    drop(upload);
    assert_eq!(staged(folder.path()), 0, "a dropped upload leaves nothing");
    assert!(keys(&store).await.is_empty());
}

#[tokio::test]
async fn file_that_is_written_to_while_it_is_read_fails_the_read() {
    let (store, folder) = fresh();
    let path = folder.path().join("log");
    fs::write(&path, vec![1; 3 << 20]).unwrap();
    let mut body = store.get(&key("log")).await.unwrap().into_stream();
    body.next().await.unwrap().unwrap();
    let mut file = File::options().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(2 << 20)).unwrap();
    file.write_all(b"changed").unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
    let error = body.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("changed while it was read"), "{error}");
}

#[tokio::test]
async fn replaced_object_is_read_to_the_end_as_it_was() {
    let (store, _folder) = fresh();
    let before = vec![1; 3 << 20];
    store.put(&key("a"), before.clone().into()).await.unwrap();
    let mut body = store.get(&key("a")).await.unwrap().into_stream();
    let first = body.next().await.unwrap().unwrap();
    store.put(&key("a"), "after".into()).await.unwrap();
    let rest: Vec<_> = body.try_collect().await.unwrap();
    assert_eq!([first.to_vec(), rest.concat()].concat(), before);
    assert_eq!(read(&store, &key("a")).await, b"after");
}

#[tokio::test]
async fn range_beyond_the_end_is_an_answer_not_a_fault() {
    let (store, _folder) = fresh();
    store.put(&key("a"), "abc".into()).await.unwrap();
    let options = GetOptions::new().with_range(Some(GetRange::Offset(3)));
    let error = store.get_opts(&key("a"), options).await.unwrap_err();
    assert_eq!(store.classify(&error).class, Class::Answer, "{error}");
}

#[tokio::test]
async fn rename_onto_an_existing_key_with_create_changes_nothing() {
    let (store, _folder) = fresh();
    store.put(&key("a"), "a".into()).await.unwrap();
    store.put(&key("b"), "b".into()).await.unwrap();
    for to in ["a", "b"] {
        let options = RenameOptions::new().with_target_mode(RenameTargetMode::Create);
        let refused = store.rename_opts(&key("a"), &key(to), options).await.unwrap_err();
        assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
    }
    assert_eq!(
        (read(&store, &key("a")).await, read(&store, &key("b")).await),
        (b"a".into(), b"b".into())
    );
}

#[tokio::test]
async fn folder_that_is_gone_is_no_empty_store() {
    let (store, folder) = fresh();
    drop(folder);
    let errors = [
        store.list(None).next().await.unwrap().unwrap_err(),
        store.list_with_delimiter(None).await.unwrap_err(),
        store.get(&key("a")).await.unwrap_err(),
        store.delete(&key("a")).await.unwrap_err(),
        store.put(&key("a"), "x".into()).await.unwrap_err(),
        store.probe().await.unwrap_err(),
    ];
    for error in errors {
        let verdict = store.classify(&error);
        assert!(verdict.is_fault() && verdict.certain, "a missing object is no fault: {error}");
    }
    assert!(!store.root().exists(), "a write must not bring it back");
}

#[test]
fn open_says_what_is_wrong_with_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |error: OwnError| (error.kind(), error.to_string());
    let (missing, text) = kind(FolderStore::open(folder.path().join("no"), false).unwrap_err());
    assert_eq!(missing, ErrorKind::NotFound, "{text}");
    fs::write(folder.path().join("file"), "x").unwrap();
    let (file, text) = kind(FolderStore::open(folder.path().join("file"), false).unwrap_err());
    assert_eq!(file, ErrorKind::Configuration, "{text}");
    let made = FolderStore::open(folder.path().join("new/deep"), true).unwrap();
    assert!(made.to_string().starts_with("file:///") && made.to_string().ends_with("/new/deep"));
}

#[cfg(unix)]
#[tokio::test]
async fn date_beyond_all_calendars_does_not_panic() {
    let (store, folder) = fresh();
    let file = File::create(folder.path().join("a")).unwrap();
    // Some file systems refuse or clip it; what they show must be listed either way.
    let _ = file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 53));
    assert_eq!(keys(&store).await, ["a"]);
}

/// Names, sizes and attributes of a small tree with everything odd in it.
async fn plant(store: &dyn BlobStore) {
    for (number, name) in
        ["a b", "50%", "x#1/ü", "x#1/日本", "empty", "deep/er/f"].iter().enumerate()
    {
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, "text/plain"),
            (Attribute::Metadata("n".into()), ["one", "two"][number % 2]),
        ]);
        let body = vec![7; number * 2_000_003 % 9_999_999];
        store.put_opts(&key(name), body.into(), attributes.into()).await.unwrap();
    }
}

#[tokio::test]
async fn tree_through_a_folder_and_back_is_identical_with_its_attributes() {
    let memory = |name| {
        let identity = lifeboat_core::Identity::new("memory", "", name);
        lifeboat_core::AnyStore::new(object_store::memory::InMemory::new(), identity)
    };
    let (start, end) = (memory("start"), memory("end"));
    let (folder, _kept) = fresh();
    plant(&start).await;
    let root = Path::ROOT;
    let options = CopyOptions { part_size: 1 << 20, ..CopyOptions::default() };
    for (source, target) in [(&start as &dyn BlobStore, &folder as &dyn BlobStore), (&folder, &end)]
    {
        let summary = copy_tree(source, &root, target, &root, &options, &()).await.unwrap();
        assert_eq!((summary.objects, summary.failed), (6, 0), "{:?}", summary.failures);
    }
    let report = verify_tree(&start, &root, &end, &root).await.unwrap();
    assert!(report.is_identical(), "{report:?}");
}

#[tokio::test]
async fn folder_is_not_copied_into_itself_through_two_stores() {
    let (outer, folder) = fresh();
    plant(&outer).await;
    let inner = FolderStore::open(folder.path().join("deep/copy"), true).unwrap();
    let root = Path::ROOT;
    let options = CopyOptions::default();
    let error = copy_tree(&outer, &root, &inner, &root, &options, &()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    let beside = copy_tree(&outer, &key("x#1"), &inner, &root, &options, &()).await.unwrap();
    assert_eq!(beside.objects, 2);
}

#[cfg(unix)]
#[tokio::test]
async fn tree_with_names_that_are_no_keys_is_copied_but_for_those() {
    let (source, folder) = fresh();
    plant(&source).await;
    fs::write(folder.path().join("bad\nname"), "x").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
    let (target, _kept) = fresh();
    let options = CopyOptions::default();
    let root = Path::ROOT;
    let summary = copy_tree(&source, &root, &target, &root, &options, &()).await.unwrap();
    assert_eq!((summary.objects, summary.failed), (6, 2));
    let texts: Vec<_> = summary.failures.iter().map(|(_, error)| error.to_string()).collect();
    assert!(texts.iter().any(|text| text.contains("bad\\nname")), "{texts:?}");
    assert!(
        !texts.iter().any(|text| text.contains('\n')),
        "nothing that a terminal obeys: {texts:?}"
    );
    assert!(texts.iter().any(|text| text.contains("dangling")), "{texts:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn pipe_is_not_replaced_by_a_file() {
    use std::os::unix::fs::FileTypeExt;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let store = FolderStore::open(folder.path(), false).unwrap();
    let error = store.put(&Path::from("pipe"), "x".into()).await.unwrap_err();
    assert!(error.to_string().contains("a device, pipe or socket"), "{error}");
    store.put(&Path::from("file"), "x".into()).await.unwrap();
    store.rename(&Path::from("file"), &Path::from("pipe")).await.unwrap_err();
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
}
