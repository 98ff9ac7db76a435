#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn error(bytes: &[u8]) -> PathError {
    RelPath::decode(bytes).unwrap_err()
}

#[test]
fn hostile_paths_are_refused() {
    assert_eq!(error(b""), PathError::Empty);
    assert_eq!(error(b"/etc/x"), PathError::Empty);
    assert_eq!(error(b"a//b"), PathError::Empty);
    assert_eq!(error(b"a/"), PathError::Empty);
    assert_eq!(error(b"../x"), PathError::Relative);
    assert_eq!(error(b"a/../../x"), PathError::Relative);
    assert_eq!(error(b"a/.."), PathError::Relative);
    assert_eq!(error(b"./a"), PathError::Relative);
    assert_eq!(error(b"a\0b"), PathError::Separator);
    assert_eq!(error(&[b'a'; 256]), PathError::NameTooLong);
    assert_eq!(error(&[b'a'; MAX_PATH + 1]), PathError::TooLong);
    assert_eq!(error(&b"a/".repeat(10_000)), PathError::TooLong);
    assert_eq!(error(b"a/".repeat(129).strip_suffix(b"/").unwrap()), PathError::TooDeep);
    assert_eq!(error(b".filefleet-partial-00"), PathError::Reserved);
    assert_eq!(error(b".FileFleet-Partial-00/x"), PathError::Reserved);
}

#[test]
fn a_separator_inside_a_component_is_refused() {
    assert_eq!(RelPath::new(["a/b"]), Err(PathError::Separator));
    assert_eq!(RelPath::new(["a", "../b"]), Err(PathError::Separator));
    assert_eq!(RelPath::new(std::iter::repeat_n([b'a'; 255], 10_000)), Err(PathError::TooLong));
    assert_eq!(RelPath::new(Vec::<Vec<u8>>::new()), Err(PathError::Empty));
    assert_eq!(RelPath::new([""]), Err(PathError::Empty));
}

#[cfg(not(windows))] // where some of them are reserved
#[test]
fn unusual_but_harmless_paths_are_kept() {
    let longest = [b'a'; 255];
    for name in ["...", "..a", " ", "new\nline", "quo\"te", "🚢", ".hidden", "-rf", "~"] {
        assert_eq!(RelPath::new([name]).unwrap().name(), name.as_bytes());
    }
    assert_eq!(RelPath::new([longest]).unwrap().name(), longest);
    assert_eq!(RelPath::new([[0xff, 0xfe]]).unwrap().name(), [0xff, 0xfe]);
    assert!(RelPath::decode(b"a/".repeat(128).strip_suffix(b"/").unwrap()).is_ok());
    assert!(RelPath::decode(b"a/.filefleet-partial-00").is_ok());
}

#[test]
fn display_shows_what_would_mislead() {
    #[cfg(not(windows))] // where no name can hold these
    let path = RelPath::decode(b"a\x1b[31m/\xff\nb\"\\\xe2\x80\xaegpj.exe").unwrap();
    #[cfg(not(windows))]
    assert_eq!(path.to_string(), r#"a\u{1b}[31m/\xff\nb\"\\\u{202e}gpj.exe"#);
    let path = RelPath::new(["it's", "日本 🚢"]).unwrap();
    assert_eq!(path.to_string(), "it's/日本 🚢");
}

#[test]
fn what_windows_would_reinterpret_is_refused_there() {
    for name in ["a\\b", "c:", "file:stream"] {
        assert_eq!(check_windows_name(name.as_bytes()), Err(PathError::Separator), "{name}");
    }
    for name in ["con", "NUL.txt", "com1", "LPT9.a.b", "COM¹", "aux .c", "a.", "a ", "a?", "a\n"] {
        assert_eq!(check_windows_name(name.as_bytes()), Err(PathError::Reserved), "{name}");
    }
    for name in ["console", "com", "com10", "nul-x", ".con", "a.b", "ä"] {
        assert_eq!(check_windows_name(name.as_bytes()), Ok(()), "{name}");
    }
    assert_eq!(check_windows_name(&[0xff]), Err(PathError::NotUnicode));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_round_trip(bytes: Vec<u8>) {
        if let Ok(path) = RelPath::decode(&bytes) {
            prop_assert_eq!(path.as_bytes(), &bytes[..]);
            prop_assert_eq!(RelPath::new(path.components()), Ok(path.clone()));
            prop_assert!(!path.to_string().contains(char::is_control));
        }
    }

    #[test]
    fn an_accepted_path_never_leaves_its_folder(bytes in "[./a]{0,24}") {
        if let Ok(path) = RelPath::decode(bytes.as_bytes()) {
            let names = std::path::Path::new(&bytes).components();
            prop_assert!(names.clone().all(|c| matches!(c, std::path::Component::Normal(_))));
            prop_assert_eq!(names.count(), path.components().count());
        }
    }
}
