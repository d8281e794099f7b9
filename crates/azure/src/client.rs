//! `object_store`'s client with two things put right: presigned URLs and metadata names.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::Utc;
use futures::StreamExt;
use futures::stream::BoxStream;
use lifeboat_core::{Error, ErrorKind};
use object_store::azure::MicrosoftAzure;
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer, Url};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::metadata;
use crate::sas::SasSigner;

/// The client inside an [`AzureStore`](crate::AzureStore).
pub struct AzureClient {
    pub(crate) inner: MicrosoftAzure,
    pub(crate) sas: Option<SasSigner>,
}

impl fmt::Debug for AzureClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `MicrosoftAzure` prints its whole configuration; it is not shown.
        f.debug_struct("AzureClient").finish_non_exhaustive()
    }
}

impl fmt::Display for AzureClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for AzureClient {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        check_key(location)?;
        options.attributes = metadata::encode(&options.attributes);
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        mut options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        check_key(location)?;
        options.attributes = metadata::encode(&options.attributes);
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if check_key(location).is_err() {
            return Err(missing(location));
        }
        let mut result = self.inner.get_opts(location, options).await?;
        result.attributes = metadata::decode(&result.attributes);
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        // Azure would delete another key than the one that was named.
        let checked = locations.map(|location| {
            let location = location?;
            check_key(&location).map(|()| location)
        });
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        check_key(to)?;
        if check_key(from).is_err() {
            return Err(missing(from));
        }
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        check_key(to)?;
        if check_key(from).is_err() {
            return Err(missing(from));
        }
        self.inner.rename_opts(from, to, options).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Signer for AzureClient {
    async fn signed_url(&self, method: Method, path: &Path, expires_in: Duration) -> Result<Url> {
        check_key(path)?;
        if let Some(sas) = &self.sas {
            return Ok(sas.sign(&method, path, expires_in, Utc::now())?);
        }
        // Without the shared key `object_store` signs, which is right only for plain keys.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
        if !path.as_ref().chars().all(plain) {
            let message = "no presigned URL for a key with characters that need encoding";
            return Err(Error::new(ErrorKind::NotSupported, message)
                .with_key(path)
                .with_remedy("use an account key for such keys")
                .into());
        }
        self.inner.signed_url(method, path, expires_in).await
    }

    async fn signed_url_opts(
        &self,
        method: Method,
        path: &Path,
        expires_in: Duration,
        options: &SignedUrlOptions,
    ) -> Result<Url> {
        if options.is_empty() {
            return self.signed_url(method, path, expires_in).await;
        }
        self.inner.signed_url_opts(method, path, expires_in, options).await
    }

    async fn signed_urls(
        &self,
        method: Method,
        paths: &[Path],
        expires_in: Duration,
    ) -> Result<Vec<Url>> {
        let mut urls = Vec::with_capacity(paths.len());
        for path in paths {
            urls.push(self.signed_url(method.clone(), path, expires_in).await?);
        }
        Ok(urls)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartStore for AzureClient {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        check_key(path)?;
        self.inner.create_multipart(path).await
    }

    async fn create_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<MultipartId> {
        check_key(path)?;
        self.inner.create_multipart_opts(path, options).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        check_key(path)?;
        self.inner.put_part(path, id, part_idx, data).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        check_key(path)?;
        self.inner.complete_multipart(path, id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.inner.abort_multipart(path, id).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl PaginatedListStore for AzureClient {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        options: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        self.inner.list_paginated(prefix, options).await
    }
}

/// A key that Azure cannot have is not there.
fn missing(path: &Path) -> object_store::Error {
    let source = Box::new(Error::new(ErrorKind::NotFound, "Azure has no keys with backslashes"));
    object_store::Error::NotFound { path: path.to_string(), source }
}

/// Azure turns `\` into `/` without a word: the object would lie under another key.
fn check_key(path: &Path) -> Result<()> {
    if !path.as_ref().contains('\\') {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotSupported, "Azure stores `\\` in a key as `/`")
        .with_key(path)
        .with_remedy("use a key without backslashes")
        .into())
}
