//! Congestion control of our own: after draft-ietf-ccwg-bbr (BBR version 3), for quinn.
//!
//! quinn's Cubic takes every lost packet for congestion and stands still on a long path that loses
//! one in a thousand; its BBR (version 1) fills every queue and drowns what it shares a line with.
//! This controller keeps a model of the path, the bandwidth and the shortest round trip, and puts
//! in flight what fills the one during the other; it takes loss as a sign of congestion only where
//! its own sending causes it.
//!
//! ```text
//!  quinn ── Controller ── bbr ─┬─ rate     delivery-rate samples
//!                              ├─ rounds   round trips, and what each was like
//!                              ├─ filter   bandwidth, shortest round trip, bunched acknowledgements
//!                              ├─ loss     which loss is ours
//!                              ├─ startup  Startup, Drain
//!                              ├─ cycle    ProbeBW: Down, Cruise, Refill, Up
//!                              └─ window   what may be in flight
//! ```
//!
//! All of it is sans-IO: the clock is handed in, nothing here knows a socket, a task or a transfer,
//! and only this file knows quinn. The memory of a path is bounded, and the work for a packet is a
//! binary search among a few hundred flights at most.

mod bbr;
mod cycle;
mod filter;
mod loss;
mod rate;
mod rounds;
#[cfg(test)]
mod sim;
mod startup;
mod window;

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;

use bbr::Bbr;

/// Makes a controller for every path.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelConfig;

impl ControllerFactory for ModelConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Model { bbr: Bbr::new(now, current_mtu), smoothed_rtt: Duration::ZERO })
    }
}

/// What quinn calls.
#[derive(Debug, Clone)]
struct Model {
    bbr: Bbr,
    smoothed_rtt: Duration,
}

impl Controller for Model {
    fn on_sent(&mut self, now: Instant, bytes: u64, _last_packet_number: u64) {
        self.bbr.on_sent(now, bytes);
    }

    fn on_ack(
        &mut self,
        _now: Instant,
        sent: Instant,
        bytes: u64,
        _app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.smoothed_rtt = rtt.get();
        self.bbr.on_ack(sent, bytes);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        self.bbr.on_end_acks(now, in_flight, app_limited, self.smoothed_rtt);
    }

    fn on_congestion_event(
        &mut self,
        _now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        // quinn says nothing lost for a mark.
        if lost_bytes == 0 {
            self.bbr.on_marked(sent);
        } else {
            self.bbr.on_lost(sent, lost_bytes, is_persistent_congestion);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.bbr.on_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        self.bbr.window()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.bbr.window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
