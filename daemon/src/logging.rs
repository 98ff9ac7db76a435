//! Where the log goes and how much of it: to stderr or a file, by `FILEFLEET_LOG` or `info`.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// A log file that is longer than this makes room for a new one at the next start.
const MAX_LOG: u64 = 8 << 20;

/// Starts logging for the whole process: to a file, or to stderr without one or if that fails.
pub fn start(log_file: Option<&Path>) {
    let filter = EnvFilter::try_from_env("FILEFLEET_LOG").unwrap_or_else(|_| {
        EnvFilter::new("info,quinn=warn,quinn_proto=warn,rustls=warn,stun_types=error")
    });
    let opened = log_file.map(open).transpose();
    let (writer, terminal) = match &opened {
        Ok(Some(file)) => (BoxMakeWriter::new(Arc::clone(file)), false),
        _ => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal)
        .with_writer(writer)
        .init();
    if let Err(error) = opened {
        tracing::warn!(%error, "cannot log to the file");
    }
}

/// Opens a log to append to. The one before it is kept, those before that are not.
fn open(log_file: &Path) -> io::Result<Arc<File>> {
    if let Some(dir) = log_file.parent() {
        filefleet_ctl::socket::make_private(dir)?;
    }
    if fs::metadata(log_file).is_ok_and(|meta| meta.len() > MAX_LOG) {
        fs::rename(log_file, log_file.with_extension("log.old"))?;
    }
    Ok(Arc::new(File::options().create(true).append(true).open(log_file)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_goes_on_until_it_is_too_long_then_one_old_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log_file = dir.path().join("state/a.log");
        let old = dir.path().join("state/a.log.old");
        write!(&*open(&log_file).unwrap(), "first").unwrap();
        write!(&*open(&log_file).unwrap(), " and more").unwrap();
        assert_eq!(fs::read_to_string(&log_file).unwrap(), "first and more");
        assert!(!old.exists());
        for _ in 0..2 {
            File::options().write(true).open(&log_file).unwrap().set_len(MAX_LOG + 1).unwrap();
            open(&log_file).unwrap();
            assert_eq!(fs::metadata(&log_file).unwrap().len(), 0);
            assert_eq!(fs::metadata(&old).unwrap().len(), MAX_LOG + 1);
        }
    }
}
