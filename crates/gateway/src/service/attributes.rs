//! What an object carries beside its bytes, between HTTP headers and `object_store`'s attributes.

use std::borrow::Cow;

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES,
};
use http::{HeaderMap, HeaderName};
use object_store::{Attribute, Attributes};
use s3s::dto::Metadata;
use s3s::{S3Result, s3_error};

/// Amazon S3 User Guide, "Working with object metadata": 2 KB of names and values.
const LARGEST_METADATA: usize = 2 << 10;

/// Reads what a client wants the object to carry.
pub(super) fn from_request(
    headers: &HeaderMap,
    metadata: Option<Metadata>,
) -> S3Result<Attributes> {
    if headers.contains_key(EXPIRES) {
        return Err(s3_error!(
            NotImplemented,
            "what the header Expires asks for is not implemented; use Cache-Control"
        ));
    }
    let mut attributes = Attributes::new();
    let mut take = |name: HeaderName, attribute: Attribute| -> S3Result<()> {
        if let Some(value) = headers.get(&name) {
            let text = std::str::from_utf8(value.as_bytes())
                .map_err(|_| s3_error!(InvalidArgument, "the header {name} is no text"))?;
            let text = stored(&name, text);
            if !text.is_empty() {
                attributes.insert(attribute, text.into_owned().into());
            }
        }
        Ok(())
    };
    take(CACHE_CONTROL, Attribute::CacheControl)?;
    take(CONTENT_DISPOSITION, Attribute::ContentDisposition)?;
    take(CONTENT_ENCODING, Attribute::ContentEncoding)?;
    take(CONTENT_LANGUAGE, Attribute::ContentLanguage)?;
    take(CONTENT_TYPE, Attribute::ContentType)?;
    take(HeaderName::from_static("x-amz-storage-class"), Attribute::StorageClass)?;
    let metadata = metadata.unwrap_or_default();
    if metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        > LARGEST_METADATA
    {
        return Err(s3_error!(MetadataTooLarge, "user metadata may have at most 2 KB"));
    }
    for (name, value) in metadata {
        attributes.insert(Attribute::Metadata(name.into()), value.into());
    }
    Ok(attributes)
}

/// The value as it is stored: how the body was framed is not part of it.
fn stored<'a>(name: &HeaderName, value: &'a str) -> Cow<'a, str> {
    if name != CONTENT_ENCODING || !value.contains("aws-chunked") {
        return value.into();
    }
    let codings = value.split(',').map(str::trim);
    codings.filter(|coding| *coding != "aws-chunked").collect::<Vec<_>>().join(",").into()
}

/// What an object carries, as an answer has it.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) storage_class: Option<String>,
    pub(super) metadata: Option<Metadata>,
}

impl From<&Attributes> for Carried {
    fn from(attributes: &Attributes) -> Self {
        let mut carried = Self::default();
        let mut metadata = Metadata::new();
        for (attribute, value) in attributes {
            let value = value.to_string();
            match attribute {
                Attribute::CacheControl => carried.cache_control = Some(value),
                Attribute::ContentDisposition => carried.content_disposition = Some(value),
                Attribute::ContentEncoding => carried.content_encoding = Some(value),
                Attribute::ContentLanguage => carried.content_language = Some(value),
                Attribute::ContentType => carried.content_type = Some(value),
                Attribute::StorageClass => carried.storage_class = Some(value),
                Attribute::Metadata(name) => {
                    metadata.insert(name.to_string(), value);
                }
                // Nothing that S3 has a header for.
                _ => {}
            }
        }
        carried.metadata = (!metadata.is_empty()).then_some(metadata);
        carried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_framing_of_the_body_is_not_stored_as_its_encoding() {
        assert_eq!(stored(&CONTENT_ENCODING, "aws-chunked"), "");
        assert_eq!(stored(&CONTENT_ENCODING, "gzip, aws-chunked"), "gzip");
        assert_eq!(stored(&CONTENT_ENCODING, "aws-chunked,gzip,br"), "gzip,br");
        assert_eq!(stored(&CONTENT_ENCODING, "gzip"), "gzip");
    }
}
