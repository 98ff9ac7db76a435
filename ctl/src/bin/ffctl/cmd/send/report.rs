//! How a transfer is shown while it goes on: a bar on a terminal, else lines; or JSON.
//!
//! Only the outcome goes to standard output, unless it is JSON. That nobody reads it any more is no
//! reason to stop sending.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use filefleet_ctl::proto::{
    ControlError, FileFailure, LinkChange, LinkEvent, LinkKind, LinkLoss, LossView, TransferState,
    TransferView, WhyRelayed,
};
use filefleet_ctl::{format, losses, text};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::CommandError;
use crate::output;

/// Shows one transfer.
#[derive(Debug)]
pub(super) struct Report {
    style: Style,
    detach: bool,
    transfer: Option<String>,
    /// To whom, once that is known.
    peer: Option<String>,
}

#[derive(Debug)]
enum Style {
    Json,
    Bar(ProgressBar),
    /// With the line shown last.
    Lines(String),
}

/// A line of JSON; the field order is part of the interface.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Started {
        transfer: &'a str,
    },
    Progress {
        transfer: &'a str,
        state: TransferState,
        files: u64,
        files_done: u64,
        bytes: u64,
        bytes_done: u64,
        total_known: bool,
        rate: u64,
        link: Option<LinkKind>,
        detail: Option<&'a str>,
        why_relayed: Option<&'a WhyRelayed>,
    },
    Link {
        transfer: Option<&'a str>,
        change: LinkChange,
        kind: LinkKind,
        loss: Option<LinkLoss>,
        why_relayed: Option<&'a WhyRelayed>,
    },
    Done {
        transfer: &'a str,
        files: u64,
        bytes: u64,
        files_there: u64,
        bytes_there: u64,
        files_replaced: u64,
        files_beside: u64,
        sent_bytes: u64,
        seconds: f64,
        link: Option<LinkKind>,
        links: &'a BTreeMap<LinkKind, u64>,
        losses: &'a [LossView],
    },
    Queued {
        transfer: &'a str,
        reason: Option<&'a ControlError>,
        next_try: Option<u64>,
    },
    Failed {
        error: &'a CommandError,
        #[serde(skip_serializing_if = "Option::is_none")]
        transfer: Option<&'a str>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        failures: &'a [FileFailure],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        losses: &'a [LossView],
    },
}

impl Report {
    pub(super) fn new(json: bool, detach: bool) -> Self {
        let style = match json {
            true => Style::Json,
            false if io::stderr().is_terminal() && !detach => Style::Bar(new_bar()),
            false => Style::Lines(String::new()),
        };
        Self { style, detach, transfer: None, peer: None }
    }

    /// The daemon has taken it on.
    pub(super) fn started(&mut self, id: &str) {
        self.transfer = Some(id.to_owned());
        match self.style {
            Style::Json => print_json(&Line::Started { transfer: id }),
            _ if self.detach => print(&text::display(id).to_string()),
            _ => {}
        }
    }

    /// It goes on, or ends.
    pub(super) fn progress(&mut self, transfer: &TransferView) {
        self.peer.get_or_insert_with(|| transfer.peer.clone());
        match &mut self.style {
            Style::Json => print_json(&progress_line(transfer)),
            _ if transfer.state.is_final() => {}
            Style::Bar(bar) => {
                bar.set_length(if transfer.total_known { transfer.bytes } else { 0 });
                bar.set_position(transfer.bytes_done);
                bar.set_message(describe(transfer));
            }
            Style::Lines(last) => {
                let line = describe_briefly(transfer);
                if *last != line {
                    output::note(&line);
                    *last = line;
                }
            }
        }
    }

    /// Links have changed. A person sees that by the one in use.
    pub(super) fn link(&mut self, event: &LinkEvent) {
        if matches!(self.style, Style::Json) && self.peer.as_ref() == Some(&event.peer) {
            print_json(&Line::Link {
                transfer: self.transfer.as_deref(),
                change: event.change,
                kind: event.kind,
                loss: event.loss,
                why_relayed: event.why_relayed.as_ref(),
            });
        }
    }

    /// Everything has arrived.
    pub(super) fn done(&mut self, transfer: &TransferView) {
        match &self.style {
            Style::Json => print_json(&Line::Done {
                transfer: &transfer.id,
                files: transfer.files_done,
                bytes: transfer.bytes_done,
                files_there: transfer.files_there,
                bytes_there: transfer.bytes_there,
                files_replaced: transfer.files_replaced,
                files_beside: transfer.files_beside,
                sent_bytes: transfer.sent_bytes,
                seconds: transfer.seconds,
                link: main_link(transfer),
                links: &transfer.links,
                losses: &transfer.losses,
            }),
            Style::Bar(bar) => {
                bar.finish_and_clear();
                print(&summary(transfer));
            }
            Style::Lines(_) => print(&summary(transfer)),
        }
        if !matches!(self.style, Style::Json) {
            tell_losses(transfer);
        }
    }

    /// It cannot be sent yet, and the daemon will see to it.
    pub(super) fn queued(&mut self, transfer: &TransferView) {
        match &self.style {
            Style::Json => print_json(&Line::Queued {
                transfer: &transfer.id,
                reason: transfer.reason.as_ref(),
                next_try: transfer.next_try,
            }),
            Style::Bar(bar) => {
                bar.finish_and_clear();
                print(&text::display(&transfer.id).to_string());
            }
            Style::Lines(_) => print(&text::display(&transfer.id).to_string()),
        }
        if let Some(reason) = &transfer.reason {
            output::note(&format!("queued: {}", text::display(&reason.message)));
            if let Some(hint) = &reason.hint {
                output::note(&format!("hint: {}", text::display(hint)));
            }
        }
    }

    /// It came to nothing, or not to everything.
    pub(super) fn failed(&mut self, error: &CommandError) {
        match &self.style {
            Style::Json => print_json(&Line::Failed {
                error,
                transfer: self.transfer.as_deref(),
                failures: &error.shortfall.failures,
                losses: &error.shortfall.losses,
            }),
            Style::Bar(bar) => bar.finish_and_clear(),
            Style::Lines(_) => {}
        }
        output::error(error, false);
    }
}

/// What could not be kept although everything was sent, and what to do about it.
fn tell_losses(transfer: &TransferView) {
    if transfer.losses.is_empty() {
        return;
    }
    output::note("not everything could be kept:");
    losses::describe(&transfer.losses).iter().for_each(|line| output::note(&format!("  {line}")));
    losses::advice(transfer).iter().for_each(|line| output::note(&format!("hint: {line}")));
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("[{bar:25}] {wide_msg}");
    ProgressBar::new(0).with_style(style.expect("the template is right").progress_chars("=> "))
}

fn progress_line(transfer: &TransferView) -> Line<'_> {
    Line::Progress {
        transfer: &transfer.id,
        state: transfer.state,
        files: transfer.files,
        files_done: transfer.files_done,
        bytes: transfer.bytes,
        bytes_done: transfer.bytes_done,
        total_known: transfer.total_known,
        rate: transfer.rate,
        link: transfer.link,
        detail: transfer.detail.as_deref(),
        why_relayed: transfer.why_relayed.as_ref(),
    }
}

fn print_json(line: &Line<'_>) {
    let _nobody_listens = output::json(line);
}

fn print(line: &str) {
    let _nobody_listens = output::line(line);
}

/// What is going on, with the numbers: beside the bar.
fn describe(transfer: &TransferView) -> String {
    if transfer.state != TransferState::Active {
        return describe_briefly(transfer);
    }
    let mut parts = vec![format::progress(transfer), format::rate(transfer.rate)];
    parts
        .extend(format::time_left(transfer).map(|left| format!("{} left", format::duration(left))));
    parts.extend(format::link_of(transfer));
    parts.join(", ")
}

/// What is going on, without what changes all the time.
fn describe_briefly(transfer: &TransferView) -> String {
    let peer = text::display(&transfer.peer);
    let detail = transfer.detail.as_deref().map(text::display);
    match (transfer.state, format::link_of(transfer), detail) {
        (TransferState::Active, Some(link), _) => format!("sending to {peer}: {link}"),
        (TransferState::Active, None, _) => format!("sending to {peer}"),
        (_, _, Some(detail)) => format!("{}: {detail}", format::state(transfer.state)),
        (TransferState::Waiting, ..) => format!("waiting for {peer} to accept"),
        (state, ..) => format!("{}: {peer}", format::state(state)),
    }
}

/// The kind of link that carried most.
fn main_link(transfer: &TransferView) -> Option<LinkKind> {
    let most = transfer.links.iter().max_by_key(|(_, bytes)| **bytes);
    most.map(|(kind, _)| *kind).or(transfer.link)
}

/// What was sent, how fast and over which links.
fn summary(transfer: &TransferView) -> String {
    let duration = Duration::try_from_secs_f64(transfer.seconds).unwrap_or_default();
    let bytes = u128::from(transfer.bytes_done) * 1000;
    let rate = bytes.checked_div(duration.as_millis()).and_then(|rate| u64::try_from(rate).ok());
    let mut facts: Vec<String> = rate.map(format::rate).into_iter().collect();
    for (files, what) in [
        (transfer.files_there, "already there"),
        (transfer.files_replaced, "replaced"),
        (transfer.files_beside, "put beside what was altered there or may not be replaced"),
    ] {
        facts.extend((files > 0).then(|| format!("{files} {what}")));
    }
    match transfer.links.len() {
        0 | 1 => facts.extend(main_link(transfer).map(|kind| format::link(kind).to_owned())),
        _ => facts.extend(
            transfer
                .links
                .iter()
                .map(|(kind, bytes)| format!("{} {}", format::size(*bytes), format::link(*kind))),
        ),
    }
    format!(
        "sent {} to {} in {} ({})",
        format::amount(transfer.files_done, transfer.bytes_done, true),
        text::display(&transfer.peer),
        format::duration(duration),
        facts.join(", "),
    )
}
