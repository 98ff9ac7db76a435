//! Paths that change under way, applications that pause, and lines that are not what they seem.

use std::time::Duration;

use super::{MIB, OUR_THRESHOLD, SECOND, alone, link::Path, ours, world::World};

/// A flow without end over `path`, run for ten seconds.
fn settled(path: Path) -> World {
    let mut world = World::new(path, 7);
    let control = ours(&world);
    world.add(control, Duration::ZERO, None, OUR_THRESHOLD);
    world.run(10 * SECOND);
    world
}

/// Goes on for `settling`, then measures for five seconds.
fn measure(world: &mut World, settling: Duration) -> super::Outcome {
    let from = world.now + settling;
    world.run(from);
    world.mark();
    world.run(from + 5 * SECOND);
    world.outcome(0)
}

#[test]
fn more_bandwidth_is_found() {
    let mut world = settled(Path::new(50.0, 40, 1.0));
    world.link.path.rate *= 4.0;
    let outcome = measure(&mut world, 10 * SECOND);
    assert!(outcome.share > 0.75, "{outcome:?}");
}

#[test]
fn less_bandwidth_is_accepted() {
    let mut world = settled(Path::new(200.0, 40, 2.0));
    world.link.path.rate /= 4.0;
    let outcome = measure(&mut world, 10 * SECOND);
    assert!(outcome.share > 0.75, "{outcome:?}");
    assert!(outcome.excess_loss < 0.05, "{outcome:?}");
    assert!(outcome.inflation < 1.0, "{outcome:?}");
}

#[test]
fn longer_path_is_filled_once_the_old_round_trip_is_forgotten() {
    let mut world = settled(Path::new(100.0, 20, 4.0));
    world.link.path.base_rtt *= 4;
    let outcome = measure(&mut world, 20 * SECOND);
    assert!(outcome.share > 0.7, "{outcome:?}");
}

#[test]
fn shorter_path_is_noticed_at_once() {
    let mut world = settled(Path::new(100.0, 80, 1.0));
    world.link.path.base_rtt /= 4;
    let outcome = measure(&mut world, SECOND);
    assert!(outcome.share > 0.75 && outcome.inflation < 1.0, "{outcome:?}");
}

#[test]
fn policer_costs_little() {
    let mut path = Path::new(300.0, 40, 1.0);
    path.policer = Some((50.0 * 125_000.0, 256e3));
    let mut world = settled(path);
    let outcome = measure(&mut world, SECOND);
    assert!(outcome.share > 0.75 * 50.0 / 300.0, "{outcome:?}");
    assert!(outcome.excess_loss < 0.1, "{outcome:?}");
}

/// An application that pauses must not be taken for a slow path.
#[test]
fn pauses_of_the_application_do_not_lower_the_estimate() {
    let mut world = World::new(Path::new(100.0, 40, 1.0), 7);
    let control = ours(&world);
    world.add(control, Duration::ZERO, Some(20 * MIB), OUR_THRESHOLD);
    // After those 20 MiB, a trickle for half a minute, then as much as the line takes.
    for i in 0..300 {
        world.change(3 * SECOND + i * SECOND / 10, |world| world.feed(0, 10_000));
    }
    world.change(33 * SECOND, |world| world.feed(0, 200 * MIB));
    world.run(33 * SECOND);
    world.mark();
    world.run(35 * SECOND);
    let outcome = world.outcome(0);
    assert!(outcome.share > 0.75 && outcome.excess_loss < 0.05, "{outcome:?}");
}

/// A line that is dead for two seconds, and then as it was.
#[test]
fn outage_is_survived() {
    let mut world = settled(Path::new(100.0, 40, 1.0));
    world.link.path.loss = 1.0;
    let back = world.now + 2 * SECOND;
    world.run(back);
    world.link.path.loss = 0.0;
    let outcome = measure(&mut world, 5 * SECOND);
    assert!(outcome.share > 0.75, "{outcome:?}");
}

#[test]
fn slow_line_is_not_flooded() {
    let mut path = Path::new(2.0, 50, 4.0);
    path.queue = 64e3;
    let mut world = settled(path);
    let outcome = measure(&mut world, SECOND);
    assert!(outcome.share > 0.75 && outcome.excess_loss < 0.05, "{outcome:?}");
}

#[test]
fn very_short_round_trips_are_filled() {
    let mut path = Path::new(1000.0, 1, 8.0);
    path.base_rtt = Duration::from_micros(200);
    let outcome = alone(path);
    assert!(outcome.share > 0.75, "{outcome:?}");
    assert!(outcome.seconds < 2.0, "{outcome:?}");
}
