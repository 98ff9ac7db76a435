//! Links so slow that what is on its way takes longer than anybody waits for a packet.

use std::time::{Duration, Instant};

use crate::support::{Network, Pair, is_direct, lacks_namespaces};

/// A poor uplink at home.
const UPLINK: &str = "2mbit";
/// A minute's worth of it, and few enough blocks that all may be on their way at once.
const LEN: u64 = 14 << 20;
/// How long the receiver waits for the next part of a stream.
const STEP_LIMIT: Duration = Duration::from_secs(30);

#[test]
#[allow(clippy::print_stderr, reason = "these are the figures")]
fn a_minute_over_a_slow_uplink_goes_without_a_stop_and_sends_nothing_twice() {
    if lacks_namespaces() {
        return;
    }
    let network = Network::routed();
    network.set_uplink(UPLINK);
    let pair = Pair::on(&network);
    let mut sending = pair.send_film_of(LEN);
    let (mut latest, mut at, mut pause) = (0, Instant::now(), Duration::ZERO);
    // Then it ends within seconds, perhaps without another word.
    while latest < LEN / 4 * 3 {
        let event = sending.progress(|event| event["bytes_done"].as_u64() > Some(latest));
        latest = event["bytes_done"].as_u64().unwrap();
        pause = pause.max(at.elapsed());
        at = Instant::now();
    }
    let done = pair.film_arrives(sending);
    eprintln!("{UPLINK}: {LEN} bytes in {} s, longest pause {pause:?}", done["seconds"]);
    assert!(is_direct(&done), "{done}");
    assert_eq!(done["sent_bytes"], LEN, "{done}");
    assert!(done["seconds"].as_f64() > Some(STEP_LIMIT.as_secs_f64()), "{done}");
    assert!(pause < STEP_LIMIT / 2, "{pause:?}");
}
