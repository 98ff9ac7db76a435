//! What the controller has to reach on lossy paths and beside others: bounds in the terms of a
//! transfer of 100 MiB.

use std::time::Duration;

use super::{
    Control, OUR_THRESHOLD, SECOND, TCP_THRESHOLD, alone,
    link::Path,
    ours,
    rivals::{BbrV1, Cubic},
    world::World,
};

/// 100 MiB need a little over 3 s, start-up and headers included, even if nothing goes wrong.
const LOSSLESS_SHARE: f64 = 0.75;

#[test]
fn long_path_is_filled_whatever_the_random_loss() {
    for (loss, least) in [(0.0, LOSSLESS_SHARE), (0.001, 0.7), (0.01, 0.7)] {
        let outcome = alone(Path::new(300.0, 100, 1.0).loss(loss));
        assert!(outcome.share >= least, "{loss}: {outcome:?}");
        assert!(outcome.excess_loss < 0.05, "{loss}: {outcome:?}");
        assert!(outcome.inflation < 0.5, "{loss}: {outcome:?}");
    }
}

#[test]
fn three_percent_of_loss_do_not_matter() {
    let outcome = alone(Path::new(200.0, 40, 1.0).loss(0.03));
    assert!(outcome.share >= 0.7 && outcome.excess_loss < 0.05, "{outcome:?}");
}

/// The loss is there: it stops a controller that takes all loss for congestion.
#[test]
fn cubic_stands_still_on_the_same_path() {
    let mut world = World::new(Path::new(300.0, 100, 1.0).loss(0.01), 7);
    world.add(Box::new(Cubic::new()), Duration::ZERO, None, TCP_THRESHOLD);
    world.run(20 * SECOND);
    assert!(world.outcome(0).share < 0.1, "{:?}", world.outcome(0));
}

#[test]
fn queues_short_and_long_are_neither_overrun_nor_kept_full() {
    for queue in [0.5, 4.0] {
        let outcome = alone(Path::new(300.0, 100, queue));
        assert!(outcome.share >= 0.7, "{queue}: {outcome:?}");
        assert!(outcome.excess_loss < 0.05, "{queue}: {outcome:?}");
        assert!(outcome.inflation < 0.5, "{queue}: {outcome:?}");
    }
}

/// Two flows on one line for 40 s; the shares of ours and of the other in the second half of that.
fn beside(rival: Box<dyn Control>, threshold: usize, first: usize, queue: f64) -> (f64, f64) {
    let mut world = World::new(Path::new(50.0, 40, queue), 7);
    let head_start = |flow| if flow == first { Duration::ZERO } else { 3 * SECOND };
    let control = ours(&world);
    world.add(control, head_start(0), None, OUR_THRESHOLD);
    world.add(rival, head_start(1), None, threshold);
    world.run(20 * SECOND);
    world.mark();
    world.run(40 * SECOND);
    (world.outcome(0).share, world.outcome(1).share)
}

#[test]
fn cubic_and_we_share_a_line_whoever_was_there_first() {
    for (first, queue) in [(0, 1.0), (1, 1.0), (0, 2.0), (1, 2.0)] {
        let (we, they) = beside(Box::new(Cubic::new()), TCP_THRESHOLD, first, queue);
        assert!(we >= 0.25 && they >= 0.25, "{first} {queue}: we {we}, they {they}");
    }
}

#[test]
fn the_first_bbr_and_we_share_a_line_with_a_long_queue() {
    for first in [0, 1] {
        let (we, they) = beside(Box::new(BbrV1::new()), TCP_THRESHOLD, first, 2.0);
        assert!(we >= 0.25 && they >= 0.25, "{first}: we {we}, they {they}");
    }
}

/// With a short queue it drops a third of what everybody sends: nobody gets an even share then.
#[test]
fn the_first_bbr_does_not_push_us_aside_in_a_short_queue() {
    for first in [0, 1] {
        let (we, they) = beside(Box::new(BbrV1::new()), TCP_THRESHOLD, first, 1.0);
        assert!(we >= 0.1 && they >= 0.25, "{first}: we {we}, they {they}");
    }
}

#[test]
fn two_of_us_share_a_line() {
    let path = Path::new(50.0, 40, 1.0);
    let other = ours(&World::new(path, 7));
    let (we, they) = beside(other, OUR_THRESHOLD, 0, 1.0);
    assert!(we >= 0.25 && they >= 0.25, "we {we}, they {they}");
}
