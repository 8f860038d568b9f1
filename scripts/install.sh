#!/bin/sh
# Installs what this checkout needs, once: dependencies (with the Node that runs everything) and the plug-ins of the
# test runner. Runs on whatever Node and npm the machine has; does nothing, without a network, when all is there.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"

stamp=node_modules/.larder-installed
wanted=$(cksum package-lock.json package.json packages/*/package.json | cksum)

# npm says so in the environment of its scripts when it is run inside an install: that one is enough.
if [ "${LARDER_INSTALLING:-}" = 1 ]; then exit 0; fi

if [ ! -x node_modules/.bin/node ] || [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
  echo "Installing dependencies (once, about a minute) ..." >&2
  if ! LARDER_INSTALLING=1 npm ci --no-audit --no-fund --loglevel=error >&2; then
    echo "Installing failed. The lines above say why; the package registry has to be in reach for the first start." >&2
    exit 1
  fi
  if [ ! -x node_modules/.bin/node ]; then
    echo "There is no Node 26 package for this machine ($(uname -sm)); Larder runs on Linux x64 and arm64." >&2
    exit 1
  fi
  rm -rf .tap/plugins
  echo "$wanted" >"$stamp"
fi

# Only tests need it: `npm start` passes by.
if [ "${1:-}" = tests ] && [ ! -d .tap/plugins ]; then
  echo "Preparing the test runner (once) ..." >&2
  PATH="$root/node_modules/.bin:$PATH" tap build >&2
fi
