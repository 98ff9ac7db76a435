#!/bin/sh
# What happens in the fresh root of tarball-root.sh: there is busybox, the tarball, and a network of
# this root's own.
set -eu

fail() { echo "tarball-inside: $*" >&2; exit 1; }
alice() { FILEFLEET_HOME=/root/alice ffctl "$@"; }
bob() { FILEFLEET_HOME=/root/bob ffctl "$@"; }

ip link set lo up
mkdir /tmp/unpacked
tar -xzf /tmp/filefleet.tar.gz -C /tmp/unpacked
/tmp/unpacked/*/install.sh --prefix /usr

mkfifo /tmp/ready
filefleet-server --listen 127.0.0.1:0 --relay 127.0.0.1:0 --data-dir /root/server >/tmp/ready 2>/tmp/server.log &
read -r _ address </tmp/ready || fail "the server did not start: $(cat /tmp/server.log)"
for user in alice bob; do
  $user daemon start
  $user register $user --server "$address"
done
bob contacts add "$(alice invite)"
bob contacts set alice --accept always

mkdir -p /root/holiday/deep/empty
yes 0123456789 | head -c 5000000 >/root/holiday/large
yes FileFleet | head -c 3000000 >/root/holiday/deep/text
ln -s text /root/holiday/deep/link
alice send bob /root/holiday
diff -r /root/holiday /root/bob/received/holiday || fail "something else arrived"

alice daemon stop
bob daemon stop
/tmp/unpacked/*/install.sh --prefix /usr --uninstall
left=$(find /usr ! -type d)
[ -z "$left" ] || fail "left by --uninstall: $left"
