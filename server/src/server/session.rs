//! One client's connection: the registration, then requests and pushes until either end is over.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use quinn::{Connection, Incoming, RecvStream, SendStream};
use tokio::{
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{debug, info};

use super::{Services, calls, probe, registry::Seat, store::Claimed};
use crate::{
    protos::{
        certificate::DeviceCertificate,
        name::Name,
        rendezvous::{
            ClientFrame, CloseCode, EXPORTER_LABEL, ErrorCode, Exported, FrameError, FrameReader,
            Proof, ServerFrame, Transaction, encode,
        },
    },
    udp::canonical,
};

/// How long a stranger has to become a client.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may leave a frame lying in our send buffer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a refused client has to read why.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a client's address is looked at, for the beacon of the next start.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(30);
/// Calls of one client that may wait for their callee at a time.
const MAX_WAITING_CALLS: usize = 16;

/// Serves a connection whose address is validated. `permit` is held while it is a stranger's.
pub(super) async fn run(incoming: Incoming, services: Arc<Services>, permit: OwnedSemaphorePermit) {
    let admission = timeout(REGISTRATION_TIMEOUT, async {
        let connection = incoming.accept()?.await?;
        let streams = connection.accept_bi().await?;
        Ok::<_, quinn::ConnectionError>((connection, streams))
    });
    let (connection, (send, receive)) = match admission.await {
        Ok(Ok(admitted)) => admitted,
        Ok(Err(error)) => return debug!(%error, "no connection came about"),
        Err(_) => return debug!("a connection took too long"),
    };
    let mut wire = Wire { connection, send, reader: FrameReader::new(receive) };
    let code = match timeout(REGISTRATION_TIMEOUT, wire.register(&services)).await {
        Ok(Ok((name, seat))) => {
            drop(permit);
            Session::new(wire, services, name, seat).run().await;
            return;
        }
        Ok(Err(refusal)) => wire.refuse(refusal).await,
        Err(_) => CloseCode::TimedOut,
    };
    wire.connection.close(code.into(), b"");
}

/// Why a stranger is not registered.
enum Refusal {
    /// To be told in a frame.
    Told(ErrorCode),
    /// Did not keep to the protocol, or is gone.
    Violation,
}

/// Why a registered client is so no longer.
struct Over(CloseCode);

/// A connection with its one stream.
struct Wire {
    connection: Connection,
    send: SendStream,
    reader: FrameReader<RecvStream>,
}

impl Wire {
    async fn register(&mut self, services: &Services) -> Result<(Name, Seat), Refusal> {
        let (name, certificate, proof) = self.first_frame().await?;
        let mut exported = Exported::default();
        self.connection
            .export_keying_material(&mut exported, EXPORTER_LABEL, &[])
            .map_err(|_| Refusal::Violation)?;
        if !proof.verify(&certificate.device(), &exported) {
            return Err(Refusal::Told(ErrorCode::NotProven));
        }
        let observed = canonical(self.connection.remote_address());
        claim(services, &name, &certificate, observed).await.map_err(Refusal::Told)?;
        let origin = services.origins.of(observed);
        let seat = services.registry.join(name.clone(), certificate, origin);
        let registered = ServerFrame::Registered { relay_port: services.relay_port, observed };
        if self.write(&registered).await.is_err() {
            services.registry.leave(&seat.ticket);
            return Err(Refusal::Violation);
        }
        services.store.set_address(name.clone(), services.origins.beacon_address(observed)).await;
        Ok((name, seat))
    }

    async fn first_frame(&mut self) -> Result<(Name, DeviceCertificate, Proof), Refusal> {
        loop {
            match self.reader.next().await {
                Ok(Some(ClientFrame::Register { name, certificate, proof })) => {
                    return Ok((name, *certificate, proof));
                }
                Ok(Some(ClientFrame::Unknown)) => {}
                Ok(_) | Err(_) => return Err(Refusal::Violation),
            }
        }
    }

    async fn write(&mut self, frame: &ServerFrame) -> Result<(), Over> {
        match timeout(WRITE_TIMEOUT, self.send.write_all(&encode(frame))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Over(CloseCode::Done)),
            Err(_) => Err(Over(CloseCode::TimedOut)),
        }
    }

    /// Says why, and gives the client time to read it.
    async fn refuse(&mut self, refusal: Refusal) -> CloseCode {
        let Refusal::Told(code) = refusal else { return CloseCode::ProtocolViolation };
        debug!(?code, "registration refused");
        if self.write(&error(None, code)).await.is_ok() && self.send.finish().is_ok() {
            let _ = timeout(FAREWELL_TIMEOUT, self.connection.closed()).await;
        }
        CloseCode::Refused
    }
}

async fn claim(
    services: &Services,
    name: &Name,
    certificate: &DeviceCertificate,
    observed: SocketAddr,
) -> Result<(), ErrorCode> {
    let unavailable = |_| ErrorCode::Unavailable;
    let identity = certificate.identity();
    match services.store.holder(name.clone()).await.map_err(unavailable)? {
        Some(holder) if holder == identity => return Ok(()),
        Some(_) => return Err(ErrorCode::NameTaken),
        None if !services.claims.admits(services.origins.of(observed)) => {
            return Err(ErrorCode::RateLimited);
        }
        None => {}
    }
    match services.store.claim(name.clone(), identity).await.map_err(unavailable)? {
        Claimed::Held => Ok(()),
        Claimed::Taken => Err(ErrorCode::NameTaken),
        Claimed::Full => Err(ErrorCode::Unavailable),
    }
}

fn error(id: Option<u64>, code: ErrorCode) -> ServerFrame {
    let message = match code {
        ErrorCode::NameTaken => "this name belongs to another identity",
        ErrorCode::NotProven => "the device key is not proven",
        ErrorCode::UnknownName => "nobody has this name",
        ErrorCode::Offline => "this person is not online",
        ErrorCode::RateLimited => "too much at a time",
        ErrorCode::Unavailable | ErrorCode::Other => "the server cannot do this now",
    };
    ServerFrame::Error { id, code, message: message.to_owned() }
}

/// A registered client.
struct Session {
    wire: Wire,
    services: Arc<Services>,
    name: Name,
    seat: Seat,
    pace: DefaultDirectRateLimiter,
    waiting: JoinSet<ServerFrame>,
    address: SocketAddr,
}

impl Session {
    fn new(wire: Wire, services: Arc<Services>, name: Name, seat: Seat) -> Self {
        let pace = RateLimiter::direct(Quota::per_second(services.limits.frames_per_client));
        let address = canonical(wire.connection.remote_address());
        Self { wire, services, name, seat, pace, waiting: JoinSet::new(), address }
    }

    async fn run(mut self) {
        info!(name = %self.name, "registered");
        let Over(code) = self.serve().await;
        info!(name = %self.name, ?code, "no longer registered");
        let left = self.services.registry.leave(&self.seat.ticket);
        // The next start calls back whoever was there at the end of this one.
        if left && !self.services.stop.is_cancelled() {
            self.services.store.set_address(self.name.clone(), None).await;
        }
        self.wire.connection.close(code.into(), b"");
    }

    async fn serve(&mut self) -> Over {
        let mut look_at_address = interval(ADDRESS_INTERVAL);
        look_at_address.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let result = tokio::select! {
                biased;
                () = self.services.stop.cancelled() => Err(Over(CloseCode::ShuttingDown)),
                code = &mut self.seat.ejected => Err(Over(code.unwrap_or(CloseCode::Done))),
                Some(frame) = self.seat.outbox.recv() => self.wire.write(&frame).await,
                Some(answer) = self.waiting.join_next() => match answer {
                    Ok(answer) => self.wire.write(&answer).await,
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                },
                frame = self.wire.reader.next() => match frame {
                    Ok(Some(frame)) => self.frame(frame).await,
                    Ok(None) => Err(Over(CloseCode::Done)),
                    Err(FrameError::Read(_)) => Err(Over(CloseCode::Done)),
                    Err(error) => {
                        debug!(%error, "a client breaks the protocol");
                        Err(Over(CloseCode::ProtocolViolation))
                    }
                },
                _ = look_at_address.tick() => {
                    self.note_address().await;
                    Ok(())
                }
            };
            if let Err(over) = result {
                return over;
            }
        }
    }

    async fn frame(&mut self, frame: ClientFrame) -> Result<(), Over> {
        // Whoever sends too fast is read more slowly.
        self.pace.until_ready().await;
        match frame {
            ClientFrame::Register { .. } => Err(Over(CloseCode::ProtocolViolation)),
            ClientFrame::LookUp { id, name } => {
                let answer = match self.services.store.holder(name).await {
                    Ok(Some(identity)) => ServerFrame::Found { id, identity },
                    Ok(None) => error(Some(id), ErrorCode::UnknownName),
                    Err(_) => error(Some(id), ErrorCode::Unavailable),
                };
                self.wire.write(&answer).await
            }
            ClientFrame::Call { id, .. } if self.waiting.len() >= MAX_WAITING_CALLS => {
                self.wire.write(&error(Some(id), ErrorCode::RateLimited)).await
            }
            ClientFrame::Call { id, name } => {
                let (services, caller) = (Arc::clone(&self.services), self.seat.ticket.clone());
                self.waiting.spawn(async move {
                    match calls::place(&services, &caller, name).await {
                        Ok(call) => ServerFrame::Called { id, call },
                        Err(code) => error(Some(id), code),
                    }
                });
                Ok(())
            }
            ClientFrame::Refuse { session, reason } => {
                if self.services.registry.refuse(&self.seat.ticket, session.0, reason) {
                    self.services.relay.release(session.0).await;
                }
                Ok(())
            }
            ClientFrame::Reveal { session } => {
                let observed = canonical(self.wire.connection.remote_address());
                self.services.registry.reveal(&self.seat.ticket, session, observed);
                Ok(())
            }
            ClientFrame::Contacts { replace, identities } => {
                self.services.registry.set_contacts(&self.seat.ticket, replace, identities);
                Ok(())
            }
            ClientFrame::Probe { id, transaction } => {
                let probed = self.probe(id, transaction);
                self.wire.write(&probed).await
            }
            ClientFrame::Ping => self.wire.write(&ServerFrame::Pong).await,
            ClientFrame::Unknown => Ok(()),
        }
    }

    fn probe(&self, id: u64, Transaction(transaction): Transaction) -> ServerFrame {
        let observed = canonical(self.wire.connection.remote_address());
        // The end of a tunnel is a socket of this machine.
        let by_udp = self.services.origins.beacon_address(observed);
        let sent = by_udp.is_some_and(|address| {
            let sent = probe::send(transaction, address, self.wire.connection.local_ip());
            sent.inspect_err(|error| debug!(%error, "a probe did not leave")).is_ok()
        });
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        ServerFrame::Probed { id, observed, sent, now: u64::try_from(now).unwrap_or(u64::MAX) }
    }

    /// Stores the client's address if its NAT changed it.
    async fn note_address(&mut self) {
        let address = canonical(self.wire.connection.remote_address());
        if address != self.address {
            self.address = address;
            let beacon = self.services.origins.beacon_address(address);
            self.services.store.set_address(self.name.clone(), beacon).await;
        }
    }
}
