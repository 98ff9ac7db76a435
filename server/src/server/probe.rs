//! Sending a registered client something that its NAT has no reason to let in: whether it arrives
//! tells the client how the NAT filters (RFC 5780 section 4.4, test III).
//!
//! Nothing here is of use against others. Only a registered client can ask, over its authenticated
//! connection, and the response goes where the server sees that connection and nowhere else. Should
//! the client have given itself somebody else's address, they get less than the client has sent: the
//! request alone is longer than the response, and a client's requests are paced.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use crate::protos::stun::{self, TransactionId};

/// Sends the response of this transaction from a new port of the address that the client knows.
pub(super) fn send(
    transaction: TransactionId,
    client: SocketAddr,
    local_ip: Option<IpAddr>,
) -> io::Result<()> {
    let any = match client {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let local_ip = local_ip.map(|ip| ip.to_canonical()).filter(|ip| ip.is_ipv4() == any.is_ipv4());
    let socket = UdpSocket::bind((local_ip.unwrap_or(any), 0))?;
    socket.set_nonblocking(true)?;
    socket.send_to(&stun::response(transaction, client), client).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::protos::rendezvous::{ClientFrame, Transaction, encode};

    #[test]
    fn the_response_leaves_from_the_same_address_and_another_port() {
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = client.local_addr().unwrap();
        for local_ip in [Some(IpAddr::from(Ipv4Addr::LOCALHOST.to_ipv6_mapped())), None] {
            send([7; 12], address, local_ip).unwrap();
            let mut buffer = [0; 100];
            let (length, source) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..length], stun::response([7; 12], address));
            assert_eq!(source.ip(), address.ip());
        }
    }

    #[test]
    fn a_request_is_longer_than_the_response_that_it_draws() {
        let request = encode(&ClientFrame::Probe { id: 0, transaction: Transaction([0; 12]) });
        let client = (Ipv6Addr::LOCALHOST, 1).into();
        assert!(request.len() > stun::response([0; 12], client).len());
    }
}
