//! Command line and configuration file of `filefleet-server`.

use std::{
    fs, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use serde::Deserialize;

use crate::protos::{address::DEFAULT_PORT, name::Name};

/// FileFleet's rendezvous and relay.
#[derive(Debug, Parser)]
#[command(name = "filefleet-server", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub options: Options,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the fingerprint that clients pin.
    Fingerprint(Options),
    /// Print the manual page.
    Man,
    /// Tend the claimed names.
    Names {
        /// What to do with them.
        #[command(subcommand)]
        action: NamesAction,
    },
}

/// What to do with the claimed names.
#[derive(Debug, Subcommand)]
pub enum NamesAction {
    /// Print every name, a tab, and the identity key that holds it.
    List(Options),
    /// Let anybody claim a name again; a running server need not be stopped.
    Remove {
        /// Which name.
        name: Name,
        /// Where the server keeps its data.
        #[command(flatten)]
        options: Options,
    },
}

/// Options that a configuration file can hold, too; the command line wins.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect [default: port 7835 of every address].
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// The relay's address [default: the next port; any free one if the port is 0].
    #[arg(long, value_name = "ADDR:PORT")]
    pub relay: Option<SocketAddr>,
    /// Where clients connect that no UDP reaches, in TLS over TCP; may be said more than once
    /// [default: the port of --listen].
    #[arg(long, value_name = "ADDR:PORT")]
    pub tcp: Vec<SocketAddr>,
    /// The host name or address that people are told.
    #[arg(long, value_name = "HOST")]
    pub public_host: Option<String>,
    /// Certificate chain (PEM) [default: self-signed, in the data folder].
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Where keys and name claims are kept [default: the platform's data folder].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Everything a server can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where relay sessions are bound.
    pub relay: SocketAddr,
    /// Where tunnels of clients that no UDP reaches are accepted.
    pub tcp: Vec<SocketAddr>,
    /// The host name or address that people are told.
    pub public_host: Option<String>,
    /// Certificate chain and private key, if they are not self-made.
    pub certificate: Option<CertificateFiles>,
    /// Where keys and name claims are kept.
    pub data_dir: PathBuf,
    /// What clients may use.
    pub limits: Limits,
}

/// Where a certificate of one's own lies.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The chain, PEM.
    pub chain: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// What clients may use. Every map in the server is bounded by one of these.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Connections from one address (of IPv6, one /64) per second.
    pub connections_per_address: NonZeroU32,
    /// STUN requests and relay binds from one address per second.
    pub datagrams_per_address: NonZeroU32,
    /// Claimed names in all.
    pub names: u64,
    /// New names from one address per minute.
    pub claims_per_address: NonZeroU32,
    /// Frames from one client per second; a client that sends more is read more slowly.
    pub frames_per_client: NonZeroU32,
    /// Relay sessions at a time.
    pub relay_sessions: usize,
    /// Relay sessions of one client at a time.
    pub relay_sessions_per_client: u32,
    /// Seconds until a relay session that nothing passes is forgotten.
    pub relay_idle_seconds: u64,
    /// Seconds until a relay session is forgotten that one side did not bind.
    pub relay_setup_seconds: u64,
    /// What may pass one relay session per second.
    pub relay_session: Throughput,
    /// What one client may send through all its relay sessions per second.
    pub relay_client: Throughput,
}

/// Amounts per second; as much at once is let through after a pause.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// At least 65,536, so that every batch of datagrams can pass.
    pub bytes: NonZeroU32,
    /// At least 64, for the same reason.
    pub packets: NonZeroU32,
}

impl Limits {
    /// How long a relay session lives that nothing passes.
    pub fn relay_idle(&self) -> Duration {
        Duration::from_secs(self.relay_idle_seconds)
    }

    /// How long the sides of a relay session have to bind.
    pub fn relay_setup(&self) -> Duration {
        Duration::from_secs(self.relay_setup_seconds)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wide_enough =
            |limit: Throughput| limit.bytes.get() >= 65_536 && limit.packets.get() >= 64;
        match wide_enough(self.relay_session) && wide_enough(self.relay_client) {
            true => Ok(()),
            false => Err(ConfigError::TooNarrow),
        }
    }
}

const fn per_second(amount: u32) -> NonZeroU32 {
    NonZeroU32::new(amount).expect("is not zero")
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: per_second(50),
            datagrams_per_address: per_second(500),
            names: 1_000_000,
            claims_per_address: per_second(60),
            frames_per_client: per_second(50),
            relay_sessions: 10_000,
            relay_sessions_per_client: 256,
            relay_idle_seconds: 60,
            relay_setup_seconds: 15,
            relay_session: Throughput {
                bytes: per_second(2_000_000_000),
                packets: per_second(2_000_000),
            },
            relay_client: Throughput {
                bytes: per_second(4_000_000_000),
                packets: per_second(4_000_000),
            },
        }
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not there, or not ours to read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// The file is not TOML, or has a setting that does not exist.
    #[error("cannot use {0}")]
    Parse(PathBuf, #[source] toml::de::Error),
    /// A chain without key, or a key without chain.
    #[error("a certificate needs both cert and key")]
    HalfCertificate,
    /// The relay could not pass a single batch of datagrams.
    #[error("a relay limit must allow 65,536 bytes and 64 packets per second")]
    TooNarrow,
    /// The platform has no data folder for this user.
    #[error("no data folder is known: say --data-dir")]
    NoDataDir,
}

/// The configuration file; the long options of the command line, and limits.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ConfigFile {
    listen: Option<SocketAddr>,
    relay: Option<SocketAddr>,
    tcp: Option<Vec<SocketAddr>>,
    public_host: Option<String>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    limits: Limits,
}

impl Settings {
    /// Reads the configuration file, if one is named, under the command line.
    pub fn load(options: Options) -> Result<Self, ConfigError> {
        let file = match &options.config {
            Some(path) => read_file(path)?,
            None => ConfigFile::default(),
        };
        file.limits.check()?;
        let default = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), DEFAULT_PORT);
        let listen = options.listen.or(file.listen).unwrap_or(default);
        let certificate = match (options.cert.or(file.cert), options.key.or(file.key)) {
            (Some(chain), Some(key)) => Some(CertificateFiles { chain, key }),
            (None, None) => None,
            _ => return Err(ConfigError::HalfCertificate),
        };
        Ok(Self {
            listen,
            relay: options.relay.or(file.relay).unwrap_or_else(|| next_port(listen)),
            tcp: match options.tcp.is_empty() {
                true => file.tcp.unwrap_or_else(|| vec![listen]),
                false => options.tcp,
            },
            public_host: options.public_host.or(file.public_host),
            certificate,
            data_dir: match options.data_dir.or(file.data_dir) {
                Some(dir) => dir,
                None => default_data_dir()?,
            },
            limits: file.limits,
        })
    }
}

fn read_file(path: &PathBuf) -> Result<ConfigFile, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| ConfigError::Read(path.clone(), error))?;
    toml::from_str(&text).map_err(|error| ConfigError::Parse(path.clone(), error))
}

fn next_port(listen: SocketAddr) -> SocketAddr {
    let port = match listen.port() {
        0 => 0,
        port => port.wrapping_add(1),
    };
    SocketAddr::new(listen.ip(), port)
}

fn default_data_dir() -> Result<PathBuf, ConfigError> {
    let dirs = directories::ProjectDirs::from("", "", "filefleet-server");
    Ok(dirs.ok_or(ConfigError::NoDataDir)?.data_dir().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn load(arguments: &[&str]) -> Result<Settings, ConfigError> {
        let arguments = [&["filefleet-server", "--data-dir", "/data"], arguments].concat();
        Settings::load(Cli::try_parse_from(arguments).unwrap().options)
    }

    fn with_file(text: &str, arguments: &[&str]) -> Result<Settings, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        load(&[&["--config", file.path().to_str().unwrap()], arguments].concat())
    }

    #[test]
    fn the_relay_is_on_the_next_port() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.listen, "[::]:7835".parse().unwrap());
        assert_eq!(settings.relay, "[::]:7836".parse().unwrap());
        let settings = load(&["--listen", "10.0.0.1:0"]).unwrap();
        assert_eq!(settings.relay, "10.0.0.1:0".parse().unwrap());
        let settings = load(&["--relay", "10.0.0.1:9"]).unwrap();
        assert_eq!(settings.relay, "10.0.0.1:9".parse().unwrap());
    }

    #[test]
    fn tunnels_are_accepted_on_the_main_port_unless_others_are_said() {
        let addresses = |list: &[&str]| -> Vec<SocketAddr> {
            list.iter().map(|address| address.parse().unwrap()).collect()
        };
        assert_eq!(load(&[]).unwrap().tcp, addresses(&["[::]:7835"]));
        let both = ["--tcp", "[::]:443", "--tcp", "[::]:7835"];
        assert_eq!(load(&both).unwrap().tcp, addresses(&["[::]:443", "[::]:7835"]));
        assert_eq!(with_file("tcp = []", &[]).unwrap().tcp, []);
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file = "listen = '127.0.0.1:1'\npublic_host = 'a.example'\n[limits]\nnames = 5\n";
        let settings = with_file(file, &["--listen", "127.0.0.1:2"]).unwrap();
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.public_host.as_deref(), Some("a.example"));
        assert_eq!(settings.limits.names, 5);
        assert_eq!(settings.limits.connections, Limits::default().connections);
    }

    #[test]
    fn mistakes_are_not_passed_over() {
        assert!(matches!(with_file("lisen = 'x'", &[]), Err(ConfigError::Parse(..))));
        assert!(matches!(with_file("cert = 'x'", &[]), Err(ConfigError::HalfCertificate)));
        let narrow = "[limits]\nrelay_session = { bytes = 1000, packets = 64 }";
        assert!(matches!(with_file(narrow, &[]), Err(ConfigError::TooNarrow)));
        assert!(matches!(load(&["--config", "/missing"]), Err(ConfigError::Read(..))));
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
