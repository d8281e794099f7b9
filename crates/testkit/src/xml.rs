//! XML as the S3 and GCS dialects need it: documents written tag by tag, and flat records read back.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;

/// A document under construction.
#[derive(Debug)]
pub(crate) struct Document(String);

impl Document {
    /// Begins with the XML declaration.
    pub(crate) fn new() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned())
    }

    /// Adds `<name>inside</name>`.
    pub(crate) fn nest(mut self, name: &str, inside: impl FnOnce(Self) -> Self) -> Self {
        self.0.extend(["<", name, ">"]);
        self = inside(self);
        // A namespace belongs to the opening tag only.
        let name = name.split(' ').next().unwrap_or(name);
        self.0.extend(["</", name, ">"]);
        self
    }

    /// Adds an element with text.
    pub(crate) fn text(self, name: &str, text: &(impl ToString + ?Sized)) -> Self {
        self.nest(name, |mut document| {
            escape_into(&text.to_string(), &mut document.0);
            document
        })
    }

    /// Adds an element with text where there is one.
    pub(crate) fn maybe(self, name: &str, text: Option<impl ToString>) -> Self {
        match text {
            Some(text) => self.text(name, &text),
            None => self,
        }
    }

    /// Adds one thing after the other.
    pub(crate) fn each<T>(
        self,
        items: impl IntoIterator<Item = T>,
        add: impl Fn(Self, T) -> Self,
    ) -> Self {
        items.into_iter().fold(self, add)
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// Escapes markup, and the white space that a parser would normalise.
fn escape_into(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' | '\n' | '\t' => out.extend(["&#", &u32::from(character).to_string(), ";"]),
            other => out.push(other),
        }
    }
}

/// One element's children: name and text.
pub(crate) type Record = BTreeMap<String, String>;

/// Reads every element called `name`, each as the texts of its direct children. `None` when it is not XML.
pub(crate) fn records(xml: &[u8], name: &str) -> Option<Vec<Record>> {
    let mut reader = Reader::from_reader(xml);
    let mut found = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut depth = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                let local = start.local_name().as_ref().to_owned();
                path.push(local);
                if path.last().is_some_and(|last| last == name) {
                    found.push(Record::new());
                    depth = Some(path.len());
                }
            }
            Event::End(_) => {
                path.pop();
                if depth.is_some_and(|depth| depth > path.len()) {
                    depth = None;
                }
            }
            Event::Text(text) => {
                append(&mut found, &path, depth, &text);
            }
            Event::GeneralRef(reference) => {
                let text = resolve(&reference)?;
                append(&mut found, &path, depth, &text);
            }
            Event::Eof if path.is_empty() => return Some(found),
            Event::Eof => return None,
            _ => {}
        }
    }
}

fn append(found: &mut [Record], path: &[String], depth: Option<usize>, text: &str) {
    if let (Some(depth), Some(record), Some(name)) = (depth, found.last_mut(), path.last())
        && path.len() == depth + 1
    {
        record.entry(name.clone()).or_default().push_str(text);
    }
}

/// The character that `&…;` stands for.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    if let Some(character) = reference.resolve_char_ref().ok()? {
        return Some(character.to_string());
    }
    quick_xml::escape::resolve_predefined_entity(reference).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_what_was_written_markup_and_control_characters_included() {
        let key = "a<b>&\"c\"\r\n'é🚀 ]]>";
        let written = Document::new()
            .nest("Delete", |document| {
                document
                    .each([key, "plain"], |document, key| {
                        document.nest("Object", |document| document.text("Key", key))
                    })
                    .text("Quiet", "true")
            })
            .finish();
        let read = records(written.as_bytes(), "Object").expect("XML");
        let keys: Vec<_> = read.iter().map(|record| record["Key"].as_str()).collect();
        assert_eq!(keys, [key, "plain"]);
        assert_eq!(records(written.as_bytes(), "Delete").expect("XML")[0]["Quiet"], "true");
    }

    #[test]
    fn a_truncated_document_is_not_xml() {
        assert!(records(b"<Delete><Object><Key>a</Key>", "Object").is_none());
    }
}
