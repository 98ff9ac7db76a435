//! `ffctl send --choose`: asks the user which contact to send to. On a terminal by a numbered list;
//! without one, as under a file manager, by a dialog of the desktop's own (zenity or kdialog on
//! Linux, the system's on macOS), in which errors are shown, too, since nobody would see them.

use std::ffi::OsStr;
use std::io::{self, BufRead, IsTerminal};
use std::process::{Command, Output, Stdio};

use filefleet_ctl::proto::ContactView;
use filefleet_ctl::{format, text};

use crate::failure::CommandError;
use crate::output;

/// How the user is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chooser {
    Terminal,
    Zenity,
    Kdialog,
    Osascript,
}

impl Chooser {
    /// What there is to ask with.
    pub(super) fn find() -> Result<Self, CommandError> {
        if io::stdin().is_terminal() && io::stderr().is_terminal() {
            return Ok(Self::Terminal);
        }
        let dialogs: &[Self] = match cfg!(target_os = "macos") {
            true => &[Self::Osascript],
            false => &[Self::Zenity, Self::Kdialog],
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |dialog: &&Self| {
            std::env::split_paths(&path).any(|dir| dir.join(dialog.program()).is_file())
        };
        dialogs.iter().find(is_there).copied().ok_or_else(|| {
            CommandError::failed("there is neither a terminal nor a program for dialogs")
                .with_hint("install zenity or kdialog, or name the receiver: ffctl send NAME PATH")
        })
    }

    fn program(self) -> &'static str {
        match self {
            Self::Terminal => "",
            Self::Zenity => "zenity",
            Self::Kdialog => "kdialog",
            Self::Osascript => "osascript",
        }
    }

    /// The name of the contact that the user chooses for this many files and folders.
    pub(super) fn choose(
        self,
        contacts: &[ContactView],
        items: usize,
    ) -> Result<String, CommandError> {
        let mut contacts: Vec<&ContactView> = contacts.iter().collect();
        contacts.sort_by_key(|contact| (!contact.is_reachable(), &contact.name));
        if contacts.is_empty() {
            return Err(CommandError::failed("you have no contacts yet")
                .with_hint("add one: ffctl contacts add LINK, or send to a name once"));
        }
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        let question = format!("Send {} to", format::count(items, "item"));
        match self {
            Self::Terminal => ask(&contacts, &question),
            _ => self.show(&contacts, &question),
        }
    }

    /// Shows an error to somebody who has no terminal to read it on.
    pub(super) fn tell(self, error: &CommandError) {
        let mut message = text::display(&error.message).to_string();
        if let Some(hint) = &error.hint {
            message = format!("{message}\n\n{}", text::display(hint));
        }
        let arguments: Vec<&str> = match self {
            Self::Terminal => return,
            Self::Zenity => vec!["--error", "--no-markup", "--title=FileFleet", "--text", &message],
            Self::Kdialog => vec!["--title=FileFleet", "--error", &message],
            Self::Osascript => vec!["-e", TELL, &message],
        };
        // It was printed already, for whom it may concern.
        let _cannot_be_shown = self.run(&arguments);
    }

    fn show(self, contacts: &[&ContactView], question: &str) -> Result<String, CommandError> {
        let mut arguments: Vec<&str> = match self {
            Self::Kdialog => vec!["--title=FileFleet", "--menu", question],
            Self::Osascript => vec!["-e", CHOOSE, question],
            _ => vec![
                "--list",
                "--title=FileFleet",
                "--text",
                question,
                "--column=Name",
                "--column=",
            ],
        };
        for contact in contacts {
            arguments.push(&contact.name);
            if self != Self::Osascript {
                arguments.push(match (self, contact.is_reachable()) {
                    (Self::Kdialog, _) => &contact.name,
                    (_, true) => "online",
                    (_, false) => "",
                });
            }
        }
        let output = self.run(&arguments).map_err(|error| {
            CommandError::failed(format!("cannot run {}: {error}", self.program()))
        })?;
        let chosen = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match output.status.success() && !chosen.is_empty() {
            true => Ok(chosen),
            false => Err(nobody()),
        }
    }

    fn run(self, arguments: &[impl AsRef<OsStr>]) -> io::Result<Output> {
        Command::new(self.program()).args(arguments).stdin(Stdio::null()).output()
    }
}

/// What the system's own dialog is given, with the arguments behind it. A cancelled one gives `false`.
const CHOOSE: &str = "on run argv
set chosen to choose from list (rest of argv) with title \"FileFleet\" with prompt (item 1 of argv)
if chosen is false then error number -128
return item 1 of chosen
end run";
const TELL: &str = "on run argv
display alert \"FileFleet\" message (item 1 of argv)
end run";

/// A numbered list, and an answer by number or name.
fn ask(contacts: &[&ContactView], question: &str) -> Result<String, CommandError> {
    for (number, contact) in (1..).zip(contacts) {
        let online = if contact.is_reachable() { "  (online)" } else { "" };
        output::note(&format!("{number:3}  {}{online}", text::display(&contact.name)));
    }
    loop {
        output::prompt(&format!("{question} (number or name): "));
        let mut line = String::new();
        let length = io::stdin().lock().read_line(&mut line);
        let length =
            length.map_err(|error| CommandError::failed(format!("cannot ask: {error}")))?;
        let answer = line.trim();
        if length == 0 || answer.is_empty() {
            return Err(nobody());
        }
        match answered(contacts, answer) {
            Some(name) => return Ok(name.to_owned()),
            None => output::note("that is not one of them"),
        }
    }
}

/// The contact that an answer means.
fn answered<'a>(contacts: &[&'a ContactView], answer: &str) -> Option<&'a str> {
    let by_name = contacts.iter().find(|contact| contact.name == answer);
    let by_number = || contacts.get(answer.parse::<usize>().ok()?.checked_sub(1)?);
    by_name.or_else(by_number).map(|contact| contact.name.as_str())
}

fn nobody() -> CommandError {
    CommandError::interrupted("nobody was chosen, and nothing was sent")
}

#[cfg(test)]
mod tests {
    use filefleet_ctl::proto::Accept;

    use super::*;

    fn contact(name: &str) -> ContactView {
        ContactView {
            name: name.to_owned(),
            server: None,
            identity: String::new(),
            verified: false,
            accept: Accept::Ask,
            dir: None,
            max_size: None,
            overwrite: false,
            online: None,
            near: false,
            safety_phrase: None,
            warning: None,
        }
    }

    #[test]
    fn an_answer_is_a_name_or_a_number() {
        let contacts = [contact("bob"), contact("carol"), contact("1")];
        let contacts: Vec<_> = contacts.iter().collect();
        assert_eq!(answered(&contacts, "carol"), Some("carol"));
        assert_eq!(answered(&contacts, "2"), Some("carol"));
        // Whoever has a number for a name is called by it.
        assert_eq!(answered(&contacts, "1"), Some("1"));
        for wrong in ["0", "4", "-1", "dave", "99999999999999999999"] {
            assert_eq!(answered(&contacts, wrong), None);
        }
    }
}
