//! Contacts: who is pinned to which identity, what they may do, and who turned up with another one.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use filefleet_ctl::proto::{
    Accept, Change, ContactView, ControlError, ErrorCode, Event as Shown, Reply, WirePath,
};
use filefleet_server::protos::address::ServerAddress;
use filefleet_server::protos::certificate::IdentityKey;
use filefleet_server::protos::name::Name;

use super::{Answer, Daemon, Event};
use crate::control::{error, invite, view};
use crate::error::DaemonError;
use crate::identity::safety_phrase;
use crate::peer::{Admission, Gate, PeerEvent, Session};
use crate::store::Contact;

/// What is to change about a contact.
#[derive(Debug, Default)]
pub(crate) struct ContactChange {
    pub(crate) accept: Option<Accept>,
    pub(crate) dir: Change<WirePath>,
    pub(crate) max_size: Change<u64>,
    pub(crate) overwrite: Option<bool>,
    pub(crate) verified: bool,
}

/// Somebody who becomes a contact.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) name: Name,
    pub(crate) identity: IdentityKey,
    pub(crate) change: ContactChange,
}

/// What the gate to incoming calls must know of contacts; written by the loop, read by sessions.
#[derive(Debug, Default)]
pub(super) struct Pins(RwLock<HashMap<Name, (IdentityKey, Accept)>>);

impl Pins {
    fn replace(&self, contacts: impl Iterator<Item = (Name, (IdentityKey, Accept))>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = contacts.collect();
    }
}

impl Gate for Pins {
    fn admit(&self, name: &Name, identity: &IdentityKey) -> Admission {
        match self.0.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            Some((pinned, _)) if pinned != identity => Admission::IdentityChanged,
            Some((_, Accept::Never)) => Admission::Blocked,
            Some(_) | None => Admission::Admit,
        }
    }
}

impl Daemon {
    pub(super) async fn load_contacts(
        &mut self,
        server: &ServerAddress,
    ) -> Result<(), DaemonError> {
        let contacts = self.store.contacts(&server_key(server)).await?;
        self.contacts =
            contacts.into_iter().map(|contact| (contact.name.clone(), contact)).collect();
        self.publish_contacts();
        Ok(())
    }

    /// Tells the gate, the server and those on the networks here who the contacts are.
    pub(super) fn publish_contacts(&self) {
        self.peers.set_contacts(self.findable().collect());
        let pinned = |contact: &Contact| (contact.name.clone(), (contact.identity, contact.accept));
        self.pins.replace(self.contacts.values().map(pinned));
        let identities = self.contacts.values().map(|contact| contact.identity).collect();
        if let Some(client) = self.rendezvous.clone() {
            self.spawn(async move {
                client.set_contacts(identities).await;
                None
            });
        }
    }

    pub(super) fn on_peer(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Session { session, messages, streams } => {
                if self.sends_to(session.name()) {
                    self.pin(&session);
                    self.met(&session);
                }
                self.follow_links(&session);
                let name = session.name().clone();
                self.tell_untold(&session);
                if self.contact_of(&session).is_some() {
                    session.allow_direct();
                    self.remember_device(&session);
                }
                self.engine.serve(session, messages, streams);
                self.wake_for_session(&name);
            }
            PeerEvent::IdentityRefused { name, identity } => {
                self.on_identity_refused(&name, identity)
            }
            PeerEvent::RefusedAsOther { name } => self.warn(format!(
                "'{name}' knows you by another identity key and refused. If you have a new one, \
                 compare fingerprints; then {name} removes you as a contact and adds you again"
            )),
        }
    }

    /// The contact on the other side of a session; the session's proof makes sure that it is them.
    pub(super) fn contact_of(&self, session: &Session) -> Option<&Contact> {
        let contact = self.contacts.get(session.name())?;
        (contact.identity == session.identity()).then_some(contact)
    }

    /// Somebody we deal with by our own choice becomes a contact, pinned to the identity they have
    /// now. That allows them nothing: their files still wait for a person.
    pub(super) fn pin(&mut self, session: &Session) {
        if !self.contacts.contains_key(session.name()) {
            let contact = new_contact(session.name().clone(), session.identity());
            let certificate = Some(session.certificate().clone());
            self.put_contact(Contact { certificate, ..contact });
        }
    }

    /// From now on, takes whatever this contact sends.
    pub(super) fn trust(&mut self, session: &Session) {
        if let Some(mut contact) = self.contact_of(session).cloned() {
            contact.accept = Accept::Always;
            self.put_contact(contact);
        }
    }

    fn on_identity_refused(&mut self, name: &Name, identity: IdentityKey) {
        let text = format!(
            "'{name}' turned up with another identity key ({}): refused. If {name} has a new \
             computer, compare fingerprints, then remove the contact and add it again",
            identity.fingerprint()
        );
        if let Some(mut contact) = self.contacts.get(name).cloned() {
            contact.warning = Some(text.clone());
            self.put_contact(contact);
        }
        self.warn(text);
    }

    pub(super) fn put_contact(&mut self, contact: Contact) {
        let Some(server) = self.settings.server() else { return };
        let (store, saved) = (self.store.clone(), contact.clone());
        self.save(async move { store.put_contact(&server_key(&server), saved).await });
        self.contacts.insert(contact.name.clone(), contact.clone());
        self.publish_contacts();
        let view = self.contact_view(&contact);
        self.show(&Shown::Contact(view));
    }

    pub(crate) fn contact_view(&self, contact: &Contact) -> ContactView {
        ContactView {
            name: contact.name.to_string(),
            server: self.settings.server().map(|server| server_key(&server)),
            identity: contact.identity.fingerprint(),
            verified: contact.verified,
            accept: contact.accept,
            dir: contact.dest_dir.clone().map(WirePath::from),
            max_size: contact.max_bytes,
            overwrite: contact.overwrite,
            online: self.online.get(&contact.identity).copied(),
            near: self.is_near(contact),
            safety_phrase: Some(safety_phrase(&self.identity.key(), &contact.identity)),
            warning: contact.warning.clone(),
        }
    }

    pub(crate) fn contact_views(&self) -> Vec<ContactView> {
        self.contacts.values().map(|contact| self.contact_view(contact)).collect()
    }

    fn contact(&self, name: &str) -> Result<&Contact, ControlError> {
        let name = error::name(name)?;
        self.contacts.get(&name).ok_or_else(|| error::no_such_contact(&name))
    }

    pub(crate) fn show_contact(&self, name: &str) -> Result<Reply, ControlError> {
        Ok(Reply::Contact(self.contact_view(self.contact(name)?)))
    }

    pub(crate) fn verify_contact(&mut self, name: &str) -> Result<Reply, ControlError> {
        let mut contact = self.contact(name)?.clone();
        (contact.verified, contact.warning) = (true, None);
        let view = self.contact_view(&contact);
        self.put_contact(contact);
        Ok(Reply::Contact(view))
    }

    pub(crate) fn remove_contact(&mut self, name: &str) -> Result<Reply, ControlError> {
        let name = self.contact(name)?.name.clone();
        self.contacts.remove(&name);
        if let Some(server) = self.settings.server() {
            let (store, removed) = (self.store.clone(), name.clone());
            self.save(async move { store.remove_contact(&server_key(&server), &removed).await });
        }
        self.publish_contacts();
        self.show(&Shown::ContactGone { name: name.to_string() });
        Ok(Reply::Done)
    }

    /// Changes what a contact may do; somebody never met is looked up and pinned first.
    pub(crate) fn set_contact(&mut self, name: &str, change: ContactChange, answer: Answer) {
        let name = match error::name(name) {
            Ok(name) => name,
            Err(error) => return drop(answer.send(Err(error))),
        };
        if let Some(contact) = self.contacts.get(&name).cloned() {
            let _ = answer.send(self.apply(contact, change));
            return;
        }
        let Some(client) = self.rendezvous.clone() else {
            return drop(answer.send(Err(error::not_registered())));
        };
        self.spawn(async move {
            match client.look_up(&name).await {
                Ok(found) => {
                    let person = Person { name, identity: found.identity, change };
                    Some(Event::Found { person, answer })
                }
                Err(failure) => {
                    let _ = answer.send(Err(error::of_rendezvous(&name, &failure)));
                    None
                }
            }
        });
    }

    /// Pins somebody who was looked up or invited us.
    pub(super) fn on_found(&mut self, person: Person, answer: Answer) {
        let contact = match self.contacts.get(&person.name) {
            Some(contact) if contact.identity != person.identity => {
                return drop(answer.send(Err(error::pinned_otherwise(&person.name))));
            }
            Some(contact) => contact.clone(),
            None => new_contact(person.name, person.identity),
        };
        let _ = answer.send(self.apply(contact, person.change));
    }

    fn apply(
        &mut self,
        mut contact: Contact,
        change: ContactChange,
    ) -> Result<Reply, ControlError> {
        let mut dir = contact.dest_dir.take().map(WirePath::from);
        change.dir.apply(&mut dir);
        contact.dest_dir = dir.map(|dir| PathBuf::from(dir.as_path()));
        if contact.dest_dir.as_ref().is_some_and(|dir| !dir.is_absolute()) {
            return Err(ControlError::new(ErrorCode::BadArgument, "the folder must be absolute"));
        }
        change.max_size.apply(&mut contact.max_bytes);
        contact.accept = change.accept.unwrap_or(contact.accept);
        contact.overwrite = change.overwrite.unwrap_or(contact.overwrite);
        if change.verified {
            (contact.verified, contact.warning) = (true, None);
        }
        let view = self.contact_view(&contact);
        self.put_contact(contact);
        Ok(Reply::Contact(view))
    }

    /// The link by which others can add us.
    pub(crate) fn invite(&self) -> Result<Reply, ControlError> {
        let (Some(name), Some(server)) = (self.settings.name(), self.settings.server()) else {
            return Err(error::not_registered());
        };
        let identity = self.identity.key();
        Ok(Reply::Invite { link: invite::Invite { server, name, identity }.to_string() })
    }

    /// Adds the person of an invite link, whom the link proves to be who they are.
    pub(crate) fn add_contact(&mut self, link: &str, answer: Answer) {
        let checked = invite::parse(link).and_then(|invite| {
            let own = self.settings.server().ok_or_else(error::not_registered)?;
            let same = server_key(&own) == server_key(&invite.server)
                && (own.pin.is_none()
                    || invite.server.pin.is_none()
                    || own.pin == invite.server.pin);
            if !same {
                return Err(error::other_server(&invite.server));
            }
            if invite.identity == self.identity.key() {
                let text = "that is your own invite link";
                return Err(ControlError::new(ErrorCode::BadArgument, text));
            }
            Ok(invite)
        });
        match checked {
            Ok(invite) => {
                let change = ContactChange { verified: true, ..ContactChange::default() };
                let person = Person { name: invite.name, identity: invite.identity, change };
                self.on_found(person, answer);
            }
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    /// What is shown first to whoever watches.
    pub(super) fn state_view(&self) -> filefleet_ctl::proto::StateView {
        filefleet_ctl::proto::StateView {
            status: self.status_view(),
            transfers: self.transfer_views(true),
            requests: self.request_views(),
            contacts: self.contact_views(),
            settings: self.settings.show_all(),
        }
    }

    pub(crate) fn status_view(&self) -> filefleet_ctl::proto::StatusView {
        let state = self.registration_state();
        view::status(view::StatusParts {
            name: self.settings.name(),
            identity: self.identity.key(),
            device: self.identity.certificate().device_name().to_owned(),
            server: self.settings.server(),
            state,
            transfers: self.transfer_views(false),
            requests: self.requests.len() as u64,
            received_dir: self.received_dir(),
            lan_discovery: self.settings.lan_discovery(),
            warnings: self.warnings.clone(),
        })
    }
}

fn new_contact(name: Name, identity: IdentityKey) -> Contact {
    Contact {
        name,
        identity,
        verified: false,
        accept: Accept::Ask,
        dest_dir: None,
        max_bytes: None,
        overwrite: false,
        warning: None,
        certificate: None,
    }
}

/// A server as contacts name it: without its pin, which may be exchanged.
pub(super) fn server_key(server: &ServerAddress) -> String {
    ServerAddress { pin: None, ..server.clone() }.to_string()
}
