//! Reads a body in pieces of a wanted size and holds it to the length that was announced.

use std::fmt;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::GetResult;

/// Why a body could not be read to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The source failed.
    Source(object_store::Error),
    /// The body has another length than announced: the object changed, or the body was cut.
    Length(WrongLength),
}

/// The announced length, and what came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WrongLength {
    announced: u64,
    came: u64,
}

impl fmt::Display for WrongLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { announced, came } = self;
        if came < announced {
            write!(f, "the body ended after {came} of {announced} bytes")
        } else {
            write!(f, "the body has more than the {announced} bytes that were announced")
        }
    }
}

/// The body of one object.
pub(crate) struct Body {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    pending: Bytes,
    announced: u64,
    came: u64,
}

impl Body {
    pub(crate) fn new(object: GetResult) -> Self {
        let announced = object.range.end.saturating_sub(object.range.start);
        Self {
            stream: object.into_stream().fuse().boxed(),
            pending: Bytes::new(),
            announced,
            came: 0,
        }
    }

    /// Whether all announced bytes were handed out; the end itself may still be an error.
    pub(crate) fn is_drained(&self) -> bool {
        self.came == self.announced && self.pending.is_empty()
    }

    /// The next piece, at most `room` bytes; `None` once the end was seen and found in order.
    ///
    /// With no room it only looks for the end. A dropped call loses nothing.
    pub(crate) async fn read(&mut self, room: u64) -> Result<Option<Bytes>, BodyError> {
        while self.pending.is_empty() {
            match self.stream.next().await {
                Some(Ok(bytes)) => self.accept(bytes)?,
                Some(Err(error)) => return Err(BodyError::Source(error)),
                None if self.came < self.announced => return Err(self.wrong_length()),
                None => return Ok(None),
            }
        }
        let length = usize::try_from(room).unwrap_or(usize::MAX).min(self.pending.len());
        Ok(Some(self.pending.split_to(length)))
    }

    fn accept(&mut self, bytes: Bytes) -> Result<(), BodyError> {
        self.came += bytes.len() as u64;
        if self.came > self.announced {
            return Err(self.wrong_length());
        }
        self.pending = bytes;
        Ok(())
    }

    fn wrong_length(&self) -> BodyError {
        BodyError::Length(WrongLength { announced: self.announced, came: self.came })
    }
}
