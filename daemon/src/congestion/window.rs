//! The window: the only thing that quinn takes from a controller.
//!
//! quinn paces at 1.25 × window ÷ smoothed round trip and takes no rate (`connection/pacing.rs`),
//! so that what the draft says with a pacing rate has to be said with bytes in flight: acknowledgements
//! then clock the sender, and the queue holds what is in flight beyond the pipe.

use std::time::Duration;

use super::{
    bbr::{Bbr, Phase},
    rate::Sample,
};

/// What a connection begins with. RFC 9002 says 10; deployed senders of files use 32, since a
/// path that is too slow for that is full at once anyway.
pub(super) const INITIAL_PACKETS: u64 = 32;
/// Never less (the draft's `MinPipeCwnd`).
const LEAST_PACKETS: u64 = 4;
/// Growth of Startup: what is acknowledged is answered with so many times as much. Under quinn's
/// pacer that makes 2.4 times as much in each round.
const STARTUP_GROWTH: f64 = 2.0;
/// Giving way (the draft's `DownPacingGain`), and what a known limit is undercut by (`Headroom`).
const DOWN_GAIN: f64 = 0.9;
const HEADROOM: f64 = 0.85;
/// Cruising a little above the pipe, so that a packet lost or late does not leave the line idle.
const CRUISE_GAIN: f64 = 1.05;
/// In ProbeRTT (the draft's `ProbeRTTCwndGain`).
const PROBE_RTT_GAIN: f64 = 0.5;
/// Beside somebody who floods the line. The first BBR takes two by its own pacing; under quinn's,
/// which sends in bunches and so loses more of them to a full queue, it takes three to keep a third.
const CONTEST_GAIN: f64 = 3.0;
/// Others' queue counts as part of the pipe up to so many times its length.
const MOST_QUEUE: f64 = 2.0;
/// Round trips below this are filled as if they took so long: batches, timers and wake-ups cost
/// that much on a fast local network.
const LEAST_RTT: Duration = Duration::from_millis(2);
/// Bounds of what is added for acknowledgements that come in bunches: a share of the pipe, or what
/// the line carries in this time, or this many packets.
const MOST_BUNCHES: f64 = 0.15;
const MOST_BUNCHES_TIME: f64 = 0.002;
const MOST_BUNCHES_PACKETS: f64 = 10.0;
/// quinn's pacer lets go of what gathers in this time at once, in seconds.
const PACER_BURST: f64 = 0.002;
/// quinn's pacer sends so much faster than a window in each round trip.
const PACER_GAIN: f64 = 1.25;

impl Bbr {
    /// The bandwidth-delay product, in bytes.
    pub(super) fn pipe(&self) -> f64 {
        self.bandwidth() * self.base_rtt()
    }

    /// The same without the bounds that loss has set since the last probe.
    pub(super) fn full_pipe(&self) -> f64 {
        self.bandwidth.value() * self.base_rtt()
    }

    /// In flight while giving way.
    pub(super) fn down_target(&self) -> f64 {
        let pipe = (DOWN_GAIN * self.pipe()).min(HEADROOM * self.most_in_flight);
        pipe.max(self.least_window() as f64) + self.bunches()
    }

    /// In flight while looking for the shortest round trip.
    pub(super) fn probe_rtt_target(&self) -> f64 {
        (PROBE_RTT_GAIN * self.pipe()).max(self.least_window() as f64)
    }

    pub(super) fn least_window(&self) -> u64 {
        LEAST_PACKETS * self.mtu
    }

    /// Sets the window after an acknowledgement.
    pub(super) fn set_window(&mut self, sample: &Sample) {
        let window = match self.phase {
            Phase::Startup => self.startup_window(sample.acked),
            _ => self.paced(self.target().min(self.short_in_flight) + 2.0 * self.mtu as f64),
        };
        self.window = (window as u64).max(self.least_window());
    }

    fn startup_window(&self, acked: u64) -> f64 {
        let window = self.window as f64;
        // An application that does not use it does not make it grow.
        let used = self.sampler.in_flight() + acked >= self.window / 3;
        if used { window + STARTUP_GROWTH * acked as f64 } else { window }
    }

    fn target(&self) -> f64 {
        let pipe = self.bandwidth() * self.cruising_rtt();
        if self.is_contested() && !matches!(self.phase, Phase::ProbeRtt { .. }) {
            return CONTEST_GAIN * self.pipe();
        }
        match self.phase {
            Phase::Startup | Phase::Drain => self.pipe() + self.bunches(),
            Phase::Down { .. } => self.down_target(),
            Phase::Cruise => {
                (CRUISE_GAIN * pipe).min(HEADROOM * self.most_in_flight) + self.bunches()
            }
            Phase::Refill => (CRUISE_GAIN * pipe).min(self.most_in_flight) + self.bunches(),
            Phase::Up => (self.cycle.gain * pipe).min(self.most_in_flight) + self.bunches(),
            Phase::ProbeRtt { .. } => self.probe_rtt_target(),
        }
    }

    /// While less than the target is in flight, the window is what makes quinn's pacer send at the
    /// bandwidth: after a queue, the smoothed round trip is long, and the target alone would make it
    /// slow. What may go too far before the next acknowledgement is one burst.
    fn paced(&self, target: f64) -> f64 {
        let bandwidth = self.bandwidth();
        let room = target - self.sampler.in_flight() as f64;
        let smoothed = self.smoothed_rtt.as_secs_f64();
        if room < bandwidth * PACER_BURST || smoothed < 2.0 * PACER_BURST {
            return target;
        }
        target.max(bandwidth * smoothed / PACER_GAIN)
    }

    /// Seconds.
    fn base_rtt(&self) -> f64 {
        self.min_rtt.value().max(LEAST_RTT).as_secs_f64()
    }

    /// Seconds: with the queue of others.
    fn cruising_rtt(&self) -> f64 {
        let base = self.base_rtt();
        self.cycle.rtt.as_secs_f64().clamp(base, MOST_QUEUE * base)
    }

    /// Bytes to add for acknowledgements that come in bunches.
    fn bunches(&self) -> f64 {
        let most = (MOST_BUNCHES * self.pipe())
            .max(MOST_BUNCHES_TIME * self.bandwidth())
            .max(MOST_BUNCHES_PACKETS * self.mtu as f64);
        self.aggregation.value().min(most)
    }
}
