#!/usr/bin/env bash
# Tests the packages of Linux: builds .deb, .rpm and tarball from programs that are built already,
# and lives with them in a fresh minimal Debian: installs, sends a file between two users, upgrades
# from an older version, removes, purges, and compares what is left with what was there before.
# Needs root. What it downloads is kept in the target folder.
#
# Usage: packaging/dev/package-test.sh [FOLDER WITH THE PROGRAMS]
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
tools=$target/package-tools
suite=bookworm
mirror=http://deb.debian.org/debian
# Of the packages that are upgraded from.
older=0.0.1
patience=60

step() { echo "== $*" >&2; }
fail() { echo "package-test: $*" >&2; exit 1; }
equal() { [ "$1" = "$2" ] || fail "expected '$2', got '$1' (${3:-})"; }

# Waits until a command succeeds.
await() {
  local end=$((SECONDS + patience))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "does not come about: $*"
    sleep 0.05
  done
}

# A field of one line of JSON.
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

# --- outside: packages, and the root

install_tools() {
  export PATH=$tools/bin:$PATH
  command -v cargo-deb >/dev/null ||
    cargo install --quiet --debug --locked cargo-deb --version 3.8.0 --no-default-features --root "$tools"
  command -v cargo-generate-rpm >/dev/null ||
    cargo install --quiet --debug --locked cargo-generate-rpm --version 0.21.1 --root "$tools"
}

build_packages() {
  step "building the packages"
  local build=("$root/packaging/linux/build.sh" --programs "$programs" --fast)
  "${build[@]}" --out "$scratch/packages" deb rpm tarball
  "${build[@]}" --out "$scratch/older" --version "$older" deb
}

make_root() {
  step "a fresh $suite"
  local archive=$target/package-tools/$suite.tar
  if [ ! -f "$archive" ]; then
    # Its form follows from its name.
    local new=$target/package-tools/new-$suite.tar
    mmdebstrap --quiet --variant=minbase "$suite" "$new" "$mirror"
    mv "$new" "$archive"
  fi
  mkdir "$scratch/root"
  tar --extract --file "$archive" --directory "$scratch/root" --exclude './dev/*'
  cp -r "$scratch/packages" "$scratch/older" "$scratch/root/"
}

check_rpms() {
  step "the .rpm packages"
  local package contents wanted
  for package in "$scratch"/packages/*.rpm; do
    rpm -qip --nosignature "$package" | grep -E '^(Name|Version|Architecture|License)' >&2
    rpm -qlp --nosignature "$package" | tee "$scratch/contents" >&2
    case $package in
      */filefleet-server-*) wanted="/usr/bin/filefleet-server /etc/filefleet/server.toml
        /usr/lib/systemd/system/filefleet-server.service /usr/share/man/man1/filefleet-server.1" ;;
      *) wanted="/usr/bin/ffctl /usr/bin/filefleetd /usr/bin/filefleet-tray
        /usr/lib/systemd/user/filefleetd.service /etc/xdg/autostart/filefleet-tray.desktop
        /usr/share/applications/filefleet-tray.desktop
        /usr/share/icons/hicolor/scalable/apps/filefleet.svg
        /usr/share/man/man1/ffctl-send.1 /usr/share/bash-completion/completions/ffctl" ;;
    esac
    contents=$(cat "$scratch/contents")
    for file in $wanted; do
      grep -qxF "$file" <<<"$contents" || fail "$(basename "$package") lacks $file"
    done
  done
}

check_tarball() {
  step "the tarball: installed and removed by its script"
  local tree=$scratch/tarball prefix=$scratch/prefix
  mkdir "$tree"
  tar --extract --file "$scratch"/packages/*.tar.gz --directory "$tree" --strip-components 1
  "$tree/install.sh" --prefix "$prefix" >&2
  "$prefix/bin/ffctl" --version >&2
  "$prefix/bin/filefleetd" --version >&2
  "$prefix/bin/filefleet-tray" --version >&2
  desktop-file-validate "$prefix/etc/xdg/autostart/filefleet-tray.desktop"
  grep -qxF "Exec=\"$prefix/bin/filefleet-tray\"" "$prefix/etc/xdg/autostart/filefleet-tray.desktop" ||
    fail "the tray's entry does not run it"
  "$tree/install.sh" --prefix "$prefix" --uninstall >&2
  equal "$(find "$prefix" ! -type d)" "" "left by --uninstall"
  check_odd_prefix "$tree"
}

# A folder named from where one is, with everything that a desktop entry takes for something else.
check_odd_prefix() {
  local odd='odd $(id) "`&#%u\ folder'
  (cd "$scratch" && "$1/install.sh" --prefix "$odd" >&2)
  local entry=$scratch/$odd/etc/xdg/autostart/filefleet-tray.desktop
  desktop-file-validate "$entry"
  equal "$(python3 -c 'import re, sys
exec_key = re.search("^Exec=\"(.*)\"$", open(sys.argv[1]).read(), re.M)[1]
string = exec_key.replace("\\\\", "\\")
print(re.sub(r"\\([\"`$\\])", r"\1", string).replace("%%", "%"))' "$entry")" \
    "$scratch/$odd/bin/filefleet-tray" "what the tray's entry runs"
  (cd "$scratch" && "$1/install.sh" --prefix "$odd" --uninstall >&2)
  equal "$(find "$scratch/$odd" ! -type d)" "" "left by --uninstall"
  "$1/install.sh" --help | grep -q '^Usage: ./install.sh' || fail "install.sh does not say how it is used"
}

# --- inside: namespaces of its own, around the fresh root

become() { exec chroot "$scratch/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
  DEBIAN_FRONTEND=noninteractive "$@"; }
system() { (become "$@"); }
# as USER COMMAND…: as a user with a home and nothing else.
as() {
  local user=$1
  shift
  system setpriv --reuid "$user" --regid "$user" --init-groups env "HOME=/home/$user" "USER=$user" "$@"
}
alice() { as alice ffctl "$@"; }
bob() { as bob ffctl "$@"; }

# Everything of the system, but what packages are there and what was logged about them.
listing() {
  find "$scratch/root" -xdev \( -path '*/root/home' -o -path '*/root/packages' -o -path '*/root/older' \
    -o -path '*/root/proc' -o -path '*/root/dev' -o -path '*/root/var/lib/dpkg' \
    -o -path '*/root/var/log' -o -path '*/root/var/cache' \) -prune -o -printf '%P %y %m %U:%G %l\n' |
    LC_ALL=C sort
}

start_server() {
  # As systemd does it for a dynamic user; it does not run here.
  system mkdir /var/lib/private/filefleet-server 2>/dev/null || true
  system ln -sfn private/filefleet-server /var/lib/filefleet-server
  rm -f "$scratch/ready"
  mkfifo "$scratch/ready"
  become filefleet-server --config /etc/filefleet/server.toml --listen 127.0.0.1:7835 \
    --data-dir /var/lib/filefleet-server >"$scratch/ready" 2>"$scratch/server.log" &
  server=$!
  read -r _ address <"$scratch/ready" || fail "the server did not start: $(cat "$scratch/server.log")"
}

stop_server() {
  kill "$server"
  wait "$server" || true
}

meet() {
  step "two users are registered and know each other"
  alice daemon start >&2
  bob daemon start >&2
  alice register alice --server "$address" >/dev/null
  bob register bob --server "$address" >/dev/null
  bob contacts add "$(alice invite)" >/dev/null
  alice contacts add "$(bob invite)" >/dev/null
  bob contacts set alice --accept always >/dev/null
}

send() {
  step "alice sends $1"
  as alice sh -c "head -c 3000000 /dev/urandom >/home/alice/$1"
  alice send bob "/home/alice/$1" >&2
  cmp "$scratch/root/home/alice/$1" "$scratch/root/home/bob/Downloads/$1"
}

# What alice wants to send while bob is away; the id of the transfer.
queue() {
  step "alice sends $1 while bob is away"
  bob daemon stop >/dev/null
  as alice sh -c "head -c 3000000 /dev/urandom >/home/alice/$1"
  local code=0
  alice send --json bob "/home/alice/$1" >"$scratch/queued" || code=$?
  equal "$code" 6 "queued"
  queued=$(tail -n 1 "$scratch/queued" | field transfer)
}

in_outbox() { alice transfers --json | grep -q "\"id\":\"$queued\".*\"state\":\"queued\""; }

# Every transfer of a user but the queued one, of which times tell.
transfers_of() {
  as "$1" ffctl transfers --all --json |
    python3 -c 'import json, sys
known = json.load(sys.stdin)
known["transfers"] = [it for it in known["transfers"] if it["id"] != sys.argv[1]]
print(json.dumps(known))' "$queued"
}

# Which processes run a program, whose path is an extended regular expression; numbered as in here,
# which /proc outside of the root does not do.
runs() {
  local process
  for process in "$scratch"/root/proc/[0-9]*; do
    readlink "$process/exe" | grep -qxE "$scratch/root$1" || continue
    basename "$process"
  done | grep .
}

ended() { ! runs "$1"; }

# In a root without any graphical library.
check_tray() {
  step "the tray, where there is no desktop"
  system filefleet-tray --version >&2
  local said
  said=$(as alice filefleet-tray 2>&1) && fail "the tray runs without a desktop"
  grep -q "there is no desktop session here" <<<"$said" || fail "the tray said: $said"
  system sh -c 'ldd /usr/bin/filefleet-tray /usr/bin/filefleetd' |
    grep -E 'gtk|gdk|glib|X11|xcb|wayland|dbus' >&2 && fail "a graphical library is needed"
  true
}

# What a user would miss. Whether somebody is online is no matter of packages.
kept() {
  for user in alice bob; do
    as "$user" ffctl contacts --json | sed 's/"online":[a-z]*//g'
    as "$user" ffctl invite --json
    transfers_of "$user"
    as "$user" ffctl contacts show "$([ "$user" = alice ] && echo bob || echo alice)" --json |
      sed 's/"online":[a-z]*//g'
  done
}

registered() { alice status --json | grep -q '"registered":true' && bob status --json | grep -q '"registered":true'; }

inside() {
  mount --bind "$scratch/root" "$scratch/root"
  mount -t proc proc "$scratch/root/proc"
  mount -t tmpfs tmpfs "$scratch/root/dev"
  for device in null zero urandom random full; do
    touch "$scratch/root/dev/$device"
    mount --bind "/dev/$device" "$scratch/root/dev/$device"
  done
  ip link set lo up
  system useradd --create-home --shell /bin/sh alice
  system useradd --create-home --shell /bin/sh bob
  # systemd's, which keeps what dynamic users write there.
  system mkdir -m 700 /var/lib/private
  listing >"$scratch/before"

  step "installing $older, with dpkg alone"
  system sh -c 'dpkg -i /older/*.deb' >&2
  start_server
  meet
  send before.bin
  await registered
  queued=
  kept >"$scratch/kept.before"
  queue queued.bin
  alice daemon stop >/dev/null
  stop_server

  step "upgrading"
  system sed -i 's/^#listen.*/listen = "127.0.0.1:7835"/' /etc/filefleet/server.toml
  system sh -c 'dpkg -i /packages/*.deb' >&2
  grep -q '^listen = "127.0.0.1:7835"' "$scratch/root/etc/filefleet/server.toml" ||
    fail "the upgrade changed what the administrator wrote"
  check_tray
  start_server
  alice daemon start >&2
  in_outbox || fail "the upgrade lost what was to be sent"
  bob daemon start >&2
  await registered
  await cmp "$scratch/root/home/alice/queued.bin" "$scratch/root/home/bob/Downloads/queued.bin"
  kept >"$scratch/kept.after"
  diff "$scratch/kept.before" "$scratch/kept.after" >&2 || fail "the upgrade lost something"
  send after.bin

  step "again, then removing and purging"
  stop_server
  system sh -c 'dpkg -i /packages/*.deb' >&2
  as bob ffctl daemon stop >/dev/null
  as bob ffctl daemon start >&2
  # One daemon of before, one of now, and one that is not the package's.
  system cp /usr/bin/filefleetd /home/alice/
  as alice env FILEFLEET_HOME=/home/alice/other /home/alice/filefleetd 2>/dev/null &
  await runs /home/alice/filefleetd
  system dpkg --remove filefleet filefleet-server >&2
  await ended '/usr/bin/filefleetd( .deleted.)?'
  runs /home/alice/filefleetd || fail "removing ended what is not its own"
  kill "$(runs /home/alice/filefleetd)"
  [ -f "$scratch/root/etc/filefleet/server.toml" ] || fail "removing took the configuration"
  [ -d "$scratch/root/var/lib/private/filefleet-server" ] || fail "removing took the server's names"
  system dpkg --purge filefleet filefleet-server >&2
  system dpkg --purge filefleet filefleet-server >/dev/null 2>&1 || true
  listing >"$scratch/after"
  diff "$scratch/before" "$scratch/after" >&2 || fail "something is left, or missing"
  equal "$(ls "$scratch/root/home/bob/Downloads")" $'after.bin\nbefore.bin\nqueued.bin'
}

if [ "${1:-}" = --inside ]; then
  scratch=$2
  inside
  exit 0
fi
case "${1:-}" in -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
[ "$(id -u)" -eq 0 ] || fail "needs root, for a root of its own"
"$root/packaging/dev/needs.sh" package
programs=$(realpath "${1:-$target/debug}")
mkdir -p "$tools"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/filefleet-package.XXXXXX")
# The mounts are in a namespace that is gone by then.
trap 'rm -rf --one-file-system "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
install_tools
build_packages
check_rpms
check_tarball
make_root
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --net --propagation private \
  "$0" --inside "$scratch"
echo "package-test: passed" >&2
