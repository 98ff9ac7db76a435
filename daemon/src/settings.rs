//! The settings: a TOML file that a person may edit, changed key by key without losing comments.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use filefleet_ctl::proto::{Accept, Setting};
use filefleet_server::protos::address::ServerAddress;
use filefleet_server::protos::name::Name;
use thiserror::Error;
use toml_edit::{DocumentMut, Item, Value};

use crate::identity::{create_private_dir, replace_private_file};

/// Why settings cannot be read or changed.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error("cannot use the settings file {}", file_path.display())]
    File { file_path: PathBuf, source: io::Error },
    #[error("the settings file {} is not TOML", file_path.display())]
    Syntax { file_path: PathBuf, source: toml_edit::TomlError },
    #[error("there is no setting '{0}'")]
    UnknownKey(String),
    #[error("'{value}' is no value for {key}: {expected}")]
    BadValue { key: &'static str, value: String, expected: &'static str },
}

/// A setting's name, what it means, and what it is when it is not set.
struct Key {
    name: &'static str,
    help: &'static str,
    default: &'static str,
    expected: &'static str,
}

const KEYS: &[Key] = &[
    Key {
        name: "name",
        help: "the name claimed at the server (set by 'ffctl register')",
        default: "",
        expected: "a name such as 'alice'",
    },
    Key {
        name: "server",
        help: "the rendezvous server (set by 'ffctl register')",
        default: "",
        expected: "HOST[:PORT][#FINGERPRINT]",
    },
    Key {
        name: "device-name",
        help: "what others see as this machine's name",
        default: "",
        expected: "at most 64 bytes of text",
    },
    Key {
        name: "received-dir",
        help: "where received files go; empty for the platform's folder",
        default: "",
        expected: "an absolute folder",
    },
    Key {
        name: "accept-strangers",
        help: "what happens with files of people who are no contacts",
        default: "ask",
        expected: "ask, never or always",
    },
    Key {
        name: "accept-contacts",
        help: "what happens with files of contacts about whom you would be asked",
        default: "ask",
        expected: "ask or always",
    },
    Key {
        name: "receiving",
        help: "whether anything comes in without a person's word; what is paused waits",
        default: "on",
        expected: "on or paused",
    },
    Key {
        name: "notifications",
        help: "what is shown on the desktop: requests and how transfers ended, requests alone, or \
               nothing",
        default: "all",
        expected: "all, requests or off",
    },
    Key {
        name: "max-size",
        help: "the most bytes taken from one transfer; 0 for no bound",
        default: "0",
        expected: "a number of bytes",
    },
    Key {
        name: "keep-partial",
        help: "days that an unfinished transfer is kept for a sender who went away",
        default: "7",
        expected: "a number of days, 1 to 3650",
    },
    Key {
        name: "port",
        help: "the UDP port for direct links; 0 for any free one",
        default: "0",
        expected: "a port number",
    },
    Key {
        name: "guess-ports",
        help: "whether ports of a NAT may be guessed, with up to 4,096 packets, where only the \
               relay helps otherwise",
        default: "true",
        expected: "true or false",
    },
    Key {
        name: "map-port",
        help: "whether the router is asked to let others reach this computer's port",
        default: "true",
        expected: "true or false",
    },
    Key {
        name: "lan-discovery",
        help: "whether contacts on the same network find this computer, and are found, without a \
               server",
        default: "true",
        expected: "true or false",
    },
];

/// What a running daemon is: another name or server in the file counts from the next start on.
const OF_THE_RUN: &[&str] = &["name", "server"];

/// The settings as last read from their file.
#[derive(Debug)]
pub(crate) struct Settings {
    file_path: PathBuf,
    document: DocumentMut,
}

impl Settings {
    /// Reads the file; one that does not exist is an empty one. Values that are wrong are errors, so
    /// that a slip never silently changes what is accepted.
    pub(crate) fn open(file_path: &Path) -> Result<Self, SettingsError> {
        Ok(Self { file_path: file_path.to_owned(), document: read(file_path)? })
    }

    /// Keys in the file that mean nothing, for a warning.
    pub(crate) fn unknown_keys(&self) -> Vec<String> {
        let known = |name: &str| KEYS.iter().any(|key| key.name == name);
        self.document.iter().map(|(name, _)| name.to_owned()).filter(|name| !known(name)).collect()
    }

    pub(crate) fn name(&self) -> Option<Name> {
        self.text("name").parse().ok()
    }

    pub(crate) fn server(&self) -> Option<ServerAddress> {
        self.text("server").parse().ok()
    }

    /// What others see as this machine's name.
    pub(crate) fn device_name(&self) -> String {
        let set = self.text("device-name");
        if set.is_empty() { host_name() } else { set }
    }

    pub(crate) fn received_dir(&self) -> Option<PathBuf> {
        Some(PathBuf::from(self.text("received-dir"))).filter(|dir| !dir.as_os_str().is_empty())
    }

    pub(crate) fn accept_strangers(&self) -> Accept {
        parse_accept(&self.text("accept-strangers")).unwrap_or(Accept::Ask)
    }

    /// What contacts get about whom this user would be asked.
    pub(crate) fn accept_contacts(&self) -> Accept {
        parse_accept(&self.text("accept-contacts")).unwrap_or(Accept::Ask)
    }

    /// Whether nothing is taken without a person's word.
    pub(crate) fn is_paused(&self) -> bool {
        self.text("receiving") == "paused"
    }

    pub(crate) fn max_size(&self) -> Option<u64> {
        self.text("max-size").parse().ok().filter(|most| *most > 0)
    }

    /// For how many days the content of an unfinished transfer is kept.
    pub(crate) fn keep_days(&self) -> u64 {
        self.text("keep-partial").parse().unwrap_or(7)
    }

    pub(crate) fn port(&self) -> u16 {
        self.text("port").parse().unwrap_or(0)
    }

    pub(crate) fn guess_ports(&self) -> bool {
        self.text("guess-ports").parse().unwrap_or(true)
    }

    pub(crate) fn map_port(&self) -> bool {
        self.text("map-port").parse().unwrap_or(true)
    }

    pub(crate) fn lan_discovery(&self) -> bool {
        self.text("lan-discovery").parse().unwrap_or(true)
    }

    fn text(&self, name: &str) -> String {
        key(name).map(|key| self.raw(key)).unwrap_or_default()
    }

    fn raw(&self, key: &Key) -> String {
        raw(&self.document, key)
    }

    /// One setting, as it is shown.
    pub(crate) fn show(&self, name: &str) -> Result<Setting, SettingsError> {
        let key = key(name)?;
        Ok(Setting {
            key: key.name.to_owned(),
            value: self.raw(key),
            is_default: !self.document.contains_key(key.name),
            help: key.help.to_owned(),
        })
    }

    /// Every setting.
    pub(crate) fn show_all(&self) -> Vec<Setting> {
        KEYS.iter().filter_map(|key| self.show(key.name).ok()).collect()
    }

    /// Changes one setting in the file, and takes over what a person has changed there meanwhile.
    /// Gives that one and the others that are different now. Nothing is changed if this fails.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<Vec<Setting>, SettingsError> {
        let key = key(name)?;
        check(key, value)?;
        let mut document = read(&self.file_path)?;
        match value {
            "" => drop(document.remove(key.name)),
            _ => document[key.name] = toml_edit::value(value),
        }
        let dir = self.file_path.parent().unwrap_or(Path::new("."));
        create_private_dir(dir)
            .and_then(|()| replace_private_file(&self.file_path, document.to_string().as_bytes()))
            .map_err(|source| SettingsError::File { file_path: self.file_path.clone(), source })?;
        let before = std::mem::replace(&mut self.document, document);
        for of_the_run in OF_THE_RUN.iter().filter(|other| **other != key.name) {
            match before.get(of_the_run) {
                Some(item) => self.document[of_the_run] = item.clone(),
                None => drop(self.document.remove(of_the_run)),
            }
        }
        let changed = |other: &&Key| other.name == name || raw(&before, other) != self.raw(other);
        Ok(KEYS.iter().filter(changed).filter_map(|key| self.show(key.name).ok()).collect())
    }
}

/// Reads the file and makes sure that its values are right.
fn read(file_path: &Path) -> Result<DocumentMut, SettingsError> {
    let text = match fs::read_to_string(file_path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => {
            return Err(SettingsError::File { file_path: file_path.to_owned(), source });
        }
    };
    let document = text
        .parse()
        .map_err(|source| SettingsError::Syntax { file_path: file_path.to_owned(), source })?;
    for key in KEYS {
        check(key, &raw(&document, key))?;
    }
    Ok(document)
}

fn raw(document: &DocumentMut, key: &Key) -> String {
    match document.get(key.name) {
        Some(Item::Value(Value::String(text))) => text.value().clone(),
        Some(Item::Value(value)) => value.clone().decorated("", "").to_string(),
        _ => key.default.to_owned(),
    }
}

fn key(name: &str) -> Result<&'static Key, SettingsError> {
    let found = KEYS.iter().find(|key| key.name == name);
    found.ok_or_else(|| SettingsError::UnknownKey(name.to_owned()))
}

fn check(key: &Key, value: &str) -> Result<(), SettingsError> {
    let right = value.is_empty()
        || match key.name {
            "name" => value.parse::<Name>().is_ok(),
            "server" => value.parse::<ServerAddress>().is_ok(),
            "device-name" => value.len() <= 64 && !value.chars().any(char::is_control),
            "received-dir" => Path::new(value).is_absolute(),
            "accept-strangers" => parse_accept(value).is_some(),
            "accept-contacts" => matches!(value, "ask" | "always"),
            "receiving" => matches!(value, "on" | "paused"),
            "notifications" => matches!(value, "all" | "requests" | "off"),
            "max-size" => value.parse::<u64>().is_ok(),
            "keep-partial" => value.parse::<u64>().is_ok_and(|days| (1..=3650).contains(&days)),
            "port" => value.parse::<u16>().is_ok(),
            "guess-ports" | "map-port" | "lan-discovery" => value.parse::<bool>().is_ok(),
            _ => false,
        };
    let bad = || SettingsError::BadValue {
        key: key.name,
        value: value.to_owned(),
        expected: key.expected,
    };
    right.then_some(()).ok_or_else(bad)
}

fn parse_accept(text: &str) -> Option<Accept> {
    match text {
        "ask" => Some(Accept::Ask),
        "never" => Some(Accept::Never),
        "always" => Some(Accept::Always),
        _ => None,
    }
}

/// The machine's name, as far as it can be a device name.
fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(windows)]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).take(16).collect();
    if name.is_empty() { "computer".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn in_file(text: &str) -> (tempfile::TempDir, Result<Settings, SettingsError>) {
        let dir = tempfile::tempdir().unwrap();
        let file_path = dir.path().join("settings.toml");
        fs::write(&file_path, text).unwrap();
        let settings = Settings::open(&file_path);
        (dir, settings)
    }

    #[test]
    fn a_change_keeps_what_a_person_wrote() {
        let (dir, settings) = in_file("# mine\nport = 7000 # fixed\nnonsense = 1\n");
        let mut settings = settings.unwrap();
        assert_eq!(settings.port(), 7000);
        assert_eq!(settings.unknown_keys(), ["nonsense"]);
        settings.set("accept-strangers", "never").unwrap();
        let text = fs::read_to_string(dir.path().join("settings.toml")).unwrap();
        assert!(text.starts_with("# mine\nport = 7000 # fixed\n"), "{text}");
        let again = Settings::open(&dir.path().join("settings.toml")).unwrap();
        assert_eq!(again.accept_strangers(), Accept::Never);
        assert!(!again.show("accept-strangers").unwrap().is_default);
        settings.set("accept-strangers", "").unwrap();
        assert_eq!(settings.accept_strangers(), Accept::Ask);
    }

    #[test]
    fn a_change_keeps_and_takes_over_what_a_person_has_changed_meanwhile() {
        let (dir, settings) = in_file("port = 7000\nname = \"alice\"\n");
        let mut settings = settings.unwrap();
        let file_path = dir.path().join("settings.toml");
        let edited = "# edited\nport = 7001\nmax-size = 5\nname = \"carol\"\n";
        fs::write(&file_path, edited).unwrap();
        let changed = settings.set("receiving", "paused").unwrap();
        let changed: Vec<_> = changed.iter().map(|setting| setting.key.as_str()).collect();
        assert_eq!(changed, ["receiving", "max-size", "port"]);
        assert_eq!(
            (settings.port(), settings.max_size(), settings.is_paused()),
            (7001, Some(5), true)
        );
        let text = fs::read_to_string(&file_path).unwrap();
        assert!(text.starts_with(edited), "{text}");
        // Who this is does not change under a running daemon.
        assert_eq!(settings.name(), Some("alice".parse().unwrap()));
        settings.set("name", "bob").unwrap();
        assert_eq!(settings.name(), Some("bob".parse().unwrap()));
    }

    #[test]
    fn a_file_that_a_person_has_broken_is_left_alone() {
        let (dir, settings) = in_file("port = 7000\n");
        let mut settings = settings.unwrap();
        let file_path = dir.path().join("settings.toml");
        for broken in ["port = \"", "port = 70000\n"] {
            fs::write(&file_path, broken).unwrap();
            assert!(settings.set("receiving", "paused").is_err(), "{broken}");
            assert_eq!(fs::read_to_string(&file_path).unwrap(), broken);
            assert_eq!((settings.port(), settings.is_paused()), (7000, false));
        }
    }

    #[test]
    fn wrong_values_are_refused_in_the_file_and_on_change() {
        for text in ["accept-strangers = \"allways\"", "port = 70000", "server = \"a:b:c\"", "= ="]
        {
            assert!(in_file(text).1.is_err(), "{text}");
        }
        let (_dir, settings) = in_file("");
        let mut settings = settings.unwrap();
        assert!(matches!(settings.set("colour", "red"), Err(SettingsError::UnknownKey(_))));
        assert!(matches!(settings.set("port", "x"), Err(SettingsError::BadValue { .. })));
        assert_eq!(settings.show_all().len(), KEYS.len());
    }
}
