#!/bin/sh
# Runs the command line on the Node that npm installed here, whatever `node` the machine has.
# exec: signals that npm or systemd sends reach the proxy itself.
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
exec "$root/node_modules/.bin/node" --disable-warning=ExperimentalWarning "$root/packages/proxy/src/cli/main.ts" "$@"
