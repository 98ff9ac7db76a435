//! `filefleetd`: arguments, signals, and the daemon's run.

// On Windows no console opens for it at the login.
#![cfg_attr(windows, windows_subsystem = "windows")]

use std::{num::NonZero, process::ExitCode, thread};

use anyhow::Context;
use clap::Parser;
use filefleet_ctl::Home;
use filefleet_daemon::{logging, run};
use tokio_util::sync::CancellationToken;

/// The FileFleet daemon: receives files in the background and sends what ffctl asks it to
///
/// One runs per user. FILEFLEET_HOME=DIR keeps everything below DIR; FILEFLEET_LOG sets what is
/// logged to stderr (for example "debug").
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Write the log to filefleetd.log, beside the state, instead of stderr
    #[arg(long)]
    log_to_file: bool,
}

fn main() -> ExitCode {
    #[cfg(windows)]
    filefleet_ctl::console::attach();
    let Arguments { log_to_file } = Arguments::parse();
    let home = Home::from_env();
    let log_file = home.as_ref().ok().filter(|_| log_to_file).map(Home::log_file);
    logging::start(log_file.as_deref());
    match home.map_err(Into::into).and_then(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Threads for what waits for the network: one fewer than the processor's cores, for a transfer has a
/// thread of its own that reads or writes its files and hashes them. Two that share the network on
/// two cores take a twentieth longer, and as much more of the processor.
fn workers() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).saturating_sub(1).max(1)
}

fn start(home: Home) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let _signals =
            tokio_util::task::AbortOnDropHandle::new(tokio::spawn(stop_on_signal(stop.clone())?));
        Ok(run(home, stop).await?)
    })
}

/// Cancels `stop` at the first signal that asks the program to end.
#[cfg(unix)]
fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle signals")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    })
}

/// Cancels `stop` at Ctrl-C.
#[cfg(not(unix))]
fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async move {
        // Without a handler the system ends the program itself.
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    })
}
