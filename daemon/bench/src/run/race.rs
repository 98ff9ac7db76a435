//! Several programs with the same task, round by round in turn, so that whatever else the machine
//! does falls on all of them.

use super::{content::Payload, figures::Run};

/// A program that sends things from the near machine to the far one.
pub(crate) trait Contestant {
    /// As the table says it.
    fn name(&self) -> &str;

    /// Sends it, checks that it has arrived, and removes what has.
    fn send(&mut self, payload: &Payload) -> anyhow::Result<Run>;
}

/// What became of one of them.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) program: String,
    pub(crate) runs: Vec<Run>,
}

/// Lets them run, after a round that does not count.
#[allow(clippy::print_stderr, reason = "progress")]
pub(crate) fn race(
    contestants: &mut [&mut dyn Contestant],
    payload: &Payload,
    rounds: usize,
) -> anyhow::Result<Vec<Outcome>> {
    let start = |contestant: &&mut dyn Contestant| Outcome {
        program: contestant.name().to_owned(),
        runs: Vec::with_capacity(rounds),
    };
    let mut outcomes: Vec<Outcome> = contestants.iter().map(start).collect();
    for round in 0..=rounds {
        for (contestant, outcome) in contestants.iter_mut().zip(&mut outcomes) {
            // Nobody pays for what another left to be written.
            rustix::fs::sync();
            let run = contestant.send(payload)?;
            eprintln!("   round {round}: {} {:.2} s", outcome.program, run.seconds);
            if round > 0 {
                outcome.runs.push(run);
            }
        }
    }
    Ok(outcomes)
}
