//! Bits that flip on the way, in either direction, on real servers: never a wrong byte as `Ok`,
//! never a wrong byte stored. Through `Failover` too, which makes good what can be made good.

use std::sync::Arc;
use std::time::Duration;

use lifeboat_core::http::HttpSettings;
use lifeboat_testkit::proxy::Fault;
use lifeboat_tests::{Kind, fresh, http};
use object_store::ObjectStoreExt;
use object_store::path::Path;

const SIZE: usize = 300_000;

fn body() -> Vec<u8> {
    (0..SIZE).map(|at| u8::try_from(at % 253).unwrap()).collect()
}

async fn flipped_bit_in_a_read_is_an_error(kind: Kind) {
    let t = fresh(kind).await;
    let key = Path::from("object");
    t.store.put(&key, body().into()).await.unwrap();
    let (proxy, through) = t.through_proxy(http()).await;
    assert!(through.get(&key).await.unwrap().bytes().await.unwrap() == body());
    proxy.set(Fault::CorruptResponse(123_456));
    let error = through.get(&key).await.unwrap().bytes().await.unwrap_err();
    assert!(error.to_string().contains("was announced with it"), "{error}");
    assert!(through.classify(&error).is_fault(), "{error}");
}

/// Either the put fails, or it is sent again and lands whole; nothing else.
async fn flipped_bit_in_a_write_is_never_stored_silently(kind: Kind) {
    let t = fresh(kind).await;
    let key = Path::from("object");
    let (proxy, through) = t.through_proxy(http()).await;
    proxy.set_times(Fault::CorruptRequest(123_456), 1);
    let outcome = through.put(&key, body().into()).await;
    assert_eq!(proxy.strikes(), 1, "the fault struck");
    if let Err(error) = outcome {
        assert!(through.classify(&error).is_fault(), "{error}");
        return;
    }
    // To whoever else has a failover it may be news for some seconds.
    let reader = if matches!(kind, Kind::Pair(_)) { through } else { Arc::clone(&t.store) };
    assert!(reader.get(&key).await.unwrap().bytes().await.unwrap() == body());
}

/// It is one piece, of which nothing was handed out before the checksum was seen.
async fn flipped_bit_in_a_small_read_is_made_good_by_the_other_backend(kind: Kind) {
    let t = fresh(kind).await;
    let key = Path::from("object");
    t.store.put(&key, body()[..1_000].to_vec().into()).await.unwrap();
    let (proxy, through) = t.through_proxy(http()).await;
    assert!(through.get(&key).await.unwrap().bytes().await.unwrap() == body()[..1_000]);
    proxy.set(Fault::CorruptResponse(900));
    assert!(through.get(&key).await.unwrap().bytes().await.unwrap() == body()[..1_000]);
    assert!(proxy.strikes() > 0, "the fault struck");
}

/// One try, and no patience with silence.
fn impatient() -> HttpSettings {
    let mut impatient = http();
    impatient.retries.max = 0;
    impatient.deadlines.stall = Duration::from_millis(400);
    impatient.deadlines.first_byte = Duration::from_millis(400);
    impatient.deadlines.connect = Duration::from_millis(400);
    impatient
}

async fn upload_that_stalls_at_one_backend_lands_at_the_other(kind: Kind) {
    let t = fresh(kind).await;
    let (proxy, through) = t.through_proxy(impatient()).await;
    proxy.set(Fault::BlackHole);
    let started = std::time::Instant::now();
    let key = Path::from("big");
    through.put(&key, vec![7; 32 << 20].into()).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert!(through.get(&key).await.unwrap().bytes().await.unwrap() == vec![7; 32 << 20]);
}

async fn upload_that_stalls_is_given_up(kind: Kind) {
    let t = fresh(kind).await;
    let (proxy, through) = t.through_proxy(impatient()).await;
    proxy.set(Fault::BlackHole);
    let started = std::time::Instant::now();
    // More than the socket buffers of both sides hold.
    let error = through.put(&Path::from("big"), vec![7; 32 << 20].into()).await.unwrap_err();
    assert!(through.classify(&error).is_fault(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

async fn slow_but_live_transfer_is_not_cut(kind: Kind) {
    let t = fresh(kind).await;
    let key = Path::from("object");
    let mut impatient = http();
    impatient.retries.max = 0;
    impatient.deadlines.stall = Duration::from_millis(500);
    impatient.deadlines.first_byte = Duration::from_millis(1_500);
    let (proxy, through) = t.through_proxy(impatient).await;
    // Each way takes about two seconds: longer than any single deadline.
    proxy.set(Fault::Throttle(150_000));
    through.put(&key, body().into()).await.unwrap();
    assert!(through.get(&key).await.unwrap().bytes().await.unwrap() == body());
}

macro_rules! on {
    ($($module:ident => $kind:expr => [$($test:ident),*];)*) => {$(
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test($kind).await;
                }
            )*
        }
    )*};
}

on! {
    seaweedfs => Kind::SeaweedFs => [
        flipped_bit_in_a_read_is_an_error, flipped_bit_in_a_write_is_never_stored_silently,
        upload_that_stalls_is_given_up, slow_but_live_transfer_is_not_cut
    ];
    azurite => Kind::Azurite => [
        flipped_bit_in_a_read_is_an_error, flipped_bit_in_a_write_is_never_stored_silently,
        upload_that_stalls_is_given_up, slow_but_live_transfer_is_not_cut
    ];
    gcs => Kind::Gcs => [
        flipped_bit_in_a_read_is_an_error, flipped_bit_in_a_write_is_never_stored_silently,
        upload_that_stalls_is_given_up, slow_but_live_transfer_is_not_cut
    ];
    tiny_s3 => Kind::TinyS3 => [
        flipped_bit_in_a_read_is_an_error, flipped_bit_in_a_write_is_never_stored_silently
    ];
    failover_seaweedfs_azurite => Kind::SEAWEEDFS_AZURITE => [
        flipped_bit_in_a_read_is_an_error, flipped_bit_in_a_write_is_never_stored_silently,
        flipped_bit_in_a_small_read_is_made_good_by_the_other_backend,
        upload_that_stalls_at_one_backend_lands_at_the_other, slow_but_live_transfer_is_not_cut
    ];
    failover_azurite_gcs => Kind::AZURITE_GCS => [
        flipped_bit_in_a_read_is_an_error, flipped_bit_in_a_write_is_never_stored_silently,
        flipped_bit_in_a_small_read_is_made_good_by_the_other_backend,
        upload_that_stalls_at_one_backend_lands_at_the_other, slow_but_live_transfer_is_not_cut
    ];
    failover_dead_seaweedfs_gcs => Kind::DEAD_SEAWEEDFS_GCS => [
        flipped_bit_in_a_read_is_an_error, flipped_bit_in_a_write_is_never_stored_silently,
        slow_but_live_transfer_is_not_cut
    ];
    failover_dead_azurite_seaweedfs => Kind::DEAD_AZURITE_SEAWEEDFS => [
        flipped_bit_in_a_read_is_an_error, flipped_bit_in_a_write_is_never_stored_silently,
        slow_but_live_transfer_is_not_cut
    ];
}
