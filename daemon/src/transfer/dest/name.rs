//! Names that are free: `name (2).ext` where `name.ext` is taken.

use std::borrow::Cow;

use crate::transfer::entry::MAX_COMPONENT;

/// Longer endings are not taken for a file's type.
const MAX_EXTENSION: usize = 16;

/// The name to try as number `number`, from 1: `name.ext`, `name (2).ext`, `name (3).ext` …
///
/// The stem is shortened, at a character's edge, if the name would be too long.
pub(super) fn numbered(name: &[u8], number: u32, is_folder: bool) -> Cow<'_, [u8]> {
    if number <= 1 {
        return Cow::Borrowed(name);
    }
    let split = if is_folder { name.len() } else { extension_start(name) };
    let (stem, extension) = name.split_at(split);
    let suffix = format!(" ({number})");
    let room = MAX_COMPONENT - extension.len() - suffix.len();
    Cow::Owned([shorten(stem, room), suffix.as_bytes(), extension].concat())
}

/// Where the ending that tells a file's type begins: at its last dot, or at the dot of `.tar.gz`
/// and its like. A dot-file's first dot begins its name; an ending without a letter is a version.
fn extension_start(name: &[u8]) -> usize {
    let Some(start) = last_extension(name) else {
        return name.len();
    };
    match last_extension(&name[..start]) {
        Some(before) if name[before..start].eq_ignore_ascii_case(b".tar") => before,
        _ => start,
    }
}

fn last_extension(name: &[u8]) -> Option<usize> {
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    let ending = &name[dot + 1..];
    let is_type = (1..MAX_EXTENSION).contains(&ending.len())
        && ending.iter().all(u8::is_ascii_alphanumeric)
        && ending.iter().any(u8::is_ascii_alphabetic);
    let has_stem = name[..dot].iter().any(|&byte| byte != b'.');
    (is_type && has_stem).then_some(dot)
}

/// At most `room` bytes of `stem`, without half a character at the end.
fn shorten(stem: &[u8], room: usize) -> &[u8] {
    if stem.len() <= room {
        return stem;
    }
    let is_continuation = |byte: u8| byte & 0b1100_0000 == 0b1000_0000;
    let at_edge = (room.saturating_sub(3)..=room).rev().find(|&end| !is_continuation(stem[end]));
    &stem[..at_edge.unwrap_or(room)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(name: &str) -> String {
        String::from_utf8_lossy(&numbered(name.as_bytes(), 2, false)).into_owned()
    }

    #[test]
    fn the_number_goes_before_the_extension() {
        for (name, expected) in [
            ("name", "name (2)"),
            ("name.ext", "name (2).ext"),
            ("a.b.c.txt", "a.b.c (2).txt"),
            ("archive.tar.gz", "archive (2).tar.gz"),
            ("Archive.TAR.ZST", "Archive (2).TAR.ZST"),
            ("data.json.gz", "data.json (2).gz"),
            (".bashrc", ".bashrc (2)"),
            (".config.json", ".config (2).json"),
            (".tar.gz", ".tar (2).gz"),
            ("...gz", "...gz (2)"),
            ("name.", "name. (2)"),
            ("v1.2", "v1.2 (2)"),
            ("film.mp4", "film (2).mp4"),
            ("Mr. Smith", "Mr. Smith (2)"),
            ("name (2).ext", "name (2) (2).ext"),
            ("x.averyveryverylongending", "x.averyveryverylongending (2)"),
        ] {
            assert_eq!(second(name), expected);
        }
    }

    #[test]
    fn a_folder_has_no_extension_and_number_one_is_the_name_itself() {
        assert_eq!(&*numbered(b"photos.old", 3, true), b"photos.old (3)");
        assert_eq!(&*numbered(b"name.ext", 1, false), b"name.ext");
    }

    #[test]
    fn a_full_length_name_is_shortened_so_that_the_number_fits() {
        let name = format!("{}.txt", "x".repeat(251));
        assert_eq!(second(&name), format!("{} (2).txt", "x".repeat(247)));
        // 62 ships of four bytes, then three: a cut at 251 bytes would split the last ship.
        let name = format!("{}xyz.txt", "🚢".repeat(62));
        assert_eq!(second(&name), format!("{} (2).txt", "🚢".repeat(61) + ""));
        let bytes = [0xbf; 255];
        assert_eq!(numbered(&bytes, 10, false).len(), 255);
    }

    proptest! {
        #[test]
        fn a_numbered_name_is_a_new_name_of_allowed_length(
            name in proptest::collection::vec(any::<u8>(), 1..=255),
            number in 2_u32..10_000,
            is_folder: bool,
        ) {
            let other = numbered(&name, number, is_folder);
            prop_assert!(other.len() <= 255);
            prop_assert_ne!(&*other, &name[..]);
            prop_assert_ne!(&*other, &*numbered(&name, number + 1, is_folder));
        }

        #[test]
        fn a_numbered_text_stays_text(name in "\\PC{1,80}", number in 2_u32..10_000) {
            prop_assume!(name.len() <= 255);
            prop_assert!(str::from_utf8(&numbered(name.as_bytes(), number, false)).is_ok());
        }
    }
}
