//! `ffctl service`.

use clap::{Args, Subcommand};
use filefleet_ctl::service::{self, Installed, Status};
use filefleet_ctl::{Home, format, text};
use serde::Serialize;

use crate::failure::{CommandError, Failure};
use crate::{cli, output};

/// Let the daemon start with your login, or no longer
///
/// On Linux this is a unit of systemd's user manager, on macOS an agent of launchd, on Windows an
/// entry among the start-up apps. Where nobody logs in, "loginctl enable-linger" makes Linux start it
/// with the machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ffctl service install
  ffctl service status --json
  ffctl service uninstall")]
pub(crate) struct Service {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub(super) format: cli::Format,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Start it now and with every login; doing it again brings it up to date
    Install,
    /// End it and start it no more; settings, keys and transfers stay
    Uninstall,
    /// Show whether it starts with the login, and whether it runs
    Status,
}

/// A service as `--json` shows it.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
    manager: &'a str,
    enabled: bool,
    running: bool,
    pid: Option<u32>,
    definition: Option<String>,
    program: Option<String>,
}

impl<'a> Json<'a> {
    fn of(status: &'a Status, changed: Option<bool>) -> Self {
        let Status { manager, enabled, running, pid, .. } = *status;
        let [definition, program] = paths(status);
        Self { changed, manager, enabled, running, pid, definition, program }
    }
}

impl Service {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let home = Home::from_env().map_err(CommandError::from)?;
        match self.action {
            Action::Install => self.install(&home).await,
            Action::Uninstall => self.uninstall(&home).await,
            Action::Status => self.status(&home).await,
        }
    }

    async fn install(self, home: &Home) -> Result<(), Failure> {
        let Installed { changed, status } =
            service::install(home).await.map_err(CommandError::from)?;
        if self.format.json {
            return Ok(output::json(&Json::of(&status, Some(changed)))?);
        }
        let done = if changed { "installed" } else { "was installed already" };
        let [definition, _] = paths(&status);
        let definition = definition.unwrap_or_default();
        Ok(output::line(&format!(
            "the service {done}, and filefleetd runs ({}: {})",
            status.manager,
            text::display(&definition)
        ))?)
    }

    async fn uninstall(self, home: &Home) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Json {
            removed: bool,
        }
        let removed = service::uninstall(home).await.map_err(CommandError::from)?;
        if self.format.json {
            return Ok(output::json(&Json { removed })?);
        }
        let done =
            if removed { "the service was removed" } else { "the service was not installed" };
        Ok(output::line(done)?)
    }

    async fn status(self, home: &Home) -> Result<(), Failure> {
        let status = service::status(home).await.map_err(CommandError::from)?;
        if self.format.json {
            return Ok(output::json(&Json::of(&status, None))?);
        }
        let running = match status.pid {
            Some(pid) => format!("yes (process {pid})"),
            None => format::yes_no(status.running),
        };
        let shown = paths(&status)
            .map(|path| path.map_or_else(|| "none".to_owned(), |p| text::display(&p).to_string()));
        let [definition, program] = shown;
        Ok(output::fields(&[
            ("manager", status.manager.to_owned()),
            ("with the login", format::yes_no(status.enabled)),
            ("runs", running),
            ("definition", definition),
            ("program", program),
        ])?)
    }
}

/// Where the definition lies, and the program.
fn paths(status: &Status) -> [Option<String>; 2] {
    [&status.definition, &status.program]
        .map(|path| path.as_ref().map(|path| path.to_string_lossy().into_owned()))
}
