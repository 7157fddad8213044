#!/usr/bin/env bash
# The link's second implementation, against the vectors and a live Go server;
# both packages as a browser runs them; and the rekey over its real count of
# records.
set -euo pipefail
cd "$(dirname "$0")/.."

go test -run TestRekeyByCount -count=1 ./link -args -full

if ! command -v node >/dev/null 2>&1; then
  echo "no Node.js: the second implementation of the link is not run"
  exit 0
fi
wasm_exec="$(go env GOROOT)/lib/wasm/go_js_wasm_exec"
GOOS=js GOARCH=wasm CGO_ENABLED=0 go test -short -count=1 -exec "$wasm_exec" ./seal ./link

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
go build -o "$scratch/peer" ./test/linkjs/peer
cd test/linkjs
npm ci --no-audit --no-fund --silent
LINKJS_PEER="$scratch/peer" npm test --silent
