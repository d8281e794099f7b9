//! Request bodies: read up to a cap, unwrapped, and checked against the hashes that came with them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use md5::{Digest, Md5};
use sha2::Sha256;

use super::auth::Payload;
use super::{chunked, not_implemented};
use crate::call::Call;
use crate::refusal::{Headers, Refusal};
use crate::signing::hex;

/// The largest object of one request, and the largest part.
const LARGEST: u64 = 5 << 30;

/// A body as it was meant, and what came after it.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// In order; pieces are as they arrived.
    pub(super) data: Vec<Bytes>,
    pub(super) trailers: Headers,
    /// The MD5 of the data.
    pub(super) md5: [u8; 16],
}

impl Received {
    fn new(data: Vec<Bytes>, trailers: Headers) -> Self {
        let mut md5 = Md5::new();
        for piece in &data {
            md5.update(piece);
        }
        Self { data, trailers, md5: md5.finalize().into() }
    }

    pub(super) fn size(&self) -> u64 {
        self.data.iter().map(|piece| piece.len() as u64).sum()
    }
}

/// Reads a request's body and verifies what the client said about it.
pub(super) async fn receive(
    call: &Call,
    payload: Payload,
    body: Incoming,
) -> Result<Received, Refusal> {
    if !matches!(call.method, Method::PUT | Method::POST) {
        return Ok(Received::new(Vec::new(), Vec::new()));
    }
    check_length(call)?;
    let data = read(body).await?;
    let received = match payload {
        Payload::Chunked(signer) => {
            let (data, trailers) = chunked::decode(data.concat().into(), signer)?;
            let received = Received::new(data, trailers);
            let announced = call.header("x-amz-decoded-content-length");
            if announced.is_some_and(|size| size.parse() != Ok(received.size())) {
                let text = "You did not provide the number of bytes specified by the \
                            x-amz-decoded-content-length HTTP header";
                return Err(Refusal::new(400, "IncompleteBody", text));
            }
            received
        }
        Payload::Hash(hash) => {
            check_hash(&data, &hash)?;
            Received::new(data, Vec::new())
        }
        Payload::Unsigned => Received::new(data, Vec::new()),
    };
    check_md5(call, &received)?;
    Ok(received)
}

fn too_large() -> Refusal {
    let text = "Your proposed upload exceeds the maximum allowed size";
    Refusal::new(400, "EntityTooLarge", text).detail("MaxSizeAllowed", LARGEST.to_string())
}

fn check_length(call: &Call) -> Result<(), Refusal> {
    if call.headers.contains_key("transfer-encoding") {
        return Err(not_implemented("Transfer-Encoding"));
    }
    let length = call.header("content-length").and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > LARGEST) { Err(too_large()) } else { Ok(()) }
}

/// How much of a refused upload is still read: what a test sends, not what would keep it busy.
const DRAINED: u64 = 64 << 20;

/// Reads and forgets a body, as far as it is worth it.
pub(super) async fn drain(mut body: Incoming) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, |data| data.len() as u64);
        if read > DRAINED {
            return;
        }
    }
}

/// Collects a body. Small frames are copied together, so that a slow client does not leave thousands of pieces.
async fn read(mut body: Incoming) -> Result<Vec<Bytes>, Refusal> {
    const PIECE: usize = 1 << 20;
    let (mut pieces, mut small, mut size) = (Vec::new(), BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Refusal::new(400, "IncompleteBody", format!("the body broke off: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        size += data.len() as u64;
        if size > LARGEST {
            return Err(too_large());
        }
        small.extend_from_slice(&data);
        if small.len() >= PIECE {
            pieces.push(small.split().freeze());
        }
    }
    if !small.is_empty() {
        pieces.push(small.freeze());
    }
    Ok(pieces)
}

fn check_hash(data: &[Bytes], hash: &str) -> Result<(), Refusal> {
    let mut digest = Sha256::new();
    for piece in data {
        digest.update(piece);
    }
    let computed = hex(&digest.finalize());
    if computed == hash {
        return Ok(());
    }
    let text = "The provided 'x-amz-content-sha256' header does not match what was computed.";
    Err(Refusal::new(400, "XAmzContentSHA256Mismatch", text)
        .detail("ClientComputedContentSHA256", hash)
        .detail("S3ComputedContentSHA256", computed))
}

fn check_md5(call: &Call, received: &Received) -> Result<(), Refusal> {
    let Some(given) = call.header("content-md5") else { return Ok(()) };
    match BASE64_STANDARD.decode(given) {
        Ok(md5) if md5 == received.md5 => Ok(()),
        Ok(md5) if md5.len() == received.md5.len() => {
            let text = "The Content-MD5 you specified did not match what we received.";
            Err(Refusal::new(400, "BadDigest", text))
        }
        _ => Err(Refusal::new(400, "InvalidDigest", "The Content-MD5 you specified is not valid.")),
    }
}
