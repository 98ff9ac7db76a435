//! A simulated path for the tests: one bottleneck, virtual time, senders that behave as quinn's do,
//! and the TCP flows that ours has to share a line with.

mod cells;
mod changes;
mod link;
mod rivals;
mod sender;
mod world;

use std::time::{Duration, Instant};

use super::bbr::Bbr;
use link::Path;
use sender::{MTU, Rtt};
use world::World;

const MIB: u64 = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);
/// Packets for one acknowledgement: what the daemons ask for, and what TCP does.
const OUR_THRESHOLD: usize = 10;
const TCP_THRESHOLD: usize = 1;

/// What decides how much a simulated sender sends.
trait Control {
    fn on_sent(&mut self, _now: Instant, _bytes: u64) {}
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64);
    fn on_end_acks(&mut self, _now: Instant, _in_flight: u64, _app_limited: bool, _rtt: &Rtt) {}
    fn on_lost(&mut self, now: Instant, sent: Instant, bytes: u64, persistent: bool);
    fn window(&self) -> u64;
    /// Bytes per second, for those that do not leave pacing to quinn.
    fn pacing_rate(&self) -> Option<f64> {
        None
    }
}

impl Control for Bbr {
    fn on_sent(&mut self, now: Instant, bytes: u64) {
        Self::on_sent(self, now, bytes);
    }

    fn on_ack(&mut self, _now: Instant, sent: Instant, bytes: u64) {
        Self::on_ack(self, sent, bytes);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, rtt: &Rtt) {
        Self::on_end_acks(self, now, in_flight, app_limited, rtt.smoothed);
    }

    fn on_lost(&mut self, _now: Instant, sent: Instant, bytes: u64, persistent: bool) {
        Self::on_lost(self, sent, bytes, persistent);
    }

    fn window(&self) -> u64 {
        Self::window(self)
    }
}

fn ours(world: &World) -> Box<dyn Control> {
    Box::new(Bbr::new(world.instant(), u16::try_from(MTU).expect("an MTU")))
}

/// What a flow has come to over a span of time.
#[derive(Debug)]
struct Outcome {
    /// Of the line, by bytes of streams.
    share: f64,
    /// Of the packets sent: lost beyond those that the line lost at random.
    excess_loss: f64,
    /// Mean of the smoothed round trip beyond the base, in base round trips.
    inflation: f64,
    seconds: f64,
}

/// Sends 100 MiB of our own over `path`, with nobody else there.
fn alone(path: Path) -> Outcome {
    let mut world = World::new(path, 7);
    let control = ours(&world);
    world.add(control, Duration::ZERO, Some(100 * MIB), OUR_THRESHOLD);
    world.finish(120 * SECOND);
    assert!(world.flows[0].done_at.is_some(), "everything arrived: {:?}", world.outcome(0));
    world.outcome(0)
}
