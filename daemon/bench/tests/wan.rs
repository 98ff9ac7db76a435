//! The emulated link proves what it does to packets, measured from outside with real sockets. Each
//! bound is one that a perfect link would miss. Needs root, for network namespaces.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::{
    env,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use filefleet_bench::{
    bare::{self, Receiver},
    lab::Machine,
    tcp,
    wan::{Conditions, End, Wan},
};
use quinn::congestion::CubicConfig;

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const MS: Duration = Duration::from_millis(1);
/// Longer than anything takes, even on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(30);
/// An IPv4 and a UDP header.
const HEADERS: usize = 28;

struct Network {
    near: Machine,
    far: Machine,
    wan: Wan,
}

impl Network {
    fn with(conditions: Conditions) -> Self {
        let (near, far) = (Machine::new().unwrap(), Machine::new().unwrap());
        let end = |machine, address| End { machine, interface: "wan0", address };
        let (near_end, far_end) = (end(&near, "10.99.0.1/24"), end(&far, "10.99.0.2/24"));
        let wan = Wan::between(near_end, far_end, conditions, 7).unwrap();
        Self { near, far, wan }
    }

    /// Two sockets that are connected to each other.
    fn sockets(&self) -> (UdpSocket, UdpSocket) {
        let bind = |machine: &Machine, address: Ipv4Addr| {
            machine.enter(|| UdpSocket::bind((address, 0)).unwrap()).unwrap()
        };
        let (near, far) = (bind(&self.near, NEAR), bind(&self.far, FAR));
        near.connect(far.local_addr().unwrap()).unwrap();
        far.connect(near.local_addr().unwrap()).unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        (near, far)
    }

    /// The shortest round trip of a few, which other work on the machine does not lengthen.
    fn round_trip(&self) -> Duration {
        let (near, far) = self.sockets();
        let mut shortest = PATIENCE;
        for _ in 0..5 {
            let start = Instant::now();
            near.send(b"ping").unwrap();
            let mut buffer = [0; 8];
            let length = far.recv(&mut buffer).unwrap();
            far.send(&buffer[..length]).unwrap();
            near.recv(&mut buffer).unwrap();
            shortest = shortest.min(start.elapsed());
        }
        shortest
    }
}

/// Says so if this machine cannot have network namespaces, and fails where that is no excuse.
#[allow(clippy::print_stderr, reason = "the test harness shows it")]
fn lacks_namespaces() -> bool {
    let made = Command::new("unshare").args(["--net", "true"]).status();
    if made.is_ok_and(|status| status.success()) {
        return false;
    }
    eprintln!("skipped: needs root and network namespaces (util-linux)");
    assert!(env::var_os("FILEFLEET_TEST_NO_SKIP").is_none(), "skipped");
    true
}

#[test]
fn a_round_trip_takes_twice_the_delay_and_a_change_of_it_holds_at_once() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::with(Conditions { delay: 30 * MS, ..Conditions::default() });
    let long = network.round_trip();
    assert!((60 * MS..90 * MS).contains(&long), "{long:?}");
    network.wan.set(Conditions { delay: 5 * MS, ..Conditions::default() });
    let short = network.round_trip();
    assert!((10 * MS..30 * MS).contains(&short), "{short:?}");
}

#[test]
fn a_burst_leaves_at_the_rate_and_what_the_queue_cannot_hold_is_dropped() {
    if lacks_namespaces() {
        return;
    }
    // 2 Mbit/s: a packet of 1,000 bytes is on the line for 4 ms, and 50 may wait.
    let conditions = Conditions {
        delay: 10 * MS,
        rate: Some(2_000_000),
        queue: Some(50_000),
        ..Conditions::default()
    };
    let network = Network::with(conditions);
    let (near, far) = network.sockets();
    let start = Instant::now();
    for _ in 0..100 {
        near.send(&[0; 1000 - HEADERS]).unwrap();
    }
    let mut buffer = [0; 1500];
    // The queue holds fifty at the start, and that is how many come at least.
    for _ in 0..50 {
        far.recv(&mut buffer).unwrap();
    }
    let took = start.elapsed();
    assert!((50 * 4 * MS..10 * 50 * 4 * MS).contains(&took), "{took:?}");
    let counters = network.wan.forth().counters();
    assert_eq!(counters.packets, 100);
    // While they were being sent, some left.
    assert!((20..=50).contains(&counters.queue_drops), "{counters:?}");
    assert_eq!(counters.queue_peak, 50_000);
}

#[test]
fn tcp_gets_the_rate_and_no_more() {
    if lacks_namespaces() {
        return;
    }
    let rate = 50_000_000;
    let conditions = Conditions { delay: 5 * MS, rate: Some(rate), ..Conditions::default() };
    let network = Network::with(conditions);
    let time = Duration::from_secs(2);
    let flow =
        tcp::flow(&network.near, (&network.far, FAR), "cubic", Duration::ZERO, time).unwrap();
    let share = flow.rate() / 50e6;
    assert!((0.5..=1.0).contains(&share), "{share}");
}

#[test]
fn losses_are_as_frequent_as_asked() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::with(Conditions { loss: 0.1, ..Conditions::default() });
    let (near, far) = network.sockets();
    let mut received = 0_u64;
    let mut buffer = [0; 8];
    for _ in 0..50 {
        for _ in 0..100 {
            near.send(b"loss").unwrap();
        }
        // Until a mark gets through, so that no more is under way than a socket holds.
        far.set_read_timeout(Some(20 * MS)).unwrap();
        'mark: loop {
            near.send(b"mark").unwrap();
            while far.recv(&mut buffer).is_ok() {
                received += 1;
                if buffer.starts_with(b"mark") {
                    break 'mark;
                }
            }
        }
    }
    // More than one mark may have been under way.
    let end = Instant::now() + PATIENCE;
    let counters = loop {
        let counters = network.wan.forth().counters();
        let over = counters.delivered + counters.losses == counters.packets;
        if over && counters.delivered == received {
            break counters;
        }
        assert!(Instant::now() < end, "{received} of {counters:?}");
        received += u64::from(far.recv(&mut buffer).is_ok());
    };
    assert!(counters.packets >= 5050, "{counters:?}");
    let lost = f64::from(u32::try_from(counters.packets - received).unwrap());
    let share = lost / f64::from(u32::try_from(counters.packets).unwrap());
    assert!((0.08..0.12).contains(&share), "{share}");
}

#[test]
fn nothing_gets_through_while_the_link_is_down() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::with(Conditions { delay: MS, ..Conditions::default() });
    network.round_trip();
    network.wan.set_up(false);
    let (near, far) = network.sockets();
    near.send(b"lost").unwrap();
    far.set_read_timeout(Some(100 * MS)).unwrap();
    far.recv(&mut [0; 8]).unwrap_err();
    assert_eq!(network.wan.forth().counters().cut, 1);
    network.wan.set_up(true);
    network.round_trip();
}

#[test]
fn bare_quinn_sees_the_delay_and_the_rate_of_the_link() {
    if lacks_namespaces() {
        return;
    }
    let conditions = Conditions { delay: 10 * MS, rate: Some(40_000_000), ..Conditions::default() };
    let network = Network::with(conditions);
    let runtime = |machine: &Machine| {
        let build = || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1).enable_all().build().unwrap()
        };
        machine.enter(build).unwrap()
    };
    let (near, far) = (runtime(&network.near), runtime(&network.far));
    // The socket belongs to the machine of the thread that makes it.
    let bind = || far.block_on(async { Receiver::bind(SocketAddr::from((FAR, 0))) });
    let receiver = network.far.enter(bind).unwrap().unwrap();
    let (address, certificate) = (receiver.local_addr().unwrap(), receiver.certificate().to_vec());
    let receiving = far.spawn(async move { receiver.receive().await });
    let bytes = 4 << 20;
    let congestion = Arc::new(CubicConfig::default());
    let sending = || near.block_on(bare::send(address, &certificate, bytes, congestion));
    let sent = network.near.enter(sending).unwrap().unwrap();
    assert_eq!(far.block_on(receiving).unwrap().unwrap(), bytes);
    // 4 MiB at 40 Mbit/s.
    assert!((800 * MS..8000 * MS).contains(&sent.elapsed), "{sent:?}");
    assert!(sent.rtts.iter().all(|rtt| *rtt >= 20 * MS), "{sent:?}");
}
