//! Contacts on the same network: on which device each was met last, who of them is there, and what
//! that lets happen.

use std::collections::HashSet;

use filefleet_ctl::proto::Event as Shown;
use filefleet_server::protos::certificate::{DeviceCertificate, DeviceKey};
use filefleet_server::protos::name::Name;

use super::{Daemon, Event};
use crate::peer::{Peer, Session};
use crate::policy::Accept;
use crate::store::Contact;

impl Daemon {
    /// Hears from now on who of the contacts is on a network here.
    pub(super) fn look_around(&self) {
        self.follow_lan_discovery();
        let (mut near, events) = (self.peers.near(), self.events.clone());
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    changed = near.changed() => if changed.is_err() { return },
                }
                let now = near.borrow_and_update().clone();
                // A loop that has ended needs no events.
                let _ = events.send(Event::Near(now)).await;
            }
        });
    }

    /// Does as the setting says.
    pub(crate) fn follow_lan_discovery(&self) {
        self.peers.set_lan_discovery(self.settings.lan_discovery());
    }

    /// Those who can be found without a server: contacts who have been met, and are not refused.
    pub(super) fn findable(&self) -> impl Iterator<Item = Peer> {
        let welcome = self.contacts.values().filter(|contact| contact.accept != Accept::Never);
        welcome.filter_map(|contact| {
            let certificate = contact.certificate.clone()?;
            Some(Peer { name: contact.name.clone(), certificate })
        })
    }

    /// The contact was met on this device.
    pub(super) fn remember_device(&mut self, session: &Session) {
        let Some(contact) = self.contact_of(session).cloned() else { return };
        let certificate = session.certificate();
        // Every start of a daemon issues another one for the same device.
        if !contact.certificate.as_ref().is_some_and(|known| is_same_device(known, certificate)) {
            let certificate = Some(certificate.clone());
            self.put_contact(Contact { certificate, ..contact });
        }
    }

    pub(super) fn is_near(&self, contact: &Contact) -> bool {
        let device = contact.certificate.as_ref().map(|certificate| certificate.device());
        device.is_some_and(|device| self.near.contains(&device))
    }

    /// Somebody has come to a network here, or left it.
    pub(super) fn on_near(&mut self, near: HashSet<DeviceKey>) {
        let names_near = |daemon: &Self| -> HashSet<Name> {
            let near = daemon.contacts.values().filter(|contact| daemon.is_near(contact));
            near.map(|contact| contact.name.clone()).collect()
        };
        let before = names_near(self);
        self.near = near;
        let now = names_near(self);
        for name in before.symmetric_difference(&now) {
            if let Some(view) = self.contacts.get(name).map(|contact| self.contact_view(contact)) {
                self.show(&Shown::Contact(view));
            }
        }
        for name in now.difference(&before) {
            tracing::info!(peer = %name, "on the local network");
            self.wake_peer(name);
        }
    }
}

fn is_same_device(one: &DeviceCertificate, other: &DeviceCertificate) -> bool {
    let device = |it: &DeviceCertificate| (it.device(), it.epoch(), it.device_name().to_owned());
    device(one) == device(other)
}
