//! `ffctl config`.

use std::io;

use clap::{Args, Subcommand};
use filefleet_ctl::proto::{Call, Reply, Setting};
use filefleet_ctl::text;
use serde::Serialize;

use super::{call, unexpected};
use crate::failure::Failure;
use crate::{cli, output};

/// Show and change settings
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl config list
  ffctl config set received_dir /srv/inbox
  ffctl config get received_dir")]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub(super) format: cli::Format,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the value of one setting
    Get {
        /// The setting's name
        key: String,
    },
    /// Change a setting, at once and for good
    Set {
        /// The setting's name
        key: String,
        /// Its new value
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Show every setting, its value and what it decides
    List,
}

impl Config {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let json = self.format.json;
        let (asked, quiet) = match self.action {
            Action::Get { key } => (Call::ConfigGet { key }, false),
            Action::Set { key, value } => (Call::ConfigSet { key, value }, !json),
            Action::List => (Call::ConfigList, false),
        };
        match call(asked).await? {
            Reply::Setting(_) if quiet => Ok(()),
            Reply::Setting(setting) if json => Ok(output::json(&setting)?),
            Reply::Setting(setting) => {
                Ok(output::line(&text::display(&setting.value).to_string())?)
            }
            Reply::Settings(settings) => Ok(print_all(&settings, json)?),
            _ => Err(unexpected().into()),
        }
    }
}

fn print_all(settings: &[Setting], json: bool) -> io::Result<()> {
    #[derive(Serialize)]
    struct Json<'a> {
        settings: &'a [Setting],
    }
    if json {
        return output::json(&Json { settings });
    }
    let rows: Vec<_> = settings.iter().map(row).collect();
    output::table(["SETTING", "VALUE", "", "MEANING"], &rows)
}

fn row(setting: &Setting) -> [String; 4] {
    let origin = if setting.is_default { "(default)" } else { "" };
    [
        text::display(&setting.key).to_string(),
        text::display(&setting.value).to_string(),
        origin.to_owned(),
        text::display(&setting.help).to_string(),
    ]
}
