//! `filefleet-server`: arguments, logging, signals.
#![allow(clippy::print_stdout)]

use std::io::{self, IsTerminal};

use anyhow::{Context, Result, bail};
use clap::{CommandFactory, Parser};
use filefleet_server::{
    config::{Cli, Command, NamesAction, Options, Settings},
    server::{self, Server},
};
use tracing::info;
use tracing_subscriber::EnvFilter;

fn main() -> Result<()> {
    let cli = Cli::parse();
    // What strangers send as STUN is not worth a warning each.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,stun_types=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    match cli.command {
        None => serve(cli.options),
        Some(Command::Fingerprint(options)) => {
            println!("{}", server::fingerprint(&Settings::load(options)?)?);
            Ok(())
        }
        Some(Command::Man) => {
            Ok(clap_mangen::Man::new(Cli::command()).render(&mut io::stdout().lock())?)
        }
        Some(Command::Names { action }) => tend_names(action),
    }
}

fn tend_names(action: NamesAction) -> Result<()> {
    match action {
        NamesAction::List(options) => {
            for (name, identity) in server::names(&Settings::load(options)?.data_dir)? {
                println!("{name}\t{identity}");
            }
        }
        NamesAction::Remove { name, options } => {
            if !server::remove_name(&Settings::load(options)?.data_dir, &name)? {
                bail!("nobody has the name {name}");
            }
        }
    }
    Ok(())
}

#[tokio::main]
async fn serve(options: Options) -> Result<()> {
    let stop = server::stop_signal().context("cannot listen for signals")?;
    let server = Server::start(&Settings::load(options)?)?;
    println!("ready {}", server.address());
    server::tell_ready(server.address());
    stop.await;
    info!("stopping");
    server.shutdown().await;
    Ok(())
}
