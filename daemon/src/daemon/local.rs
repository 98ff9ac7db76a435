//! What concerns this user alone: settings, moving the identity, lists, and stopping.

use std::collections::HashSet;

use filefleet_ctl::proto::{ControlError, Passphrase, Reply};

use super::transfers::MAX_LIST;
use super::{Answer, Daemon};
use crate::control::{error, view};
use crate::settings::Settings;

/// The most transfers that a list of all of them shows.
const MAX_LISTED: u32 = 1_000;

impl Daemon {
    pub(crate) fn setting(&self, key: &str) -> Result<Reply, ControlError> {
        let shown = self.settings.show(key).map_err(|failure| error::of_settings(&failure))?;
        Ok(Reply::Setting(shown))
    }

    pub(crate) fn all_settings(&self) -> Reply {
        Reply::Settings(self.settings.show_all())
    }

    pub(crate) fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Tells the user something that is no fault.
    pub(crate) fn note(&mut self, text: String) {
        self.show(&filefleet_ctl::proto::Event::Warning { message: text });
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Encrypts the identity; slow on purpose, so not in the loop.
    pub(crate) fn export(&self, passphrase: Passphrase, answer: Answer) {
        let identity = self.identity.clone();
        self.tasks.spawn_blocking(move || {
            let pem = identity.export(passphrase.expose());
            let reply = pem.map(|pem| Reply::Identity { pem });
            let _ = answer.send(reply.map_err(|failure| error::of_identity(&failure)));
        });
    }

    /// Becomes somebody else: keys are exchanged, then the daemon starts anew with them.
    pub(crate) fn import(&mut self, pem: String, passphrase: Passphrase, answer: Answer) {
        // Decrypting takes a tenth of a second, which nothing else may see the keys half exchanged in.
        let imported =
            tokio::task::block_in_place(|| self.identity.import(&pem, passphrase.expose()));
        self.restart = imported.is_ok();
        let reply = imported.map(|()| Reply::Done);
        let _ = answer.send(reply.map_err(|failure| error::of_identity(&failure)));
        if self.restart {
            self.stop();
        }
    }

    pub(crate) fn list_transfers(&self, all: bool, answer: Answer) {
        let mut views = self.transfer_views(all);
        if !all {
            return drop(answer.send(Ok(Reply::Transfers(views))));
        }
        let store = self.store.clone();
        self.tasks.spawn(async move {
            // What memory knows is newer than what the store knows.
            let stored = store.brief_views(MAX_LISTED).await.unwrap_or_default();
            let known: HashSet<_> = views.iter().map(|view| view.id.clone()).collect();
            views.extend(stored.into_iter().filter(|view| !known.contains(&view.id)));
            let mut views = view::list(views, MAX_LIST);
            views.truncate(MAX_LISTED as usize);
            let _ = answer.send(Ok(Reply::Transfers(views)));
        });
    }

    /// All that is known of one transfer.
    pub(crate) fn show_transfer(&self, id: &str, answer: Answer) {
        let id = match error::transfer_id(id) {
            Ok(id) => id,
            Err(error) => return drop(answer.send(Err(error))),
        };
        if let Some(view) = self.transfer_view(id) {
            return drop(answer.send(Ok(Reply::Transfer(Box::new(view)))));
        }
        let store = self.store.clone();
        self.tasks.spawn(async move {
            let record = store.transfer(id).await.ok().flatten();
            let found = record.map(|record| Reply::Transfer(Box::new(record.view)));
            let _ = answer.send(found.ok_or_else(error::no_such_transfer));
        });
    }
}
