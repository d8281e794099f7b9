//! Single objects: put, get, head, delete, copy, and their tags.

use bytes::Bytes;
use chrono::DateTime;
use futures::{TryStreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{HeaderMap, Method};

use super::body::Received;
use super::checksum::{self, Algorithm};
use super::conditions::{Condition, failed};
use super::store::{Object, now};
use super::{NAMESPACE, Shared, list};
use crate::call::{Answer, Call};
use crate::conditions::{self, Bytes as Range, Verdict, http_date};
use crate::error::BoxError;
use crate::http_client::{Body, full};
use crate::query::{Query, bucket_and_key};
use crate::refusal::{Headers, Refusal, answer, header, xml};
use crate::signing::hex;
use crate::xml::Document;

/// The header that makes a `PUT` a copy.
pub(super) const COPY_SOURCE: &str = "x-amz-copy-source";

/// The prefix of user metadata in headers.
const CUSTOM: &str = "x-amz-meta-";

/// The most that names and values of user metadata may add up to.
const MOST_METADATA: usize = 2048;

/// Headers that are stored and returned as they came.
const KEPT: [&str; 8] = [
    "content-type",
    "content-encoding",
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];

/// Parameters of a read that replace a header of its answer.
const OVERRIDES: [(&str, &str); 6] = [
    ("response-content-type", "content-type"),
    ("response-content-language", "content-language"),
    ("response-expires", "expires"),
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
];

impl Shared {
    pub(super) fn put(&self, call: &Call, received: &Received) -> Answer {
        let condition = Condition::of(call, self.options.conditional_writes)?;
        let checksum =
            checksum::verify(call, &received.trailers, &received.data, Algorithm::Crc64Nvme)?;
        let object = Object {
            data: received.data.clone(),
            size: received.size(),
            etag: format!("\"{}\"", hex(&received.md5)),
            modified: now(),
            headers: attributes(&call.headers)?,
            tags: call.header("x-amz-tagging").map(str::to_owned),
            checksum: self.options.checksums.then_some(checksum),
        };
        let target = (call.bucket.as_str(), call.key.as_str());
        let stored = self.store.put(target, object, |existing| condition.check(existing))?;
        Ok(answer(200, written(&stored), full("")))
    }

    pub(super) fn delete(&self, call: &Call) -> Answer {
        let condition = Condition::of(call, self.options.conditional_writes)?;
        let target = (call.bucket.as_str(), call.key.as_str());
        self.store.delete(target, |existing| condition.check(existing))?;
        Ok(answer(204, Vec::new(), full("")))
    }

    pub(super) fn read(&self, call: &Call) -> Answer {
        let object = self.store.object(&call.bucket, &call.key)?;
        match conditions::evaluate(&call.headers, &object.etag, object.modified) {
            Verdict::Failed => return Err(failed("If-Match")),
            Verdict::NotModified => {
                return Ok(answer(304, vec![header("etag", &object.etag)], full("")));
            }
            Verdict::Proceed => {}
        }
        let mut headers = read_headers(&object, &call.query);
        let (status, start, end) = match conditions::range(&call.headers, object.size) {
            Range::All => {
                let asked = call.header("x-amz-checksum-mode");
                let wanted = asked.is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"));
                let checksum = object.checksum.as_ref().filter(|_| wanted);
                headers.extend(checksum.map(checksum::Checksum::headers).unwrap_or_default());
                (200, 0, object.size)
            }
            Range::Some(start, end) => {
                let range = format!("bytes {start}-{}/{}", end - 1, object.size);
                headers.push(header("content-range", &range));
                (206, start, end)
            }
            Range::Unsatisfiable => return Err(unsatisfiable(object.size)),
        };
        headers.push(header("content-length", &(end - start)));
        if call.method == Method::HEAD {
            return Ok(answer(status, headers, full("")));
        }
        Ok(answer(status, headers, pieces(slice(&object.data, start, end))))
    }

    pub(super) fn tags(&self, call: &Call) -> Answer {
        let object = self.store.object(&call.bucket, &call.key)?;
        let uri = format!("/?{}", object.tags.as_deref().unwrap_or_default());
        let tags = uri.parse().map(|uri| Query::of(&uri)).unwrap_or_default();
        let document = Document::new().nest(&format!("Tagging {NAMESPACE}"), |document| {
            document.nest("TagSet", |document| {
                document.each(tags.pairs(), |document, (name, value)| {
                    document.nest("Tag", |tag| tag.text("Key", name).text("Value", value))
                })
            })
        });
        Ok(xml(200, document, Vec::new()))
    }

    pub(super) fn copy(&self, call: &Call) -> Answer {
        let (bucket, key, source) = self.source(call)?;
        let replace = call.header("x-amz-metadata-directive") == Some("REPLACE");
        if !replace && (&bucket, &key) == (&call.bucket, &call.key) {
            let text = "This copy request is illegal because it is trying to copy an object to itself \
                        without changing the object's metadata, storage class, website redirect \
                        location or encryption attributes.";
            return Err(Refusal::new(400, "InvalidRequest", text));
        }
        let mut object = Object { modified: now(), ..source };
        if replace {
            object.headers = attributes(&call.headers)?;
        }
        if call.header("x-amz-tagging-directive") == Some("REPLACE") {
            object.tags = call.header("x-amz-tagging").map(str::to_owned);
        }
        // A copy is one piece again: its tag is the plain MD5.
        let received = super::multipart::single(&object.data);
        object.etag = format!("\"{}\"", hex(&received));
        let condition = Condition::of(call, self.options.conditional_writes)?;
        let target = (call.bucket.as_str(), call.key.as_str());
        let stored = self.store.put(target, object, |existing| condition.check(existing))?;
        Ok(xml(200, copied("CopyObjectResult", &stored.etag, stored.modified), Vec::new()))
    }

    /// The object that a copy reads, when its conditions hold.
    pub(super) fn source(&self, call: &Call) -> Result<(String, String, Object), Refusal> {
        let text = call.header(COPY_SOURCE).unwrap_or_default();
        let (bucket, key) = bucket_and_key(text.split("?versionId=").next().unwrap_or_default());
        let object = self.store.object(&bucket, &key)?;
        let mut headers = HeaderMap::new();
        for name in ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"] {
            if let Some(value) = call.headers.get(format!("{COPY_SOURCE}-{name}")) {
                headers.insert(name, value.clone());
            }
        }
        match conditions::evaluate(&headers, &object.etag, object.modified) {
            Verdict::Proceed => Ok((bucket, key, Object::clone(&object))),
            _ => Err(failed("x-amz-copy-source-If-*")),
        }
    }
}

/// The document that answers a copy.
pub(super) fn copied(name: &str, etag: &str, modified: DateTime<chrono::Utc>) -> Document {
    Document::new().nest(&format!("{name} {NAMESPACE}"), |document| {
        document.text("LastModified", &list::iso_date(modified)).text("ETag", etag)
    })
}

pub(super) fn unsatisfiable(size: u64) -> Refusal {
    Refusal::new(416, "InvalidRange", "The requested range is not satisfiable")
        .detail("ActualObjectSize", size.to_string())
}

/// The headers of a successful write.
pub(super) fn written(object: &Object) -> Headers {
    let mut headers = vec![header("etag", &object.etag)];
    headers.extend(object.checksum.as_ref().map(checksum::Checksum::headers).unwrap_or_default());
    headers
}

fn read_headers(object: &Object, query: &Query) -> Headers {
    let mut headers = vec![
        header("etag", &object.etag),
        header("last-modified", &http_date(object.modified)),
        header("accept-ranges", "bytes"),
    ];
    let replaced = |name: &str| {
        let of = OVERRIDES.iter().find(|(_, known)| *known == name);
        of.and_then(|(parameter, _)| query.text(parameter))
    };
    let kept = object.headers.iter().filter(|(name, _)| replaced(name).is_none());
    headers.extend(kept.cloned());
    headers.extend(
        OVERRIDES
            .iter()
            .filter_map(|(parameter, name)| query.text(parameter).map(|value| header(name, value))),
    );
    if let Some(tags) = &object.tags {
        headers.push(header("x-amz-tagging-count", &tags.split('&').count()));
    }
    headers
}

/// What an upload's headers say about the object.
pub(super) fn attributes(headers: &HeaderMap) -> Result<Headers, Refusal> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let mut kept: Headers = headers
        .iter()
        .filter(|(name, _)| KEPT.contains(&name.as_str()) || name.as_str().starts_with(CUSTOM))
        .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
        .filter_map(|(name, value)| match name.as_str() {
            "content-encoding" => without_chunks(&value).map(|value| (name, value)),
            _ => Some((name, value)),
        })
        .collect();
    if !headers.contains_key("content-type") {
        kept.push(header("content-type", "binary/octet-stream"));
    }
    let custom = kept.iter().filter_map(|(name, value)| Some((name.strip_prefix(CUSTOM)?, value)));
    let size: usize = custom.map(|(name, value)| name.len() + value.len()).sum();
    if size > MOST_METADATA {
        let text = "Your metadata headers exceed the maximum allowed metadata size";
        return Err(Refusal::new(400, "MetadataTooLarge", text));
    }
    Ok(kept)
}

/// A content encoding without the one that only wraps the upload.
fn without_chunks(encoding: &str) -> Option<String> {
    let kept: Vec<&str> =
        encoding.split(',').map(str::trim).filter(|one| *one != "aws-chunked").collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// Some of the bytes, uncopied.
pub(super) fn slice(data: &[Bytes], start: u64, end: u64) -> Vec<Bytes> {
    let (mut at, mut slices) = (0, Vec::new());
    for piece in data {
        let length = piece.len() as u64;
        let from = start.saturating_sub(at).min(length);
        let to = end.saturating_sub(at).min(length);
        if from < to {
            // Both are at most the piece's own length.
            let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
            slices.push(piece.slice(index(from)..index(to)));
        }
        at += length;
    }
    slices
}

fn pieces(data: Vec<Bytes>) -> Body {
    let frames = stream::iter(data.into_iter().map(Ok::<_, BoxError>));
    StreamBody::new(frames.map_ok(Frame::data)).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cross_the_borders_of_pieces() {
        let data = ["0123", "", "4567", "89"].map(Bytes::from);
        let of = |start, end| slice(&data, start, end).concat();
        assert_eq!(of(0, 10), b"0123456789");
        assert_eq!(of(3, 5), b"34");
        assert_eq!(of(9, 10), b"9");
        assert_eq!(of(4, 4), b"");
    }

    #[test]
    fn the_wrapping_encoding_is_not_stored() {
        assert_eq!(without_chunks("aws-chunked"), None);
        assert_eq!(without_chunks("aws-chunked, gzip").as_deref(), Some("gzip"));
    }
}
