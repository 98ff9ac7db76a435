#!/usr/bin/env bash
# A server and two users' daemons as Windows programs under Wine: a folder there and another back,
# through named pipes and the loopback; and the entry that starts the daemon with the login.
# WINEPREFIX says where; the daemons end with this script.
#
# Usage: packaging/dev/cross/wine-pair.sh FOLDER WITH THE PROGRAMS
set -euo pipefail

programs=$(realpath "$1")
scratch=$(mktemp -d "${TMPDIR:-/tmp}/filefleet-wine.XXXXXX")
started=()
patience=120

fail() { echo "wine-pair: $*" >&2; exit 1; }
cleanup() {
  local status=$?
  [ "$status" -eq 0 ] || tail -n 5 "$scratch"/*.log >&2 || true
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap cleanup EXIT

await() {
  local end=$((SECONDS + patience))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "does not come about: $*"
    sleep 0.1
  done
}

# How Wine calls a path of this system.
windows_path() { printf 'Z:%s' "${1//\//\\}"; }

ffctl() {
  local user=$1
  shift
  FILEFLEET_HOME=$(windows_path "$scratch/$user") wine "$programs/ffctl.exe" "$@"
}

start_daemon() {
  FILEFLEET_HOME=$(windows_path "$scratch/$1") wine "$programs/filefleetd.exe" 2>"$scratch/$1.log" &
  started+=($!)
  await ffctl "$1" status
}

mkfifo "$scratch/ready"
wine "$programs/filefleet-server.exe" --listen 127.0.0.1:0 --relay 127.0.0.1:0 \
  --data-dir "$(windows_path "$scratch/server")" >"$scratch/ready" 2>"$scratch/server.log" &
started+=($!)
read -r _ address <"$scratch/ready" || fail "the server did not start"
address=${address%$'\r'}
for user in alice bob; do
  start_daemon "$user"
  # Nobody on this machine's networks hears of them.
  ffctl "$user" config set lan-discovery false >/dev/null
  ffctl "$user" register "$user" --server "$address" >/dev/null
done
invite() { ffctl "$1" invite | tr -d '\r'; }
ffctl bob contacts add "$(invite alice)" >/dev/null
ffctl alice contacts add "$(invite bob)" >/dev/null
ffctl bob contacts set alice --accept always >/dev/null
ffctl alice contacts set bob --accept always >/dev/null

mkdir -p "$scratch/there/deep/empty" "$scratch/back"
head -c 5000000 /dev/urandom >"$scratch/there/large.bin"
printf 'small\n' >"$scratch/there/deep/größe 日本.txt"
seq 100 | while read -r n; do echo "$n" >"$scratch/back/$n.txt"; done

ffctl alice send bob "$(windows_path "$scratch/there")"
ffctl bob send alice "$(windows_path "$scratch/back")"
diff -r "$scratch/there" "$scratch/bob/received/there"
diff -r "$scratch/back" "$scratch/alice/received/back"

# A second daemon of the same home finds the pipe taken.
if FILEFLEET_HOME=$(windows_path "$scratch/alice") wine "$programs/filefleetd.exe" 2>"$scratch/second.log"; then
  fail "two daemons serve one home"
fi
grep -q 'runs already' "$scratch/second.log" || fail "the second daemon said something else"

# The start-up entry belongs to the platform's own home.
own() { wine "$programs/ffctl.exe" service "$@" --json; }
unset FILEFLEET_HOME
own install | grep -q '"enabled":true' || fail "no start-up entry"
own status | grep -q '"running":true' || fail "the service does not run"
wine reg query 'HKCU\Software\Microsoft\Windows\CurrentVersion\Run' /v FileFleet | grep -q -- --log-to-file ||
  fail "the entry is not in the registry"
own uninstall | grep -q '"removed":true' || fail "the entry was not removed"
own status | grep -q '"enabled":false' || fail "the entry is still there"
for user in alice bob; do ffctl "$user" daemon stop >/dev/null; done
echo "wine-pair: passed" >&2
