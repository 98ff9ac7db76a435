#!/usr/bin/env bash
# Measures FileFleet beside scp, rsync and bare quinn between network namespaces, over a cable and over
# an emulated WAN link. Prints tables in Markdown; fails if a bound is missed.
#
# Usage: packaging/dev/bench.sh [CASE...] [--rounds N] [--out DIR] [more: filefleet-bench run --help]
#   CASE   large, small, disk, many, wan, share, latency, relayed; without any, all of them
#
# Needs root. Everything runs in process and mount namespaces of its own, on a tmpfs of its own: when
# this ends, however it ends, nothing is left of it.
set -euo pipefail

fail() { echo "bench: $*" >&2; exit 1; }
case "${1:-}" in
  -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
[ "$(id -u)" -eq 0 ] || fail "needs root, for network namespaces"
command -v cargo >/dev/null || fail "Rust is not installed: see https://rustup.rs"
root=$(cd "$(dirname "$0")/../.." && pwd)
"$root/packaging/dev/needs.sh" bench
echo "== building (release)" >&2
cargo build --release --locked --quiet --manifest-path "$root/Cargo.toml" --bins \
  -p filefleet-server -p filefleet-daemon -p filefleet-ctl -p filefleet-bench
bench=$(realpath "${CARGO_TARGET_DIR:-$root/target}")/release/filefleet-bench

# On a disk, unlike the rest.
disk=$(mktemp --directory --tmpdir=/var/tmp filefleet-bench.XXXXXX)
inside=
# Killing the first process of the namespaces takes everything along.
trap '[ -z "$inside" ] || kill -KILL "$inside" 2>/dev/null || true; rm -rf "$disk"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc \
  sh -c 'mount -t tmpfs -o mode=0700 filefleet-bench /dev/shm && exec "$@"' sh \
  "$bench" run --disk-dir "$disk" "$@" &
inside=$!
wait "$inside"
