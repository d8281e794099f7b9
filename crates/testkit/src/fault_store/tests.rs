//! Each strike, once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use tokio::time::{Instant, sleep, timeout};

use super::*;

fn store() -> (FaultStore<InMemory>, Faults, Path) {
    let faults = Faults::seeded(7);
    (FaultStore::new(InMemory::new(), faults.clone()), faults, Path::from("some/key"))
}

#[tokio::test]
async fn failure_before_the_effect_leaves_nothing_behind() {
    let (store, faults, key) = store();
    faults.add(Rule::new(Strike::Fail(Failure::Refused)).on(Operation::PUTS).times(1));
    store.put(&key, "1".into()).await.unwrap_err();
    assert!(matches!(store.inner().head(&key).await, Err(Error::NotFound { .. })));
    store.put(&key, "2".into()).await.unwrap();
}

#[tokio::test]
async fn failure_after_the_effect_makes_a_retried_create_answer_exists() {
    let (store, faults, key) = store();
    faults.add(Rule::new(Strike::FailAfter(Failure::Reset)).on(&[Operation::Create]).times(1));
    store.put_opts(&key, "1".into(), PutMode::Create.into()).await.unwrap_err();
    let again = store.put_opts(&key, "1".into(), PutMode::Create.into()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
}

#[tokio::test(start_paused = true)]
async fn late_delete_removes_what_was_written_after_it_was_given_up() {
    let (store, faults, key) = store();
    let late = Strike::FailLate(Failure::Slow, Duration::from_mins(1));
    faults.add(Rule::new(late).on(&[Operation::Delete]));
    store.put(&key, "old".into()).await.unwrap();
    store.delete(&key).await.unwrap_err();
    store.put(&key, "new".into()).await.unwrap();
    sleep(Duration::from_mins(2)).await;
    assert!(store.inner().head(&key).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn dropped_write_lands_all_the_same_when_detached() {
    let (store, faults, key) = store();
    let store = store.detached();
    faults.latency(Duration::from_millis(10)..Duration::from_millis(20));
    let given_up = timeout(Duration::from_millis(1), store.put(&key, "1".into())).await;
    assert!(given_up.is_err());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(store.inner().get(&key).await.unwrap().bytes().await.unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn lost_requests_and_lost_answers_differ_in_the_effect_only() {
    let (store, faults, key) = store();
    for (strike, there) in [(Strike::Hang, false), (Strike::HangAfter, true)] {
        faults.set([Rule::new(strike).on(Operation::PUTS)]);
        let put = timeout(Duration::from_hours(1), store.put(&key, "1".into())).await;
        assert!(put.is_err(), "nothing is answered");
        assert_eq!(store.inner().head(&key).await.is_ok(), there);
    }
}

#[tokio::test]
async fn bodies_break_end_early_and_lie_at_the_place_that_was_asked_for() {
    let (store, faults, key) = store();
    store.put(&key, "0123456789".into()).await.unwrap();
    let read = async |strike| {
        faults.set([Rule::new(strike).on(Operation::READS)]);
        let chunks: Vec<_> = store.get(&key).await.unwrap().into_stream().collect().await;
        let failed = chunks.iter().any(Result::is_err);
        let bytes: Vec<u8> = chunks.into_iter().flatten().flatten().collect();
        (String::from_utf8(bytes).unwrap(), failed)
    };
    let four = At::Offset(4);
    assert_eq!(read(Strike::Break(four, Failure::Reset)).await, ("0123".into(), true));
    assert_eq!(read(Strike::Truncate(four)).await, ("0123".into(), false));
    assert_eq!(read(Strike::Corrupt(four)).await, ("0123\u{14}56789".into(), false));
}

#[tokio::test(start_paused = true)]
async fn stalled_body_brings_what_lies_before_the_place_and_then_neither_more_nor_an_end() {
    let (store, faults, key) = store();
    store.put(&key, "0123456789".into()).await.unwrap();
    faults.add(Rule::new(Strike::Stall(At::Offset(4))).on(Operation::READS));
    let mut body = store.get(&key).await.unwrap().into_stream();
    let mut read = Vec::new();
    let whole = async {
        while let Some(chunk) = body.next().await {
            read.extend_from_slice(&chunk.unwrap());
        }
    };
    assert!(timeout(Duration::from_hours(1), whole).await.is_err(), "it ended");
    assert_eq!(read, b"0123");
}

#[tokio::test(start_paused = true)]
async fn delayed_request_has_its_effect_and_its_answer_after_that_time_and_not_before() {
    let (store, faults, key) = store();
    let delay = Duration::from_mins(1);
    faults.add(Rule::new(Strike::Delay(delay)).on(Operation::PUTS));
    let began = Instant::now();
    let put = async {
        store.put(&key, "1".into()).await.unwrap();
        began.elapsed()
    };
    let just_before = async {
        sleep(delay.saturating_sub(Duration::from_millis(1))).await;
        store.inner().head(&key).await.is_ok()
    };
    let (took, there) = tokio::join!(put, just_before);
    assert_eq!((took, there), (delay, false));
    assert!(store.inner().head(&key).await.is_ok());
}

#[tokio::test]
async fn listing_breaks_on_a_later_page() {
    let (store, faults, _) = store();
    let store = store.page_size(2);
    for name in ["a", "b", "c", "d", "e"] {
        store.put(&name.into(), "".into()).await.unwrap();
    }
    let keys = store.list(None).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(keys.len(), 5);
    faults.add(Rule::new(Strike::Fail(Failure::Down)).on(&[Operation::List]).skip(1));
    let listed: Vec<_> = store.list(None).collect().await;
    assert_eq!(listed.iter().filter(|entry| entry.is_ok()).count(), 2);
    assert!(listed.last().unwrap().is_err());
}

#[tokio::test]
async fn held_request_waits_until_its_gate_opens() {
    let (store, faults, key) = store();
    let gate = Gate::new();
    faults.add(Rule::new(Strike::Hold(gate.clone())).on(Operation::PUTS));
    let test = async {
        gate.reached().await;
        assert!(store.inner().head(&key).await.is_err());
        gate.open();
    };
    let (put, ()) = tokio::join!(store.put(&key, "1".into()), test);
    put.unwrap();
}

#[tokio::test]
async fn request_whose_answer_is_held_has_its_effect_before_the_gate_opens() {
    let (store, faults, key) = store();
    let gate = Gate::new();
    faults.add(Rule::new(Strike::HoldAfter(gate.clone())).on(Operation::PUTS));
    let answered = AtomicBool::new(false);
    let put = async {
        store.put(&key, "1".into()).await.unwrap();
        answered.store(true, Ordering::Relaxed);
    };
    let test = async {
        gate.reached().await;
        assert!(store.inner().head(&key).await.is_ok());
        assert!(!answered.load(Ordering::Relaxed), "it is answered though the gate is closed");
        gate.open();
    };
    tokio::join!(put, test);
    assert!(answered.load(Ordering::Relaxed));
}

#[tokio::test]
async fn lost_part_and_lost_completion_fail_alone() {
    let (store, faults, key) = store();
    faults.add(
        Rule::new(Strike::Fail(Failure::Down)).on(&[Operation::MultipartPart]).skip(1).times(1),
    );
    faults.add(Rule::new(Strike::FailAfter(Failure::Reset)).on(&[Operation::MultipartComplete]));
    let mut upload = store.put_multipart(&key).await.unwrap();
    upload.put_part("first".into()).await.unwrap();
    upload.put_part("lost".into()).await.unwrap_err();
    let mut upload = store.put_multipart(&key).await.unwrap();
    upload.put_part("whole".into()).await.unwrap();
    upload.complete().await.unwrap_err();
    assert_eq!(store.inner().get(&key).await.unwrap().bytes().await.unwrap(), "whole");
}

#[tokio::test]
async fn same_seed_strikes_the_same_requests() {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (store, faults, key) = store();
        faults.add(Rule::new(Strike::Fail(Failure::Down)).on(Operation::PUTS).permille(300));
        let mut outcomes = Vec::new();
        for _ in 0..100 {
            outcomes.push(store.put(&key, "1".into()).await.is_ok());
        }
        seen.push(outcomes);
    }
    assert_eq!(seen[0], seen[1]);
    let failed = seen[0].iter().filter(|done| !**done).count();
    assert!((15..50).contains(&failed), "{failed} of 100 struck at 30 percent");
}

#[tokio::test(start_paused = true)]
async fn ranges_and_levels_are_struck_like_bodies_and_listings() {
    let (store, faults, key) = store();
    store.put(&key, "0123456789".into()).await.unwrap();
    store.put(&Path::from("some/other"), "x".into()).await.unwrap();
    let ranges = [0..4, 6..10];
    let texts = |ranges: Vec<bytes::Bytes>| {
        let text = |range: bytes::Bytes| String::from_utf8_lossy(&range).into_owned();
        ranges.into_iter().map(text).collect::<Vec<_>>()
    };
    for (strike, wanted) in [
        (Strike::Corrupt(At::Offset(5)), ["0123", "6\u{17}89"]),
        (Strike::Truncate(At::Offset(6)), ["0123", "67"]),
        (Strike::Truncate(At::Offset(3)), ["012", ""]),
        (Strike::Drip(Duration::from_secs(1)), ["0123", "6789"]),
    ] {
        faults.set([Rule::new(strike).on(&[Operation::GetRange]).times(1)]);
        assert_eq!(texts(store.get_ranges(&key, &ranges).await.unwrap()), wanted);
    }
    faults.set([Rule::new(Strike::Break(At::Offset(6), Failure::Reset)).times(1)]);
    store.get_ranges(&key, &ranges).await.unwrap_err();
    faults.set([Rule::new(Strike::Stall(At::Offset(6))).times(1)]);
    let read = timeout(Duration::from_hours(1), store.get_ranges(&key, &ranges));
    assert!(read.await.is_err(), "it never ends");

    let folder = Path::from("some");
    faults.set([Rule::new(Strike::Truncate(At::Offset(1))).times(1)]);
    assert_eq!(store.list_with_delimiter(Some(&folder)).await.unwrap().objects.len(), 1);
    faults.set([Rule::new(Strike::Break(At::Offset(1), Failure::Reset)).times(1)]);
    store.list_with_delimiter(Some(&folder)).await.unwrap_err();
    faults.set([Rule::new(Strike::Drip(Duration::from_secs(1)))]);
    let began = Instant::now();
    assert_eq!(store.list(Some(&folder)).try_collect::<Vec<_>>().await.unwrap().len(), 2);
    assert_eq!(began.elapsed(), Duration::from_secs(2));
}
