#!/usr/bin/env bash
# Unpacks a tarball in a fresh root that holds busybox and nothing else, installs it there, and lets two
# users send each other a folder, with a network of their own. Programs of another architecture, for
# which an emulator is named, are only looked at and asked for their version.
#
# Usage: packaging/dev/cross/tarball-root.sh TARBALL [EMULATOR]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tarball=$(realpath "$1")
emulator=${2:-}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/filefleet-root.XXXXXX")
# The mounts are in a namespace that is gone by then.
trap 'rm -rf --one-file-system "$scratch"' EXIT

fail() { echo "tarball-root: $*" >&2; exit 1; }

tar --extract --file "$tarball" --directory "$scratch" --strip-components 1 --one-top-level=unpacked
for program in "$scratch"/unpacked/bin/*; do
  file --brief "$program" >&2
  file --brief "$program" | grep -Eq 'static(-pie|ally) linked' || fail "$program is not static"
  [ -z "$emulator" ] || "$emulator" "$program" --version >&2
done
[ -z "$emulator" ] || exit 0

fresh=$scratch/root
mkdir -p "$fresh"/{bin,dev,proc,root,tmp}
cp "$(command -v busybox)" "$fresh/bin/"
"$fresh/bin/busybox" --list | while read -r applet; do
  [ "$applet" = busybox ] || ln -s busybox "$fresh/bin/$applet"
done
cp "$tarball" "$fresh/tmp/filefleet.tar.gz"
cp "$here/tarball-inside.sh" "$fresh/tmp/"
touch "$fresh/dev/null"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(--map-root-user)
setpriv --pdeathsig KILL unshare "${as_root[@]}" --mount --pid --net --fork --kill-child \
  --propagation private sh -ec '
    mount -t proc proc "$1/proc"
    mount --bind /dev/null "$1/dev/null"
    exec chroot "$1" /bin/busybox env -i PATH=/usr/bin:/bin HOME=/root sh /tmp/tarball-inside.sh
  ' sh "$fresh"
