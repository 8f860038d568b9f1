#!/bin/sh
# Runs testssl.sh (Debian: testssl.sh) against an HTTPS listener with a policy, and fails on findings above low:
#   sh scripts/testssl.sh POLICY [OPTIONS OF testssl]
# Without options everything is checked, in some minutes; CI asks for what a change here could break.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
policy=${1:?"modern or intermediate"}
shift
testssl=$(command -v testssl || command -v testssl.sh) || { echo 'testssl.sh is not installed.' >&2; exit 1; }
folder=$(mktemp -d)
pids=
stop() {
  for pid in $pids; do kill "$pid" 2>/dev/null || true; done
  for pid in $pids; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap stop EXIT

node -e "
  const server = require('node:http').createServer((request, response) => {
    response.setHeader('content-security-policy', \"default-src 'none'\")
    response.end('testssl\\n')
  })
  server.listen(0, '127.0.0.1', () => console.log(server.address().port))
" >"$folder/origin" &
pids="$pids $!"
until [ -s "$folder/origin" ]; do sleep 0.1; done
cat >"$folder/larder.yaml" <<CONFIG
listen: { https: ['127.0.0.1:0'], admin: ['127.0.0.1:0'] }
workers: 2
logging: { access: { output: 'off' } }
# Some checks come without a name.
tls: { policy: $policy, unknownServerName: default }
tenants:
  - id: testssl
    hosts: [localhost]
    origins: [{ url: 'http://127.0.0.1:$(cat "$folder/origin")' }]
    certificate: self-signed
    hsts: {}
CONFIG
node packages/proxy/src/cli/main.ts start --config "$folder/larder.yaml" >"$folder/out" 2>"$folder/err" &
pids="$pids $!"
until grep -q 'Admin API:' "$folder/out"; do
  kill -0 $! 2>/dev/null || { cat "$folder/err" >&2; exit 1; }
  sleep 0.1
done
port=$(sed -n 's|^ *https://[^:]*:\([0-9]*\)/*$|\1|p' "$folder/out" | head -n 1)

"$testssl" --quiet --color 0 --warnings off --ip 127.0.0.1 --nodns none \
  --add-ca "$folder/.larder/authority.crt" --jsonfile "$folder/findings.json" "$@" \
  "localhost:$port" >"$folder/report" 2>&1 || true
[ -s "$folder/findings.json" ] || { cat "$folder/report" >&2; exit 1; }
[ -z "${REPORT:-}" ] || cp "$folder/report" "$REPORT"

node scripts/testssl-findings.ts "$folder/findings.json"
