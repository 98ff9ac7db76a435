//! Examining the network: what is asked of whom, and what comes of it as plain facts. What these mean is
//! in [`verdict`], and `control` puts it into words.
//!
//! Everything leaves from the main socket, through which direct links go, so that what is found is
//! true of them. Only the user's own server is asked, and no step waits longer than its limit.

pub(crate) mod verdict;

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use filefleet_server::{
    client::{self, Client, Probed, State, Tunnels, resolve::addresses},
    protos::address::ServerAddress,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use crate::connect::driver::{Connector, Surroundings};

/// For the system's resolver, which asks several name servers in turn.
const RESOLUTION_LIMIT: Duration = Duration::from_secs(5);
/// For TCP and TLS with a server that is far away, and a lost packet.
const TCP_LIMIT: Duration = Duration::from_secs(5);
/// How long a registration that is under way is waited for: UDP's head start and a tunnel.
const REGISTRATION_LIMIT: Duration = Duration::from_secs(4);
/// For the server's answer to a probe, over a connection that works.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// What the server has sent unasked is at most this much later than its answer, or lost.
const ARRIVAL_LIMIT: Duration = Duration::from_millis(700);
/// One packet may be lost.
const PROBES: usize = 2;

/// What is examined, and by which means.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) connector: Connector,
    /// The server that the user has registered at, with what keeps the registration.
    pub(crate) server: Option<(ServerAddress, Client)>,
    /// Whether the router may be asked to map a port.
    pub(crate) map_port: bool,
    /// Whether ports may be guessed.
    pub(crate) guess_ports: bool,
}

/// What was found.
#[derive(Debug, Clone)]
pub(crate) struct Examination {
    pub(crate) surroundings: Surroundings,
    pub(crate) map_port: bool,
    pub(crate) guess_ports: bool,
    /// `None` if the user has registered nowhere.
    pub(crate) server: Option<ServerFacts>,
}

/// What was found about the way to the server.
#[derive(Debug, Clone)]
pub(crate) struct ServerFacts {
    pub(crate) address: ServerAddress,
    /// Where its name leads to, or why nowhere.
    pub(crate) resolved: Result<Vec<SocketAddr>, String>,
    /// Which of these answer by UDP.
    pub(crate) answers: Vec<Reply>,
    /// The relay's answers, where it is known and UDP leads to it.
    pub(crate) relay: Option<Vec<Reply>>,
    pub(crate) tcp: Option<Result<(), client::Error>>,
    pub(crate) state: State,
    /// QUIC's estimate.
    pub(crate) round_trip: Option<Duration>,
    pub(crate) clock: Option<ClockOffset>,
    /// `None` if the server has not answered.
    pub(crate) unasked: Option<Unasked>,
}

/// An answer to a STUN request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) server: SocketAddr,
    /// Where the server sees the main socket.
    pub(crate) mapped: SocketAddr,
}

/// How far the server's clock is from this machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockOffset {
    pub(crate) is_ahead: bool,
    pub(crate) by: Duration,
}

/// What came of what the server was to send unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unasked {
    /// Where the server sees the connection come from.
    pub(crate) observed: SocketAddr,
    /// `None` if the server has sent nothing, as to who comes through a tunnel.
    pub(crate) arrived: Option<bool>,
}

/// Examines everything; takes some seconds.
pub(crate) async fn examine(subject: Subject) -> Examination {
    let Subject { connector, server, map_port, guess_ports } = subject;
    let surroundings = connector.surroundings().await.unwrap_or_default();
    let server = match server {
        Some((address, client)) => Some(examine_server(&connector, address, &client).await),
        None => None,
    };
    Examination { surroundings, map_port, guess_ports, server }
}

async fn examine_server(
    connector: &Connector,
    address: ServerAddress,
    client: &Client,
) -> ServerFacts {
    let resolved = resolve(&address).await;
    let addresses = resolved.clone().unwrap_or_default();
    let (answers, tcp, (state, probed)) = tokio::join!(
        ask_all(connector, addresses.clone()),
        try_tcp(&address, !addresses.is_empty()),
        probe(connector, client),
    );
    let relay = match state.relay_addr() {
        Some(relay) => {
            let at_relay = |it: &Reply| SocketAddr::new(it.server.ip(), relay.port());
            let relays = answers.iter().map(at_relay).collect();
            Some(ask_all(connector, relays).await)
        }
        None => None,
    };
    let round_trip = match state.registered && probed.is_some() {
        true => client.round_trip().await,
        false => None,
    };
    let (clock, unasked) = probed.unzip();
    ServerFacts { address, resolved, answers, relay, tcp, state, round_trip, clock, unasked }
}

/// As the client finds them.
async fn resolve(server: &ServerAddress) -> Result<Vec<SocketAddr>, String> {
    match timeout(RESOLUTION_LIMIT, addresses(&server.host, server.port)).await {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no name server has answered".to_owned()),
    }
}

/// Asks all at once; the answers of those that answer, in the order of `servers`.
async fn ask_all(connector: &Connector, servers: Vec<SocketAddr>) -> Vec<Reply> {
    let mut asked = JoinSet::new();
    for (place, server) in servers.into_iter().enumerate() {
        let connector = connector.clone();
        asked.spawn(async move {
            let (answer, _) = connector.ask(server).await?;
            Some((place, Reply { server, mapped: answer.mapped }))
        });
    }
    let mut replies: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
    replies.sort_by_key(|(place, _)| *place);
    replies.into_iter().map(|(_, reply)| reply).collect()
}

/// `None` if there is no address to try.
async fn try_tcp(server: &ServerAddress, has_address: bool) -> Option<Result<(), client::Error>> {
    if !has_address {
        return None;
    }
    let tried = timeout(TCP_LIMIT, Tunnels::try_out(server.clone())).await;
    Some(tried.unwrap_or(Err(client::Error::TimedOut)))
}

/// How the registration stands, and if it does, how far the server's clock is off and what comes in
/// unasked.
async fn probe(connector: &Connector, client: &Client) -> (State, Option<(ClockOffset, Unasked)>) {
    let mut states = client.state();
    let settled = |state: &State| state.registered || state.last_error.is_some();
    // Whatever it is after that, it is said.
    let _ = timeout(REGISTRATION_LIMIT, states.wait_for(settled)).await;
    let mut found = None;
    for _ in 0..PROBES {
        if !states.borrow().registered {
            break;
        }
        let (id, arrival) = connector.expect_response().await;
        let Ok(Ok(probed)) = timeout(PROBE_LIMIT, client.probe(id)).await else {
            // It looks after itself, and soon.
            client.check_alive();
            break;
        };
        let deadline = Instant::now() + ARRIVAL_LIMIT;
        let clock = ClockOffset::of(&probed, SystemTime::now());
        let arrived = probed.sent && matches!(timeout_at(deadline, arrival).await, Ok(Ok(_)));
        let unasked =
            Unasked { observed: probed.observed, arrived: probed.sent.then_some(arrived) };
        found = Some((clock, unasked));
        if arrived || !probed.sent {
            break;
        }
    }
    // The probe may have waited for another registration, at a server that was started again.
    let state = states.borrow().clone();
    (state, found)
}

impl ClockOffset {
    /// The server looked at its clock half a round trip ago.
    fn of(probed: &Probed, now: SystemTime) -> Self {
        let here = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let there = probed.clock + probed.took / 2;
        Self { is_ahead: there >= here, by: there.abs_diff(here) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_clocks_are_compared_in_the_middle_of_the_round_trip() {
        let probed = |clock: u64| Probed {
            observed: "192.0.2.1:1".parse().unwrap(),
            sent: true,
            clock: Duration::from_secs(clock),
            took: Duration::from_secs(2),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let offset = |clock| ClockOffset::of(&probed(clock), now);
        let is = |is_ahead, by| ClockOffset { is_ahead, by: Duration::from_secs(by) };
        assert_eq!(offset(999), is(true, 0));
        assert_eq!(offset(1099), is(true, 100));
        assert_eq!(offset(899), is(false, 100));
    }
}
