//! Where the log goes and how much of it: to stderr, by `FILEFLEET_LOG` or `info`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process.
pub fn start() {
    let filter = EnvFilter::try_from_env("FILEFLEET_LOG").unwrap_or_else(|_| {
        EnvFilter::new("info,quinn=warn,quinn_proto=warn,rustls=warn,stun_types=error")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
