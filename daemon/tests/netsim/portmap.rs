//! A router that maps ports: then even two strict NATs are no obstacle.

use std::time::{Duration, Instant};

use crate::support::{Asking, MappingNetwork, Pair, is_direct, lacks_namespaces};

/// From the send to the first byte over a direct link.
const DIRECT: Duration = Duration::from_secs(5);

#[test]
fn a_mapping_by_pcp_makes_the_link_direct_and_is_released() {
    maps_and_releases(Asking::Pcp, "PCP");
}

#[test]
fn a_mapping_by_nat_pmp_makes_the_link_direct_and_is_released() {
    maps_and_releases(Asking::NatPmp, "NAT-PMP");
}

#[test]
fn a_mapping_by_upnp_makes_the_link_direct_and_is_released() {
    maps_and_releases(Asking::Upnp, "UPnP");
}

#[allow(clippy::print_stderr, reason = "these are the figures")]
fn maps_and_releases(asking: Asking, protocol: &str) {
    if lacks_namespaces() {
        return;
    }
    let lab = MappingNetwork::new(asking);
    let mut pair = Pair::on(&lab.network);
    pair.bob.says(&format!("protocol=\"{protocol}\""));
    assert_eq!(lab.mappings(), 1);
    let film = pair.long_film();
    let mut watching = pair.alice.watch();
    let start = Instant::now();
    let sending = pair.alice.send("bob", film);
    watching.until("transfer", is_direct);
    let direct = start.elapsed();
    eprintln!("strict to strict, mapped by {protocol}: direct after {direct:?}");
    assert!(direct < DIRECT, "{direct:?}");
    sending.interrupt();
    sending.end();
    pair.bob.stop();
    assert_eq!(lab.mappings(), 0, "it was not released");
}
