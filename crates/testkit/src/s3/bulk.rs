//! `DeleteObjects`: many deletes in one request.

use super::body::Received;
use super::{NAMESPACE, Shared, not_implemented};
use crate::call::{Answer, Call};
use crate::refusal::{Refusal, xml};
use crate::xml::{Document, records};

impl Shared {
    pub(super) fn delete_many(&self, call: &Call, received: &Received) -> Answer {
        let limit = self.options.bulk_delete.ok_or_else(|| not_implemented("delete"))?;
        let names = |name: &str| name == "content-md5" || name.starts_with("x-amz-checksum-");
        let protected = call.headers.keys().any(|name| names(name.as_str()));
        if !protected && received.trailers.is_empty() {
            let text = "Missing required header for this request: Content-MD5";
            return Err(Refusal::new(400, "InvalidRequest", text));
        }
        super::checksum::verify(
            call,
            &received.trailers,
            &received.data,
            super::checksum::Algorithm::Crc64Nvme,
        )?;
        let malformed = || {
            let text = "The XML you provided was not well-formed or did not validate against our \
                        published schema";
            Refusal::new(400, "MalformedXML", text)
        };
        let document = received.data.concat();
        let objects = records(&document, "Object").ok_or_else(malformed)?;
        let settings = records(&document, "Delete").ok_or_else(malformed)?;
        let quiet = settings.iter().any(|all| all.get("Quiet").is_some_and(|text| text == "true"));
        if objects.is_empty() || objects.len() > limit {
            return Err(malformed());
        }
        let mut deleted = Vec::new();
        for object in objects {
            let key = object.get("Key").ok_or_else(malformed)?;
            self.store.delete((&call.bucket, key), |_| Ok(()))?;
            deleted.push(key.clone());
        }
        let told = deleted.iter().filter(|_| !quiet);
        let document = Document::new().nest(&format!("DeleteResult {NAMESPACE}"), |document| {
            document.each(told, |document, key| document.nest("Deleted", |d| d.text("Key", key)))
        });
        Ok(xml(200, document, Vec::new()))
    }
}
