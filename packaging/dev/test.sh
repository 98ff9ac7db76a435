#!/usr/bin/env bash
# Installs what the tests need and runs every test of the workspace: units, the real programs end to
# end, network namespaces, and a desktop without a screen. A test that cannot run here fails; none is
# skipped.
#
# Usage: packaging/dev/test.sh [--long]
#   --long   also the repetitions, the packages, other systems and the figures (benchmarks), which take
#            much longer
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
long=0
case "${1:-}" in
  "") ;;
  --long) long=1 ;;
  -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "test: unknown option $1" >&2; exit 2 ;;
esac

"$root/packaging/dev/needs.sh" test
"$root/packaging/dev/needs.sh" desktop
cd "$root"
export PATH=$PATH:/usr/sbin:/sbin
# Makes a test fail that would otherwise say "skipped: needs …".
export FILEFLEET_TEST_NO_SKIP=1

echo "== programs"
cargo build --locked --workspace --bins
echo "== tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test --locked --workspace --all-targets 2>&1 | tee "$log"
cargo test --locked --workspace --doc 2>&1 | tee -a "$log"
if grep -Eq '[1-9][0-9]* ignored|skipped: needs' "$log"; then
  echo "test: a test was skipped" >&2
  exit 1
fi
"$root/packaging/dev/service-test.sh"
if [ "$long" -eq 1 ]; then
  echo "== every NAT against every other, ten times"
  FILEFLEET_TEST_ROUNDS=10 cargo test --locked --workspace --test netsim matrix:: -- --nocapture
  echo "== crash drill"
  FILEFLEET_DRILL_ROUNDS=200 cargo test --locked --workspace --test e2e drill:: -- --nocapture
  echo "== resuming 4 GiB"
  FILEFLEET_RESUME_MIB=4096 cargo test --locked --workspace --test e2e resume:: -- --nocapture
  echo "== idle programs, as they are given away"
  cargo build --locked --release --workspace --bins
  cargo test --locked --release --workspace --test desktop idle -- --nocapture
  "$root/packaging/dev/package-test.sh"
  "$root/packaging/dev/cross-check.sh"
  "$root/packaging/dev/bench.sh"
fi
