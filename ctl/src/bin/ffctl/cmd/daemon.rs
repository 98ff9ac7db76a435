//! `ffctl daemon`.

use clap::{Args, Subcommand};
use filefleet_ctl::Home;
use filefleet_ctl::proto::Hello;
use filefleet_ctl::start::{Started, start_daemon, stop_daemon};
use filefleet_ctl::text;
use serde::Serialize;

use crate::failure::{CommandError, Failure};
use crate::{cli, output};

/// Start or stop the daemon, which holds your identity and does the sending
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl daemon start
  ffctl daemon stop")]
pub(crate) struct Daemon {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub(super) format: cli::Format,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Start it in the background, unless it runs already, and wait until it serves
    Start,
    /// Let it end, and wait until it has
    Stop,
}

impl Daemon {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let home = Home::from_env().map_err(CommandError::from)?;
        match self.action {
            Action::Start => self.start(&home).await,
            Action::Stop => self.stop(&home).await,
        }
    }

    async fn start(self, home: &Home) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Json {
            started: bool,
            daemon: String,
            pid: u32,
        }
        let started = start_daemon(home).await.map_err(|error| {
            let hint = format!("its log is {}", home.log_file().display());
            let error = CommandError::from(error);
            if error.hint.is_some() { error } else { error.with_hint(hint) }
        })?;
        let (Started::Now(hello) | Started::Before(hello)) = &started;
        let Hello { daemon, pid, .. } = hello.clone();
        let started = matches!(started, Started::Now(_));
        if self.format.json {
            return Ok(output::json(&Json { started, daemon, pid })?);
        }
        let done = if started { "started" } else { "runs already" };
        Ok(output::line(&format!("filefleetd {} {done} (process {pid})", text::display(&daemon)))?)
    }

    async fn stop(self, home: &Home) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Json {
            stopped: bool,
        }
        let stopped = stop_daemon(home).await.map_err(CommandError::from)?;
        if self.format.json {
            return Ok(output::json(&Json { stopped })?);
        }
        Ok(output::line(if stopped { "filefleetd stopped" } else { "filefleetd was not running" })?)
    }
}
