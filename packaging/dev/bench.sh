#!/usr/bin/env bash
# Measures one large file from memory to memory between two network namespaces (veth, MTU 1500):
# FileFleet and scp in turn, and what FileFleet's daemons need of memory and processor. Prints a
# Markdown table; fails if FileFleet is slower than scp or its daemons are too large.
#
# Usage: packaging/dev/bench.sh [--runs N] [--size MIB]
#   --runs N     how often each is measured, after one run to warm up (3)
#   --size MIB   the size of the file (1024)
#
# Needs root. Everything runs in process, mount and network namespaces of its own, on a tmpfs of its
# own: when this ends, however it ends, nothing is left of it.
set -euo pipefail

# What must hold (MiB of resident memory).
idle_limit=30
busy_limit=150

runs=3
size=1024
bin=
fail() { echo "bench: $*" >&2; exit 1; }
while [ $# -gt 0 ]; do
  case "$1" in
    --runs | --size)
      [[ "${2:-}" =~ ^[1-9][0-9]{0,5}$ ]] || fail "$1 needs a number"
      declare "${1#--}=$2"
      shift 2
      ;;
    --inside) bin=$2; shift 2 ;; # for the script itself
    -h | --help) sed -n 's/^# \{0,1\}//p' "$0" | sed -n '2,11p'; exit 0 ;;
    *) echo "bench: unknown option $1" >&2; exit 2 ;;
  esac
done

# Builds, and runs the rest in namespaces that end with their first process, which ends with this.
outside() {
  [ "$(id -u)" -eq 0 ] || fail "needs root, for network namespaces"
  command -v cargo >/dev/null || fail "Rust is not installed: see https://rustup.rs"
  local root
  root=$(cd "$(dirname "$0")/../.." && pwd)
  "$root/packaging/dev/needs.sh" bench
  echo "== building (release)" >&2
  cargo build --release --locked --quiet --manifest-path "$root/Cargo.toml" \
    -p filefleet-server -p filefleet-daemon -p filefleet-ctl --bins
  bin=$(realpath "${CARGO_TARGET_DIR:-$root/target}")/release
  setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --net \
    "$root/packaging/dev/bench.sh" --runs "$runs" --size "$size" --inside "$bin" &
  inside=$!
  # Killing it takes everything along.
  trap 'kill -KILL "$inside" 2>/dev/null || true' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  wait "$inside"
}

# --- inside: the sender is in the script's own network namespace, the receiver in another.

scratch=/dev/shm
sender_ip=10.77.0.1
receiver_ip=10.77.0.2
ssh_options=(
  -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o LogLevel=ERROR
  -o StrictHostKeyChecking=no -o "UserKnownHostsFile=$scratch/ssh/known_hosts"
  -i "$scratch/ssh/user_key"
)

make_places() {
  mount -t tmpfs -o mode=0755 filefleet-bench /run
  mount -t tmpfs -o "mode=0700,size=$((size * 2 + 256))m" filefleet-bench "$scratch"
  mkdir /run/sshd "$scratch"/{ssh,scp,server}
  head -c "${size}M" /dev/urandom >"$scratch/source.bin"
}

make_network() {
  unshare --net sleep infinity &
  receiver_net=$!
  until [ "$(readlink "/proc/$receiver_net/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do
    sleep 0.05
  done
  there=(nsenter "--net=/proc/$receiver_net/ns/net")
  ip link add name veth0 mtu 1500 type veth peer name veth1 mtu 1500 netns "$receiver_net"
  ip address add "$sender_ip/24" dev veth0
  ip link set lo up
  ip link set veth0 up
  "${there[@]}" ip address add "$receiver_ip/24" dev veth1
  "${there[@]}" ip link set lo up
  "${there[@]}" ip link set veth1 up
}

alice() { FILEFLEET_HOME=$scratch/alice "$bin/ffctl" "$@"; }
bob() { FILEFLEET_HOME=$scratch/bob "${there[@]}" "$bin/ffctl" "$@"; }

# Waits until a command succeeds.
await() {
  local tries=200
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || fail "does not work: $*"
    sleep 0.05
  done
}

start_sshd() {
  ssh-keygen -q -t ed25519 -N '' -f "$scratch/ssh/host_key"
  ssh-keygen -q -t ed25519 -N '' -f "$scratch/ssh/user_key"
  cat >"$scratch/ssh/config" <<CONFIG
ListenAddress $receiver_ip:22
HostKey $scratch/ssh/host_key
AuthorizedKeysFile $scratch/ssh/user_key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
Subsystem sftp internal-sftp
CONFIG
  "${there[@]}" "$(command -v sshd)" -D -e -f "$scratch/ssh/config" 2>"$scratch/sshd.log" &
  sshd=$!
  await ssh "${ssh_options[@]}" "root@$receiver_ip" true
}

start_filefleet() {
  mkfifo "$scratch/ready"
  "$bin/filefleet-server" --public-host "$sender_ip" --data-dir "$scratch/server" \
    >"$scratch/ready" 2>"$scratch/server.log" &
  read -r _ address <"$scratch/ready" || fail "the server did not start"
  FILEFLEET_HOME=$scratch/alice "$bin/filefleetd" 2>"$scratch/alice.log" &
  alice=$!
  FILEFLEET_HOME=$scratch/bob "${there[@]}" "$bin/filefleetd" 2>"$scratch/bob.log" &
  bob=$!
  await alice status
  await bob status
  alice register alice --server "$address" >/dev/null
  bob register bob --server "$address" >/dev/null
  bob contacts add "$(alice invite)" >/dev/null
  bob contacts set alice --accept always >/dev/null
}

# A figure of a process's memory, in MiB.
memory() { awk -v name="$2:" '$1 == name { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }
# The processor time of a process so far, in seconds: its own, or with "children" that of those of
# its children that have ended.
processor() {
  local field=12
  [ "${2:-own}" = own ] || field=14
  awk -v hz="$(getconf CLK_TCK)" -v field="$field" \
    '{ sub(/.*\) /, ""); print ($field + $(field + 1)) / hz }' "/proc/$1/stat"
}
has_no_children() { [ -z "$(cat "/proc/$1/task/$1/children")" ]; }
sum() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a + b }'; }
difference() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", b - a }'; }

# Runs a command; sets `seconds` that it took and `used`, its processor time.
measure() {
  local TIMEFORMAT='%R %U %S' times
  times=$({ time "$@" >"$scratch/out" 2>"$scratch/err"; } 2>&1) ||
    { cat "$scratch/out" "$scratch/err" >&2; fail "failed: $*"; }
  read -r seconds user system <<<"$times"
  used=$(sum "$user" "$system")
}

# Fails unless the file has arrived, and makes room for the next.
check_and_remove() {
  cmp "$scratch/source.bin" "$1" || fail "what arrived is not what was sent"
  rm "$1"
}

run_scp() {
  local before
  before=$(processor "$sshd" children)
  measure scp -q "${ssh_options[@]}" -c aes128-gcm@openssh.com "$scratch/source.bin" \
    "root@$receiver_ip:$scratch/scp/"
  await has_no_children "$sshd"
  scp_receiving=$(difference "$before" "$(processor "$sshd" children)")
  scp_sending=$used
  check_and_remove "$scratch/scp/source.bin"
}

run_filefleet() {
  local alice_before bob_before
  # Forgets the peaks so far.
  echo 5 >"/proc/$alice/clear_refs"
  echo 5 >"/proc/$bob/clear_refs"
  alice_before=$(processor "$alice")
  bob_before=$(processor "$bob")
  measure alice send --json bob "$scratch/source.bin"
  sending=$(difference "$alice_before" "$(processor "$alice")")
  sending=$(sum "$sending" "$used") # the daemon's and the command's
  receiving=$(difference "$bob_before" "$(processor "$bob")")
  alice_peak=$(memory "$alice" VmHWM)
  bob_peak=$(memory "$bob" VmHWM)
  link=$(tail -n 1 "$scratch/out" | sed -n 's/.*"links":{\([^}]*\)}.*/\1/p' | tr -d '"')
  check_and_remove "$scratch/bob/received/source.bin"
}

# The middle one of numbers, one a line; of an even count the lower.
median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }
largest() { sort -n | tail -n 1; }
# The values of one column of the rows measured.
column() { cut -d ' ' -f "$1" <"$scratch/rows"; }
middle() { column "$1" | median; }
per_gib() {
  awk -v seconds="$(middle "$1")" -v mib="$size" 'BEGIN { printf "%.2f", seconds * 1024 / mib }'
}
above() { awk -v value="$1" -v limit="$2" 'BEGIN { exit !(value > limit) }'; }

report() {
  local scp_seconds seconds ratio alice_most bob_most missed=0
  scp_seconds=$(middle 1)
  seconds=$(middle 4)
  ratio=$(awk -v a="$seconds" -v b="$scp_seconds" 'BEGIN { printf "%.2f", a / b }')
  alice_most=$(column 7 | largest)
  bob_most=$(column 8 | largest)
  echo
  echo "$size MiB, tmpfs to tmpfs over veth (MTU 1500), $(nproc) processors, medians of $runs runs"
  echo
  echo "| | scp | FileFleet |"
  echo "|---|---|---|"
  echo "| seconds | $scp_seconds | **$seconds** |"
  echo "| of scp's | 1.00 | **$ratio** |"
  echo "| every run | $(column 1 | paste -sd ' ') | $(column 4 | paste -sd ' ') |"
  echo "| CPU-s/GiB sending | $(per_gib 2) | $(per_gib 5) |"
  echo "| CPU-s/GiB receiving | $(per_gib 3) | $(per_gib 6) |"
  echo "| peak MiB sending | | $alice_most |"
  echo "| peak MiB receiving | | $bob_most |"
  echo "| idle MiB before, sender and receiver | | $alice_idle, $bob_idle |"
  echo "| idle MiB after, sender and receiver | | $alice_after, $bob_after |"
  echo "| link: bytes | | $link |"
  echo
  if above "$seconds" "$scp_seconds"; then echo "bench: slower than scp"; missed=1; fi
  for peak in "$alice_most" "$bob_most"; do
    if above "$peak" "$busy_limit"; then echo "bench: busy with $peak MiB"; missed=1; fi
  done
  for idle in "$alice_idle" "$bob_idle" "$alice_after" "$bob_after"; do
    if above "$idle" "$idle_limit"; then echo "bench: idle with $idle MiB"; missed=1; fi
  done
  return "$missed"
}

inside() {
  trap 'tail -n 5 "$scratch"/*.log >&2 || true' EXIT
  make_places
  make_network
  start_sshd
  start_filefleet
  # What registering took is given back by then.
  sleep 2
  alice_idle=$(memory "$alice" VmRSS)
  bob_idle=$(memory "$bob" VmRSS)
  echo "== warming up" >&2
  run_scp
  run_filefleet
  for run in $(seq "$runs"); do
    run_scp
    local row="$seconds $scp_sending $scp_receiving"
    run_filefleet
    row+=" $seconds $sending $receiving $alice_peak $bob_peak"
    echo "$row" >>"$scratch/rows"
    echo "== run $run: scp ${row%% *} s, FileFleet $seconds s" >&2
  done
  # What is not given back by then is kept for good.
  sleep 2
  alice_after=$(memory "$alice" VmRSS)
  bob_after=$(memory "$bob" VmRSS)
  trap - EXIT
  report
}

if [ -n "$bin" ]; then inside; else outside; fi
