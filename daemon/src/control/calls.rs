//! Each call of the control protocol, and who answers it.

use std::path::PathBuf;

use filefleet_ctl::proto::{Call, ControlError, ErrorCode, Event as Shown, Reply, WirePath};

use super::error;
use crate::daemon::{Answer, Consent, ContactChange, Daemon};

impl Daemon {
    /// Answers a call, now or when what it takes is done.
    pub(crate) fn call(&mut self, call: Call, answer: Answer) {
        let now = match call {
            Call::Register { name, server } => return self.register(&name, &server, answer),
            Call::Doctor => return self.examine(answer),
            Call::Send { to, paths, no_queue, options } => {
                return self.send(&to, paths, !no_queue, options, answer);
            }
            Call::SendStream { to, name, options, .. } => {
                self.may_send_stream(&to, &name, &options)
            }
            Call::SendText { to, text, name, no_queue, options } => {
                return self.send_text(&to, (&name, text), !no_queue, options, answer);
            }
            Call::Survey { paths, options } => return self.survey(&paths, &options, answer),
            Call::Retry { id } => return self.retry(&id, answer),
            Call::Accept { id, to, always, seen } => {
                let consent = Consent { always, seen };
                return self.accept(&id, to.as_ref().map(path), consent, answer);
            }
            Call::RequestShow { id, offset, limit } => {
                return self.request_page(&id, offset, limit, answer);
            }
            Call::ContactAdd { link } => return self.add_contact(&link, answer),
            Call::ContactSet { name, accept, dir, max_size, overwrite } => {
                let change = ContactChange { accept, dir, max_size, overwrite, verified: false };
                return self.set_contact(&name, change, answer);
            }
            Call::IdentityExport { passphrase } => return self.export(passphrase, answer),
            Call::IdentityImport { pem, passphrase } => {
                return self.import(pem, passphrase, answer);
            }
            Call::Cancel { id } => return self.cancel(&id, answer),
            Call::Transfers { all } => return self.list_transfers(all, answer),
            Call::Transfer { id } => return self.show_transfer(&id, answer),
            call => self.call_now(call),
        };
        let _ = answer.send(now);
    }

    fn call_now(&mut self, call: Call) -> Result<Reply, ControlError> {
        match call {
            Call::Status => Ok(Reply::Status(self.status_view())),
            Call::Requests => Ok(Reply::Requests(self.request_views())),
            Call::Decline { id } => self.decline(&id),
            Call::Invite => self.invite(),
            Call::Contacts => Ok(Reply::Contacts(self.contact_views())),
            Call::ContactShow { name } => self.show_contact(&name),
            Call::ContactVerify { name } => self.verify_contact(&name),
            Call::ContactRemove { name } => self.remove_contact(&name),
            Call::ConfigGet { key } => self.setting(&key),
            Call::ConfigSet { key, value } => self.set_setting(&key, &value),
            Call::ConfigList => Ok(self.all_settings()),
            Call::Shutdown => {
                self.stop();
                Ok(Reply::Done)
            }
            _ => Err(ControlError::new(
                ErrorCode::Incompatible,
                "filefleetd does not know this call",
            )
            .with_hint("ffctl and filefleetd are of different versions")),
        }
    }
}

fn path(wire_path: &WirePath) -> PathBuf {
    wire_path.as_path().to_owned()
}

/// Settings that take effect only when the daemon is started again.
pub(crate) const AT_START: &[&str] = &["port", "device-name"];
/// Settings that are changed by registering.
pub(crate) const BY_REGISTERING: &[&str] = &["name", "server"];

impl Daemon {
    fn set_setting(&mut self, key: &str, value: &str) -> Result<Reply, ControlError> {
        if BY_REGISTERING.contains(&key) {
            let text = format!("'{key}' is not set by hand while filefleetd runs");
            return Err(ControlError::new(ErrorCode::BadArgument, text)
                .with_hint("use 'ffctl register NAME --server ADDRESS'"));
        }
        let changed = self.settings_mut().set(key, value);
        for setting in changed.map_err(|failure| error::of_settings(&failure))? {
            if AT_START.contains(&setting.key.as_str()) {
                let text =
                    format!("'{}' takes effect when filefleetd is started again", setting.key);
                self.note(text);
            }
            let key = setting.key.clone();
            self.show(&Shown::Setting(setting));
            match key.as_str() {
                "receiving" => self.take_what_was_paused(),
                "lan-discovery" => self.follow_lan_discovery(),
                _ => {}
            }
        }
        self.setting(key)
    }
}
