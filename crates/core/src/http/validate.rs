//! Refuses what cannot be sent as a header before `object_store` sees it: it panics on some of it
//! ("request valid", 0.14.2), and on the rest its error does not name the culprit.

use http::{HeaderName, HeaderValue};
use object_store::{Attribute, Attributes, GetOptions, PutMode, Result};

use crate::{Error, ErrorKind};

/// Checks names and values of attributes.
pub(super) fn attributes(attributes: &Attributes) -> Result<()> {
    for (attribute, value) in attributes {
        if let Attribute::Metadata(name) = attribute {
            // The provider's prefix goes before the name, so its own first letter may be anything.
            if name.is_empty() || HeaderName::from_bytes(format!("x-{name}").as_bytes()).is_err() {
                let message = format!("`{}` is no name for user metadata", name.escape_debug());
                return Err(refusal(message, "use ASCII letters, digits, `-` and `_`"));
            }
        }
        let shown = match attribute {
            Attribute::Metadata(name) => format!("user metadata `{name}`"),
            other => format!("{other:?}"),
        };
        text(&shown, value)?;
    }
    Ok(())
}

/// Checks the conditions of a read.
pub(super) fn conditions(options: &GetOptions) -> Result<()> {
    for (name, value) in
        [("if_match", &options.if_match), ("if_none_match", &options.if_none_match)]
    {
        value.as_deref().map_or(Ok(()), |value| text(name, value))?;
    }
    Ok(())
}

/// Checks the condition of a write.
pub(super) fn mode(mode: &PutMode) -> Result<()> {
    let PutMode::Update(version) = mode else { return Ok(()) };
    for (name, value) in [("e_tag", &version.e_tag), ("version", &version.version)] {
        value.as_deref().map_or(Ok(()), |value| text(name, value))?;
    }
    Ok(())
}

fn text(name: &str, value: &str) -> Result<()> {
    // `to_str` is stricter than `from_str`: signing panics on what it refuses.
    if HeaderValue::from_str(value).is_ok_and(|value| value.to_str().is_ok()) {
        return Ok(());
    }
    let message = format!("the value of {name} cannot be sent: `{}`", value.escape_debug());
    Err(refusal(message, "use printable ASCII, or encode it"))
}

fn refusal(message: String, remedy: &str) -> object_store::Error {
    Error::new(ErrorKind::NotSupported, message).with_remedy(remedy).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(name: &'static str, value: &'static str) -> Result<()> {
        attributes(&Attributes::from_iter([(Attribute::Metadata(name.into()), value)]))
    }

    #[test]
    fn what_no_header_can_carry_is_named() {
        assert!(metadata("plain", "value with spaces").is_ok());
        assert!(metadata("1st-Name_x", "").is_ok());
        let error = metadata("name", "line\nbreak").unwrap_err().to_string();
        assert!(error.contains("line\\nbreak"), "{error}");
        assert!(metadata("with space", "x").is_err());
        assert!(metadata("", "x").is_err());
        assert!(metadata("name", "é").is_err());
        let options = GetOptions { if_match: Some("\u{7}".into()), ..GetOptions::default() };
        assert!(conditions(&options).is_err());
    }
}
