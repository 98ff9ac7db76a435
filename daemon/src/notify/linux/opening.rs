//! Opening what has arrived. Whatever this daemon started would be confined as its own unit is, so the
//! desktop is asked to, over the bus: the file manager, and xdg-desktop-portal where there is none.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use filefleet_ctl::open::{is_runnable, uri};
use rustix::fs::{Mode, OFlags};
use zbus::zvariant::{Fd, Value};

use super::bus;

const FILE_MANAGER: &str = "org.freedesktop.FileManager1";
const FILE_MANAGER_PATH: &str = "/org/freedesktop/FileManager1";
const PORTAL: &str = "org.freedesktop.portal.Desktop";
const PORTAL_PATH: &str = "/org/freedesktop/portal/desktop";
const OPEN_URI: &str = "org.freedesktop.portal.OpenURI";

/// Opens a file or folder. What would be run rather than shown is shown in its folder instead:
/// somebody else has named it.
pub(in crate::notify) async fn open(file_path: PathBuf) -> Result<(), String> {
    let failed = |error: zbus::Error| cannot("open", &file_path, &error);
    let opened = handle_of(&file_path).await.map_err(|error| failed(error.into()))?;
    let meta = opened.metadata().map_err(|error| failed(error.into()))?;
    // A link has a name of its own.
    let real_path = std::fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))
        .map_err(|error| failed(error.into()))?;
    if is_runnable(&file_path, &meta) || is_runnable(&real_path, &meta) {
        return show(vec![file_path]).await;
    }
    let bus = bus::connect().await.map_err(failed)?;
    if meta.is_dir() && manage(&bus, "ShowFolders", &[uri(&file_path)]).await.is_ok() {
        return Ok(());
    }
    ask_portal(&bus, "OpenFile", &opened).await.map_err(failed)
}

/// Shows files where they lie, marked.
pub(in crate::notify) async fn show(paths: Vec<PathBuf>) -> Result<(), String> {
    let Some(first) = paths.first() else { return Ok(()) };
    let failed = |error: zbus::Error| cannot("show", first, &error);
    let bus = bus::connect().await.map_err(failed)?;
    let uris: Vec<_> = paths.iter().map(|file_path| uri(file_path)).collect();
    if manage(&bus, "ShowItems", &uris).await.is_ok() {
        return Ok(());
    }
    let opened = handle_of(first).await.map_err(|error| failed(error.into()))?;
    ask_portal(&bus, "OpenDirectory", &opened).await.map_err(failed)
}

/// The file itself, whatever becomes of its name: for looking at, not for reading, so that neither a
/// pipe nor a device acts.
async fn handle_of(file_path: &Path) -> std::io::Result<File> {
    let file_path = file_path.to_owned();
    // A network drive may not answer.
    let open = move || rustix::fs::open(file_path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let opened = tokio::task::spawn_blocking(open).await.map_err(std::io::Error::other)?;
    Ok(opened?.into())
}

/// `ShowItems` or `ShowFolders` of the file manager (freedesktop.org's file manager interface).
async fn manage(bus: &zbus::Connection, method: &str, uris: &[String]) -> zbus::Result<()> {
    let arguments = (uris, "");
    let (to, interface) = (Some(FILE_MANAGER), Some(FILE_MANAGER));
    bus.call_method(to, FILE_MANAGER_PATH, interface, method, &arguments).await.map(drop)
}

/// `OpenFile` or `OpenDirectory` of the portal: a parent window, the file, options.
async fn ask_portal(bus: &zbus::Connection, method: &str, opened: &File) -> zbus::Result<()> {
    let arguments = ("", Fd::from(opened), HashMap::<&str, Value<'_>>::new());
    let (to, interface) = (Some(PORTAL), Some(OPEN_URI));
    bus.call_method(to, PORTAL_PATH, interface, method, &arguments).await.map(drop)
}

fn cannot(what: &str, file_path: &Path, error: &dyn std::error::Error) -> String {
    let error = crate::error::chain(error);
    format!("cannot {what} {}\n{error}", file_path.display())
}
