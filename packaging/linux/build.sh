#!/usr/bin/env bash
# Packs programs that are built already: .deb and .rpm (filefleet and filefleet-server), and a tarball
# with an install script.
#
# Usage: packaging/linux/build.sh [OPTION…] deb|rpm|tarball…
#   --programs  where they are [default: target/release]
#   --version   instead of the workspace's
#   --out       where the packages go [default: target/packages]
#   --fast      pack loosely, for tests
#   --arch      what the tarball's name says [default: this machine's]
#   --run       the emulator that runs them on this machine, if that must be
# Needs cargo-deb and cargo-generate-rpm for their kinds of packages.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
programs=$target/release
out=$target/packages
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
arch=$(uname -m)
# How ffctl is run to write its own pages: for another architecture, by an emulator.
run=()
fast=()
payload=()

fail() { echo "build: $*" >&2; exit 1; }

kinds=()
while [ $# -gt 0 ]; do
  case $1 in
    --programs) programs=$(realpath "$2"); shift ;;
    --version) version=$2; shift ;;
    --out) out=$2; shift ;;
    --fast) fast=(--fast); payload=(--payload-compress none) ;;
    --arch) arch=$2; shift ;;
    --run) read -ra run <<<"$2"; shift ;;
    deb | rpm | tarball) kinds+=("$1") ;;
    -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) fail "unknown argument $1" ;;
  esac
  shift
done
[ ${#kinds[@]} -gt 0 ] || fail "what: deb, rpm, tarball?"
mkdir -p "$out"
out=$(realpath "$out")

# The packaging tools take a target folder of cargo's, and look in release below it.
stage=$(mktemp -d "${TMPDIR:-/tmp}/filefleet-build.XXXXXX")
trap 'rm -rf "$stage"' EXIT
release=$stage/release
made=$release/package

# Every program, stripped, with what it says of itself: manual pages and completions.
stage_programs() {
  mkdir -p "$made/man" "$made/completions"
  local program
  for program in filefleetd ffctl filefleet-tray filefleet-server; do
    [ -x "$programs/$program" ] || fail "$programs/$program is missing"
    cp "$programs/$program" "$release/"
  done
  "${run[@]}" "$release/ffctl" man --dir "$made/man"
  "${run[@]}" "$release/filefleet-server" man >"$made/man/filefleet-server.1"
  cp "$root/packaging/linux/man/filefleetd.1" "$made/man/"
  "${run[@]}" "$release/ffctl" completions bash >"$made/completions/ffctl"
  "${run[@]}" "$release/ffctl" completions zsh >"$made/completions/_ffctl"
  "${run[@]}" "$release/ffctl" completions fish >"$made/completions/ffctl.fish"
}

strip_programs() {
  [ "$arch" = "$(uname -m)" ] || return 0
  strip "$release"/{filefleetd,ffctl,filefleet-tray,filefleet-server}
}

# The icon as the theme "hicolor" has it, in a folder for each size.
stage_icons() {
  local size
  for size in 22 32 48 64; do
    mkdir -p "$1/${size}x$size/apps"
    cp "$root/tray/artwork/connected-$size.png" "$1/${size}x$size/apps/filefleet.png"
  done
  mkdir -p "$1/scalable/apps"
  cp "$root/tray/artwork/connected.svg" "$1/scalable/apps/filefleet.svg"
}

build_deb() {
  local crate
  for crate in filefleet-daemon filefleet-server; do
    (cd "$root" && CARGO_TARGET_DIR=$stage cargo deb --quiet "${fast[@]}" --locked --no-build --no-strip \
      -p "$crate" --deb-version "$version-1" --output "$out/")
  done
}

build_rpm() {
  local crate
  for crate in daemon server; do
    (cd "$root" && CARGO_TARGET_DIR=$stage cargo generate-rpm -p "$crate" "${payload[@]}" \
      --set-metadata "version = \"$version\"" --output "$out/")
  done
}

build_tarball() {
  local name=filefleet-$version-linux-$arch
  local tree=$stage/$name
  mkdir -p "$tree"/{bin,man,completions,send,server,tray,icons}
  cp "$release"/{filefleetd,ffctl,filefleet-tray,filefleet-server} "$tree/bin/"
  cp "$made"/man/* "$tree/man/"
  cp "$made"/completions/* "$tree/completions/"
  cp -r "$root"/packaging/linux/send/. "$tree/send/"
  cp -r "$root"/packaging/linux/tray/. "$tree/tray/"
  stage_icons "$tree/icons"
  cp "$root/packaging/linux/systemd/filefleet-server.service" \
    "$root/packaging/linux/server/server.toml" "$tree/server/"
  cp "$root/packaging/linux/install.sh" "$root"/{LICENSE,README.md} "$tree/"
  tar --create --gzip --owner=0 --group=0 --numeric-owner --sort=name \
    --file "$out/$name.tar.gz" --directory "$stage" "$name"
}

stage_programs
strip_programs
for kind in "${kinds[@]}"; do "build_$kind"; done
ls -l "$out" >&2
