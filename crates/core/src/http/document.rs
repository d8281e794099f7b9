//! Just enough XML to tell an answer from nonsense and to read an error document.

use std::borrow::Cow;

use super::dialect::VendorError;

/// Longest vendor message that is kept; real ones are under 200 characters.
const LONGEST_TEXT: usize = 500;

/// The local name of the root element, if `body` begins like an XML document.
///
/// A document with a DOCTYPE is none of an object store's: HTML has one, and so do attacks.
pub(super) fn root_element(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body.get(..body.len().min(4096))?)
        .or_else(|error| std::str::from_utf8(&body[..error.valid_up_to()]))
        .ok()?;
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        rest = if let Some(declaration) = rest.strip_prefix("<?") {
            declaration.split_once("?>")?.1.trim_start()
        } else if let Some(comment) = rest.strip_prefix("<!--") {
            comment.split_once("-->")?.1.trim_start()
        } else {
            break;
        };
    }
    let name = rest.strip_prefix('<')?;
    let end = name.find(|c: char| c.is_whitespace() || matches!(c, '>' | '/'))?;
    let name = &name[..end];
    let local = name.rsplit(':').next()?;
    (!local.is_empty() && local.chars().all(char::is_alphanumeric)).then_some(local)
}

/// The text of the first element called `name`, unescaped, without control characters, bounded.
pub fn element_text(body: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let (_, after) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = after.split_once(&format!("</{name}>"))?;
    let plain = unescape(inner.trim());
    let kept = plain.chars().map(|c| if c.is_control() { ' ' } else { c });
    let kept: String = kept.take(LONGEST_TEXT).collect();
    (!kept.is_empty()).then_some(kept)
}

/// What the answer to a bulk delete says of the keys that are still there: key, code, message.
pub(super) fn delete_errors(body: &[u8]) -> Vec<(String, VendorError)> {
    let text = String::from_utf8_lossy(body);
    text.split("<Error>")
        .skip(1)
        .filter_map(|rest| {
            let block = rest.split_once("</Error>")?.0;
            let (_, after) = block.split_once("<Key>")?;
            let key = unescape(after.split_once("</Key>")?.0).into_owned();
            let code = element_text(block.as_bytes(), "Code");
            let message = element_text(block.as_bytes(), "Message");
            Some((key, VendorError { code, message, region: None }))
        })
        .collect()
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let plain = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&");
    Cow::Owned(plain)
}

/// The five characters that XML text must not hold as they are.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_behind_declaration_and_comment() {
        let body = b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- x --><ListBucketResult xmlns=\"a\">";
        assert_eq!(root_element(body), Some("ListBucketResult"));
        assert_eq!(root_element(b"<s3:Error><Code>X</Code>"), Some("Error"));
    }

    #[test]
    fn html_text_and_nothing_have_no_root() {
        assert_eq!(root_element(b"<!DOCTYPE html><html>"), None);
        assert_eq!(root_element(b"{\"error\": 1}"), None);
        assert_eq!(root_element(b""), None);
        assert_eq!(root_element(b"<"), None);
    }

    #[test]
    fn delete_errors_are_read_key_by_key() {
        let body = b"<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b&amp;c</Key>\
            <Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>";
        let errors = delete_errors(body);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].0, "b&c");
        assert_eq!(errors[0].1.code.as_deref(), Some("AccessDenied"));
    }

    #[test]
    fn text_is_unescaped_and_bounded() {
        let body = b"<Error><Code>SlowDown</Code><Message>a &amp;\n &lt;b&gt;</Message></Error>";
        assert_eq!(element_text(body, "Code").unwrap(), "SlowDown");
        assert_eq!(element_text(body, "Message").unwrap(), "a &  <b>");
        assert_eq!(element_text(body, "Region"), None);
        let long = format!("<Message>{}</Message>", "x".repeat(10_000));
        assert_eq!(element_text(long.as_bytes(), "Message").unwrap().len(), LONGEST_TEXT);
    }
}
