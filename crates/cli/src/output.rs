//! What goes to standard output, and how it is laid out: lines, tables, JSON, escapes.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::exit::{Failure, Result};

/// How to talk: to people or to programs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// `--json`.
    pub(crate) json: bool,
    terminal: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, terminal: std::io::stdout().is_terminal() }
    }

    /// Says one line to a person, on standard error; programs get it as data.
    pub(crate) fn note(self, line: &str) {
        if !self.json {
            say(line);
        }
    }

    /// A name as it may be printed: escaped on a terminal, which would obey control characters; as
    /// it is for programs, which need the real one.
    pub(crate) fn name(self, name: &str) -> Cow<'_, str> {
        if self.terminal { escape(name) } else { Cow::Borrowed(name) }
    }
}

/// Prints text as it is.
pub(crate) fn print_text(text: &str) -> Result {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::output)
}

/// Prints one line.
pub(crate) fn print_line(line: &str) -> Result {
    print_text(&format!("{line}\n"))
}

/// Prints one JSON document, laid out for reading.
pub(crate) fn print_document(value: &impl Serialize) -> Result {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::output(error.into()))?;
    print_line(&text)
}

/// Prints one JSON object on one line, as a part of a stream.
pub(crate) fn print_record(value: &impl Serialize) -> Result {
    let text = serde_json::to_string(value).map_err(|error| Failure::output(error.into()))?;
    print_line(&text)
}

/// Says one line to a person, on standard error. Nobody there to read it is no failure.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Makes control characters, and those that reverse the direction of text, visible.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    let harmful =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().flat_map(|c| {
        let (own, escaped) =
            if harmful(c) { (None, Some(c.escape_default())) } else { (Some(c), None) };
        own.into_iter().chain(escaped.into_iter().flatten())
    });
    Cow::Owned(escaped.collect())
}

/// A plain table: columns as wide as their widest cell, two blanks between them.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// Starts with the headings; one that begins with `>` stands over a column of numbers.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let right = headings.iter().map(|heading| heading.starts_with('>')).collect();
        let first = headings.iter().map(|heading| heading.trim_start_matches('>').into()).collect();
        Self { rows: vec![first], right }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| escape(&cell).into_owned()).into());
    }

    /// The table as lines.
    pub(crate) fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..self.right.len()).map(width).collect();
        lines(self.rows.iter().map(|row| self.line(row, &widths)))
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let cells = row.iter().zip(widths).zip(&self.right).map(|((cell, width), right)| {
            let fill = " ".repeat(width.saturating_sub(cell.chars().count()));
            if *right { fill + cell } else { format!("{cell}{fill}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

/// Names and values, one pair a line, the values one below the other.
pub(crate) fn facts<N: AsRef<str>>(pairs: &[(N, String)]) -> String {
    let widths = pairs.iter().map(|(name, _)| name.as_ref().chars().count());
    let width = widths.max().unwrap_or_default();
    let line = |(name, value): &(N, String)| {
        format!("{:width$}  {}", escape(name.as_ref()), escape(value))
    };
    lines(pairs.iter().map(line))
}

/// The text, two blanks in.
pub(crate) fn indent(text: &str) -> String {
    lines(text.lines().map(|line| format!("  {line}")))
}

/// Each with a line end.
fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// Shortens a cell to `width` characters.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_made_visible_and_letters_stay() {
        assert_eq!(escape("plain ä 名"), "plain ä 名");
        assert_eq!(escape("a\nb\x1b[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(escape("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
    }

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        let mut table = Table::new(&["name", ">size", "note"]);
        table.row(["ä".into(), "5".into(), "x".into()]);
        table.row(["longer".into(), "12345".into(), String::new()]);
        assert_eq!(table.render(), "name     size  note\nä           5  x\nlonger  12345\n");
    }

    #[test]
    fn long_cells_are_cut_with_a_mark() {
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("äöü", 3), "äöü");
    }
}
