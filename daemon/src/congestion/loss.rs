//! Which loss is ours. Packets vanish at random on some paths, and others overfill queues too; only
//! loss that follows from our own sending is a reason to send less.
//!
//! draft-ietf-ccwg-bbr (section 5.5.10) takes 2 % of a flight as too much whatever its cause, which
//! starves a sender on a path that loses 3 % by itself. Here 2 % is what is tolerated *beyond* the
//! loss of rounds in which we had no queue ([`Loss::observe`]), with an allowance for chance; and
//! loss that stays when we slow down ([`Loss::reaction_failed`]) counts as somebody else's. If a
//! queue stands then, somebody floods the line, as the first BBR does: it is *contested*
//! ([`Loss::contest`]) and no longer given way to.

/// The draft's `LossThresh`, beyond what is not ours.
const THRESHOLD: f64 = 0.02;
/// The same while no queue stands: a policer or a very short queue.
const THRESHOLD_WITHOUT_QUEUE: f64 = 0.1;
/// More than this is never taken for somebody else's.
const MOST_FOREIGN: f64 = 0.2;
/// Standard deviations of chance that are allowed for.
const DEVIATIONS: f64 = 2.0;
/// Packets that a round must have to say something about loss.
const ENOUGH: f64 = 20.0;
/// Rounds for which a line stays contested.
const CONTEST_ROUNDS: u64 = 60;
/// Of the loss before we slowed down: what stays beyond that is not ours.
const UNCHANGED: f64 = 0.6;

/// A reaction whose effect is awaited.
#[derive(Debug, Clone, Copy)]
struct Reaction {
    loss: f64,
    round: u64,
}

/// What is known about loss that is not ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    /// In the last two rounds without a queue of our own.
    quiet: [Option<f64>; 2],
    foreign: f64,
    reaction: Option<Reaction>,
    /// The round until which somebody else floods the line.
    contested: Option<u64>,
}

impl Loss {
    pub(super) fn new() -> Self {
        Self { quiet: [None; 2], foreign: 0.0, reaction: None, contested: None }
    }

    /// The share of packets that is lost whatever we do.
    pub(super) fn base(&self) -> f64 {
        let quiet = self.quiet.into_iter().flatten().reduce(f64::min).unwrap_or(0.0);
        quiet.max(self.foreign).min(MOST_FOREIGN)
    }

    /// Whether `lost` of `total` packets are more than chance and others explain.
    pub(super) fn is_excessive(&self, lost: f64, total: f64, queue: bool) -> bool {
        let threshold = if queue { THRESHOLD } else { THRESHOLD_WITHOUT_QUEUE };
        let base = self.base();
        lost > total * (base + threshold) + DEVIATIONS * (total * (base + 0.001)).sqrt()
    }

    /// A share `loss` of `total` packets was lost in a round in which we had no queue.
    pub(super) fn observe(&mut self, loss: f64, total: f64) {
        if total >= ENOUGH {
            self.quiet = [self.quiet[1], Some(loss)];
        }
    }

    /// We slow down in `round`, for losing a share `loss`.
    pub(super) fn reacted(&mut self, loss: f64, round: u64) {
        self.reaction = Some(Reaction { loss, round });
    }

    /// Whether a reaction has yet to show.
    pub(super) fn is_waiting(&self) -> bool {
        self.reaction.is_some()
    }

    /// At the end of `round`: whether slowing down has not helped. Then that loss is not ours.
    pub(super) fn reaction_failed(&mut self, loss: f64, total: f64, round: u64) -> bool {
        // The round in which we slowed down, and the one in which its first packets arrive.
        let Some(reaction) = self.reaction.take_if(|reaction| round >= reaction.round + 2) else {
            return false;
        };
        let failed = total >= ENOUGH && loss > UNCHANGED * reaction.loss;
        if failed {
            self.foreign = self.foreign.max(loss);
        }
        failed
    }

    /// From `round` on, somebody who does not care about loss floods the line: giving way would only
    /// leave it to him.
    pub(super) fn contest(&mut self, round: u64) {
        self.contested = Some(round + CONTEST_ROUNDS);
    }

    /// Whether somebody floods the line in `round`.
    pub(super) fn is_contested(&self, round: u64) -> bool {
        self.contested.is_some_and(|until| round < until)
    }

    /// A new cycle of probing: what was blamed on others is doubted again.
    pub(super) fn new_cycle(&mut self) {
        self.reaction = None;
        self.foreign /= 2.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_percent_and_chance_are_allowed_for() {
        let loss = Loss::new();
        assert!(!loss.is_excessive(20.0, 1000.0, true));
        assert!(loss.is_excessive(30.0, 1000.0, true));
        assert!(!loss.is_excessive(30.0, 1000.0, false), "no queue, no hurry");
        assert!(loss.is_excessive(150.0, 1000.0, false));
    }

    #[test]
    fn loss_without_a_queue_is_the_paths() {
        let mut loss = Loss::new();
        loss.observe(0.03, 1000.0);
        assert!(!loss.is_excessive(50.0, 1000.0, true));
        assert!(loss.is_excessive(70.0, 1000.0, true));
        loss.observe(0.0, 5.0);
        assert_eq!(loss.base(), 0.03, "five packets say nothing");
        loss.observe(0.0, 1000.0);
        assert_eq!(loss.base(), 0.0);
    }

    #[test]
    fn loss_that_stays_when_we_slow_down_is_not_ours_until_doubted() {
        let mut loss = Loss::new();
        loss.reacted(0.1, 5);
        assert!(!loss.reaction_failed(0.1, 1000.0, 6), "too early to say");
        assert!(loss.is_waiting());
        assert!(loss.reaction_failed(0.1, 1000.0, 7));
        assert_eq!(loss.base(), 0.1);
        loss.new_cycle();
        assert_eq!(loss.base(), 0.05);
    }

    #[test]
    fn loss_that_goes_when_we_slow_down_was_ours() {
        let mut loss = Loss::new();
        loss.reacted(0.1, 5);
        assert!(!loss.reaction_failed(0.02, 1000.0, 7));
        assert!(!loss.is_waiting());
        assert_eq!(loss.base(), 0.0);
    }

    #[test]
    fn contest_ends_after_its_rounds() {
        let mut loss = Loss::new();
        assert!(!loss.is_contested(0));
        loss.contest(5);
        assert!(loss.is_contested(64));
        assert!(!loss.is_contested(65));
    }

    #[test]
    fn no_more_than_a_fifth_is_blamed_on_others() {
        let mut loss = Loss::new();
        loss.observe(0.5, 1000.0);
        assert_eq!(loss.base(), MOST_FOREIGN);
    }
}
