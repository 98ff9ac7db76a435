//! How text from strangers is shown: names of people and files, and what peers and servers say.
//!
//! Such text could move the cursor, recolour the screen or turn the reading direction, and so show
//! something else than it is. [`display`] and [`quoted`] make that visible and harmless. Showing
//! text twice does no harm: what they return has nothing left to escape.

use std::fmt::{self, Write};

/// Shows `text` on one line: what could act on a terminal, or hide, appears as `\n`, `\u{1b}` …
pub fn display(text: &str) -> Display<'_> {
    Display { text, quotes: false }
}

/// Shows `text` as [`display`] does, between double quotes: for names within a sentence.
pub fn quoted(text: &str) -> Display<'_> {
    Display { text, quotes: true }
}

/// Shows `text` as [`display`] does, and of a long one no more than its first `most` characters.
pub fn brief(text: &str, most: usize) -> String {
    let shown = display(text).to_string();
    match shown.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown,
    }
}

/// Returned by [`display`] and [`quoted`]. Obeys width and alignment.
#[derive(Debug, Clone, Copy)]
pub struct Display<'a> {
    text: &'a str,
    quotes: bool,
}

impl fmt::Display for Display<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::with_capacity(self.text.len() + 2);
        shown.extend(self.quotes.then_some('"'));
        for c in self.text.chars() {
            match c {
                '"' if self.quotes => shown.push_str("\\\""),
                '\n' => shown.push_str("\\n"),
                '\r' => shown.push_str("\\r"),
                '\t' => shown.push_str("\\t"),
                c if acts_or_hides(c) => write!(shown, "\\u{{{:x}}}", u32::from(c))?,
                c => shown.push(c),
            }
        }
        shown.extend(self.quotes.then_some('"'));
        f.pad(&shown)
    }
}

/// Whether a character steers the terminal, the reading direction or the line, or is invisible.
pub fn acts_or_hides(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul fillers.
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
            // Mongolian vowel separator; zero width space. The joiners that scripts and emoji
            // need (U+200C, U+200D) stay.
            | '\u{180e}' | '\u{200b}'
            // Direction marks, line and paragraph separators, embeddings, overrides.
            | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            // Word joiner, invisible operators, isolates, deprecated format characters.
            | '\u{2060}'..='\u{206f}'
            // Byte order mark, interlinear annotations, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["bob", "a b\\n.txt", "größe 👩‍👩‍👧 日本", "نص"] {
            assert_eq!(display(text).to_string(), text);
        }
    }

    #[test]
    fn what_acts_on_a_terminal_is_made_visible() {
        let hostile = "a\x1b[31m\n\r\t\0\u{7f}\u{9b}\u{202e}gpj.exe\u{2066}\u{feff}";
        let shown = display(hostile).to_string();
        let visible =
            concat!(r"a\u{1b}[31m\n\r\t\u{0}\u{7f}\u{9b}\u{202e}gpj.exe", r"\u{2066}\u{feff}");
        assert_eq!(shown, visible);
        assert_eq!(display(&shown).to_string(), shown);
    }

    #[test]
    fn quotes_cannot_be_closed_from_within() {
        assert_eq!(quoted("a\" and \"b").to_string(), r#""a\" and \"b""#);
    }

    #[test]
    fn a_long_text_is_cut_after_it_was_made_harmless() {
        assert_eq!(brief("a\nbcd", 4), "a\\nb…");
        assert_eq!(brief("größe", 5), "größe");
    }

    #[test]
    fn width_and_alignment_are_obeyed() {
        assert_eq!(format!("{:>6}|", display("bob")), "   bob|");
    }
}
