//! Contacts on the same network, found and called without a server.
//!
//! This device announces itself to its contacts ([`mdns`](crate::discover::mdns)) and hears their
//! announcements. Whoever is heard has to answer a connectivity check that only the contact's
//! device can answer; then they are near, and may be called at the address that answered. The
//! checks of contacts are answered in the same way, and nobody else's.
//!
//! All of it is a hint where to call. Who is called is proved by TLS and the device certificate, as
//! on every link.

mod actor;
mod announcer;
mod sightings;

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use filefleet_server::protos::{
    certificate::{DeviceCertificate, DeviceKey, IdentityKey},
    name::Name,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::actor::Actor;
use super::Peer;
use crate::connect::driver::Connector;

/// Questions that wait; who asks waits while there are more.
const QUESTIONS: usize = 64;
/// How long taking back the announcements may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The handle of the actor; it ends with the last handle.
#[derive(Debug, Clone)]
pub(super) struct Nearby(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    wishes: watch::Sender<Wishes>,
    questions: mpsc::Sender<Question>,
    near: watch::Receiver<HashSet<DeviceKey>>,
    stop: CancellationToken,
    _actor: AbortOnDropHandle<()>,
}

/// Who is to be found, and whether anybody is.
#[derive(Debug, Clone, Default)]
struct Wishes {
    enabled: bool,
    contacts: Arc<[Peer]>,
}

/// Where does this device answer? Answered `None` if it does not.
#[derive(Debug)]
struct Question {
    device: DeviceKey,
    answer: oneshot::Sender<Option<SocketAddr>>,
}

/// This device, as the actor announces it.
#[derive(Debug)]
struct Own {
    device_key: SigningKey,
    certificate: DeviceCertificate,
    /// Of the main socket.
    port: u16,
}

impl Nearby {
    /// Starts; nothing is announced or heard before there are contacts and it is enabled. Must be
    /// called within a tokio runtime.
    pub(super) fn spawn(
        connector: Connector,
        device_key: SigningKey,
        certificate: DeviceCertificate,
        port: u16,
    ) -> Self {
        let (wishes, wishes_end) = watch::channel(Wishes::default());
        let (questions, questions_end) = mpsc::channel(QUESTIONS);
        let (near_in, near) = watch::channel(HashSet::new());
        let stop = CancellationToken::new();
        let own = Own { device_key, certificate, port };
        let actor = Actor::new(own, connector, wishes_end, questions_end, near_in, stop.clone());
        let actor = AbortOnDropHandle::new(tokio::spawn(actor.run()));
        Self(Arc::new(Shared { wishes, questions, near, stop, _actor: actor }))
    }

    /// Who is to be found from now on, and to find this device.
    pub(super) fn set_contacts(&self, contacts: Vec<Peer>) {
        self.0.wishes.send_if_modified(|wishes| {
            let of = |peer: &Peer| (peer.name.clone(), peer.certificate.clone());
            let same = wishes.contacts.iter().map(of).eq(contacts.iter().map(of));
            if !same {
                wishes.contacts = contacts.into();
            }
            !same
        });
    }

    /// Whether anything is announced and anybody found.
    pub(super) fn set_enabled(&self, enabled: bool) {
        self.0
            .wishes
            .send_if_modified(|wishes| std::mem::replace(&mut wishes.enabled, enabled) != enabled);
    }

    /// The contact of this name, if it is the one with this identity.
    pub(super) fn named(&self, name: &Name, identity: Option<IdentityKey>) -> Option<Peer> {
        let is_it = |peer: &Peer| {
            peer.name == *name && identity.is_none_or(|identity| identity == peer.identity())
        };
        self.find(is_it)
    }

    /// The contact with this device.
    pub(super) fn with_device(&self, device: DeviceKey) -> Option<Peer> {
        self.find(|peer| peer.device() == device)
    }

    fn find(&self, is_it: impl Fn(&Peer) -> bool) -> Option<Peer> {
        let wishes = self.0.wishes.borrow();
        wishes.contacts.iter().filter(|_| wishes.enabled).find(|peer| is_it(peer)).cloned()
    }

    /// Where this contact's device answers now, if it does on any network here.
    pub(super) async fn reach(&self, device: DeviceKey) -> Option<SocketAddr> {
        let (answer, answered) = oneshot::channel();
        self.0.questions.send(Question { device, answer }).await.ok()?;
        answered.await.ok().flatten()
    }

    /// The contacts' devices that have answered a moment ago.
    pub(super) fn near(&self) -> watch::Receiver<HashSet<DeviceKey>> {
        self.0.near.clone()
    }

    /// Takes back what is announced.
    pub(super) async fn close(&self) {
        self.0.stop.cancel();
        let _ = timeout(FAREWELL, self.0.questions.closed()).await;
    }
}
