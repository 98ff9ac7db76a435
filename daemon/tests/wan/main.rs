//! Our congestion control over an emulated WAN link, under bare quinn, beside quinn's own Cubic.
//! Bounds are wide, since other work on the machine slows the emulator down. Needs root, for
//! network namespaces.
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
    bare::{self, Congestion, Receiver, Sent},
    lab::Machine,
    wan::{Conditions, End, Wan},
};
use filefleet_daemon::congestion::ModelConfig;
use quinn::congestion::CubicConfig;

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const MS: Duration = Duration::from_millis(1);
const DELAY: Duration = Duration::from_millis(50);
/// A hundredth of the packets gets lost; 25 Mbit/s are little enough for a busy machine.
const CONDITIONS: Conditions =
    Conditions { delay: DELAY, rate: Some(25_000_000), queue: None, loss: 0.01 };
/// 1.4 s at the rate of the link, and half a second to start.
const BYTES: u64 = 4 << 20;
/// A third of the rate.
const BOUND: Duration = Duration::from_secs(5);

struct Network {
    near: Machine,
    far: Machine,
    wan: Wan,
}

impl Network {
    fn new() -> Self {
        let (near, far) = (Machine::new().unwrap(), Machine::new().unwrap());
        let end = |machine, address| End { machine, interface: "wan0", address };
        let (near_end, far_end) = (end(&near, "10.99.0.1/24"), end(&far, "10.99.0.2/24"));
        let wan = Wan::between(near_end, far_end, CONDITIONS, 7).unwrap();
        Self { near, far, wan }
    }

    /// Sends [`BYTES`]; `None` if that takes longer than [`BOUND`].
    fn send(&self, congestion: Congestion) -> Option<Sent> {
        let (near, far) = (runtime(&self.near), runtime(&self.far));
        // The socket belongs to the machine of the thread that makes it.
        let bind = || far.block_on(async { Receiver::bind(SocketAddr::from((FAR, 0))) });
        let receiver = self.far.enter(bind).unwrap().unwrap();
        let (address, certificate) =
            (receiver.local_addr().unwrap(), receiver.certificate().to_vec());
        far.spawn(async move { receiver.receive().await });
        let send = bare::send(address, &certificate, BYTES, congestion);
        let sending = || near.block_on(async { tokio::time::timeout(BOUND, send).await });
        let sent = self.near.enter(sending).unwrap();
        far.shutdown_background();
        near.shutdown_background();
        sent.ok().map(|sent| sent.unwrap())
    }

    /// The share of a thousand datagrams that gets lost, and the shortest round trip.
    fn impairment(&self) -> (f64, Duration) {
        let bind = |machine: &Machine, address: Ipv4Addr| {
            machine.enter(|| UdpSocket::bind((address, 0)).unwrap()).unwrap()
        };
        let (near, far) = (bind(&self.near, NEAR), bind(&self.far, FAR));
        near.connect(far.local_addr().unwrap()).unwrap();
        far.connect(near.local_addr().unwrap()).unwrap();
        far.set_read_timeout(Some(4 * DELAY)).unwrap();
        near.set_read_timeout(Some(4 * DELAY)).unwrap();
        let mut shortest = Duration::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            near.send(b"ping").unwrap();
            let there = far.recv(&mut [0; 8]).is_ok() && far.send(b"pong").is_ok();
            if there && near.recv(&mut [0; 8]).is_ok() {
                shortest = shortest.min(start.elapsed());
            }
        }
        self.wan.forth().reset_counters();
        for _ in 0..10 {
            for _ in 0..100 {
                near.send(b"loss").unwrap();
            }
            while far.recv(&mut [0; 8]).is_ok() {}
        }
        let counters = self.wan.forth().counters();
        let share = |part: u64| f64::from(u32::try_from(part).unwrap());
        (share(counters.losses) / share(counters.packets), shortest)
    }
}

fn runtime(machine: &Machine) -> tokio::runtime::Runtime {
    let build = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    machine.enter(build).unwrap()
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
fn one_percent_of_loss_on_a_long_path_stops_cubic_and_not_us() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::new();
    let (loss, round_trip) = network.impairment();
    assert!((0.002..0.03).contains(&loss), "{loss}");
    assert!((2 * DELAY..2 * DELAY + 50 * MS).contains(&round_trip), "{round_trip:?}");
    let sent = network.send(Arc::new(ModelConfig)).expect("in time with ours");
    assert!(sent.stats.path.lost_packets > 0, "the loss was there: {:?}", sent.stats);
    let cubic = network.send(Arc::new(CubicConfig::default()));
    assert!(cubic.is_none(), "cubic has become as good: {cubic:?}");
}
