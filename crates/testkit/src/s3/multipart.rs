//! Multipart uploads: initiate, upload and copy parts, complete, abort.

use std::collections::BTreeMap;

use bytes::Bytes;
use md5::{Digest, Md5};

use super::body::Received;
use super::checksum::{self, Algorithm, Checksum};
use super::conditions::Condition;
use super::objects::{attributes, copied, slice, unsatisfiable, written};
use super::options::Options;
use super::store::{Object, now};
use super::{NAMESPACE, Shared};
use crate::call::{Answer, Call};
use crate::conditions::{Bytes as Range, names, range};
use crate::http_client::full;
use crate::refusal::{Headers, Refusal, answer, header, xml};
use crate::signing::hex;
use crate::xml::{Document, Record, records};

/// The least that every part but the last must hold.
const SMALLEST_PART: u64 = 5 << 20;

/// A part that has arrived.
#[derive(Clone, Debug)]
struct Part {
    data: Vec<Bytes>,
    size: u64,
    md5: [u8; 16],
    checksum: Checksum,
}

impl Part {
    fn etag(&self) -> String {
        format!("\"{}\"", hex(&self.md5))
    }
}

/// An upload in progress.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    headers: Headers,
    tags: Option<String>,
    /// The algorithm that the client chose, if it did.
    algorithm: Option<Algorithm>,
    /// Whether the object's checksum is that of its parts' checksums.
    composite: bool,
    parts: BTreeMap<u32, Part>,
}

/// The MD5 of some pieces.
pub(super) fn single(data: &[Bytes]) -> [u8; 16] {
    let mut md5 = Md5::new();
    for piece in data {
        md5.update(piece);
    }
    md5.finalize().into()
}

impl Shared {
    pub(super) fn initiate(&self, call: &Call) -> Answer {
        let id = format!("{:032x}", rand::random::<u128>());
        let named = call.header("x-amz-checksum-algorithm");
        let algorithm = named.map(|name| {
            let text = "Checksum algorithm provided is unsupported.";
            Algorithm::named(name).ok_or_else(|| Refusal::new(400, "InvalidRequest", text))
        });
        let algorithm = algorithm.transpose()?;
        let full_object = call.header("x-amz-checksum-type") == Some("FULL_OBJECT");
        let composite = match algorithm {
            Some(Algorithm::Sha256) if full_object => {
                let text = "The FULL_OBJECT checksum type cannot be used with the sha256 checksum algorithm.";
                return Err(Refusal::new(400, "InvalidRequest", text));
            }
            None | Some(Algorithm::Crc64Nvme) => false,
            Some(_) => !full_object,
        };
        let upload = Upload {
            bucket: call.bucket.clone(),
            key: call.key.clone(),
            headers: attributes(&call.headers)?,
            tags: call.header("x-amz-tagging").map(str::to_owned),
            algorithm,
            composite,
            parts: BTreeMap::new(),
        };
        self.store.open_upload(&id, upload)?;
        let name = format!("InitiateMultipartUploadResult {NAMESPACE}");
        let document = Document::new().nest(&name, |document| {
            document.text("Bucket", &call.bucket).text("Key", &call.key).text("UploadId", &id)
        });
        let algorithm = named.map(|name| header("x-amz-checksum-algorithm", &name.to_uppercase()));
        Ok(xml(200, document, algorithm.into_iter().collect()))
    }

    pub(super) fn put_part(&self, call: &Call, id: &str, received: &Received) -> Answer {
        let part = self.store_part(call, id, received.data.clone(), &received.trailers)?;
        let mut headers = vec![header("etag", &part.etag())];
        if self.options.checksums {
            headers.extend(part.checksum.headers().into_iter().take(1));
        }
        Ok(answer(200, headers, full("")))
    }

    pub(super) fn copy_part(&self, call: &Call, id: &str) -> Answer {
        let (_, _, source) = self.source(call)?;
        let mut headers = hyper::HeaderMap::new();
        if let Some(value) = call.headers.get("x-amz-copy-source-range") {
            headers.insert("range", value.clone());
        }
        let (start, end) = match range(&headers, source.size) {
            Range::All => (0, source.size),
            Range::Some(start, end) => (start, end),
            Range::Unsatisfiable => return Err(unsatisfiable(source.size)),
        };
        let data = slice(&source.data, start, end);
        let part = self.store_part(call, id, data, &Vec::new())?;
        Ok(xml(200, copied("CopyPartResult", &part.etag(), now()), Vec::new()))
    }

    fn store_part(
        &self,
        call: &Call,
        id: &str,
        data: Vec<Bytes>,
        trailers: &Headers,
    ) -> Result<Part, Refusal> {
        let most = self.options.max_parts;
        let number = call.query.text("partNumber").and_then(|number| number.parse().ok());
        let number = number.filter(|number| (1..=most).contains(number)).ok_or_else(|| {
            let text = format!("Part number must be an integer between 1 and {most}, inclusive");
            Refusal::new(400, "InvalidArgument", text).detail("ArgumentName", "partNumber")
        })?;
        let target = (call.bucket.as_str(), call.key.as_str());
        let algorithm = self.store.with_upload(target, id, |upload| Ok(upload.algorithm))?;
        let fallback = algorithm.unwrap_or(Algorithm::Crc64Nvme);
        let part = Part {
            size: data.iter().map(|piece| piece.len() as u64).sum(),
            md5: single(&data),
            checksum: checksum::verify(call, trailers, &data, fallback)?,
            data,
        };
        if algorithm.is_some_and(|algorithm| algorithm != part.checksum.algorithm) {
            let text = "Checksum Type mismatch occurred, expected checksum Type is another one";
            return Err(Refusal::new(400, "InvalidRequest", text));
        }
        self.store.with_upload(target, id, |upload| {
            upload.parts.insert(number, part.clone());
            Ok(())
        })?;
        Ok(part)
    }

    pub(super) fn complete(&self, call: &Call, id: &str, received: &Received) -> Answer {
        let condition = Condition::of(call, self.options.conditional_writes)?;
        let target = (call.bucket.as_str(), call.key.as_str());
        let document = received.data.concat();
        let assemble = |upload: &Upload| assemble(upload, &document, &self.options);
        let stored = self.store.complete(target, id, assemble, |old| condition.check(old))?;
        let name = format!("CompleteMultipartUploadResult {NAMESPACE}");
        let checksum = stored.checksum.as_ref();
        let document = Document::new().nest(&name, |document| {
            let document = document
                .text("Location", &call.path)
                .text("Bucket", &call.bucket)
                .text("Key", &call.key)
                .text("ETag", &stored.etag);
            document.each(checksum, |document, checksum| {
                document.text(&checksum.algorithm.element(), &checksum.value)
            })
        });
        Ok(xml(200, document, written(&stored)))
    }

    pub(super) fn abort(&self, call: &Call, id: &str) -> Answer {
        self.store.drop_upload((&call.bucket, &call.key), id)?;
        Ok(answer(204, Vec::new(), full("")))
    }
}

/// The object that a completion describes.
fn assemble(upload: &Upload, document: &[u8], options: &Options) -> Result<Object, Refusal> {
    let parts = chosen(upload, document)?;
    check_sizes(&parts, options)?;
    let data: Vec<Bytes> = parts.iter().flat_map(|part| part.data.iter().cloned()).collect();
    let md5s: Vec<u8> = parts.iter().flat_map(|part| part.md5).collect();
    let etag = format!("\"{}-{}\"", hex(&Md5::digest(md5s)), parts.len());
    let algorithm = upload.algorithm.unwrap_or(Algorithm::Crc64Nvme);
    let checksum = options.checksums.then(|| {
        if upload.composite {
            let checksums: Vec<_> = parts.iter().map(|part| part.checksum.clone()).collect();
            Checksum::of_parts(algorithm, &checksums)
        } else {
            Checksum::of(algorithm, &data)
        }
    });
    Ok(Object {
        size: parts.iter().map(|part| part.size).sum(),
        data,
        etag,
        modified: now(),
        headers: upload.headers.clone(),
        tags: upload.tags.clone(),
        checksum,
    })
}

/// The parts that a completion names, in order, checked against what has arrived.
fn chosen<'a>(upload: &'a Upload, document: &[u8]) -> Result<Vec<&'a Part>, Refusal> {
    let malformed = || {
        let text = "The XML you provided was not well-formed or did not validate against our \
                    published schema";
        Refusal::new(400, "MalformedXML", text)
    };
    let named =
        records(document, "Part").filter(|named| !named.is_empty()).ok_or_else(malformed)?;
    let (mut parts, mut last) = (Vec::new(), 0);
    for record in named {
        let number = record.get("PartNumber").and_then(|text| text.trim().parse().ok());
        let number: u32 = number.ok_or_else(malformed)?;
        if number <= last {
            let text = "The list of parts was not in ascending order. Parts must be ordered by part number.";
            return Err(Refusal::new(400, "InvalidPartOrder", text));
        }
        last = number;
        let part = upload.parts.get(&number).filter(|part| fits(&record, part));
        parts.push(part.ok_or_else(|| {
            let text = "One or more of the specified parts could not be found. The part may not have \
                        been uploaded, or the specified entity tag may not match the part's entity tag.";
            Refusal::new(400, "InvalidPart", text).detail("PartNumber", number.to_string())
        })?);
        check_told(upload, &record, number)?;
    }
    Ok(parts)
}

fn fits(record: &Record, part: &Part) -> bool {
    let told = record.get(&part.checksum.algorithm.element());
    let same_sum = told.is_none_or(|told| *told == part.checksum.value);
    same_sum && record.get("ETag").is_some_and(|etag| names(etag, &part.etag()))
}

/// A checksum of checksums can only be made from those that the client tells.
fn check_told(upload: &Upload, record: &Record, number: u32) -> Result<(), Refusal> {
    let Some(algorithm) = upload.algorithm.filter(|_| upload.composite) else { return Ok(()) };
    if record.contains_key(&algorithm.element()) {
        return Ok(());
    }
    let name = algorithm.name();
    let text = format!(
        "The upload was created using a {name} checksum. The complete request must include the \
         checksum for each part. It was missing for part {number} in the request."
    );
    Err(Refusal::new(400, "InvalidRequest", text))
}

fn check_sizes(parts: &[&Part], options: &Options) -> Result<(), Refusal> {
    let Some((last, others)) = parts.split_last() else { return Ok(()) };
    if others.iter().any(|part| part.size < SMALLEST_PART) {
        let text = "Your proposed upload is smaller than the minimum allowed size";
        return Err(Refusal::new(400, "EntityTooSmall", text));
    }
    let Some(size) = others.first().map(|part| part.size) else { return Ok(()) };
    let equal = others.iter().all(|part| part.size == size) && last.size <= size;
    if options.equal_parts && !equal {
        let text = "All non-trailing parts must have the same length.";
        return Err(Refusal::new(400, "InvalidPart", text));
    }
    Ok(())
}
