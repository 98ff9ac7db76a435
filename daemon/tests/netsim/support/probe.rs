//! How a NAT behaves, as its computer and others on the internet find out (RFC 5780, section 4).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use super::{Machine, PATIENCE};

/// Whether a NAT's mapping and its filtering depend on who is at the other end (RFC 4787).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behaviour {
    /// Whether all destinations see one address.
    pub(crate) one_mapping: bool,
    /// Whether that address takes packets of those who were sent none.
    pub(crate) takes_unasked: bool,
}

/// Ports of the probing machine; the second one is never sent anything by the computer.
const ASKED: [u16; 2] = [3478, 3479];
const UNASKED: u16 = 3480;

impl Behaviour {
    /// Between a computer and a machine on the internet with this address.
    #[track_caller]
    pub(crate) fn of(computer: &Machine, internet: &Machine, ip: &str) -> Self {
        let ip: IpAddr = ip.parse().unwrap();
        let there = |port| internet.enter(|| socket(port));
        let (here, asked, unasked) =
            (computer.enter(|| socket(0)), ASKED.map(there), there(UNASKED));
        let mapped = [0, 1].map(|number| {
            here.send_to(b"who am I", (ip, ASKED[number])).unwrap();
            receive(&asked[number]).0
        });
        // One after the other on one way: whatever passes arrives in this order.
        unasked.send_to(b"unasked", mapped[0]).unwrap();
        asked[0].send_to(b"asked", mapped[0]).unwrap();
        let (_, first) = receive(&here);
        Self { one_mapping: mapped[0] == mapped[1], takes_unasked: first == b"unasked" }
    }
}

fn socket(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[track_caller]
fn receive(socket: &UdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut buffer = [0; 64];
    let (length, source) = socket.recv_from(&mut buffer).unwrap();
    (source, buffer[..length].to_vec())
}

/// Whether what one computer sends to the mapping of another behind the same NAT gets there
/// (hairpinning, RFC 4787 section 6).
#[track_caller]
pub(crate) fn turns_around(from: &Machine, to: &Machine, internet: &Machine, ip: &str) -> bool {
    let ip: IpAddr = ip.parse().unwrap();
    let (here, there) = (to.enter(|| socket(0)), internet.enter(|| socket(ASKED[0])));
    here.send_to(b"who am I", (ip, ASKED[0])).unwrap();
    let (mapped, _) = receive(&there);
    from.enter(|| socket(0)).send_to(b"around", mapped).unwrap();
    there.send_to(b"asked", mapped).unwrap();
    receive(&here).1 == b"around"
}
