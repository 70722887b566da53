#!/bin/sh
# A command that is silent for minutes, with a sign of life every ten seconds, and its own exit status.
#
#   deploy/alive.sh WHAT COMMAND…    WHAT is done, in a few words
set -eu
what=$1
shift
began=$(date +%s)
echo "$what …" >&2
# The sleep holds none of our files, or who reads them would wait for it after the end.
while sleep "${ALIVE_EVERY:-10}" </dev/null >/dev/null 2>&1; do echo "   … for $(($(date +%s) - began)) s" >&2; done &
beat=$!
trap 'kill $beat 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$@"
