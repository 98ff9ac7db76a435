//! Carries out a [`Birthday`]: guesses leave through the main socket, and whatever they hit is then
//! checked like any path; scattered sockets are this task's own, and one that is hit is given away.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Instant,
};

use filefleet_server::udp::{Datagram, DemuxSocket, OtherDatagram, bind_udp, canonical, classify};
use tokio::{sync::mpsc, task::JoinSet, time::sleep_until};

use super::{Event, keys::Keys, random_u64};
use crate::connect::birthday::{Birthday, Part, Step};

/// The longest check is far shorter.
const DATAGRAM_LEN: usize = 1500;

/// A scattered socket that the peer's checks have reached: a path that no other socket has.
#[derive(Debug)]
pub struct Scattered {
    /// Bound, and known to the NAT.
    pub socket: UdpSocket,
    /// Where the peer is; the socket has nothing to do with anybody else.
    pub remote: SocketAddr,
    /// With what both sides' checks are keyed.
    pub keys: Keys,
}

/// One side's attempt to meet the other at `remote`, whom the server has observed there.
pub(super) struct Guessing {
    pub(super) part: Part,
    pub(super) remote: SocketAddr,
    pub(super) keys: Keys,
    pub(super) main: Arc<DemuxSocket>,
    pub(super) events: mpsc::Sender<Event>,
}

impl Guessing {
    /// Runs to the end, or until it is aborted because there is a path.
    pub(super) async fn run(self) {
        tracing::info!(part = ?self.part, remote = %self.remote, "guessing ports");
        let mut birthday = Birthday::new(self.part, Instant::now(), random_u64());
        let mut sockets = JoinSet::new();
        let mut found = false;
        loop {
            // Both branches are cancel-safe: a timer and a join.
            tokio::select! {
                () = sleep_until(birthday.timeout().into()) => {}
                Some(Ok(Some(socket))) = sockets.join_next(), if !found => {
                    found = self.give_away(socket);
                }
            }
            match birthday.poll(Instant::now()) {
                // The socket that was found is in use; the rest was in vain.
                Some(Step::Clear) if found => return,
                Some(Step::Clear) => sockets.shutdown().await,
                Some(Step::Open) if found => {}
                Some(Step::Open) => match self.scatter() {
                    Ok(socket) => drop(sockets.spawn(hit(socket, self.remote, self.keys.clone()))),
                    // As many as there are must do.
                    Err(error) => tracing::debug!(%error, "no further socket"),
                },
                Some(Step::Guess(port)) => {
                    // What does not fit into the socket's buffer was a wrong guess.
                    let to = (self.remote.ip(), port).into();
                    self.main.send_to(&self.keys.request(), to, None);
                }
                Some(Step::Over) => return tracing::info!("no port was guessed"),
                None => {}
            }
        }
    }

    fn scatter(&self) -> io::Result<tokio::net::UdpSocket> {
        let any: IpAddr = match self.remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = bind_udp((any, 0).into())?;
        // tokio would first want to be told by the kernel that there is room.
        socket.send_to(&self.keys.request(), self.remote)?;
        tokio::net::UdpSocket::from_std(socket)
    }

    /// Whether the session has taken it.
    fn give_away(&self, socket: tokio::net::UdpSocket) -> bool {
        let Ok(socket) = socket.into_std() else { return false };
        let scattered = Scattered { socket, remote: self.remote, keys: self.keys.clone() };
        self.events.try_send(Event::Scattered(scattered)).is_ok()
    }
}

/// Waits until the peer's check comes in; what comes from elsewhere is nobody's business. `None` if
/// the socket fails.
async fn hit(
    socket: tokio::net::UdpSocket,
    remote: SocketAddr,
    keys: Keys,
) -> Option<tokio::net::UdpSocket> {
    let mut buffer = [0; DATAGRAM_LEN];
    loop {
        let (length, source) = socket.recv_from(&mut buffer).await.ok()?;
        let datagram = &buffer[..length];
        if canonical(source) != remote || classify(datagram) != Datagram::Stun {
            continue;
        }
        let payload = bytes::Bytes::copy_from_slice(datagram);
        let request =
            OtherDatagram { source: remote, local_ip: None, kind: Datagram::Stun, payload };
        if keys.answer(&request).is_some() {
            return Some(socket);
        }
    }
}
