#!/bin/sh
# The bin `larder`. npm links to it, so the link has to be followed before looking around.
self=$(readlink -f -- "$0")
root=$(CDPATH='' cd -- "$(dirname -- "$self")/../../.." && pwd)
exec sh "$root/scripts/larder.sh" "$@"
