//! What is sent without having been a file: standard input, which the control socket brings, and texts.

use std::collections::HashSet;
use std::path::PathBuf;

use filefleet_ctl::proto::{ControlError, MAX_TEXT, Reply, SendOptions};

use super::{Answer, Daemon, Event};
use crate::control::error;
use crate::spool::Draft;
use crate::store::{Outgoing, TransferRecord};
use crate::transfer::entry::RelPath;

/// Content in the spool that is to be sent.
#[derive(Debug)]
pub(crate) struct Spooled {
    pub(crate) to: String,
    pub(crate) draft: Draft,
    pub(crate) queue: bool,
    pub(crate) options: SendOptions,
    /// The text that it is.
    pub(crate) text: Option<String>,
}

impl Daemon {
    /// Whether bytes may come to be sent, before any do.
    pub(crate) fn may_send_stream(
        &self,
        to: &str,
        name: &str,
        options: &SendOptions,
    ) -> Result<Reply, ControlError> {
        check_name(name)?;
        self.may_send(to, options).map(|_| Reply::Ready)
    }

    /// Sends a text under the name of a file.
    pub(crate) fn send_text(
        &self,
        to: &str,
        (name, text): (&str, String),
        queue: bool,
        options: SendOptions,
        answer: Answer,
    ) {
        let fits = if text.len() <= MAX_TEXT { Ok(()) } else { Err(error::text_too_long()) };
        if let Err(error) = fits.and_then(|()| self.may_send_stream(to, name, &options)) {
            return drop(answer.send(Err(error)));
        }
        let (spool, to, name) = (self.spool.clone(), to.to_owned(), name.to_owned());
        self.spawn(async move {
            let stored = tokio::task::spawn_blocking(move || {
                let draft = spool.store(&name, text.as_bytes());
                draft.map(|draft| (draft, text)).map_err(|failure| error::cannot_spool(&failure))
            });
            match stored.await.unwrap_or_else(|_| Err(error::stopping())) {
                Ok((draft, text)) => {
                    let spooled = Spooled { to, draft, queue, options, text: Some(text) };
                    Some(Event::Spooled { spooled, answer })
                }
                Err(error) => {
                    let _ = answer.send(Err(error));
                    None
                }
            }
        });
    }

    /// Takes on what lies in the spool now.
    pub(super) fn on_spooled(&mut self, spooled: Spooled, answer: Answer) {
        let Spooled { to, draft, queue, options, text } = spooled;
        let to = match self.may_send(&to, &options) {
            Ok(to) => to,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let number = self.next_number();
        let sources = vec![draft.keep().into()];
        let plan = Outgoing {
            number,
            sources,
            options,
            spooled: true,
            text,
            queue,
            ..Outgoing::default()
        };
        self.on_sources_found(&to, plan, answer);
    }

    /// Removes what no transfer needs that has not ended: a stop cut its sender or its removal off.
    pub(super) async fn clear_spool(&self) {
        let open = self.transfers.values().filter(|transfer| !transfer.is_final());
        let plans = open.filter_map(|transfer| transfer.record.plan.outgoing());
        let wanted: HashSet<_> =
            plans.filter(|plan| plan.spooled).flat_map(Outgoing::sources).collect();
        let spool = self.spool.clone();
        // Waited for: what is put there later is not for this to remove.
        if tokio::task::spawn_blocking(move || spool.retain(&wanted)).await.is_err() {
            tracing::warn!("the spool was not cleared");
        }
    }
}

/// What the spool keeps for a transfer.
pub(super) fn spooled_of(record: &TransferRecord) -> Vec<PathBuf> {
    let plan = record.plan.outgoing().filter(|plan| plan.spooled);
    plan.map(Outgoing::sources).unwrap_or_default()
}

fn check_name(name: &str) -> Result<(), ControlError> {
    RelPath::new([name]).map(drop).map_err(|failure| error::bad_file_name(name, failure))
}
