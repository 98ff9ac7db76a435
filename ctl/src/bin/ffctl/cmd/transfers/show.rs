//! One transfer, with all that is known of it.

use std::io;
use std::time::Duration;

use filefleet_ctl::proto::{Direction, TransferView};
use filefleet_ctl::{format, losses, text};

use crate::output;

/// Prints a transfer: fields, then what failed, then what could not be kept.
pub(super) fn print(transfer: &TransferView) -> io::Result<()> {
    output::fields(&fields(transfer))?;
    if !transfer.failures.is_empty() {
        output::line("failed:")?;
    }
    for failure in &transfer.failures {
        let (path, message) = (text::display(&failure.path), text::display(&failure.message));
        output::line(&format!("  {path}: {message}"))?;
    }
    if transfer.failures_more > 0 {
        output::line(&format!("  and {} more", transfer.failures_more))?;
    }
    if transfer.losses.is_empty() {
        return Ok(());
    }
    output::line("not everything could be kept:")?;
    losses::describe(&transfer.losses)
        .iter()
        .try_for_each(|line| output::line(&format!("  {line}")))?;
    if transfer.direction == Direction::Outgoing {
        losses::advice(transfer).iter().for_each(|line| output::note(&format!("hint: {line}")));
    }
    Ok(())
}

fn fields(transfer: &TransferView) -> Vec<(&'static str, String)> {
    let duration = Duration::try_from_secs_f64(transfer.seconds).unwrap_or_default();
    let mut fields = vec![
        ("id", text::display(&transfer.id).to_string()),
        ("what", super::what(transfer)),
        ("peer", format::route(transfer)),
        ("state", format::state(transfer.state).to_owned()),
        ("progress", format::progress(transfer)),
        ("files", format!("{} of {}", transfer.files_done, transfer.files)),
        ("active", format::duration(duration)),
        ("asked for", format::ago(transfer.started_at)),
    ];
    fields.extend(transfer.link.map(|link| ("link", format::link(link).to_owned())));
    fields.extend(transfer.dest.as_ref().map(|dest| ("folder", dest.to_string())));
    fields
}
