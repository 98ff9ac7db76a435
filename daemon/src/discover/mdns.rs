//! Announcing this device on the networks that it is on, and hearing who else does: DNS-SD over
//! multicast DNS (RFC 6762, RFC 6763), without a server.
//!
//! What is announced is an opaque text that [`announcement`] makes and reads; instance and host
//! names are random and new with each announcement. Whoever announces is nobody until a mark in it
//! was recognised, so nothing of a record counts but that text.
//!
//! The thread of `mdns-sd` answers queries and remembers what it hears. It knows no bounds, so it
//! is looked at from time to time and ended when it was made to remember too much.

pub mod announcement;
pub mod interfaces;
pub mod pair;

use std::{collections::BTreeMap, time::Duration};

use bytes::{Bytes, BytesMut};
use mdns_sd::{
    DaemonEvent, IfKind, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo,
    TxtProperty,
};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::announcement::MAX_LEN;

const SERVICE: &str = "_filefleet._udp.local.";
/// A string of a TXT record has at most 255 bytes, of which a key takes two.
const CHUNK: usize = 250;
/// Keys are one digit.
const MAX_CHUNKS: usize = 9;
/// Events that wait to be looked at. Full: the thread's own queue fills, and then it is started
/// again.
const EVENTS: usize = 64;
/// How often it is looked at how much the thread remembers.
const LOOK: Duration = Duration::from_secs(2);
/// The most records that the thread may remember: some hundred devices.
const MAX_RECORDS: i64 = 4_096;
/// The most announcements that are looked at between two looks.
const MAX_HEARD: usize = 1_000;
/// After a flood, and when the network cannot be used, nothing is heard or announced for so long.
const PAUSE: Duration = Duration::from_secs(60);
/// How long the goodbyes at the end may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// What is announced on one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The interface's name.
    pub interface: String,
    /// The port of the main socket.
    pub port: u16,
    /// What contacts read.
    pub text: Vec<u8>,
}

/// By what a service is called: random, and told in the clear.
pub type Instance = String;

/// What was heard on the network; anybody may have said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody announces this.
    Heard {
        /// What it is called.
        instance: Instance,
        /// The text.
        text: Bytes,
        /// The indices of the interfaces on which it was heard.
        interfaces: Vec<u32>,
    },
    /// An announcement has been taken back, or has not been renewed.
    Gone {
        /// What it was called.
        instance: Instance,
    },
    /// Listening has begun anew: of what was heard before, nobody will say that it has gone.
    Restarted,
}

/// Announces and listens until it is closed or dropped.
#[derive(Debug)]
pub struct Mdns {
    services: watch::Sender<BTreeMap<Instance, Service>>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Mdns {
    /// Begins to listen. Must be called within a tokio runtime.
    pub fn spawn() -> (Self, mpsc::Receiver<Event>) {
        let (events, events_end) = mpsc::channel(EVENTS);
        let (services, services_end) = watch::channel(BTreeMap::new());
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(services_end, events, stop.clone()));
        (Self { services, stop, task: AbortOnDropHandle::new(task) }, events_end)
    }

    /// Announces this, under these names, in the place of what was announced before.
    pub fn announce(&self, services: BTreeMap<Instance, Service>) {
        self.services.send_if_modified(|old| {
            let changed = *old != services;
            *old = services;
            changed
        });
    }

    /// Takes back what was announced, and ends.
    pub async fn close(self) {
        self.stop.cancel();
        // Should it take longer, the announcements end by their time to live.
        let _ = timeout(2 * FAREWELL, self.task).await;
    }
}

/// Why listening ended.
enum End {
    /// It is not wanted any more.
    Stopped,
    /// Too much came.
    Flooded,
}

async fn run(
    mut services: watch::Receiver<BTreeMap<Instance, Service>>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    loop {
        match listen(&mut services, &events, &stop).await {
            Ok(End::Stopped) => return,
            Ok(End::Flooded) => tracing::warn!("too many announcements: not listening for a while"),
            Err(error) => tracing::warn!(%error, "people on this network cannot be found"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
        if events.send(Event::Restarted).await.is_err() {
            return;
        }
    }
}

/// Announces and listens until that is not wanted, or too much comes.
async fn listen(
    services: &mut watch::Receiver<BTreeMap<Instance, Service>>,
    events: &mpsc::Sender<Event>,
    stop: &CancellationToken,
) -> mdns_sd::Result<End> {
    let responder = Responder::start()?;
    let (heard, faults) = (responder.0.browse(SERVICE)?, responder.0.monitor()?);
    let mut announced = BTreeMap::new();
    services.mark_changed();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut budget = MAX_HEARD;
    loop {
        // Every branch is cancel-safe: a token, channels and a tick.
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                responder.say_goodbye().await;
                return Ok(End::Stopped);
            }
            changed = services.changed() => {
                if changed.is_err() {
                    return Ok(End::Stopped);
                }
                let wanted = services.borrow_and_update().clone();
                responder.change(&announced, &wanted)?;
                announced = wanted;
            }
            _ = look.tick() => {
                if responder.remembers().await? > MAX_RECORDS {
                    return Ok(End::Flooded);
                }
                budget = MAX_HEARD;
            }
            event = heard.recv_async() => {
                // The thread lets go of who does not listen fast enough.
                let (Ok(event), Some(left)) = (event, budget.checked_sub(1)) else {
                    return Ok(End::Flooded);
                };
                budget = left;
                if let Some(event) = read_event(event)
                    && events.send(event).await.is_err()
                {
                    return Ok(End::Stopped);
                }
            }
            Ok(fault) = faults.recv_async() => if let DaemonEvent::Error(error) = fault {
                tracing::debug!(%error, "multicast DNS");
            },
        }
    }
}

/// The thread of `mdns-sd`; it ends with this.
struct Responder(ServiceDaemon);

impl Responder {
    fn start() -> mdns_sd::Result<Self> {
        let daemon = Self(ServiceDaemon::new()?);
        // Users of one machine hear each other on its networks.
        daemon.0.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        Ok(daemon)
    }

    /// Takes back what is not wanted any more, and announces what is new.
    fn change(
        &self,
        announced: &BTreeMap<Instance, Service>,
        wanted: &BTreeMap<Instance, Service>,
    ) -> mdns_sd::Result<()> {
        for instance in announced.keys().filter(|instance| !wanted.contains_key(*instance)) {
            // How it went is of no interest: it ends by its time to live at the latest.
            drop(self.0.unregister(&format!("{instance}.{SERVICE}"))?);
        }
        for (instance, service) in wanted {
            if !announced.contains_key(instance) {
                self.0.register(record(instance, service)?)?;
            }
        }
        Ok(())
    }

    /// How many records of others there are.
    async fn remembers(&self) -> mdns_sd::Result<i64> {
        let counters = self.0.get_metrics()?.recv_async().await;
        let counters = counters.map_err(|_| mdns_sd::Error::DaemonShutdown)?;
        let cached = counters.iter().filter(|(name, _)| name.starts_with("cached-"));
        Ok(cached.map(|(_, count)| count).sum())
    }

    async fn say_goodbye(&self) {
        if let Ok(ended) = self.0.shutdown() {
            let _ = timeout(FAREWELL, ended.recv_async()).await;
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.shutdown();
    }
}

fn record(instance: &str, service: &Service) -> mdns_sd::Result<ServiceInfo> {
    let text: Vec<_> = service.text.chunks(CHUNK).take(MAX_CHUNKS).enumerate().collect();
    let text: Vec<_> = text.iter().map(|(n, part)| TxtProperty::from((n, part))).collect();
    let host = format!("{instance}.local.");
    let mut info = ServiceInfo::new(SERVICE, instance, &host, (), service.port, text)?;
    info.set_interfaces(vec![IfKind::Name(service.interface.clone())]);
    // Nobody else has this random name. Who says otherwise is not to make us take another.
    info.set_requires_probe(false);
    Ok(info.enable_addr_auto())
}

fn read_event(event: ServiceEvent) -> Option<Event> {
    match event {
        ServiceEvent::ServiceResolved(service) => {
            let text = read_text(&service)?;
            let instance = instance_of(&service.fullname)?;
            let mut interfaces: Vec<u32> = service.addresses.iter().flat_map(heard_on).collect();
            interfaces.sort_unstable();
            interfaces.dedup();
            Some(Event::Heard { instance, text, interfaces })
        }
        ServiceEvent::ServiceRemoved(_, full_name) => {
            Some(Event::Gone { instance: instance_of(&full_name)? })
        }
        _ => None,
    }
}

/// The parts of the text one after the other, if they are there and not too long.
fn read_text(service: &ResolvedService) -> Option<Bytes> {
    let mut text = BytesMut::new();
    for n in 0..MAX_CHUNKS {
        let Some(part) = service.get_property_val(&n.to_string()) else { break };
        text.extend_from_slice(part?);
    }
    (!text.is_empty() && text.len() <= MAX_LEN).then(|| text.freeze())
}

fn instance_of(full_name: &str) -> Option<Instance> {
    Some(full_name.strip_suffix(SERVICE)?.strip_suffix('.')?.to_owned())
}

fn heard_on(address: &ScopedIp) -> Vec<u32> {
    match address {
        ScopedIp::V4(v4) => v4.interface_ids().iter().map(|interface| interface.index).collect(),
        ScopedIp::V6(v6) => vec![v6.scope_id().index],
        _ => Vec::new(),
    }
}
