//! What systemd is told when it started the server: that it serves, and as what.

use crate::protos::address::ServerAddress;

/// Says that the server serves; `systemctl status` shows its address. Does nothing when nobody asks
/// (`NOTIFY_SOCKET`, see `sd_notify(3)`), and on other systems.
#[cfg(target_os = "linux")]
pub fn tell_ready(address: &ServerAddress) {
    use sd_notify::NotifyState;
    let status = address.to_string();
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

/// Says that the server serves. Nobody asks on this system.
#[cfg(not(target_os = "linux"))]
pub fn tell_ready(_address: &ServerAddress) {}
