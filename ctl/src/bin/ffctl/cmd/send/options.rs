//! What `ffctl send` lets a user say about how something is sent.

use clap::Args;
use filefleet_ctl::format;
use filefleet_ctl::proto::{MIN_LIMIT, SendOptions};

/// The options that go to the daemon as they are.
#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    /// Leave out what matches, in the folders that are sent; may be repeated
    ///
    /// Without a slash the glob is compared with names at any depth, as in '*.tmp'; with one, with
    /// paths below the folder that is named, as in '/build' or 'src/**/*.o'. A slash at its end means
    /// folders only. "*" and "?" stop at a slash, "**" does not; "[a-z]", "{a,b}" and "\" work as in a
    /// shell. Case matters. A folder is left out with all that is in it.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Send at most so many bytes per second, as in 2M; at least 64K
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    limit: Option<u64>,
    /// Compare what you sent before by its content, not by size and time
    #[arg(long)]
    checksum: bool,
    /// Replace what you sent before and has changed since, instead of sending it as "name (2)"
    ///
    /// The receiver must allow it: "ffctl contacts set YOU --overwrite yes". What they have altered
    /// themselves is never replaced; the new one then lies beside it.
    #[arg(long)]
    update: bool,
    /// Send extended attributes, those of the namespace "user", with files and folders
    ///
    /// From Linux to Linux; what the receiver's file system does not take is reported at the end.
    #[arg(long)]
    xattrs: bool,
}

impl Options {
    pub(super) fn into_call(self) -> SendOptions {
        let Self { exclude, limit, checksum, update, xattrs } = self;
        SendOptions { exclude, limit, checksum, update, xattrs }
    }
}

/// A rate is a size per second, with or without saying so.
fn parse_rate(text: &str) -> Result<u64, String> {
    let rate = format::parse_size(text.strip_suffix("/s").unwrap_or(text))?;
    match rate {
        MIN_LIMIT.. => Ok(rate),
        _ => Err(format!(
            "less than {} is none; leave it out to send at full speed",
            format::rate(MIN_LIMIT)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_size_and_not_next_to_nothing() {
        assert_eq!(parse_rate("2M"), Ok(2 << 20));
        assert_eq!(parse_rate("64K/s"), Ok(MIN_LIMIT));
        for wrong in ["0", "65535", "fast", "2M/min"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }
}
