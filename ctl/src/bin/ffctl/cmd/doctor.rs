//! `ffctl doctor`.

use std::io;

use clap::Args;
use filefleet_ctl::proto::{Call, DoctorView, Finding, Level, Reply};
use filefleet_ctl::{format, text};

use super::{call, unexpected};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::{cli, output};

/// Find out what stands in the way of sending, and what to do about it
///
/// The daemon looks at the way to the server, at the NAT that this computer is behind and at what its
/// router does for it, which takes a few seconds. The last line says what to expect. "warn" works, but
/// not as well as it could; "problem" does not work, and is exit code 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl doctor
  ffctl doctor --json | jq -r .network.nat")]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(super) format: cli::Format,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Reply::Doctor(view) = call(Call::Doctor).await? else {
            return Err(unexpected().into());
        };
        if self.format.json {
            output::json(&view)?;
        } else {
            print(&view)?;
        }
        match view.level() {
            Level::Ok | Level::Warn => Ok(()),
            Level::Problem => Err(Failure::Told(ExitCode::Failed)),
        }
    }
}

fn print(view: &DoctorView) -> io::Result<()> {
    let rows: Vec<_> = view.findings.iter().flat_map(rows).collect();
    output::table(["CHECK", "RESULT", "WHAT IT MEANS"], &rows)?;
    output::line("")?;
    output::line(&text::display(&view.outlook).to_string())
}

/// What was found, and below it what to do.
fn rows(finding: &Finding) -> Vec<[String; 3]> {
    let message = text::display(&finding.message).to_string();
    let (check, level) = (format::check(finding.check), format::level(finding.level));
    let mut rows = vec![[check.to_owned(), level.to_owned(), message]];
    if let Some(hint) = &finding.hint {
        rows.push([String::new(), String::new(), format!("hint: {}", text::display(hint))]);
    }
    rows
}
