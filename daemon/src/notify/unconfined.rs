//! Opening what has arrived where the daemon may start programs, which it may not as a unit of systemd.

use std::path::PathBuf;

/// Opens a file or folder.
pub(super) async fn open(file_path: PathBuf) -> Result<(), String> {
    off_the_loop(move || filefleet_ctl::open::open(&file_path)).await
}

/// Shows the first of some files where it lies.
pub(super) async fn show(paths: Vec<PathBuf>) -> Result<(), String> {
    off_the_loop(move || paths.first().map_or(Ok(()), |first| filefleet_ctl::open::show(first)))
        .await
}

/// Runs what may wait for other programs.
pub(super) async fn off_the_loop(
    work: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}
