//! Forwarding: what a wrapper around a store does not change, it passes on. Said once here, for wrappers of this and
//! other crates; what each of them changes is in its own file.

/// The names that the macros below need, wherever they are used.
#[doc(hidden)]
pub mod names {
    pub use std::ops::Range;
    pub use std::sync::Arc;

    pub use async_trait::async_trait;
    pub use bytes::Bytes;
    pub use futures::stream::BoxStream;
    pub use object_store::multipart::MultipartStore;
    pub use object_store::path::Path;
    pub use object_store::signer::Signer;
    pub use object_store::{
        CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
        ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    };
}

/// Implements `ObjectStore` for a wrapper. The methods that are named go to the store in a field, all others are the
/// wrapper's own and follow; `forward_object_store!(Wrapper => field)` forwards everything.
///
/// A default method of the trait is never used: each must be one or the other.
#[doc(hidden)]
#[macro_export]
macro_rules! forward_object_store {
    ($store:ty => $field:ident) => {
        $crate::forward_object_store! {
            $store => $field:
            put_opts put_multipart_opts get_opts get_ranges delete_stream list list_with_offset
            list_with_delimiter copy_opts rename_opts;
        }
    };
    ($store:ty => $field:ident: $($method:ident)+; $($own:tt)*) => {
        $crate::forward_object_store! { @add $store, $field, [$($method)+] $($own)* }
    };
    (@add $store:ty, $field:ident, [] $($all:tt)*) => {
        #[$crate::forward::names::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl $crate::forward::names::ObjectStore for $store {
            $($all)*
        }
    };
    (@add $store:ty, $field:ident, [put_opts $($more:ident)*] $($done:tt)*) => {
        $crate::forward_object_store! { @add $store, $field, [$($more)*] $($done)*
            async fn put_opts(
                &self,
                location: &$crate::forward::names::Path,
                payload: $crate::forward::names::PutPayload,
                options: $crate::forward::names::PutOptions,
            ) -> $crate::forward::names::Result<$crate::forward::names::PutResult> {
                self.$field.put_opts(location, payload, options).await
            }
        }
    };
    (@add $store:ty, $field:ident, [put_multipart_opts $($more:ident)*] $($done:tt)*) => {
        $crate::forward_object_store! { @add $store, $field, [$($more)*] $($done)*
            async fn put_multipart_opts(
                &self,
                location: &$crate::forward::names::Path,
                options: $crate::forward::names::PutMultipartOptions,
            ) -> $crate::forward::names::Result<Box<dyn $crate::forward::names::MultipartUpload>> {
                self.$field.put_multipart_opts(location, options).await
            }
        }
    };
    (@add $store:ty, $field:ident, [get_opts $($more:ident)*] $($done:tt)*) => {
        $crate::forward_object_store! { @add $store, $field, [$($more)*] $($done)*
            async fn get_opts(
                &self,
                location: &$crate::forward::names::Path,
                options: $crate::forward::names::GetOptions,
            ) -> $crate::forward::names::Result<$crate::forward::names::GetResult> {
                self.$field.get_opts(location, options).await
            }
        }
    };
    (@add $store:ty, $field:ident, [get_ranges $($more:ident)*] $($done:tt)*) => {
        $crate::forward_object_store! { @add $store, $field, [$($more)*] $($done)*
            async fn get_ranges(
                &self,
                location: &$crate::forward::names::Path,
                ranges: &[$crate::forward::names::Range<u64>],
            ) -> $crate::forward::names::Result<Vec<$crate::forward::names::Bytes>> {
                self.$field.get_ranges(location, ranges).await
            }
        }
    };
    (@add $store:ty, $field:ident, [delete_stream $($more:ident)*] $($done:tt)*) => {
        $crate::forward_object_store! { @add $store, $field, [$($more)*] $($done)*
            fn delete_stream(
                &self,
                locations: $crate::forward::names::BoxStream<
                    'static,
                    $crate::forward::names::Result<$crate::forward::names::Path>,
                >,
            ) -> $crate::forward::names::BoxStream<
                'static,
                $crate::forward::names::Result<$crate::forward::names::Path>,
            > {
                self.$field.delete_stream(locations)
            }
        }
    };
    (@add $store:ty, $field:ident, [list $($more:ident)*] $($done:tt)*) => {
        $crate::forward_object_store! { @add $store, $field, [$($more)*] $($done)*
            fn list(
                &self,
                prefix: Option<&$crate::forward::names::Path>,
            ) -> $crate::forward::names::BoxStream<
                'static,
                $crate::forward::names::Result<$crate::forward::names::ObjectMeta>,
            > {
                self.$field.list(prefix)
            }
        }
    };
    (@add $store:ty, $field:ident, [list_with_offset $($more:ident)*] $($done:tt)*) => {
        $crate::forward_object_store! { @add $store, $field, [$($more)*] $($done)*
            fn list_with_offset(
                &self,
                prefix: Option<&$crate::forward::names::Path>,
                offset: &$crate::forward::names::Path,
            ) -> $crate::forward::names::BoxStream<
                'static,
                $crate::forward::names::Result<$crate::forward::names::ObjectMeta>,
            > {
                self.$field.list_with_offset(prefix, offset)
            }
        }
    };
    (@add $store:ty, $field:ident, [list_with_delimiter $($more:ident)*] $($done:tt)*) => {
        $crate::forward_object_store! { @add $store, $field, [$($more)*] $($done)*
            async fn list_with_delimiter(
                &self,
                prefix: Option<&$crate::forward::names::Path>,
            ) -> $crate::forward::names::Result<$crate::forward::names::ListResult> {
                self.$field.list_with_delimiter(prefix).await
            }
        }
    };
    (@add $store:ty, $field:ident, [copy_opts $($more:ident)*] $($done:tt)*) => {
        $crate::forward_object_store! { @add $store, $field, [$($more)*] $($done)*
            async fn copy_opts(
                &self,
                from: &$crate::forward::names::Path,
                to: &$crate::forward::names::Path,
                options: $crate::forward::names::CopyOptions,
            ) -> $crate::forward::names::Result<()> {
                self.$field.copy_opts(from, to, options).await
            }
        }
    };
    (@add $store:ty, $field:ident, [rename_opts $($more:ident)*] $($done:tt)*) => {
        $crate::forward_object_store! { @add $store, $field, [$($more)*] $($done)*
            async fn rename_opts(
                &self,
                from: &$crate::forward::names::Path,
                to: &$crate::forward::names::Path,
                options: $crate::forward::names::RenameOptions,
            ) -> $crate::forward::names::Result<()> {
                self.$field.rename_opts(from, to, options).await
            }
        }
    };
}

/// Implements `BlobStore` for a wrapper that passes everything on: `forward_blob_store!([] Wrapper, this => this.field)`;
/// generic parameters stand in the brackets.
#[doc(hidden)]
#[macro_export]
macro_rules! forward_blob_store {
    ([$($generics:tt)*] $store:ty, $this:ident => $inner:expr) => {
        #[$crate::forward::names::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl $($generics)* $crate::BlobStore for $store {
            fn identity(&self) -> &$crate::Identity {
                let $this = self;
                $inner.identity()
            }

            fn capabilities(&self) -> $crate::Capabilities {
                let $this = self;
                $inner.capabilities()
            }

            async fn confirm_capabilities(
                &self,
            ) -> $crate::forward::names::Result<$crate::CapabilityReport> {
                let $this = self;
                $inner.confirm_capabilities().await
            }

            async fn bucket_rules(
                &self,
                prefix: &$crate::forward::names::Path,
            ) -> $crate::BucketRules {
                let $this = self;
                $inner.bucket_rules(prefix).await
            }

            async fn probe(&self) -> $crate::forward::names::Result<$crate::Probe> {
                let $this = self;
                $inner.probe().await
            }

            fn classify(&self, error: &$crate::forward::names::Error) -> $crate::Verdict {
                let $this = self;
                $inner.classify(error)
            }

            fn signer(
                &self,
            ) -> Option<$crate::forward::names::Arc<dyn $crate::forward::names::Signer>> {
                let $this = self;
                $inner.signer()
            }

            fn multipart_store(
                &self,
            ) -> Option<$crate::forward::names::Arc<dyn $crate::forward::names::MultipartStore>> {
                let $this = self;
                $inner.multipart_store()
            }
        }
    };
}
