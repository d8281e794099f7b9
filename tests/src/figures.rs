//! What a suite has measured, for whoever reads the run.

use std::fmt::Display;
use std::io::Write;

/// Prints it also if the test passes: `println!` shows only what failing tests measured, because the test harness
/// captures it.
///
/// # Panics
/// If standard output is closed.
pub fn show(text: impl Display) {
    // On one thread the harness has begun a line with the name of the test.
    writeln!(std::io::stdout().lock(), "\n{text}").expect("standard output is there");
}
