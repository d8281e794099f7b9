//! Every public function of `object_store::integration`, against every backend on its server;
//! `response_extensions` is in `extensions.rs`.

use std::sync::Arc;

use lifeboat_tests::{Kind, TestStore, deviations, fresh};
use object_store::integration as suite;

/// Runs one function of the suite on a fresh store; a known deviation must still be one.
async fn run<F>(kind: Kind, function: &str, test: impl FnOnce(Arc<TestStore>) -> F)
where
    F: Future<Output = ()>,
{
    let store = Arc::new(fresh(kind).await);
    deviations::run(kind, function, test(store)).await;
}

macro_rules! suite {
    ($($module:ident => $kind:expr),* $(,)?) => {$(
        mod $module {
            use super::*;

            const KIND: Kind = $kind;

            suite!(@plain put_get_delete_list, put_get_attributes, get_opts, stream_get,
                list_uses_directories_correctly, list_with_delimiter, rename_and_copy,
                copy_if_not_exists, copy_rename_nonexistent_object, multipart_out_of_order,
                list_with_offset_exclusivity);

            #[tokio::test]
            async fn put_opts() {
                run(KIND, "put_opts", |t| async move {
                    let updates = t.store.capabilities().compare_and_swap;
                    suite::put_opts(&t.store, updates.is_yes()).await;
                })
                .await;
            }

            #[tokio::test]
            async fn get_nonexistent_object() {
                run(KIND, "get_nonexistent_object", |t| async move {
                    let error = suite::get_nonexistent_object(&t.store, None).await.unwrap_err();
                    assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
                })
                .await;
            }

            #[tokio::test]
            async fn multipart_race_condition() {
                run(KIND, "multipart_race_condition", |t| async move {
                    // Azure names blocks, not uploads: the first to complete takes the blocks.
                    let last_wins = KIND != Kind::Azurite;
                    suite::multipart_race_condition(&t.store, last_wins).await;
                })
                .await;
            }

            suite!(@stateless multipart, multipart_put_part_out_of_order, multipart_with_opts);

            #[tokio::test]
            async fn list_paginated() {
                run(KIND, "list_paginated", |t| async move {
                    if let Some(pages) = &t.pages {
                        suite::list_paginated(&t.store, &**pages).await;
                    }
                })
                .await;
            }
        }
    )*};
    (@plain $($function:ident),*) => {$(
        #[tokio::test]
        async fn $function() {
            run(KIND, stringify!($function), |t| async move { suite::$function(&t.store).await })
                .await;
        }
    )*};
    (@stateless $($function:ident),*) => {$(
        #[tokio::test]
        async fn $function() {
            run(KIND, stringify!($function), |t| async move {
                if let Some(multipart) = t.multipart() {
                    suite::$function(&t.store, &*multipart).await;
                }
            })
            .await;
        }
    )*};
}

suite! {
    seaweedfs => Kind::SeaweedFs,
    moto => Kind::Moto,
    azurite => Kind::Azurite,
    gcs => Kind::Gcs,
    tiny_s3 => Kind::TinyS3,
    folder => Kind::Folder,
    memory => Kind::Memory,
}
