#!/bin/sh
# Runs h2spec (https://github.com/summerwind/h2spec) against the HTTP/2 engine. H2SPEC names the binary:
#   go install github.com/summerwind/h2spec/cmd/h2spec@latest
# Arguments are h2spec's own, such as "http2/5.1".
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
port=${PORT:-18080}
PORT=$port node packages/proxy/src/transport/h2/test-support/conformance-server.ts >/dev/null &
server=$!
trap 'kill $server' EXIT
until node -e "require('node:net').connect($port, '127.0.0.1').on('error', () => process.exit(1)).on('connect', () => process.exit(0))"; do :; done
"${H2SPEC:-h2spec}" -h 127.0.0.1 -p "$port" -o 2 "$@"
