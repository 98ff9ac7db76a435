#!/usr/bin/env bash
# Tests the service: the units, plists and desktop entries are valid, and the daemon lives as it should
# under a real `systemd --user`, which runs in namespaces and a control group of its own.
# Needs root and a build (debug or release) of the programs.
#
# Usage: packaging/dev/service-test.sh [FOLDER WITH THE PROGRAMS]
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
case "${1:-}" in -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac

# systemd's own figures (0 is best), to be kept.
user_exposure=6.8
server_exposure=1.2

# Far longer than anything takes, even on a busy machine.
patience=60

step() { echo "== $*" >&2; }
fail() { echo "service-test: $*" >&2; exit 1; }

# Waits until a command succeeds.
await() {
  local end=$((SECONDS + patience))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "does not come about: $*"
    sleep 0.05
  done
}

equal() { [ "$1" = "$2" ] || fail "expected '$2', got '$1' (${3:-})"; }

# A field of one line of JSON.
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

# --- what can be checked without running anything

# verify_unit UNIT PROGRAM system|user LARGEST EXPOSURE
verify_unit() {
  local said exposure unit=$scratch/$(basename "$1") manager=()
  [ "$3" = system ] || manager=(--user)
  sed "s#=/usr/bin/$2#=$programs/$2#" "$1" >"$unit"
  # An unknown key is a warning only, and so is much else.
  said=$(systemd-analyze "${manager[@]}" --man=no verify "$unit" 2>&1) || true
  [ -z "$said" ] || fail "$(basename "$1"): $said"
  exposure=$(systemd-analyze "${manager[@]}" --no-pager --threshold=100 security --offline=true "$unit" |
    sed -n 's/.*Overall exposure level[^:]*: \([0-9.]*\).*/\1/p')
  echo "$(basename "$1"): exposure $exposure" >&2
  awk -v is="$exposure" -v most="$4" 'BEGIN { exit !(is != "" && is <= most) }' ||
    fail "$(basename "$1"): exposure $exposure, at most $4 is allowed"
}

check_files() {
  step "units, plists and desktop entries"
  export XDG_RUNTIME_DIR=$scratch/run
  mkdir -m 700 "$XDG_RUNTIME_DIR"
  verify_unit "$root/packaging/linux/systemd/filefleetd.service" filefleetd user "$user_exposure"
  verify_unit "$root/packaging/linux/systemd/filefleet-server.service" filefleet-server system \
    "$server_exposure"
  python3 - "$root"/packaging/macos/*.plist <<'PY'
import plistlib, sys
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        agent = plistlib.load(file)
    label = name.rsplit("/", 1)[1].removesuffix(".plist")
    assert agent["Label"] == label, (name, agent["Label"])
    assert agent["ProgramArguments"][0].startswith("/usr/local/bin/filefleet"), name
    assert agent["RunAtLoad"] is True and agent["KeepAlive"] == {"SuccessfulExit": False}, name
PY
  python3 - "$root/packaging/macos/Send with FileFleet.workflow/Contents" <<'PY'
import plistlib, sys
def load(name):
    with open(f"{sys.argv[1]}/{name}", "rb") as file:
        return plistlib.load(file)
service = load("Info.plist")["NSServices"][0]
assert service["NSMessage"] == "runWorkflowAsService", service
action = load("document.wflow")["actions"][0]["action"]
assert action["BundleIdentifier"] == "com.apple.RunShellScript", action
# Paths come as arguments, and stay whole.
assert action["ActionParameters"]["inputMethod"] == 1, action
assert action["ActionParameters"]["COMMAND_STRING"].endswith('--choose --detach -- "$@"'), action
PY
  python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' \
    "$root/packaging/linux/send/nautilus/filefleet.py"
  local entries
  # A service menu of KDE's is no entry of the standard's.
  mapfile -t entries < <(find "$root/packaging/linux" -name '*.desktop' ! -path '*/dolphin/*')
  [ ${#entries[@]} -eq 0 ] || desktop-file-validate "${entries[@]}" || fail "a desktop entry is not valid"
}

# --- a real user manager

# Runs this script again beside a `systemd --user`. The manager moves every process of its control
# group, so it gets one of its own, in each hierarchy that there is.
beside_manager() {
  local hierarchy groups=() status=0
  for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ -e "$hierarchy/cgroup.procs" ] || continue
    mkdir "$hierarchy/filefleet-test.$$"
    groups+=("$hierarchy/filefleet-test.$$")
  done
  (
    for group in "${groups[@]}"; do echo "$BASHPID" >"$group/cgroup.procs"; done
    exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc \
      --propagation private "$0" --inside "$programs" "$scratch"
  ) || status=$?
  for group in "${groups[@]}"; do
    await remove_group "$group"
  done
  return "$status"
}

remove_group() { find "$1" -depth -type d -exec rmdir {} +; }

start_manager() {
  mount -t tmpfs filefleet-test /run/systemd
  mount -t tmpfs filefleet-test /etc/systemd/user
  mkdir -p /run/systemd/system
  export XDG_RUNTIME_DIR=/run/systemd/u HOME=$scratch/home
  mkdir -m 700 -p "$XDG_RUNTIME_DIR" "$HOME"
  unset DBUS_SESSION_BUS_ADDRESS FILEFLEET_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME
  export SYSTEMD_LOG_LEVEL=warning
  /usr/lib/systemd/systemd --user --unit=basic.target >"$scratch/manager.log" 2>&1 &
  manager=$!
  await systemctl --user list-units
}

service() { "$bin/ffctl" service "$@" --json; }
property() { systemctl --user show filefleetd.service --property="$1" --value; }
main_pid() { property MainPID; }
# All daemons of this namespace.
daemons() { pgrep -x filefleetd | wc -l; }
answers_as_other_than() { "$bin/ffctl" status && [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ]; }
gone() { ! kill -0 "$1" 2>/dev/null; }

test_install() {
  step "install: takes the place of a daemon that runs, once"
  equal "$(service status | field enabled)" false
  local alone pid
  alone=$("$bin/ffctl" daemon start --json | field pid)
  service install >"$scratch/out"
  equal "$(field changed <"$scratch/out")" true
  pid=$(field pid <"$scratch/out")
  equal "$(main_pid)" "$pid"
  await gone "$alone"
  equal "$(daemons)" 1
  equal "$(property Type)" notify
  systemctl --user is-enabled --quiet filefleetd.service || fail "it is not enabled"
  equal "$(service install | field changed)" false
  equal "$(main_pid)" "$pid" "installing again must not restart it"
  equal "$("$bin/ffctl" daemon start --json | field started)" false
  equal "$(daemons)" 1
}

test_life() {
  step "killed: restarted; stopped: stays so; started: as the service"
  local pid
  pid=$(main_pid)
  kill -KILL "$pid"
  await answers_as_other_than "$pid"
  equal "$(property NRestarts)" 1
  "$bin/ffctl" daemon stop >/dev/null
  await inactive
  equal "$(property Result)" success
  equal "$("$bin/ffctl" daemon start --json | field started)" true
  equal "$(property ActiveState)" active
  equal "$(daemons)" 1
}
inactive() { [ "$(property ActiveState)" = inactive ]; }

test_watchdog() {
  step "stuck: the watchdog has it restarted"
  mkdir -p "$HOME/.config/systemd/user/filefleetd.service.d"
  printf '[Service]\nWatchdogSec=2\n' >"$HOME/.config/systemd/user/filefleetd.service.d/test.conf"
  systemctl --user daemon-reload
  systemctl --user restart filefleetd.service
  local pid
  pid=$(main_pid)
  kill -STOP "$pid"
  await answers_as_other_than "$pid"
  rm -r "$HOME/.config/systemd/user/filefleetd.service.d"
  systemctl --user daemon-reload
  systemctl --user restart filefleetd.service
}

test_transfer() {
  step "a folder goes both ways, in spite of the sandbox"
  local address
  mkfifo "$scratch/ready"
  "$bin/filefleet-server" --listen 127.0.0.1:0 --relay 127.0.0.1:0 --data-dir "$scratch/server" \
    >"$scratch/ready" 2>"$scratch/server.log" &
  server=$!
  read -r _ address <"$scratch/ready" || fail "the server did not start"
  bob() { FILEFLEET_HOME=$scratch/bob "$bin/ffctl" "$@"; }
  alice() { "$bin/ffctl" "$@"; }
  bob daemon start >/dev/null
  # Nobody on this machine's networks hears of them.
  alice config set lan-discovery false
  bob config set lan-discovery false
  alice register alice --server "$address" >/dev/null
  bob register bob --server "$address" >/dev/null
  bob contacts add "$(alice invite)" >/dev/null
  alice contacts add "$(bob invite)" >/dev/null
  bob contacts set alice --accept always >/dev/null
  alice contacts set bob --accept always --dir "$scratch/to alice" >/dev/null
  mkdir -p "$scratch/outgoing/deep/empty" "$scratch/to alice"
  head -c 3000000 /dev/urandom >"$scratch/outgoing/large"
  echo small >"$scratch/outgoing/deep/small"
  chmod 750 "$scratch/outgoing/deep"
  ln -s large "$scratch/outgoing/link"
  alice send bob "$scratch/outgoing" >/dev/null
  bob send alice "$scratch/outgoing" >/dev/null
  diff -r "$scratch/outgoing" "$scratch/bob/received/outgoing" || fail "to bob"
  diff -r "$scratch/outgoing" "$scratch/to alice/outgoing" || fail "to alice"
  bob daemon stop >/dev/null
  kill "$server"
  wait "$server"
}

test_uninstall() {
  step "uninstall: nothing runs, nothing is left of the unit"
  local unit=$HOME/.config/systemd/user/filefleetd.service
  [ -f "$unit" ] || fail "there is no unit in the user's folder"
  equal "$(service uninstall | field removed)" true
  equal "$(daemons)" 0
  [ ! -e "$unit" ] || fail "the unit is still there"
  equal "$(service status | field enabled)" false
  equal "$(service uninstall | field removed)" false
}

test_packaged() {
  step "a packaged unit is used, and stays"
  local packaged=/etc/systemd/user/filefleetd.service
  sed "s#=/usr/bin/#=$bin/#" "$root/packaging/linux/systemd/filefleetd.service" >"$packaged"
  systemctl --user daemon-reload
  equal "$("$bin/ffctl" daemon start --json | field started)" true
  equal "$(main_pid)" "$("$bin/ffctl" daemon start --json | field pid)" "not the service"
  service install >"$scratch/out"
  equal "$(realpath "$(field definition <"$scratch/out")")" "$packaged"
  [ ! -e "$HOME/.config/systemd/user/filefleetd.service" ] || fail "a second unit was written"
  equal "$(service uninstall | field removed)" true
  [ -e "$packaged" ] || fail "the packaged unit was removed"
  equal "$(daemons)" 0
  rm "$packaged"
  systemctl --user daemon-reload
}

# refused EXIT_CODE TEXT COMMAND…
refused() {
  local expected=$1 text=$2 status=0
  shift 2
  "$@" >"$scratch/out" 2>&1 || status=$?
  equal "$status" "$expected" "$*"
  grep -qF "$text" "$scratch/out" || fail "$*: $(cat "$scratch/out")"
}

test_errors() {
  step "what cannot be done is said, and changes nothing"
  local unit=$HOME/.config/systemd/user/filefleetd.service
  echo "# my own" >"$unit"
  refused 1 "is not FileFleet's own" "$bin/ffctl" service install
  equal "$(cat "$unit")" "# my own"
  rm "$unit"
  refused 2 "FILEFLEET_HOME" env FILEFLEET_HOME="$scratch/bob" "$bin/ffctl" service install
  refused 1 "no systemd that answers" env -u XDG_RUNTIME_DIR "$bin/ffctl" service install
  refused 1 "no systemd that answers" env PATH=/nowhere "$bin/ffctl" service install
  [ ! -e "$unit" ] || fail "a unit was written"
}

inside() {
  bin=$scratch/bin
  mkdir "$bin"
  cp "$programs"/{ffctl,filefleetd,filefleet-server} "$bin"
  trap 'echo "service-test: the manager said:" >&2; tail -n 15 "$scratch/manager.log" >&2' EXIT
  start_manager
  test_install
  test_life
  test_watchdog
  test_transfer
  test_uninstall
  test_packaged
  test_errors
  trap - EXIT
  systemctl --user exit
  wait "$manager" || true
}

if [ "${1:-}" = --inside ]; then
  programs=$2
  scratch=$3
  inside
else
  programs=$(realpath "${1:-${CARGO_TARGET_DIR:-$root/target}/debug}")
  [ "$(id -u)" -eq 0 ] || fail "needs root, for namespaces and a control group"
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/filefleet-service.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  check_files
  beside_manager
  echo "service-test: passed" >&2
fi
