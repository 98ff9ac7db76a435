//! A mapping of the main socket's port at the home's router, so that everybody can reach it: by PCP
//! (RFC 6887), NAT-PMP (RFC 6886) or UPnP, whichever the router speaks. Renewed while it is wanted,
//! made anew when the network is another one, released at the end.
//!
//! Nothing is asked of anybody's router unless a server sees this machine at an address that is not
//! its own: then there is a NAT.

mod pcp;
mod upnp;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::connect::candidate::Network;

/// What is asked for: long enough for a router that is switched off meanwhile to be the usual
/// reason for a mapping to end, short enough for one that nobody released to go.
const LEASE: Duration = Duration::from_secs(3600);
/// A router that grants less is asked again no sooner than this.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(30);
/// A router that grants nothing is asked again after this.
const RETRY: Duration = Duration::from_secs(600);
/// How long the router has for everything at the end.
const RELEASE: Duration = Duration::from_secs(2);

/// The NAT that this machine is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nat {
    /// What servers see.
    pub public: IpAddr,
    /// The networks on this side of it.
    pub network: Network,
}

/// Keeps a mapping while there is a NAT. Dropping it leaves the mapping to its end.
#[derive(Debug)]
pub struct PortMapper {
    mapped: watch::Receiver<Option<SocketAddr>>,
    stop: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

/// A mapping that a router has granted.
enum Lease {
    Nat(pcp::Mapping),
    Upnp(upnp::Mapping),
}

/// Where this machine is, as its router sees it.
#[derive(Debug, Clone, Copy)]
struct Place {
    router: Ipv4Addr,
    here: Ipv4Addr,
    port: NonZeroU16,
}

impl PortMapper {
    /// Begins to map `port` while there is a NAT. Must be called within a tokio runtime.
    pub fn spawn(port: u16, nat: watch::Receiver<Option<Nat>>) -> Self {
        let (mapped_in, mapped) = watch::channel(None);
        let stop = CancellationToken::new();
        let task = run(port, nat, mapped_in, stop.clone());
        Self { mapped, stop, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    /// The address that the router has given us, while it has.
    pub fn mapped(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.mapped.clone()
    }

    /// Releases the mapping, if there is one; waits for the router, but not for long.
    pub async fn release(&self) {
        self.stop.cancel();
        let mut mapped = self.mapped.clone();
        // The task's end of the channel goes with the task.
        let ended = async { while mapped.changed().await.is_ok() {} };
        let _ = timeout(RELEASE, ended).await;
    }
}

async fn run(
    port: u16,
    mut nat: watch::Receiver<Option<Nat>>,
    mapped: watch::Sender<Option<SocketAddr>>,
    stop: CancellationToken,
) {
    let Some(port) = NonZeroU16::new(port) else { return };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            there = nat.wait_for(Option::is_some) => if there.is_err() { return },
        }
        nat.mark_unchanged();
        // Not cancelled by the end: a mapping that is on its way would never be released.
        let Some(mut lease) = acquire(port).await else {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = nat.changed() => if changed.is_err() { return },
                () = sleep(RETRY) => {}
            }
            continue;
        };
        hold(&mut lease, &mut nat, &mapped, &stop).await;
        mapped.send_replace(None);
        lease.release().await;
    }
}

/// Renews a mapping until it ends, the network changes, or everything does.
async fn hold(
    lease: &mut Lease,
    nat: &mut watch::Receiver<Option<Nat>>,
    mapped: &watch::Sender<Option<SocketAddr>>,
    stop: &CancellationToken,
) {
    loop {
        let external = lease.external();
        if mapped.send_replace(Some(external)) != Some(external) {
            tracing::info!(%external, protocol = lease.protocol(), "port mapped");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = nat.changed() => return,
            () = sleep((lease.lifetime() / 2).max(SHORTEST_RENEWAL)) => {}
        }
        if !lease.renew().await {
            tracing::info!(%external, "the router does not renew the mapping");
            return;
        }
    }
}

async fn acquire(port: NonZeroU16) -> Option<Lease> {
    // It reads files or asks the kernel, and is quick.
    let place = Place::find(port)?;
    if let Some(mapping) = pcp::Mapping::new(place).await {
        return Some(Lease::Nat(mapping));
    }
    let mapping = upnp::Mapping::new(place).await;
    if mapping.is_none() {
        tracing::debug!(router = %place.router, "the router maps no ports");
    }
    mapping.map(Lease::Upnp)
}

impl Place {
    /// On the interface of the default route.
    fn find(port: NonZeroU16) -> Option<Self> {
        let interface = netdev::get_default_interface().ok()?;
        let router = *interface.gateway.as_ref()?.ipv4.first()?;
        let shared = |net: &&netdev::ipnet::Ipv4Net| net.contains(&router);
        let here = interface.ipv4.iter().find(shared).or(interface.ipv4.first())?.addr();
        Some(Self { router, here, port })
    }
}

impl Lease {
    fn external(&self) -> SocketAddr {
        match self {
            Self::Nat(mapping) => mapping.external(),
            Self::Upnp(mapping) => mapping.external(),
        }
    }

    fn protocol(&self) -> &'static str {
        match self {
            Self::Nat(mapping) => mapping.protocol(),
            Self::Upnp(_) => "UPnP",
        }
    }

    fn lifetime(&self) -> Duration {
        match self {
            Self::Nat(mapping) => mapping.lifetime(),
            Self::Upnp(_) => LEASE,
        }
    }

    /// Whether the router has granted it again.
    async fn renew(&mut self) -> bool {
        match self {
            Self::Nat(mapping) => mapping.renew().await,
            Self::Upnp(mapping) => mapping.renew().await,
        }
    }

    /// A router that does not answer forgets the mapping by itself.
    async fn release(self) {
        match self {
            Self::Nat(mapping) => mapping.release().await,
            Self::Upnp(mapping) => mapping.release().await,
        }
    }
}
