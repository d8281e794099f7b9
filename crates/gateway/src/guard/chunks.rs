//! The framing `aws-chunked`, watched as it comes in.
//!
//! The library holds each chunk whole before it passes it on. Signed chunks have to be, and may be of 16 MiB
//! at most. Unsigned ones are cut into the pieces they arrive in: some SDKs send a whole object as
//! one chunk. The grammar is stricter than the library's, so that both read the same.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::checks::Chunks;
use super::refusal::Refusal;

/// Ten times what any SDK sends (64 KiB to 1 MiB).
const LARGEST_SIGNED: u64 = 16 << 20;

/// `SIZE;chunk-signature=<64 hex digits>`, where the size has at most eight digits.
const LONGEST_LINE: usize = 8 + 17 + 64;

/// Where in the framing the next byte is.
#[derive(Debug)]
enum At {
    Line(BytesMut),
    Data {
        left: u64,
    },
    AfterData {
        seen: usize,
    },
    /// Trailers, which the library reads and limits.
    Tail,
}

/// Reads framing, and gives out what is to be passed on.
#[derive(Debug)]
pub(crate) struct Framing {
    kind: Chunks,
    at: At,
    out: VecDeque<Bytes>,
}

impl Framing {
    pub(crate) fn new(kind: Chunks) -> Self {
        Self { kind, at: At::Line(BytesMut::new()), out: VecDeque::new() }
    }

    /// The next piece to pass on, if there is one.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// Takes what came in.
    pub(crate) fn feed(&mut self, mut input: Bytes) -> Result<(), Refusal> {
        while !input.is_empty() {
            match &mut self.at {
                At::Line(line) => {
                    let end = input.iter().position(|byte| *byte == b'\n');
                    line.extend_from_slice(&input.split_to(end.map_or(input.len(), |end| end + 1)));
                    if line.len() > LONGEST_LINE + 2 {
                        return Err(malformed());
                    }
                    if end.is_some() {
                        let line = std::mem::take(line).freeze();
                        self.start(line)?;
                    }
                }
                At::Data { left } => {
                    let length = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let data = input.split_to(length);
                    *left -= length as u64;
                    if *left == 0 {
                        self.at = At::AfterData { seen: 0 };
                    }
                    self.pass(data);
                }
                At::AfterData { seen } => {
                    if input.get_u8() != b"\r\n"[*seen] {
                        return Err(malformed());
                    }
                    *seen += 1;
                    if *seen == 2 {
                        self.at = At::Line(BytesMut::new());
                        if self.kind == Chunks::Signed {
                            self.out.push_back(Bytes::from_static(b"\r\n"));
                        }
                    }
                }
                At::Tail => self.out.push_back(std::mem::take(&mut input)),
            }
        }
        Ok(())
    }

    /// Whether all the framing is there, but for trailers.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.at, At::Tail)
    }

    /// Begins the chunk that a line announces.
    fn start(&mut self, line: Bytes) -> Result<(), Refusal> {
        let size = size(&line, self.kind)?;
        if self.kind == Chunks::Signed && size > LARGEST_SIGNED {
            let message = format!("a signed chunk may have at most {LARGEST_SIGNED} bytes");
            return Err(Refusal::bad("InvalidChunkSizeError", message));
        }
        if size == 0 || self.kind == Chunks::Signed {
            self.out.push_back(line);
        }
        self.at = if size == 0 { At::Tail } else { At::Data { left: size } };
        Ok(())
    }

    fn pass(&mut self, data: Bytes) {
        if self.kind == Chunks::Signed {
            self.out.push_back(data);
        } else {
            self.out.push_back(format!("{:x}\r\n", data.len()).into());
            self.out.push_back(data);
            self.out.push_back(Bytes::from_static(b"\r\n"));
        }
    }
}

/// The size that a line announces: `1f\r\n`, or `1f;chunk-signature=…\r\n` where chunks are signed.
fn size(line: &[u8], kind: Chunks) -> Result<u64, Refusal> {
    let line = line.strip_suffix(b"\r\n").ok_or_else(malformed)?;
    let digits = match kind {
        Chunks::Unsigned => line,
        Chunks::Signed => {
            let start = line.len().saturating_sub(64);
            let (rest, signature) = line.split_at(start);
            let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let rest = rest.strip_suffix(b";chunk-signature=").ok_or_else(malformed)?;
            if !signature.iter().all(hex) {
                return Err(malformed());
            }
            rest
        }
    };
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(malformed());
    }
    let text = std::str::from_utf8(digits).map_err(|_| malformed())?;
    u64::from_str_radix(text, 16).map_err(|_| malformed())
}

fn malformed() -> Refusal {
    Refusal::bad("InvalidRequest", "the chunks of the body are malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(kind: Chunks, pieces: &[&[u8]]) -> Result<Vec<u8>, Refusal> {
        let mut framing = Framing::new(kind);
        let mut out = Vec::new();
        for piece in pieces {
            framing.feed(Bytes::copy_from_slice(piece))?;
            while let Some(bytes) = framing.next() {
                out.extend_from_slice(&bytes);
            }
        }
        Ok(out)
    }

    #[test]
    fn unsigned_chunks_are_cut_into_the_pieces_they_arrive_in() {
        let out = passed(Chunks::Unsigned, &[b"5\r", b"\nab", b"cde\r", b"\n0\r\nx:y\r\n\r\n"]);
        assert_eq!(out.unwrap(), b"2\r\nab\r\n3\r\ncde\r\n0\r\nx:y\r\n\r\n");
    }

    #[test]
    fn signed_chunks_pass_byte_for_byte_however_they_are_cut() {
        let signature = "0123456789abcdef".repeat(4);
        let whole = format!(
            "3;chunk-signature={signature}\r\nabc\r\n0;chunk-signature={signature}\r\n\r\n"
        );
        for cut in 0..whole.len() {
            let (left, right) = whole.as_bytes().split_at(cut);
            assert_eq!(passed(Chunks::Signed, &[left, right]).unwrap(), whole.as_bytes(), "{cut}");
        }
    }

    #[test]
    fn large_signed_chunks_are_refused_when_they_are_announced() {
        let signature = "0".repeat(64);
        let line = |size: u64| format!("{size:x};chunk-signature={signature}\r\n");
        assert!(passed(Chunks::Signed, &[line(16 << 20).as_bytes()]).is_ok());
        let refused = passed(Chunks::Signed, &[line((16 << 20) + 1).as_bytes()]).unwrap_err();
        assert_eq!(refused.code, "InvalidChunkSizeError");
    }

    #[test]
    fn sizes_that_two_parsers_could_read_differently_are_refused() {
        // The library reads eight digits and ignores what follows.
        for line in ["100000000\r\n", "00000001ff\r\n", "1 \r\n", "+1\r\n", "1;x=y\r\n", "1\n"] {
            assert!(passed(Chunks::Unsigned, &[line.as_bytes()]).is_err(), "{line:?}");
        }
        assert!(passed(Chunks::Unsigned, &[&[b'1'; 200]]).is_err());
    }
}
