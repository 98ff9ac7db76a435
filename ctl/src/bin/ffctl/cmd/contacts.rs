//! `ffctl contacts`.

use std::io;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use filefleet_ctl::proto::{Accept, Call, Change, ContactView, Reply, WirePath};
use filefleet_ctl::{format, text};
use serde::Serialize;

use super::{absolute, call, unexpected};
use crate::failure::{CommandError, Failure};
use crate::{cli, output};

/// Show the people you know, and decide what they may do
///
/// ONLINE says whether the server sees them, or "near" if their computer answers on a network that
/// this one is on: then no server is needed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl contacts
  ffctl contacts add 'filefleet:…'
  ffctl contacts show bob
  ffctl contacts set bob --accept always --max-size 20G")]
pub(crate) struct Contacts {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    pub(super) format: cli::Format,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add the person whom an invitation names; see "ffctl invite"
    Add {
        /// The link that they printed with "ffctl invite"
        link: String,
    },
    /// Show one person: fingerprint, safety phrase, what they may do
    ///
    /// The safety phrase is the same on both sides. Compare it by voice, or side by side: if it is
    /// equal, nobody is between you.
    Show {
        /// Their name
        name: String,
    },
    /// Remember that you have compared the safety phrase with this person
    Verify {
        /// Their name
        name: String,
    },
    /// Decide what happens to a person's transfers
    ///
    /// Somebody you never met is looked up at the server first and becomes a contact; compare the
    /// fingerprint that is shown.
    Set(Set),
    /// Forget a person and their identity
    Remove {
        /// Their name
        name: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl contacts set bob --accept always --dir ~/from-bob --max-size 20G
  ffctl contacts set bob --overwrite yes
  ffctl contacts set bob --default-dir --max-size none")]
struct Set {
    /// Their name
    name: String,
    /// Take their transfers at once, ask you each time, or refuse them
    #[arg(long)]
    accept: Option<AcceptArg>,
    /// Where their files go
    #[arg(long, value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// Let their files go to the usual folder again
    #[arg(long, conflicts_with = "dir")]
    default_dir: bool,
    /// Most that a transfer of theirs may have, as in 500M or 20G, or "none"
    #[arg(long, value_name = "SIZE", value_parser = parse_max_size)]
    max_size: Option<MaxSize>,
    /// Let them replace what they sent before with "ffctl send --update"
    #[arg(long)]
    overwrite: Option<YesNo>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AcceptArg {
    Always,
    Ask,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum YesNo {
    Yes,
    No,
}

/// A bound on the size of transfers, or none.
type MaxSize = Change<u64>;

fn parse_max_size(text: &str) -> Result<MaxSize, String> {
    match text {
        "none" => Ok(Change::Clear),
        _ => format::parse_size(text).map(Change::Set),
    }
}

impl Contacts {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let json = self.format.json;
        let asked = match self.action {
            None => Call::Contacts,
            Some(Action::Add { link }) => Call::ContactAdd { link },
            Some(Action::Show { name }) => Call::ContactShow { name },
            Some(Action::Verify { name }) => Call::ContactVerify { name },
            Some(Action::Set(set)) => set.call()?,
            Some(Action::Remove { name }) => Call::ContactRemove { name },
        };
        match call(asked).await? {
            Reply::Done => Ok(()),
            Reply::Contact(contact) => Ok(print_one(&contact, json)?),
            Reply::Contacts(contacts) => Ok(print_all(&contacts, json)?),
            _ => Err(unexpected().into()),
        }
    }
}

impl Set {
    fn call(self) -> Result<Call, CommandError> {
        let dir = match self.dir {
            Some(dir) => Change::Set(WirePath(absolute(&dir)?)),
            None if self.default_dir => Change::Clear,
            None => Change::Keep,
        };
        let accept = self.accept.map(|accept| match accept {
            AcceptArg::Always => Accept::Always,
            AcceptArg::Ask => Accept::Ask,
            AcceptArg::Never => Accept::Never,
        });
        let max_size = self.max_size.unwrap_or_default();
        let overwrite = self.overwrite.map(|overwrite| overwrite == YesNo::Yes);
        Ok(Call::ContactSet { name: self.name, accept, dir, max_size, overwrite })
    }
}

fn print_all(contacts: &[ContactView], json: bool) -> io::Result<()> {
    #[derive(Serialize)]
    struct Json<'a> {
        contacts: &'a [ContactView],
    }
    if json {
        return output::json(&Json { contacts });
    }
    if contacts.is_empty() {
        output::note("no contacts yet; people become contacts when you send to them");
        return Ok(());
    }
    let rows: Vec<_> = contacts.iter().map(row).collect();
    output::table(["NAME", "ONLINE", "ACCEPT", "VERIFIED", ""], &rows)
}

fn row(contact: &ContactView) -> [String; 5] {
    [
        text::display(&contact.name).to_string(),
        presence(contact).unwrap_or_default(),
        accept(contact.accept).to_owned(),
        format::yes_no(contact.verified),
        contact
            .warning
            .as_deref()
            .map(|warning| text::display(warning).to_string())
            .unwrap_or_default(),
    ]
}

fn print_one(contact: &ContactView, json: bool) -> io::Result<()> {
    if json {
        return output::json(contact);
    }
    let shown = |value: &str| text::display(value).to_string();
    let mut fields = vec![("name", shown(&contact.name))];
    fields.extend(contact.server.as_deref().map(|server| ("server", shown(server))));
    fields.push(("fingerprint", shown(&contact.identity)));
    fields.extend(contact.safety_phrase.as_deref().map(|phrase| ("safety phrase", shown(phrase))));
    fields.push(("verified", format::yes_no(contact.verified)));
    let near = contact.near.then(|| "near: on a network of this computer".to_owned());
    fields.extend(near.or_else(|| presence(contact)).map(|presence| ("online", presence)));
    fields.push(("accept", accept(contact.accept).to_owned()));
    fields.push(("may replace", format::yes_no(contact.overwrite)));
    fields.extend(contact.dir.as_ref().map(|dir| ("folder", dir.to_string())));
    fields.extend(contact.max_size.map(|max_size| ("max size", format::size(max_size))));
    fields.extend(contact.warning.as_deref().map(|warning| ("warning", shown(warning))));
    output::fields(&fields)
}

/// Whether they are there, and where, as far as it is known.
fn presence(contact: &ContactView) -> Option<String> {
    if contact.near { Some("near".to_owned()) } else { contact.online.map(format::yes_no) }
}

fn accept(accept: Accept) -> &'static str {
    match accept {
        Accept::Always => "always",
        Accept::Ask => "ask",
        Accept::Never => "never",
    }
}
