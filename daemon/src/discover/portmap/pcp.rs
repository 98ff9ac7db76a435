//! Mappings by PCP, and by NAT-PMP where the router does not speak it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crab_nat::{
    GatewayAddress, InternetProtocol, PortMapping, PortMappingOptions, PortMappingType,
    TimeoutConfig, natpmp, pcp,
};

use super::{LEASE, Place};

/// A router is in the same room: what it does not answer in 200, 400 and 800 ms it does not answer.
const TIMEOUTS: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(200),
    max_retries: 2,
    max_retry_timeout: None,
};

/// A granted mapping.
pub(super) struct Mapping {
    granted: PortMapping,
    external_ip: IpAddr,
}

impl Mapping {
    pub(super) async fn new(place: Place) -> Option<Self> {
        let lifetime = u32::try_from(LEASE.as_secs()).expect("an hour is not long");
        let options = PortMappingOptions {
            external_port: Some(place.port),
            lifetime_seconds: Some(lifetime),
            timeout_config: Some(TIMEOUTS),
        };
        let (router, udp) = (GatewayAddress::from(place.router), InternetProtocol::Udp);
        let request = pcp::BaseMapRequest::new(router, place.here.into(), udp, place.port);
        let granted = match pcp::port_mapping(request, None, None, options).await {
            Ok(granted) => granted,
            Err(error) => {
                tracing::debug!(%error, "no mapping by PCP");
                let granted = natpmp::port_mapping(router, udp, place.port, options).await;
                granted
                    .inspect_err(|error| tracing::debug!(%error, "no mapping by NAT-PMP"))
                    .ok()?
            }
        };
        let external_ip = match granted.mapping_type() {
            PortMappingType::Pcp { external_ip, .. } => external_ip,
            PortMappingType::NatPmp => {
                natpmp::external_address(router, Some(TIMEOUTS)).await.ok()?.into()
            }
        };
        Some(Self { granted, external_ip: external_ip.to_canonical() })
    }

    pub(super) fn external(&self) -> SocketAddr {
        (self.external_ip, self.granted.external_port().get()).into()
    }

    pub(super) fn protocol(&self) -> &'static str {
        match self.granted.mapping_type() {
            PortMappingType::Pcp { .. } => "PCP",
            PortMappingType::NatPmp => "NAT-PMP",
        }
    }

    pub(super) fn lifetime(&self) -> Duration {
        Duration::from_secs(self.granted.lifetime().into())
    }

    pub(super) async fn renew(&mut self) -> bool {
        let renewed = self.granted.renew().await;
        if let PortMappingType::Pcp { external_ip, .. } = self.granted.mapping_type() {
            self.external_ip = external_ip.to_canonical();
        }
        renewed.is_ok()
    }

    pub(super) async fn release(self) {
        if let Err((error, _)) = self.granted.try_drop().await {
            tracing::debug!(%error, "the router keeps the mapping until it ends");
        }
    }
}
