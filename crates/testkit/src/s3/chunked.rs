//! The `aws-chunked` encoding, which SDKs wrap around uploads: undone, with the chunks' signatures verified.

use bytes::Bytes;

use crate::refusal::{Headers, Refusal};
use crate::signing::{Scope, hex, hmac_sha256, sha256_hex};

/// Verifies the chain of chunk signatures that starts with the request's own.
#[derive(Debug)]
pub(super) struct ChunkSigner {
    key: Vec<u8>,
    timestamp: String,
    scope: String,
    previous: String,
}

impl ChunkSigner {
    pub(super) fn new(scope: &Scope<'_>, secret: &str, timestamp: &str, seed: &str) -> Self {
        Self {
            key: scope.key(secret),
            timestamp: timestamp.to_owned(),
            scope: scope.text(),
            previous: seed.to_owned(),
        }
    }

    fn check(&mut self, kind: &str, hashes: &str, given: Option<&str>) -> Result<(), Refusal> {
        let (timestamp, scope, previous) = (&self.timestamp, &self.scope, &self.previous);
        let message =
            format!("AWS4-HMAC-SHA256-{kind}\n{timestamp}\n{scope}\n{previous}\n{hashes}");
        let expected = hex(&hmac_sha256(&self.key, message.as_bytes()));
        if given != Some(expected.as_str()) {
            let text =
                "The chunk signature we calculated does not match the signature you provided.";
            return Err(Refusal::new(403, "SignatureDoesNotMatch", text));
        }
        self.previous = expected;
        Ok(())
    }
}

fn incomplete() -> Refusal {
    Refusal::new(400, "IncompleteBody", "The request body terminated unexpectedly")
}

/// Takes a line off the front, without its end.
fn line(rest: &mut Bytes) -> Result<String, Refusal> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or_else(incomplete)?;
    let line = rest.split_to(end);
    let _ = rest.split_to(2);
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Undoes the encoding: the data, piece by piece and uncopied, and the trailers.
pub(super) fn decode(
    mut rest: Bytes,
    mut signer: Option<ChunkSigner>,
) -> Result<(Vec<Bytes>, Headers), Refusal> {
    let empty = sha256_hex(b"");
    let mut pieces = Vec::new();
    loop {
        let head = line(&mut rest)?;
        let (size, extension) = head.split_once(';').unwrap_or((&head, ""));
        let size = usize::from_str_radix(size, 16).map_err(|_| incomplete())?;
        if size > rest.len() {
            return Err(incomplete());
        }
        let piece = rest.split_to(size);
        if let Some(signer) = &mut signer {
            let given = extension.strip_prefix("chunk-signature=");
            signer.check("PAYLOAD", &format!("{empty}\n{}", sha256_hex(&piece)), given)?;
        }
        if size == 0 {
            return Ok((pieces, trailers(rest, signer)?));
        }
        pieces.push(piece);
        if !line(&mut rest)?.is_empty() {
            return Err(incomplete());
        }
    }
}

/// Reads the lines after the last chunk.
fn trailers(mut rest: Bytes, signer: Option<ChunkSigner>) -> Result<Headers, Refusal> {
    let (mut trailers, mut signature) = (Headers::new(), None);
    while !rest.is_empty() {
        let line = line(&mut rest)?;
        match line.split_once(':') {
            Some(("x-amz-trailer-signature", value)) => signature = Some(value.trim().to_owned()),
            Some((name, value)) => {
                trailers.push((name.trim().to_lowercase(), value.trim().to_owned()));
            }
            None if line.is_empty() => {}
            None => return Err(incomplete()),
        }
    }
    if let (Some(mut signer), false) = (signer, trailers.is_empty()) {
        let pieces = trailers.iter().flat_map(|(name, value)| [name, ":", value, "\n"]);
        let text: String = pieces.collect();
        signer.check("TRAILER", &sha256_hex(text.as_bytes()), signature.as_deref())?;
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_chunks_and_trailers_are_taken_apart() {
        let body = "4\r\nWiki\r\n5\r\npedia\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n";
        let (pieces, trailers) = decode(Bytes::from(body), None).expect("well formed");
        assert_eq!(pieces.concat(), b"Wikipedia");
        assert_eq!(trailers, [("x-amz-checksum-crc32".to_owned(), "AAAA".to_owned())]);
    }

    #[test]
    fn a_body_that_ends_early_is_incomplete() {
        for body in ["4\r\nWi", "4\r\nWiki\r\n", "4\r\nWikiXX0\r\n\r\n", "zz\r\n"] {
            let error = decode(Bytes::from(body), None).expect_err(body);
            assert_eq!(error.code, "IncompleteBody", "{body}");
        }
    }

    /// The example of AWS's documentation on signed chunks: 64 KiB and 1 KiB of `a`.
    #[test]
    fn chunk_signatures_match_the_published_example() {
        let scope = Scope { date: "20130524", region: "us-east-1" };
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
        let signer = || Some(ChunkSigner::new(&scope, secret, "20130524T000000Z", seed));
        let body = |byte: &str| {
            format!(
                "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n{}\r\n\
                 400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n{}\r\n\
                 0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n",
                "a".repeat(65536),
                byte.repeat(1024)
            )
        };
        let (pieces, _) = decode(Bytes::from(body("a")), signer()).expect("signed right");
        assert_eq!(pieces.concat().len(), 66560);
        let error = decode(Bytes::from(body("b")), signer()).expect_err("altered");
        assert_eq!(error.code, "SignatureDoesNotMatch");
    }
}
