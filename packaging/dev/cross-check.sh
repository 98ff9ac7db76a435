#!/usr/bin/env bash
# Keeps the code for other systems honest, from Debian 12: clippy of every crate for Windows and macOS,
# the tests that need no screen under Wine, two users of Windows who send each other a folder, and
# static tarballs for x86_64 and aarch64 Linux, which run in a fresh minimal root.
# Wine is not Windows: it proves logic, not permissions and not the firewall. Of macOS nothing runs.
#
# Usage: packaging/dev/cross-check.sh [--release] [PART…]
#   --release  tarballs as they are given away, which take longer to build
#   PART       windows, macos, wine, tarballs [default: all of them, in this order]
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/packaging/dev/cross
base=${CARGO_TARGET_DIR:-$root/target}/cross
tools=$base/tools
windows=x86_64-pc-windows-gnu
macos=aarch64-apple-darwin
# How programs of the tarballs are built: they are run, not measured.
profile=debug
built_so=()
rust_flags="-Clink-self-contained=no -Copt-level=1"

started=$SECONDS
step() { echo "== [$((SECONDS - started)) s] $*" >&2; }
fail() { echo "cross-check: $*" >&2; exit 1; }

# foreign COMMAND TARGET OPTION…: cargo with Debian's own Rust, which brings the source of the standard
# library, for these commands only. The project's toolchain stays the authority.
foreign() {
  local command=$1 target=$2
  shift 2
  env -u RUSTC -u RUSTUP_TOOLCHAIN -u RUSTC_WRAPPER \
    "PATH=/usr/bin:/bin:$PATH:$tools/bin:${CARGO_HOME:-$HOME/.cargo}/bin" RUSTC_BOOTSTRAP=1 \
    "CARGO_TARGET_DIR=$base/target" CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0 \
    cargo "$command" --quiet --locked --workspace -Zbuild-std=std,panic_abort --target "$target" "$@"
}

check_windows() {
  step "clippy for $windows"
  foreign clippy "$windows" --all-targets -- -D warnings
}

# C code is compiled by something that only looks like a compiler: what it makes is for no linker.
check_macos() {
  step "clippy for $macos"
  local name=${macos//-/_}
  (
    export "CC_$name=$here/cc" "CXX_$name=$here/cc" "AR_$name=$here/ar" MACOSX_DEPLOYMENT_TARGET=11.0
    foreign clippy "$macos" --all-targets -- -D warnings
  )
}

start_wine() {
  export WINEPREFIX=$base/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
  export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine
  # What runs in this prefix, and nothing else, ends with the script.
  trap 'wineserver --kill || true' EXIT
  local library=$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll
  [ ! -e "$library" ] || return 0
  wineboot --init >/dev/null 2>&1 || true
  x86_64-w64-mingw32-gcc -O2 -shared -o "$library" "$here/bcryptprimitives.c" -ladvapi32
}

check_wine() {
  start_wine
  step "programs for $windows"
  foreign build "$windows" --bins
  step "tests under Wine"
  foreign test "$windows" --lib --bins --tests --no-fail-fast
  step "two users of Windows send each other a folder"
  "$here/wine-pair.sh" "$base/target/$windows/debug"
}

install_zig() {
  [ -x "$tools/bin/cargo-zigbuild" ] || {
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check ziglang==0.17.1 cargo-zigbuild==0.24.0
  }
}

check_tarballs() {
  install_zig
  local arch target run
  for arch in x86_64 aarch64; do
    step "a static tarball for $arch"
    target=$arch-unknown-linux-musl
    (
      export "CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_RUSTFLAGS=$rust_flags"
      export CARGO_ZIGBUILD_PYTHON_PATH=$tools/bin/python3
      export CARGO_PROFILE_DEV_STRIP=symbols CARGO_PROFILE_RELEASE_STRIP=symbols
      foreign zigbuild "$target" "${built_so[@]}" --bins
    )
    run=()
    [ "$arch" = "$(uname -m)" ] || run=(--run "qemu-$arch-static")
    "$root/packaging/linux/build.sh" --programs "$base/target/$target/$profile" --arch "$arch" \
      "${run[@]}" --out "$base/packages" tarball
    "$here/tarball-root.sh" "$base"/packages/filefleet-*-linux-"$arch".tar.gz "${run[@]:1}"
  done
}

case ${1:-} in
  -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
  --release) profile=release built_so=(--release) rust_flags=-Clink-self-contained=no; shift ;;
esac
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(windows macos wine tarballs)
for part in "${parts[@]}"; do
  declare -F "check_$part" >/dev/null || fail "unknown part $part"
done
cd "$root"
"$root/packaging/dev/needs.sh" cross
mkdir -p "$base"
for part in "${parts[@]}"; do
  "check_$part"
done
step "passed"
