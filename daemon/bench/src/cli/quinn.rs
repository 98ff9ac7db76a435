//! `filefleet-bench quinn-send` and `quinn-receive`: bare quinn as two programs.

use std::{fmt::Write, net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use clap::ValueEnum;
use filefleet_bench::{
    bare::{self, Congestion, Receiver},
    units,
};
use quinn::congestion::{BbrConfig, CubicConfig, NewRenoConfig};
use serde_json::json;

/// quinn's own congestion controllers.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Controller {
    Cubic,
    NewReno,
    Bbr,
}

impl Controller {
    fn factory(self) -> Congestion {
        match self {
            Self::Cubic => Arc::new(CubicConfig::default()),
            Self::NewReno => Arc::new(NewRenoConfig::default()),
            Self::Bbr => Arc::new(BbrConfig::default()),
        }
    }
}

/// Prints a line of JSON when the receiver has everything.
#[derive(Debug, clap::Args)]
pub(super) struct SendArguments {
    /// Where the receiver listens
    to: SocketAddr,
    /// The receiver's certificate in hex, as it printed it
    certificate: String,
    /// How much to send, such as 1GiB
    #[arg(value_parser = units::bytes)]
    bytes: u64,
    #[arg(long, value_enum, default_value_t = Controller::Cubic)]
    congestion: Controller,
}

/// Prints `ready ADDRESS CERTIFICATE`, and `received BYTES` when it has everything.
#[derive(Debug, clap::Args)]
pub(super) struct ReceiveArguments {
    /// Where to listen
    #[arg(default_value = "0.0.0.0:0")]
    address: SocketAddr,
}

#[allow(clippy::print_stdout, reason = "this is a program")]
pub(super) fn send(arguments: &SendArguments) -> anyhow::Result<ExitCode> {
    let certificate = from_hex(&arguments.certificate)?;
    let (to, congestion) = (arguments.to, arguments.congestion.factory());
    let sending = bare::send(to, &certificate, arguments.bytes, congestion);
    let sent = runtime()?.block_on(sending)?;
    let path = sent.stats.path;
    let line = json!({
        "seconds": sent.elapsed.as_secs_f64(),
        "packets": path.sent_packets,
        "lost": path.lost_packets,
        "congestion_events": path.congestion_events,
        "mtu": path.current_mtu,
        "rtt_ms": path.rtt.as_secs_f64() * 1e3,
        "rtt_max_ms": sent.rtts.iter().max().map(|rtt| rtt.as_secs_f64() * 1e3),
    });
    println!("{line}");
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout, reason = "this is a program")]
pub(super) fn receive(arguments: &ReceiveArguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let receiver = Receiver::bind(arguments.address)?;
        println!("ready {} {}", receiver.local_addr()?, to_hex(receiver.certificate()));
        println!("received {}", receiver.receive().await?);
        Ok(ExitCode::SUCCESS)
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().context("cannot start a runtime")
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn from_hex(hex: &str) -> anyhow::Result<Vec<u8>> {
    if !hex.is_ascii() || !hex.len().is_multiple_of(2) {
        bail!("the certificate is not in hex");
    }
    let pairs = (0..hex.len()).step_by(2).map(|start| &hex[start..start + 2]);
    let bytes = pairs.map(|pair| u8::from_str_radix(pair, 16));
    bytes.collect::<Result<_, _>>().context("the certificate is not in hex")
}
