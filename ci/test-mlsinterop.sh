#!/usr/bin/env bash
# Package mls against a second implementation of RFC 9420, live.
set -euo pipefail
cd "$(dirname "$0")/.."

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go build -o "$tmp/mlspeer" ./mls/mlspeer
cd test/mlsinterop
npm ci --no-audit --no-fund --loglevel=error
node interop.mjs "$tmp/mlspeer" "${MLS_INTEROP_STEPS:-40}" ${MLS_INTEROP_SEED:-}
