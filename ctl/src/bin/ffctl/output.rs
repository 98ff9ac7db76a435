//! What is printed: data to standard output, everything else to standard error.

use std::io::{self, Write};

use filefleet_ctl::text;
use serde::Serialize;

use crate::failure::CommandError;

/// The version of everything that `--json` prints.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Versioned<T> {
    schema_version: u32,
    #[serde(flatten)]
    value: T,
}

/// Prints one line of JSON: the fields of `value` behind `schema_version`.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let value = Versioned { schema_version: SCHEMA_VERSION, value };
    line(&escaped(&serde_json::to_string(&value)?))
}

/// The same JSON, with `\u` escapes for what would act on a terminal. Outside of strings, where
/// escapes mean something else, JSON has only ASCII that is harmless.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if text::acts_or_hides(c) {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}"));
            escaped.extend(units);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Prints one line. Text from other people must have been made harmless.
pub(crate) fn line(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Tells the user something that is not data. A closed standard error is no reason to stop.
pub(crate) fn note(line: &str) {
    let _nobody_listens = writeln!(io::stderr(), "{line}");
}

/// Asks the user something; the answer is read elsewhere, on the same line.
pub(crate) fn prompt(question: &str) {
    let mut stderr = io::stderr();
    let _nobody_listens = write!(stderr, "{question}").and_then(|()| stderr.flush());
}

/// Tells the user what went wrong and what to do next; with `as_json` scripts learn it too.
pub(crate) fn error(error: &CommandError, as_json: bool) {
    #[derive(Serialize)]
    struct Json<'a> {
        error: &'a CommandError,
    }
    if as_json {
        let _nobody_listens = json(&Json { error });
    }
    note(&format!("ffctl: {}", text::display(&error.message)));
    for detail in &error.details {
        note(&format!("  {}", text::display(detail)));
    }
    if let Some(hint) = &error.hint {
        note(&format!("hint: {}", text::display(hint)));
    }
}

/// Prints rows below a heading, in columns as wide as they must be.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heading[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let print = |cells: [&str; N]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        line(cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    print(heading)?;
    rows.iter().try_for_each(|row| print(row.each_ref().map(String::as_str)))
}

/// Prints what is known of one thing, a field a line.
pub(crate) fn fields(fields: &[(&str, String)]) -> io::Result<()> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    fields.iter().try_for_each(|(name, value)| line(&format!("{name:width$}  {value}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn json_has_nothing_that_acts_on_a_terminal_and_means_the_same() {
        let hostile = "a\n\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{e0041}é😀";
        let json = escaped(&serde_json::to_string(hostile).unwrap());
        assert_eq!(json, r#""a\n\u001b[2J\u007f\u009b\u202e\udb40\udc41é😀""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
    }
}
