//! Traps of a version that was deleted and is there again: somebody who has yet to hear of the delete brought it to a backend
//! that no marker names. Whoever deleted it must not see it in any way, until it has gone.

use futures::TryStreamExt;
use lifeboat_core::Effect;
use lifeboat_failover::Reason;
use lifeboat_testkit::fault_store::{Failure, Gate, Operation, Rule, Strike};
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};
use tokio::time::sleep;

use crate::lab::{Lab, Process, fresh_way, reason};

/// The only key in its folder.
fn alone() -> Path {
    Path::from("alone/k")
}

/// b0 has a version that the deleter, who cannot reach b1, has never heard of; the other process has brought it there,
/// and cannot read of the delete in b0's journal before the gate is open.
async fn brought_back(lab: &Lab) -> (Process, Process, Gate) {
    let (first, bringer) = (lab.process(1), lab.process(2));
    first.lose(0).await;
    bringer.lose(0).await;
    first.must_put(&alone(), "v1").await;
    // It has heard of that by then.
    sleep(lab.settings.journal_poll * 2).await;
    first.spawner.crash();
    let ways = vec![fresh_way(), fresh_way()];
    ways[1].set([Rule::new(Strike::Fail(Failure::Refused))]);
    let deleter = lab.process_through(3, 0, ways);
    deleter.must_put(&alone(), "v2").await;
    deleter.delete(&alone()).await.unwrap().unwrap();
    assert_eq!(lab.at(0, &alone()), None);
    let journal = Gate::new();
    bringer.ways[0].set([Rule::new(Strike::Hold(journal.clone())).on(&[Operation::List])]);
    while lab.at(0, &alone()).is_none() {
        bringer.ask().await;
    }
    assert_eq!(lab.at(0, &alone()).as_deref(), Some("v1"));
    (deleter, bringer, journal)
}

/// Everybody can reach and hear everything: the key is gone.
async fn expect_gone(lab: &Lab, deleter: &Process, bringer: &Process, journal: &Gate) {
    journal.open();
    deleter.recover(1).await;
    bringer.recover(0).await;
    lab.expect_everywhere(&[deleter, bringer], &alone(), None).await;
}

/// Simulation seed 63002081.
#[tokio::test(start_paused = true)]
async fn it_is_neither_read_nor_listed() {
    let lab = Lab::new(2);
    let (deleter, bringer, journal) = brought_back(&lab).await;
    let read = deleter.get(&alone()).await;
    assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
    let head = deleter.store.head(&alone()).await;
    assert!(matches!(head, Err(Error::NotFound { .. })), "{head:?}");
    let listed: Vec<_> = deleter.store.list(None).try_collect().await.unwrap();
    assert!(listed.iter().all(|object| object.location != alone()), "{listed:?}");
    expect_gone(&lab, &deleter, &bringer, &journal).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_not_said_to_be_unmodified() {
    let lab = Lab::new(2);
    let (deleter, bringer, journal) = brought_back(&lab).await;
    let e_tag = Some(lab.backends[0].object(&alone()).unwrap().e_tag);
    let unless = GetOptions { if_none_match: e_tag, ..GetOptions::default() };
    let read = deleter.store.get_opts(&alone(), unless).await;
    assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
    expect_gone(&lab, &deleter, &bringer, &journal).await;
}

/// But for the time that it takes until the other backend is back, and everybody has heard of the delete.
#[tokio::test(start_paused = true)]
async fn it_does_not_stand_in_the_way_of_a_create() {
    let lab = Lab::new(2);
    let (deleter, bringer, journal) = brought_back(&lab).await;
    let create = deleter.store.put_opts(&alone(), "v3".into(), PutMode::Create.into()).await;
    assert_eq!(reason(&create.unwrap_err()), (Reason::Undecidable, Effect::None));
    expect_gone(&lab, &deleter, &bringer, &journal).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_not_what_an_update_names() {
    let lab = Lab::new(2);
    let (deleter, bringer, journal) = brought_back(&lab).await;
    let e_tag = Some(lab.backends[0].object(&alone()).unwrap().e_tag);
    let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
    let update = deleter.store.put_opts(&alone(), "v3".into(), mode.into()).await;
    assert!(matches!(update, Err(Error::Precondition { .. })), "{update:?}");
    expect_gone(&lab, &deleter, &bringer, &journal).await;
}

/// Whoever asks for a version by its name wants that one, however old it is.
#[tokio::test(start_paused = true)]
async fn it_is_read_by_its_own_name() {
    let lab = Lab::new(2);
    let (deleter, bringer, journal) = brought_back(&lab).await;
    let named = GetOptions { version: Some("v1".to_owned()), ..GetOptions::default() };
    let read = deleter.store.get_opts(&alone(), named).await.unwrap();
    assert_eq!(read.bytes().await.unwrap(), "v1");
    expect_gone(&lab, &deleter, &bringer, &journal).await;
}
