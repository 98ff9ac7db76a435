//! When content arrives at a machine, and from where: the times of its packets, as the kernel notes
//! them, and nothing of what is in them.

use std::net::Ipv4Addr;
use std::time::Duration;

use rustix::process::Signal;

use super::{Machine, Program};

/// `tcpdump` of the large UDP packets that come to a machine.
pub(crate) struct Arrivals(Program);

/// A packet that came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Since the epoch.
    pub(crate) at: Duration,
    pub(crate) from: Ipv4Addr,
}

impl Arrivals {
    /// Listens from now on.
    #[track_caller]
    pub(crate) fn at(machine: &Machine) -> Self {
        let mut command = machine.command("tcpdump");
        command.args(["-Z", "root", "-i", "eth0", "-Q", "in", "-s", "64", "-B", "65536"]);
        command.args(["-l", "-n", "-q", "-tt", "ip and udp and greater 1000"]);
        let mut tcpdump = Program::start(&command);
        tcpdump.says("listening on");
        Self(tcpdump)
    }

    /// Stops listening; what has come, in order.
    #[track_caller]
    pub(crate) fn end(self) -> Vec<Arrival> {
        let lines = self.0.end_by(Signal::INT).done().stdout;
        // The last one is empty.
        let lines = lines.iter().filter(|line| !line.is_empty());
        lines.map(|line| read(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
    }
}

/// The longest time between any two.
pub(crate) fn longest_pause(arrivals: &[Arrival]) -> Duration {
    let pauses = arrivals.array_windows().map(|[one, next]| next.at.saturating_sub(one.at));
    pauses.max().unwrap_or_default()
}

/// `1700000000.123456 IP 10.7.1.2.7835 > 10.7.2.2.7835: UDP, length 1400`
fn read(line: &str) -> Option<Arrival> {
    let mut words = line.split(' ');
    let (seconds, micros) = words.next()?.split_once('.')?;
    let at =
        Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?);
    let (from, _port) = words.nth(1)?.rsplit_once('.')?;
    Some(Arrival { at, from: from.parse().ok()? })
}
