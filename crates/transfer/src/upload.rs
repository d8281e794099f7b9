//! Sends one body as parts: reads and writes at the same time, within the memory that is granted.

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use object_store::{MultipartUpload, PutPayload, PutPayloadMut, Result};

use crate::Progress;
use crate::body::{Body, BodyError};
use crate::budget::{Budget, Reserved};

/// Which end failed.
pub(crate) enum Failure {
    Source(BodyError),
    Target(object_store::Error),
}

/// The bounds of one upload.
pub(crate) struct Bounds<'a> {
    pub(crate) part_size: u64,
    pub(crate) parts_in_flight: usize,
    pub(crate) budget: &'a Budget,
}

/// Sends all parts and returns their number; completing or aborting is left to the caller.
///
/// Each part is sent once its memory is full, the last one once the end of the body was seen and
/// found in order. `first` is the memory of the first part. Holding the memory of a part never
/// waits for more, so that uploads that share a budget cannot block each other.
///
/// # Cancel safety
/// Dropping the future stops reading and sending; what was sent stays until the upload is aborted.
pub(crate) async fn send_parts<'a>(
    upload: &mut dyn MultipartUpload,
    body: &mut Body,
    bounds: &Bounds<'a>,
    first: Reserved<'a>,
    progress: &dyn Progress,
) -> Result<u32, Failure> {
    let mut running: FuturesUnordered<BoxFuture<'a, Result<()>>> = FuturesUnordered::new();
    let mut sent = 0;
    let mut memory = Some(first);
    let mut part = Part::default();
    let mut ended = false;
    loop {
        let may_start = !ended && running.len() < bounds.parts_in_flight.max(1);
        tokio::select! {
            Some(done) = running.next() => done.map_err(Failure::Target)?,
            reserved = bounds.budget.reserve(bounds.part_size), if memory.is_none() && may_start => {
                memory = Some(reserved);
            }
            piece = body.read(bounds.part_size - part.length), if memory.is_some() => {
                match piece.map_err(Failure::Source)? {
                    Some(piece) => {
                        progress.bytes(piece.len() as u64);
                        part.push(piece);
                    }
                    None => ended = true,
                }
                let full = part.length == bounds.part_size && !body.is_drained();
                if full || ended {
                    let uploading = upload.put_part(part.take());
                    let memory = memory.take();
                    sent += 1;
                    running.push(Box::pin(async move {
                        let done = uploading.await;
                        drop(memory);
                        done
                    }));
                }
            }
            else => return Ok(sent),
        }
    }
}

/// The part that is being read.
#[derive(Default)]
struct Part {
    pieces: PutPayloadMut,
    length: u64,
}

impl Part {
    fn push(&mut self, piece: bytes::Bytes) {
        self.length += piece.len() as u64;
        self.pieces.push(piece);
    }

    fn take(&mut self) -> PutPayload {
        self.length = 0;
        std::mem::take(&mut self.pieces).freeze()
    }
}
