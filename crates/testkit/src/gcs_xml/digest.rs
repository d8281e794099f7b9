//! The checksums that a client sends along with an upload: read from the headers, checked while the body streams by.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, BodyStream};
use hyper::HeaderMap;
use hyper::body::Incoming;
use md5::{Digest, Md5};

use crate::error::BoxError;

/// What the data must add up to; `None` where the client did not say.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    crc32c: Option<Vec<u8>>,
    md5: Option<Vec<u8>>,
}

impl Expected {
    /// Reads `x-goog-hash` and `Content-MD5`. Text that is not base64 becomes a value that nothing matches.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut expected = Self::default();
        let decode = |text: &str| Some(BASE64_STANDARD.decode(text).unwrap_or_default());
        for line in headers.get_all("x-goog-hash").iter().filter_map(|line| line.to_str().ok()) {
            for part in line.split(',').map(str::trim) {
                match part.split_once('=') {
                    Some(("crc32c", value)) => expected.crc32c = decode(value),
                    Some(("md5", value)) => expected.md5 = decode(value),
                    _ => {}
                }
            }
        }
        if let Some(value) = headers.get("content-md5").and_then(|value| value.to_str().ok()) {
            expected.md5 = decode(value);
        }
        expected
    }
}

/// Computes what is expected, and nothing else.
struct Running {
    crc32c: Option<(Vec<u8>, crc_fast::Digest)>,
    md5: Option<(Vec<u8>, Md5)>,
}

impl Running {
    fn new(expected: Expected) -> Self {
        let crc = || crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
        Self {
            crc32c: expected.crc32c.map(|value| (value, crc())),
            md5: expected.md5.map(|value| (value, Md5::new())),
        }
    }

    fn update(&mut self, data: &[u8]) {
        if let Some((_, digest)) = &mut self.crc32c {
            digest.update(data);
        }
        if let Some((_, digest)) = &mut self.md5 {
            Digest::update(digest, data);
        }
    }

    fn fits(self) -> bool {
        let crc = self.crc32c.is_none_or(|(value, digest)| {
            // A CRC-32 has its value in the low half.
            digest.finalize().to_be_bytes()[4..] == value[..]
        });
        crc && self.md5.is_none_or(|(value, digest)| digest.finalize()[..] == value[..])
    }
}

/// Passes a body on and ends it with an error when it does not add up; the flag then tells that from a broken
/// connection.
pub(super) fn checked(
    body: Incoming,
    expected: Expected,
    bad: Arc<AtomicBool>,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
    let frames = BodyStream::new(body.map_err(BoxError::from));
    let state = (frames, Some(Running::new(expected)), bad);
    stream::unfold(state, |(mut frames, mut running, bad)| async move {
        loop {
            match frames.next().await {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if let Some(running) = &mut running {
                        running.update(&data);
                    }
                    return Some((Ok(data), (frames, running, bad)));
                }
                Some(Err(error)) => return Some((Err(error), (frames, None, bad))),
                None => {
                    if running.take().is_none_or(Running::fits) {
                        return None;
                    }
                    bad.store(true, Ordering::SeqCst);
                    let error = BoxError::from("the body does not match its checksum");
                    return Some((Err(error), (frames, None, bad)));
                }
            }
        }
    })
}
