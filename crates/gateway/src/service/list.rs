//! Listings, both versions, over what stores offer.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass, Owner,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::listing::{Entry, From, Page, Query};
use super::{Bucket, Gate, OWNER, failure, keys};

/// Amazon S3 API reference, `ListObjectsV2`: the default and the most.
const KEYS_PER_PAGE: i32 = 1000;

pub(super) async fn list_objects_v2(
    gate: &Gate,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = request.input;
    let bucket = gate.bucket(&input.bucket)?;
    let most = most(input.max_keys)?;
    let from = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => From::from_token(token).ok_or_else(|| {
            s3_error!(InvalidArgument, "the continuation token is not one of the gateway's")
        })?,
        (None, Some(key)) if !key.is_empty() => From::Key(key.clone()),
        (None, _) => From::Start,
    };
    let spelling = Spelling::new(input.encoding_type.as_ref())?;
    let query = query(input.prefix.as_ref(), input.delimiter.as_ref(), from, most);
    let (entries, next) = list(bucket, query).await?;
    let key_count = i32::try_from(entries.len()).ok();
    let (contents, common_prefixes) =
        spelling.split(entries, input.fetch_owner.unwrap_or_default());
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(spelling.spell(&input.prefix.unwrap_or_default())),
        max_keys: Some(most),
        key_count,
        continuation_token: input.continuation_token,
        is_truncated: Some(next.is_some()),
        next_continuation_token: next.map(|next| next.token()),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        delimiter: input.delimiter.map(|text| spelling.spell(&text)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|text| spelling.spell(&text)),
        ..ListObjectsV2Output::default()
    }))
}

pub(super) async fn list_objects(
    gate: &Gate,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let input = request.input;
    let bucket = gate.bucket(&input.bucket)?;
    let most = most(input.max_keys)?;
    let marker = input.marker.unwrap_or_default();
    let from = match &input.delimiter {
        _ if marker.is_empty() => From::Start,
        // The marker of a page that ended with a rolled-up prefix.
        Some(delimiter) if !delimiter.is_empty() && marker.ends_with(delimiter.as_str()) => {
            From::Prefix(marker.clone())
        }
        _ => From::Key(marker.clone()),
    };
    let spelling = Spelling::new(input.encoding_type.as_ref())?;
    let query = query(input.prefix.as_ref(), input.delimiter.as_ref(), from, most);
    let (entries, next) = list(bucket, query).await?;
    let (contents, common_prefixes) = spelling.split(entries, true);
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(spelling.spell(&input.prefix.unwrap_or_default())),
        marker: Some(spelling.spell(&marker)),
        max_keys: Some(most),
        is_truncated: Some(next.is_some()),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        delimiter: input.delimiter.map(|text| spelling.spell(&text)),
        next_marker: next.as_ref().and_then(From::after).map(|text| spelling.spell(text)),
        encoding_type: input.encoding_type,
        ..ListObjectsOutput::default()
    }))
}

fn most(max_keys: Option<i32>) -> S3Result<i32> {
    match max_keys.unwrap_or(KEYS_PER_PAGE) {
        negative if negative < 0 => Err(s3_error!(InvalidArgument, "max-keys is not negative")),
        most => Ok(most.min(KEYS_PER_PAGE)),
    }
}

fn query(prefix: Option<&String>, delimiter: Option<&String>, from: From, most: i32) -> Query {
    Query {
        prefix: prefix.cloned().unwrap_or_default(),
        delimiter: delimiter.filter(|text| !text.is_empty()).cloned(),
        from,
        most: usize::try_from(most).unwrap_or_default(),
    }
}

type Entries = BTreeMap<String, Entry>;

/// Lists one page.
async fn list(bucket: &Bucket, query: Query) -> S3Result<(Entries, Option<From>)> {
    // Stores list folders; no key begins with a folder that no path can name.
    let folder = match query.prefix.rsplit_once('/') {
        None => None,
        Some((folder, _)) => match Path::parse(folder) {
            Ok(path) if path.as_ref() == folder && !folder.is_empty() => Some(path),
            _ => return Ok((Entries::new(), None)),
        },
    };
    if query.most == 0 {
        return Ok((Entries::new(), None));
    }
    let listed = if query.delimiter.as_deref() == Some("/") {
        one_level(bucket, folder.as_ref(), query).await
    } else {
        everything(bucket, folder.as_ref(), query).await
    };
    let page = listed.map_err(|error| failure::backend(&*bucket.store, &error))?;
    Ok(page.finish())
}

/// Lists a folder without what is below it. Stores give it all at once, so each page of a large folder costs a
/// listing of the whole folder.
async fn one_level(
    bucket: &Bucket,
    folder: Option<&Path>,
    query: Query,
) -> object_store::Result<Page> {
    let from = query.from.clone();
    let mut page = Page::new(query);
    let listed = bucket.store.list_with_delimiter(folder).await?;
    for meta in listed.objects {
        page.object(meta);
    }
    for path in listed.common_prefixes {
        let name = format!("{path}/");
        let shown = match &from {
            // Only of the one prefix that the listing starts within it is not known.
            From::Key(after) if after.starts_with(&name) => {
                let mut inside = bucket.store.list(Some(&path));
                let mut found = false;
                while let Some(meta) = inside.try_next().await? {
                    found |= from.admits(meta.location.as_ref());
                    if found {
                        break;
                    }
                }
                found
            }
            from => from.admits(&name),
        };
        if shown {
            page.prefix(name);
        }
    }
    Ok(page)
}

/// Lists a folder with all that is below it, up to the end of the page where the store lists in
/// order, else to its own end.
async fn everything(
    bucket: &Bucket,
    folder: Option<&Path>,
    query: Query,
) -> object_store::Result<Page> {
    let ordered = bucket.store.capabilities().ordered_listing.is_yes();
    let after = query.from.after().filter(|_| ordered);
    let offset = after.and_then(|after| {
        Path::parse(after).ok().filter(|path| path.as_ref() == after && !after.is_empty())
    });
    let mut page = Page::new(query);
    let mut listed = match &offset {
        Some(offset) => bucket.store.list_with_offset(folder, offset),
        None => bucket.store.list(folder),
    };
    while let Some(meta) = listed.try_next().await? {
        page.object(meta);
        if ordered && page.is_full() {
            break;
        }
    }
    Ok(page)
}

/// How keys are written into the answer: some characters cannot stand in XML, so clients may ask
/// for an escaped form.
#[derive(Debug, Clone, Copy)]
enum Spelling {
    Plain,
    Url,
}

/// What S3 leaves as it is: RFC 3986's unreserved characters, and the slash.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

impl Spelling {
    fn new(wanted: Option<&EncodingType>) -> S3Result<Self> {
        match wanted.map(EncodingType::as_str) {
            None | Some("") => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::Url),
            Some(_) => Err(s3_error!(InvalidArgument, "the encoding type is url or nothing")),
        }
    }

    fn spell(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Url => utf8_percent_encode(text, ESCAPED).to_string(),
        }
    }

    fn split(self, entries: Entries, with_owner: bool) -> (Vec<Object>, Vec<CommonPrefix>) {
        let mut contents = Vec::new();
        let mut prefixes = Vec::new();
        for (name, entry) in entries {
            let name = self.spell(&name);
            match entry {
                Entry::Object(meta) => contents.push(object(name, &meta, with_owner)),
                Entry::Prefix => prefixes.push(CommonPrefix { prefix: Some(name) }),
            }
        }
        (contents, prefixes)
    }
}

fn object(key: String, meta: &ObjectMeta, with_owner: bool) -> Object {
    let owner = || Owner { display_name: Some(OWNER.to_owned()), id: Some(OWNER.to_owned()) };
    Object {
        e_tag: keys::etag_of(meta),
        key: Some(key),
        last_modified: Some(keys::modified(meta)),
        owner: with_owner.then(owner),
        size: Some(keys::length(meta.size)),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Object::default()
    }
}
