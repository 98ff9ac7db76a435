#!/usr/bin/env bash
# Installs the Debian packages that a purpose needs and that are missing; does nothing else.
#
# Usage: packaging/dev/needs.sh demo|test|desktop|bench|package|cross
set -euo pipefail

# PACKAGE:COMMAND, the command, or file, being what shows that the package is there.
demo=(gcc:cc b3sum:b3sum)
test=("${demo[@]}" iproute2:ip nftables:nft tcpdump:tcpdump miniupnpd:miniupnpd tayga:tayga conntrack:conntrack iputils-ping:ping util-linux:setpriv
  systemd:systemd-analyze python3:python3 desktop-file-utils:desktop-file-validate procps:pgrep)
package=(gcc:cc mmdebstrap:mmdebstrap rpm:rpm dpkg-dev:dpkg-shlibdeps binutils:strip iproute2:ip
  util-linux:setpriv python3:python3 desktop-file-utils:desktop-file-validate)
cross=(rustc-web:/usr/bin/rustc cargo-web:/usr/bin/cargo rust-web-clippy:/usr/bin/cargo-clippy
  rust-web-src:/usr/lib/rustlib/src/rust/library/std/Cargo.toml
  gcc-mingw-w64-x86-64-win32:x86_64-w64-mingw32-gcc g++-mingw-w64-x86-64-win32:x86_64-w64-mingw32-g++
  wine:wine wine64:/usr/lib/wine/wine64 qemu-user-static:qemu-aarch64-static file:file
  busybox-static:busybox util-linux:setpriv python3-venv:/usr/share/doc/python3-venv/copyright)
# A desktop without a screen: X server, window manager, panel, notifications, file dialogs.
desktop=(
  dbus:dbus-daemon xvfb:Xvfb openbox:openbox xdotool:xdotool scrot:scrot xfce4-panel:xfce4-panel
  xfce4-notifyd:/usr/share/dbus-1/services/org.xfce.xfce4-notifyd.Notifications.service
  xdg-desktop-portal:/usr/share/dbus-1/services/org.freedesktop.portal.Desktop.service
  xdg-desktop-portal-gtk:/usr/share/dbus-1/services/org.freedesktop.impl.portal.desktop.gtk.service
  fonts-dejavu-core:/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
)
bench=(gcc:cc iproute2:ip util-linux:setpriv openssh-server:sshd openssh-client:ssh
  rsync:rsync)

case "${1:-}" in
  bench) wanted=("${bench[@]}") ;;
  demo) wanted=("${demo[@]}") ;;
  desktop) wanted=("${desktop[@]}") ;;
  test) wanted=("${test[@]}") ;;
  cross) wanted=("${cross[@]}") ;;
  package) wanted=("${package[@]}") ;;
  *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

PATH=$PATH:/usr/sbin:/sbin
missing=()
for pair in "${wanted[@]}"; do
  command -v "${pair#*:}" >/dev/null || [ -f "${pair#*:}" ] || missing+=("${pair%%:*}")
done

# Debian's Rust has a newer version than that of the release among its updates; old lists of packages
# do not know it.
rust=(rustc-web cargo-web rust-web-clippy rust-web-src)
rust_is_old() {
  local wanted
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../../Cargo.toml")
  ! { echo "$wanted" && /usr/bin/rustc --version | cut -d ' ' -f 2; } | sort --check=quiet --version-sort
}
fresh_lists=0
if [ "${1:-}" = cross ] && { [ ! -x /usr/bin/rustc ] || rust_is_old; }; then
  missing+=("${rust[@]}")
  fresh_lists=1
fi
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || {
  echo "needs: please install: ${missing[*]} (this script knows Debian and Ubuntu only)" >&2
  exit 1
}
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "== installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
update() { "${as_root[@]}" apt-get update -qq; }
install() { "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
[ "$fresh_lists" -eq 0 ] || update
install 2>/dev/null || { update && install; }
[ "$fresh_lists" -eq 0 ] || ! rust_is_old || {
  echo "needs: $(/usr/bin/rustc --version) is older than the workspace needs" >&2
  exit 1
}
