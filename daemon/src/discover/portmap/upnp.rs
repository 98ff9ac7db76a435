//! Mappings by UPnP (Internet Gateway Device). The library blocks, so that everything happens in
//! threads for that.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use igd_next::{Gateway, GatewayIpVersion, PortMappingProtocol, SearchOptions, search_gateway};
use tokio::task::spawn_blocking;

use super::{LEASE, Place};

/// Routers wait up to a second before they answer a search (UPnP Device Architecture, 1.3.2: MX).
const SEARCH: Duration = Duration::from_secs(3);
/// How routers list it.
const DESCRIPTION: &str = "FileFleet";

/// A granted mapping.
#[derive(Debug)]
pub(super) struct Mapping {
    gateway: Gateway,
    place: Place,
    external: SocketAddr,
}

impl Mapping {
    pub(super) async fn new(place: Place) -> Option<Self> {
        blocking(move || {
            let mut options = SearchOptions::default();
            options.bind_addr = (place.here, 0).into();
            options.timeout = Some(SEARCH);
            options.single_search_timeout = Some(SEARCH);
            options.gateway_ip_version = GatewayIpVersion::V4;
            let gateway = search_gateway(options)
                .inspect_err(|error| tracing::debug!(%error, "no router that speaks UPnP"))
                .ok()
                // Anybody on the network can answer; only the router is asked to open a port.
                .filter(|gateway| gateway.addr.ip() == IpAddr::V4(place.router))?;
            let external_ip = gateway.get_external_ip().ok()?;
            let external = SocketAddr::new(external_ip, place.port.get());
            let mapping = Self { gateway, place, external };
            mapping.add().then_some(mapping)
        })
        .await
    }

    /// The same port outside as inside; a router that has given it to somebody else refuses.
    fn add(&self) -> bool {
        let here = SocketAddr::from((self.place.here, self.place.port.get()));
        let lease = u32::try_from(LEASE.as_secs()).expect("an hour is not long");
        let udp = PortMappingProtocol::UDP;
        let added = self.gateway.add_port(udp, self.external.port(), here, lease, DESCRIPTION);
        added.inspect_err(|error| tracing::debug!(%error, "no mapping by UPnP")).is_ok()
    }

    pub(super) fn external(&self) -> SocketAddr {
        self.external
    }

    pub(super) async fn renew(&mut self) -> bool {
        let again = Self { gateway: self.gateway.clone(), ..*self };
        blocking(move || again.add().then_some(())).await.is_some()
    }

    pub(super) async fn release(self) {
        let removed = blocking(move || {
            self.gateway.remove_port(PortMappingProtocol::UDP, self.external.port()).ok()
        });
        if removed.await.is_none() {
            tracing::debug!("the router keeps the mapping until it ends");
        }
    }
}

async fn blocking<T: Send + 'static>(
    function: impl FnOnce() -> Option<T> + Send + 'static,
) -> Option<T> {
    spawn_blocking(function).await.ok().flatten()
}
