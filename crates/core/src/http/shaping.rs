//! Multipart uploads that keep to a provider's limits whatever the caller's part sizes are.
//!
//! A writer that sends 5 MiB parts does not know that Scaleway takes only 1,000 of them, or that
//! Cloudflare R2 wants all but the last of one size. Parts are gathered here and sent on in sizes
//! that fit. Memory is shared with the caller's parts; at most one part is held back.

use std::collections::VecDeque;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::try_join_all;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use crate::{Error, ErrorKind, PartLimits};

/// Part size where all parts must be equal and the caller sends smaller ones: 10,000 of them make
/// 156 GiB. A caller with a larger object sends larger parts, which are kept.
const EQUAL_PART: u64 = 16 << 20;
/// Smallest part sent where the number of parts is limited.
const FIRST_PART: u64 = 8 << 20;
/// Steps in which parts grow as the upload goes on: each doubles the size. With 1,000 parts from
/// 8 MiB that reaches 800 GiB, while a small object never waits for a large part.
const STEPS: u32 = 10;

/// Wraps the multipart upload of a provider with tighter limits than Amazon's.
pub(super) struct ShapedUpload {
    inner: Box<dyn MultipartUpload>,
    limits: PartLimits,
    backend: String,
    waiting: VecDeque<Bytes>,
    waiting_bytes: u64,
    sent: u32,
    equal: Option<u64>,
    /// A part was refused here: completing would make an object with a hole.
    refused: bool,
}

impl ShapedUpload {
    /// Whether uploads under `limits` need shaping.
    pub(super) fn needed(limits: &PartLimits) -> bool {
        limits.equal_parts || limits.max_parts < PartLimits::S3.max_parts
    }

    pub(super) fn new(
        inner: Box<dyn MultipartUpload>,
        limits: PartLimits,
        backend: String,
    ) -> Self {
        Self {
            inner,
            limits,
            backend,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            sent: 0,
            equal: None,
            refused: false,
        }
    }

    /// The size from which what waits is sent on.
    fn target(&self) -> u64 {
        if let Some(equal) = self.equal {
            return equal;
        }
        let step = (u64::from(self.sent) * u64::from(STEPS)
            / u64::from(self.limits.max_parts.max(1)))
        .min(u64::from(STEPS));
        (FIRST_PART << step).clamp(self.limits.min_part_size, self.limits.max_part_size)
    }

    /// Takes exactly `size` bytes from what waits.
    fn take(&mut self, size: u64) -> PutPayload {
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        let mut part = Vec::new();
        while left > 0
            && let Some(mut chunk) = self.waiting.pop_front()
        {
            if chunk.len() > left {
                self.waiting.push_front(chunk.split_off(left));
            }
            left -= chunk.len();
            part.push(chunk);
        }
        self.waiting_bytes -= size.min(self.waiting_bytes);
        part.into_iter().collect()
    }

    fn send(&mut self, part: PutPayload) -> Result<UploadPart> {
        if self.refused || self.sent >= self.limits.max_parts {
            self.refused = true;
            let message = format!("the upload needs more than {} parts", self.limits.max_parts);
            return Err(Error::new(ErrorKind::NotSupported, message)
                .with_backend(&self.backend)
                .with_remedy("send larger parts; this provider takes no more of them")
                .into());
        }
        self.sent += 1;
        Ok(self.inner.put_part(part))
    }

    fn flush(&mut self) -> Result<Vec<UploadPart>> {
        let mut parts = Vec::new();
        loop {
            let target = self.target();
            if self.waiting_bytes < target {
                return Ok(parts);
            }
            // Unequal parts may be of any size: what the caller sent as one part stays one.
            let size = match self.equal {
                Some(equal) => equal,
                None => self.waiting_bytes.min(self.limits.max_part_size),
            };
            let part = self.take(size);
            parts.push(self.send(part)?);
        }
    }
}

impl fmt::Debug for ShapedUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShapedUpload")
            .field("backend", &self.backend)
            .field("sent", &self.sent)
            .field("waiting_bytes", &self.waiting_bytes)
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for ShapedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let size = data.content_length() as u64;
        if self.limits.equal_parts && self.equal.is_none() {
            let floor = EQUAL_PART.max(self.limits.min_part_size);
            self.equal = Some(size.clamp(floor, self.limits.max_part_size.max(floor)));
        }
        self.waiting_bytes += size;
        self.waiting.extend(data.into_iter().filter(|chunk| !chunk.is_empty()));
        match self.flush() {
            Ok(parts) => try_join_all(parts).map(|sent| sent.map(|_| ())).boxed(),
            Err(error) => futures::future::ready(Err(error)).boxed(),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.waiting_bytes > 0 || self.refused {
            let rest = self.take(self.waiting_bytes);
            self.send(rest)?.await?;
        }
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Sizes(Arc<Mutex<Vec<usize>>>);

    #[async_trait]
    #[deny(clippy::missing_trait_methods)]
    impl MultipartUpload for Sizes {
        fn put_part(&mut self, data: PutPayload) -> UploadPart {
            self.0.lock().unwrap().push(data.content_length());
            futures::future::ready(Ok(())).boxed()
        }

        async fn complete(&mut self) -> Result<PutResult> {
            Ok(PutResult {
                e_tag: None,
                version: None,
                extensions: object_store::Extensions::default(),
            })
        }

        async fn abort(&mut self) -> Result<()> {
            Ok(())
        }
    }

    async fn upload(limits: PartLimits, parts: &[usize]) -> Result<Vec<usize>> {
        let sizes = Sizes::default();
        let mut upload = ShapedUpload::new(Box::new(sizes.clone()), limits, "test".into());
        for part in parts {
            upload.put_part(vec![0_u8; *part].into()).await?;
        }
        upload.complete().await?;
        Ok(sizes.0.lock().unwrap().clone())
    }

    const MIB: usize = 1 << 20;

    #[tokio::test]
    async fn equal_parts_are_equal_but_for_the_last() {
        let limits = PartLimits { equal_parts: true, ..PartLimits::S3 };
        let sent = upload(limits, &[5 * MIB, 7 * MIB, 30 * MIB, MIB]).await.unwrap();
        assert_eq!(sent, [16 * MIB, 16 * MIB, 11 * MIB]);
    }

    #[tokio::test]
    async fn small_parts_are_gathered_where_their_number_is_limited() {
        let limits = PartLimits { max_parts: 1_000, ..PartLimits::S3 };
        let sent = upload(limits, &[5 * MIB; 5]).await.unwrap();
        assert_eq!(sent, [10 * MIB, 10 * MIB, 5 * MIB]);
    }

    #[tokio::test]
    async fn more_parts_than_the_provider_takes_is_an_error_that_says_so() {
        let limits = PartLimits { max_parts: 2, max_part_size: 8 * MIB as u64, ..PartLimits::S3 };
        let error = upload(limits, &[8 * MIB; 3]).await.unwrap_err();
        assert!(error.to_string().contains("more than 2 parts"), "{error}");
    }

    #[tokio::test]
    async fn upload_with_a_refused_part_does_not_complete() {
        let limits = PartLimits { max_parts: 2, max_part_size: 8 * MIB as u64, ..PartLimits::S3 };
        let mut upload = ShapedUpload::new(Box::new(Sizes::default()), limits, "test".into());
        for _ in 0..2 {
            upload.put_part(vec![0; 8 * MIB].into()).await.unwrap();
        }
        upload.put_part(vec![0; 8 * MIB].into()).await.unwrap_err();
        upload.complete().await.expect_err("the third part is missing");
    }

    #[tokio::test]
    async fn an_upload_without_a_byte_completes() {
        let limits = PartLimits { equal_parts: true, ..PartLimits::S3 };
        assert_eq!(upload(limits, &[0]).await.unwrap(), Vec::<usize>::new());
    }
}
