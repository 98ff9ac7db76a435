//! Whether the machine has slept: one clock goes on meanwhile, the other stands still.

use std::time::Duration;

/// Differences below this are those of two readings one after the other.
const NOTABLE: Duration = Duration::from_secs(2);

/// How far the clocks are apart.
#[derive(Debug)]
pub(super) struct Clocks {
    apart: Duration,
}

impl Clocks {
    pub(super) fn start() -> Self {
        Self { apart: apart() }
    }

    /// How long the machine has slept since the last look, if it has.
    pub(super) fn slept(&mut self) -> Option<Duration> {
        self.look(apart())
    }

    fn look(&mut self, apart: Duration) -> Option<Duration> {
        let slept = apart.saturating_sub(std::mem::replace(&mut self.apart, apart));
        (slept > NOTABLE).then_some(slept)
    }
}

/// The time since the start, less the time since the start that the machine was awake.
#[cfg(target_os = "linux")]
fn apart() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake) + pretended()
}

/// The sleep that a test pretends: the seconds in the file that a variable names.
#[cfg(all(target_os = "linux", debug_assertions))]
fn pretended() -> Duration {
    let read = || {
        let file_path = std::env::var_os("FILEFLEET_TEST_SLEPT")?;
        std::fs::read_to_string(file_path).ok()?.trim().parse().ok()
    };
    read().map_or(Duration::ZERO, Duration::from_secs)
}

/// What is shipped believes the clocks alone.
#[cfg(all(target_os = "linux", not(debug_assertions)))]
fn pretended() -> Duration {
    Duration::ZERO
}

/// The clock on the wall, less the time that the program has been awake: where `Instant` stands
/// still during sleep. Setting the clock looks like sleep, too, which costs a few packets.
#[cfg(not(target_os = "linux"))]
fn apart() -> Duration {
    use std::{
        sync::OnceLock,
        time::{Instant, SystemTime},
    };
    static START: OnceLock<(Instant, SystemTime)> = OnceLock::new();
    let (awake, wall) = START.get_or_init(|| (Instant::now(), SystemTime::now()));
    wall.elapsed().unwrap_or_default().saturating_sub(awake.elapsed())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_jump_is_noticed_once_and_drift_is_not() {
        let mut clocks = Clocks { apart: Duration::from_secs(100) };
        let mut look = |millis| clocks.look(Duration::from_millis(millis));
        assert_eq!(look(100_000), None);
        assert_eq!(look(100_500), None);
        assert_eq!(look(3_700_500), Some(Duration::from_secs(3600)));
        assert_eq!(look(3_700_500), None);
        // A clock that was set back is no sleep; going on from there is none either.
        assert_eq!(look(1_000), None);
        assert_eq!(look(1_100), None);
    }

    #[test]
    fn the_clocks_of_a_machine_that_is_awake_stay_together() {
        assert_eq!(Clocks::start().slept(), None);
    }
}
