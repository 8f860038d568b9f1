#!/bin/sh
# Installs, with apt, what tests need besides Node: as root on Debian it is there after this, otherwise it says what is
# missing, and the tests that need it are skipped. Exits 1 then. Does nothing, without a network, when all is there.
set -u

missing=
for pair in redis-server:redis-server h2load:nghttp2-client openssl:openssl curl:curl taskset:util-linux pebble:pebble testssl:testssl.sh \
  chromium:chromium; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
/usr/bin/python3 -c 'import httpx, h2' 2>/dev/null || missing="$missing python3-httpx python3-h2"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "Missing, and not root on Debian to install them:$missing; the tests that need them are skipped."
  exit 1
fi
echo "Installing$missing ..."
log=$(mktemp)
# A package that brings a service would start it: the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086 # one word per package
{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
  >"$log" 2>&1
status=$?
if [ "$status" != 0 ]; then
  tail -n 5 "$log"
  echo "Not installed:$missing; the tests that need them are skipped."
fi
rm -f "$log"
[ "$status" = 0 ]
