//! `filefleet-bench wan`: a command at the near end of a link, which can reach the far end.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use filefleet_bench::{
    lab::Machine,
    units,
    wan::{Conditions, End, Wan},
};
use serde_json::json;

const NEAR: &str = "10.99.0.1";
const FAR: &str = "10.99.0.2";

/// The command finds FAR_IP and FAR_NET in its environment: the far end's address, and its
/// namespace for `nsenter --net=$FAR_NET`. When it ends, what happened to the packets is printed on
/// stderr.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The delay of each direction, such as 50ms
    #[arg(long, value_parser = units::duration, default_value = "50ms")]
    delay: Duration,
    /// The rate of each direction, such as 300mbit; without one there is no limit
    #[arg(long, value_parser = units::rate)]
    rate: Option<u64>,
    /// Bytes that may wait for the line, such as 64KiB; without it one bandwidth-delay product
    #[arg(long, value_parser = units::bytes)]
    queue: Option<u64>,
    /// The share of packets that get lost at random, such as 0.1%
    #[arg(long, value_parser = units::share, default_value = "0")]
    loss: f64,
    /// The same seed loses the same packets
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[allow(clippy::print_stderr, reason = "this is a program")]
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let conditions = Conditions {
        delay: arguments.delay,
        rate: arguments.rate,
        queue: arguments.queue.map(usize::try_from).transpose()?,
        loss: arguments.loss,
    };
    let (near, far) = (Machine::new()?, Machine::new()?);
    let end = |machine, address| End { machine, interface: "wan0", address };
    let (near_address, far_address) = (format!("{NEAR}/24"), format!("{FAR}/24"));
    let wan = Wan::between(
        end(&near, &near_address),
        end(&far, &far_address),
        conditions,
        arguments.seed,
    )?;
    let (program, words) = arguments.command.split_first().context("no command")?;
    let mut command = near.command(program);
    command.args(words).env("FAR_IP", FAR).env("FAR_NET", far.namespace());
    let status = command.status().context("cannot run nsenter")?;
    eprintln!("{}", json!({ "forth": wan.forth().counters(), "back": wan.back().counters() }));
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
