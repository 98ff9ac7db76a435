#!/usr/bin/env bash
# Shows FileFleet at work on this machine alone: builds it, starts a server and two users in a scratch
# folder, sends PATH (or a made sample) from alice to bob by name, and compares BLAKE3 sums.
# Leaves nothing running and nothing behind.
#
# Usage: packaging/dev/demo.sh [PATH]
set -euo pipefail

usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
case "${1:-}" in -h | --help) usage; exit 0 ;; esac
[ $# -le 1 ] || { usage >&2; exit 2; }
[ $# -eq 0 ] || [ -e "$1" ] || { echo "demo: no such file or folder: $1" >&2; exit 1; }

root=$(cd "$(dirname "$0")/../.." && pwd)
source=$(realpath -- "${1:-/dev/null}")
scratch=$(mktemp -d "${TMPDIR:-/tmp}/filefleet-demo.XXXXXX")
started=()

cleanup() {
  status=$?
  trap - EXIT INT TERM
  for pid in "${started[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ "$status" -ne 0 ] && [ -d "$scratch" ]; then
    echo "demo: failed; the last words of the programs were:" >&2
    tail -n 5 "$scratch"/*.log >&2 || true
  fi
  chmod -R u+rwX "$scratch" 2>/dev/null || true
  rm -rf "$scratch"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

command -v cargo >/dev/null || { echo "demo: Rust is not installed: see https://rustup.rs" >&2; exit 1; }
"$root/packaging/dev/needs.sh" demo

echo "== building (release)"
cargo build --release --locked --quiet --manifest-path "$root/Cargo.toml" \
  -p filefleet-server -p filefleet-daemon -p filefleet-ctl --bins
bin=${CARGO_TARGET_DIR:-$root/target}/release

alice() { FILEFLEET_HOME=$scratch/alice "$bin/ffctl" "$@"; }
bob() { FILEFLEET_HOME=$scratch/bob "$bin/ffctl" "$@"; }

# Starts a daemon, which keeps to this machine, and waits until it answers.
start_daemon() {
  mkdir -p "$scratch/$1/config"
  echo 'lan-discovery = false' >"$scratch/$1/config/settings.toml"
  FILEFLEET_HOME=$scratch/$1 "$bin/filefleetd" 2>"$scratch/$1.log" &
  started+=($!)
  local pid=$!
  until FILEFLEET_HOME=$scratch/$1 "$bin/ffctl" status >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || { echo "demo: $1's daemon ended" >&2; exit 1; }
    sleep 0.05
  done
}

# The BLAKE3 of a file, or of the list of a folder's files with their sums.
sum() {
  if [ -d "$1" ]; then
    (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r b3sum --) | b3sum --no-names
  else
    b3sum --no-names -- "$1"
  fi
}

if [ $# -eq 0 ]; then
  source=$scratch/sample.bin
  head -c 268435456 /dev/urandom >"$source"
fi

echo "== a server, and two users: alice and bob"
mkdir "$scratch/server"
mkfifo "$scratch/ready"
"$bin/filefleet-server" --listen 127.0.0.1:0 --relay 127.0.0.1:0 --data-dir "$scratch/server" \
  >"$scratch/ready" 2>"$scratch/server.log" &
started+=($!)
read -r _ address <"$scratch/ready" || { echo "demo: the server did not start" >&2; exit 1; }
start_daemon alice
start_daemon bob
alice register alice --server "$address" >/dev/null
bob register bob --server "$address" >/dev/null
bob contacts add "$(alice invite)" >/dev/null
bob contacts set alice --accept always >/dev/null
echo "   bob has added alice by her invite link and accepts what she sends"

echo "== alice: ffctl send bob $(basename -- "$source")"
result=$(alice send --json bob "$source" | tail -n 1)
field() { printf '%s' "$result" | sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }
[ "$(field event)" = done ] || { echo "demo: the transfer failed: $result" >&2; exit 1; }

received=$scratch/bob/received/$(basename -- "$source")
sent_sum=$(sum "$source")
received_sum=$(sum "$received")
awk -v bytes="$(field bytes)" -v seconds="$(field seconds)" -v files="$(field files)" 'BEGIN {
  rate = seconds > 0 ? bytes / seconds / 1048576 : 0
  printf "   files     %d\n   bytes     %d\n   time      %.2f s\n   rate      %.1f MiB/s\n", files, bytes, seconds, rate
}'
echo "   link      $(field link)"
echo "   sent      BLAKE3 $sent_sum"
echo "   received  BLAKE3 $received_sum"
[ "$sent_sum" = "$received_sum" ] || { echo "demo: the sums differ" >&2; exit 1; }
echo "== the sums match; everything is stopped and removed"
