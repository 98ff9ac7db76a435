//! The registration at the rendezvous server: claiming a name, staying registered, and what the
//! server pushes.

use filefleet_ctl::proto::{ControlError, Event as Shown, Reply};
use filefleet_server::client::{self as rendezvous, Client, Config, State};
use filefleet_server::protos::address::ServerAddress;
use filefleet_server::protos::name::Name;

use super::{Answer, Daemon, Event, forward};
use crate::control::error;

/// How long 'register' waits for the server's word before it says that it cannot be reached.
const REGISTER_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

impl Daemon {
    pub(super) fn rendezvous_client(&self, name: Name, server: ServerAddress) -> Client {
        let config = Config {
            server,
            name,
            certificate: self.identity.certificate().clone(),
            device_key: self.identity.device().clone(),
        };
        Client::spawn(
            self.peers.endpoint(),
            config,
            forward(&self.tasks, &self.events, Event::Rendezvous),
        )
    }

    pub(super) fn use_rendezvous(&mut self, client: Client) {
        self.peers.set_rendezvous(Some(client.clone()));
        if let Some(old) = self.rendezvous.replace(client) {
            self.spawn(async move {
                old.shutdown().await;
                None
            });
        }
        self.publish_contacts();
    }

    /// Claims a name at a server. Nothing changes unless the server agrees.
    pub(crate) fn register(&mut self, name: &str, server: &str, answer: Answer) {
        let parsed = error::name(name).and_then(|name| Ok((name, error::server(server)?)));
        let (name, server) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let client = self.rendezvous_client(name.clone(), server.clone());
        self.spawn(async move {
            match registered(&client).await {
                Ok(()) => Some(Event::Registered { client, name, server, answer }),
                Err(failure) => {
                    client.shutdown().await;
                    let _ = answer.send(Err(failure.map_or_else(
                        || error::server_silent(&server),
                        |failure| error::of_rendezvous(&name, &failure),
                    )));
                    None
                }
            }
        });
    }

    pub(super) fn on_registered(
        &mut self,
        client: Client,
        name: Name,
        server: ServerAddress,
        answer: Answer,
    ) {
        let saved = self
            .settings
            .set("name", name.as_str())
            .and_then(|_| self.settings.set("server", &server.to_string()));
        if let Err(failure) = saved {
            return drop(answer.send(Err(error::of_settings(&failure))));
        }
        self.contacts.clear();
        self.use_rendezvous(client);
        let store = self.store.clone();
        let events = self.events.clone();
        self.spawn(async move {
            match store.contacts(&super::people::server_key(&server)).await {
                Ok(contacts) => Some(Event::ContactsLoaded { contacts, answer }),
                Err(failure) => {
                    drop(events);
                    let text = crate::error::chain(&failure);
                    let code = filefleet_ctl::proto::ErrorCode::Internal;
                    let _ = answer.send(Err(ControlError::new(code, text)));
                    None
                }
            }
        });
    }

    pub(super) fn on_contacts_loaded(
        &mut self,
        contacts: Vec<crate::store::Contact>,
        answer: Answer,
    ) {
        self.contacts =
            contacts.into_iter().map(|contact| (contact.name.clone(), contact)).collect();
        self.publish_contacts();
        self.on_registration();
        let _ = answer.send(Ok(Reply::Done));
    }

    pub(super) fn registration_state(&self) -> Option<State> {
        self.rendezvous.as_ref().map(|client| client.state().borrow().clone())
    }

    fn show_registration(&mut self) {
        let state = self.registration_state().unwrap_or_default();
        let event = Shown::Registration {
            name: self.settings.name().map(|name| name.to_string()),
            server: self.settings.server().map(|server| server.to_string()),
            registered: state.registered,
            error: state.last_error.as_ref().map(ToString::to_string),
        };
        self.show(&event);
    }

    pub(super) fn on_rendezvous(&mut self, event: rendezvous::Event) {
        match event {
            rendezvous::Event::IncomingCall(call) => {
                let peers = self.peers.clone();
                self.spawn(async move {
                    peers.incoming_call(call).await;
                    None
                });
            }
            rendezvous::Event::Refused { session, reason } => {
                let peers = self.peers.clone();
                self.spawn(async move {
                    peers.refused(session, reason).await;
                    None
                });
            }
            rendezvous::Event::Revealed { session, observed } => {
                let peers = self.peers.clone();
                self.spawn(async move {
                    peers.revealed(session, observed).await;
                    None
                });
            }
            rendezvous::Event::Presence { identity, online } => {
                self.online.insert(identity, online);
                let contact = self.contacts.values().find(|contact| contact.identity == identity);
                if let Some(view) = contact.map(|contact| self.contact_view(contact)) {
                    self.show(&Shown::Contact(view));
                }
                if online {
                    self.wake_identity(&identity);
                }
            }
            rendezvous::Event::StateChanged => self.on_registration(),
        }
    }

    /// Who is online is not known any more; those who watch hear of it.
    fn forget_presence(&mut self) {
        let known = std::mem::take(&mut self.online);
        let contacts = self.contacts.values().filter(|it| known.contains_key(&it.identity));
        let views: Vec<_> = contacts.map(|contact| self.contact_view(contact)).collect();
        views.into_iter().for_each(|view| self.show(&Shown::Contact(view)));
    }

    /// The registration may be another one, or none.
    fn on_registration(&mut self) {
        let registered = self.registration_state().is_some_and(|state| state.registered);
        if !registered {
            self.forget_presence();
        }
        self.show_registration();
        if registered && !std::mem::replace(&mut self.registered, registered) {
            self.wake_all();
            self.look_for_senders();
        }
        self.registered = registered;
    }
}

/// Waits until a new client is registered. `None` says that the server did not answer in time.
async fn registered(client: &Client) -> Result<(), Option<rendezvous::Error>> {
    let mut states = client.state();
    let settled = states.wait_for(|state| state.registered || refusal(state).is_some());
    match tokio::time::timeout(REGISTER_LIMIT, settled).await {
        Ok(Ok(state)) if state.registered => Ok(()),
        Ok(Ok(state)) => Err(refusal(&state).cloned()),
        Ok(Err(_)) | Err(_) => Err(None),
    }
}

/// Why a server will not have us, if it said so for good.
fn refusal(state: &State) -> Option<&rendezvous::Error> {
    state.last_error.as_ref().filter(|error| error.is_lasting())
}
