//! What concerns this user alone: settings, moving the identity, lists, and stopping.

use filefleet_ctl::proto::{ControlError, Passphrase, Reply, TransferView};

use super::{Answer, Daemon};
use crate::control::error;
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
            let stored = store.transfers(false, MAX_LISTED).await.unwrap_or_default();
            let known: std::collections::HashSet<_> = views.iter().map(|v| v.id.clone()).collect();
            let older = stored.into_iter().map(|record| record.view);
            let older: Vec<TransferView> = older.filter(|view| !known.contains(&view.id)).collect();
            views.extend(older);
            views.truncate(MAX_LISTED as usize);
            let _ = answer.send(Ok(Reply::Transfers(views)));
        });
    }
}
