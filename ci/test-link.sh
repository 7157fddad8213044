#!/usr/bin/env bash
# The link's second implementation, against the vectors and a live Go server;
# and the rekey over its real count of records.
set -euo pipefail
cd "$(dirname "$0")/.."

go test -run TestRekeyByCount -count=1 ./link -args -full

if ! command -v node >/dev/null 2>&1; then
  echo "no Node.js: the second implementation of the link is not run"
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
go build -o "$scratch/peer" ./test/linkjs/peer
cd test/linkjs
npm ci --no-audit --no-fund --silent
LINKJS_PEER="$scratch/peer" npm test --silent
