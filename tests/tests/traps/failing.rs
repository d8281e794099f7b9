//! Traps of requests that fail: the one error says what everybody answered, and whether it may have happened.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use lifeboat_core::Effect;
use lifeboat_failover::{FailoverError, Reason};
use lifeboat_testkit::fault_store::{Failure, Operation, Rule, Strike};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, Result};

use crate::lab::{JOURNAL, Lab, Process, key, reason};

/// A kind of request: its name, whether it would change something, and everything that is said of one.
type Kind = (&'static str, bool, for<'p> fn(&'p Process) -> BoxFuture<'p, Vec<Result<()>>>);

const KINDS: [Kind; 6] = [
    ("put", true, |process| async { vec![process.put(&key(), "v2").await.unwrap()] }.boxed()),
    ("delete", true, |process| async { vec![process.delete(&key()).await.unwrap()] }.boxed()),
    ("get", false, |process| async { vec![process.get(&key()).await.map(drop)] }.boxed()),
    ("head", false, |process| async { vec![process.store.head(&key()).await.map(drop)] }.boxed()),
    ("list", false, |process| process.store.list(None).map_ok(drop).collect().boxed()),
    ("level", false, |process| {
        async { vec![process.store.list_with_delimiter(None).await.map(drop)] }.boxed()
    }),
];

/// While nobody serves, each request fails with one error that has an entry for each backend; a write with this effect.
async fn expect_one_error_each(weather: fn(&Process), effect: Effect) {
    for (what, writes, ask) in KINDS {
        let lab = Lab::new(3);
        let process = lab.process(1);
        process.must_put(&key(), "v1").await;
        lab.drain(&[&process]).await;
        weather(&process);
        let effect = if writes { effect } else { Effect::None };
        // What is known of the backends is another thing each time.
        for round in 0..5 {
            let told = ask(&process).await;
            let [Err(error)] = told.as_slice() else { panic!("{what}, {round}: {told:?}") };
            assert_eq!(reason(error), (Reason::Unavailable, effect), "{what}, {round}: {error}");
            let text = error.to_string();
            for backend in process.store.status().backends {
                let entries = text.matches(&format!("{}: ", backend.id)).count();
                assert_eq!(entries, 1, "{what}, {round}: {} in {text}", backend.id);
                let told = FailoverError::find(error).expect("it says why").answers();
                let told: Vec<_> = told.filter(|(id, _)| *id == backend.id).collect();
                assert!(matches!(told[..], [(_, why)] if !why.is_empty()), "{told:?} of {text}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn request_that_all_backends_refuse_fails_once_with_an_entry_for_each_and_without_effect() {
    let refused = |process: &Process| (0..3).for_each(|backend| process.refuse(backend));
    expect_one_error_each(refused, Effect::None).await;
}

#[tokio::test(start_paused = true)]
async fn request_that_nobody_answers_fails_once_with_an_entry_for_each_and_a_write_may_have_landed()
{
    let silent = |process: &Process| (0..3).for_each(|backend| process.swallow(backend));
    expect_one_error_each(silent, Effect::Unknown).await;
}

#[tokio::test(start_paused = true)]
async fn request_that_some_refuse_and_some_do_not_answer_fails_once_with_an_entry_for_each() {
    let mixed = |process: &Process| {
        process.refuse(0);
        process.swallow(1);
        process.refuse(2);
    };
    expect_one_error_each(mixed, Effect::Unknown).await;
}

#[tokio::test(start_paused = true)]
async fn keys_of_the_library_itself_are_not_written_and_nothing_is_sent() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    let own = Path::from(".lifeboat/mine");
    let sent = [0, 1].map(|backend| process.count(backend, &[], &own));
    let store = &process.store;
    let told = [
        process.put(&own, "x").await.unwrap(),
        process.delete(&own).await.unwrap(),
        store.put_multipart(&own).await.map(drop),
        store.copy(&key(), &own).await,
        store.rename(&key(), &own).await,
        store.rename(&own, &key()).await,
    ];
    for (at, told) in told.into_iter().enumerate() {
        let error = told.unwrap_err();
        assert_eq!(reason(&error), (Reason::Reserved, Effect::None), "{at}: {error}");
    }
    assert_eq!(sent.map(|sent| sent.count()), [0; 2]);
    assert_eq!(process.get(&key()).await.unwrap(), "v1", "no rename took it away");
}

#[tokio::test(start_paused = true)]
async fn copy_on_a_condition_of_what_does_not_fit_the_memory_fails_and_writes_nothing() {
    let mut lab = Lab::new(2);
    lab.settings.memory = 64 << 10;
    let process = lab.process(1);
    for (size, fits) in [(64 << 10, true), ((64 << 10) + 1, false)] {
        let from = Path::from(format!("data/{size}"));
        for backend in &lab.backends {
            backend.write_directly(&from, "x".repeat(size));
        }
        let copied = process.store.copy_if_not_exists(&from, &key()).await;
        assert_eq!([0, 1].map(|at| lab.at(at, &key()).is_some()), [fits; 2], "{copied:?}");
        match copied {
            Ok(()) => process.delete(&key()).await.unwrap().unwrap(),
            Err(error) => {
                assert_eq!(reason(&error), (Reason::TooLarge, Effect::None), "{error}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn write_whose_marker_nobody_keeps_is_not_acknowledged_and_may_have_happened() {
    let lab = Lab::new(2);
    let process = lab.process(1);
    process.must_put(&key(), "v1").await;
    process.refuse(0);
    let denied = Rule::new(Strike::Fail(Failure::Denied)).on(Operation::PUTS).prefix(JOURNAL);
    process.ways[1].add(denied);
    let deleted = Path::from("data/deleted");
    for write in [process.put(&key(), "v2"), process.delete(&deleted)] {
        let error = write.await.unwrap().unwrap_err();
        assert_eq!(reason(&error), (Reason::NotRecorded, Effect::Unknown), "{error}");
        let id = &process.store.status().backends[1].id;
        assert!(error.to_string().contains(&format!("{id}: has it")), "{error}");
    }
    process.clear(1);
    process.recover(0).await;
    lab.drain(&[&process]).await;
    for name in [key(), deleted] {
        assert_eq!(lab.at(0, &name), lab.at(1, &name), "{name}");
    }
    assert!(lab.at(0, &key()).is_some(), "what was there is not taken away");
}
