//! `filefleet-bench`: FileFleet measured beside others, an emulated WAN link to try things on, and
//! bare quinn to compare with.

#[cfg(target_os = "linux")]
mod cli;
#[cfg(target_os = "linux")]
mod run;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<std::process::ExitCode> {
    cli::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("needs Linux, for network namespaces and TUN devices")
}
