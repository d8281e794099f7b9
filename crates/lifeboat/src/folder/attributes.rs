//! Attributes and tags of an object, kept in extended attributes of its file.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

use object_store::path::Path;
use object_store::{Attribute, AttributeValue, Attributes, Error, Result, TagSet};
use xattr::FileExt;

use super::errors::{failed, unsupported};

/// Everything of ours starts with this. `user.` is where Linux lets a user keep attributes.
const PREFIX: &str = "user.lifeboat.";
const METADATA: &str = "meta.";
const TAGS: &str = "tags";

const STANDARD: [(Attribute, &str); 6] = [
    (Attribute::CacheControl, "cache-control"),
    (Attribute::ContentDisposition, "content-disposition"),
    (Attribute::ContentEncoding, "content-encoding"),
    (Attribute::ContentLanguage, "content-language"),
    (Attribute::ContentType, "content-type"),
    (Attribute::StorageClass, "storage-class"),
];

/// Writes attributes and tags to a new file.
pub(super) fn write(file: &File, key: &Path, attributes: &Attributes, tags: &TagSet) -> Result<()> {
    for (attribute, value) in attributes {
        let name = name_of(attribute).ok_or_else(|| Error::NotImplemented {
            operation: format!("storing the attribute {attribute:?} of `{key}`"),
            implementer: "FolderStore".into(),
        })?;
        set(file, key, &name, value.as_bytes())?;
    }
    if !tags.is_empty() {
        set(file, key, &format!("{PREFIX}{TAGS}"), tags.encoded().as_bytes())?;
    }
    Ok(())
}

/// The attributes of a file; none where the file system keeps none.
pub(super) fn read(file: &File) -> io::Result<Attributes> {
    let mut attributes = Attributes::new();
    for name in own_names(file)? {
        if let (Some(attribute), Some(value)) = (attribute_of(&name), file.get_xattr(&name)?) {
            let value = String::from_utf8_lossy(&value).into_owned();
            attributes.insert(attribute, AttributeValue::from(value));
        }
    }
    Ok(attributes)
}

/// Carries everything of ours, tags included, from one file to another.
pub(super) fn copy(from: &File, to: &File, key: &Path) -> Result<()> {
    for name in own_names(from).map_err(|error| failed(key, "read the attributes of", error))? {
        let value = from.get_xattr(&name);
        let value = value.map_err(|error| failed(key, "read the attributes of", error))?;
        if let Some(value) = value {
            set(to, key, &name, &value)?;
        }
    }
    Ok(())
}

fn own_names(file: &File) -> io::Result<Vec<String>> {
    match file.list_xattr() {
        Ok(names) => Ok(names.filter_map(|name| own_name(&name)).collect()),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn own_name(name: &OsStr) -> Option<String> {
    name.to_str().filter(|name| name.starts_with(PREFIX)).map(str::to_owned)
}

fn set(file: &File, key: &Path, name: &str, value: &[u8]) -> Result<()> {
    let Err(error) = file.set_xattr(name, value) else { return Ok(()) };
    Err(match error.kind() {
        // The variant by which `object_store` says that a store keeps no attributes.
        io::ErrorKind::Unsupported => Error::NotImplemented {
            operation: format!(
                "storing attributes of `{key}`: the file system has no extended attributes; put the \
                 folder on one that has (ext4, xfs, btrfs, zfs, apfs), or store without attributes"
            ),
            implementer: "FolderStore".into(),
        },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            failed(key, "store the attributes of", error)
        }
        _ => {
            let message = format!("the attribute `{name}` does not fit the file system: {error}");
            unsupported(key, &message, "shorten it: ext4 keeps 4 KiB of attributes per file")
        }
    })
}

fn name_of(attribute: &Attribute) -> Option<String> {
    if let Attribute::Metadata(name) = attribute {
        return Some(format!("{PREFIX}{METADATA}{name}"));
    }
    let (_, name) = STANDARD.iter().find(|(standard, _)| standard == attribute)?;
    Some(format!("{PREFIX}{name}"))
}

fn attribute_of(name: &str) -> Option<Attribute> {
    let name = name.strip_prefix(PREFIX)?;
    if let Some(name) = name.strip_prefix(METADATA) {
        return Some(Attribute::Metadata(name.to_owned().into()));
    }
    STANDARD.iter().find(|(_, standard)| *standard == name).map(|(attribute, _)| attribute.clone())
}
