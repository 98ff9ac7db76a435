//! How large datagrams on a direct path may become: what the route's interface takes, which is more
//! than Ethernet's 1,500 bytes where jumbo frames are in use. QUIC's discovery (RFC 9000, section
//! 14.3) finds out whether the whole path does.

use std::net::SocketAddr;

/// What is tried where nothing is known: 1,500 bytes less the headers of IPv6 and UDP.
pub const USUAL: u16 = 1452;
/// Ten datagrams of this size, a batch of quinn, are one send with GSO, which takes
/// [65,507](super::batched) bytes.
pub const MOST: u16 = 6550;
/// Of IPv4 and UDP.
const IPV4_HEADERS: u32 = 28;
/// Of IPv6 and UDP.
const IPV6_HEADERS: u32 = 48;

/// The largest UDP payload, in bytes, that the interface takes through which packets to `remote`
/// leave; between [`USUAL`] and [`MOST`].
pub fn largest_payload(remote: SocketAddr) -> u16 {
    let headers = if remote.is_ipv4() { IPV4_HEADERS } else { IPV6_HEADERS };
    let payload = route_mtu(remote).map_or(0, |mtu| mtu.saturating_sub(headers));
    u16::try_from(payload).unwrap_or(MOST).clamp(USUAL, MOST)
}

/// Asks the kernel with a socket that sends nothing.
#[cfg(target_os = "linux")]
fn route_mtu(remote: SocketAddr) -> Option<u32> {
    use rustix::net::sockopt;

    let any: SocketAddr = match remote.is_ipv4() {
        true => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        false => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect(remote).ok()?;
    let mtu = if remote.is_ipv4() { sockopt::ip_mtu(&socket) } else { sockopt::ipv6_mtu(&socket) };
    mtu.ok()
}

/// Elsewhere there is no safe call for it.
#[cfg(not(target_os = "linux"))]
fn route_mtu(_remote: SocketAddr) -> Option<u32> {
    None
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use ed25519_dalek::SigningKey;
    use filefleet_server::{
        protos::certificate::DeviceKey,
        udp::{DemuxSocket, bind_udp},
    };
    use quinn::{ClientConfig, Endpoint, ServerConfig, TokioRuntime};

    use super::*;
    use crate::transport::{
        Congestion, Path,
        batched::BatchedSocket,
        endpoint_config,
        tls::{Expected, SERVER_NAME, Tls},
        transport_config,
    };

    #[test]
    fn loopback_takes_the_most() {
        for remote in ["127.0.0.1:9", "[::1]:9"] {
            assert_eq!(largest_payload(remote.parse().unwrap()), MOST, "{remote}");
        }
    }

    #[tokio::test]
    async fn jumbo_frames_are_found_and_batches_of_them_arrive() {
        const BYTES: usize = 8 << 20;
        let [near, far] = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let [expect_near, expect_far] = [&near, &far]
            .map(|key| Expected::Exactly(DeviceKey::from_bytes(key.verifying_key().to_bytes())));
        let path = Path::Direct { largest_payload: MOST };
        let mut server = ServerConfig::with_crypto(Arc::new(
            Tls::new(&far).unwrap().server(expect_near).unwrap(),
        ));
        server.transport_config(transport_config(path, Congestion::default()));
        let mut client =
            ClientConfig::new(Arc::new(Tls::new(&near).unwrap().client(expect_far).unwrap()));
        client.transport_config(transport_config(path, Congestion::default()));
        let (near, far) = (endpoint(&near, None), endpoint(&far, Some(server)));
        let connecting = near.connect_with(client, far.local_addr().unwrap(), SERVER_NAME).unwrap();
        let (sending, receiving) =
            tokio::join!(connecting, async { far.accept().await.unwrap().await });
        let (sending, receiving) = (sending.unwrap(), receiving.unwrap());
        let send = async {
            let is_found = || sending.stats().path.current_mtu > MOST - 20;
            // One more than it takes to find out.
            for was_found in std::iter::from_fn(|| Some(is_found())) {
                let mut stream = sending.open_uni().await.unwrap();
                stream.write_all(&vec![7; BYTES]).await.unwrap();
                stream.finish().unwrap();
                assert_eq!(stream.stopped().await.unwrap(), None, "all of it arrived");
                if was_found {
                    break;
                }
            }
            sending.close(0_u8.into(), b"");
        };
        let receive = async {
            let mut streams = 0;
            while let Ok(mut stream) = receiving.accept_uni().await {
                let Ok(content) = stream.read_to_end(BYTES).await else { break };
                assert!(content == vec![7; BYTES]);
                streams += 1;
            }
            streams
        };
        let ((), streams) = tokio::join!(send, receive);
        assert!(streams > 0);
    }

    fn endpoint(key: &SigningKey, server: Option<ServerConfig>) -> Endpoint {
        let socket = bind_udp(([127, 0, 0, 1], 0).into()).unwrap();
        let (socket, _) = DemuxSocket::new(socket, 1).unwrap();
        let socket = BatchedSocket::new(socket);
        let runtime = Arc::new(TokioRuntime);
        Endpoint::new_with_abstract_socket(endpoint_config(key), server, socket, runtime).unwrap()
    }

    #[test]
    fn no_route_is_a_usual_one() {
        let nowhere = SocketAddr::from(([255, 255, 255, 255], 9));
        assert_eq!(largest_payload(nowhere), USUAL);
    }
}
