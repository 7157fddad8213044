#!/usr/bin/env bash
# The tests of package mls in the browser's form: js/wasm, under Node.
set -euo pipefail
cd "$(dirname "$0")/.."
exec=$(go env GOROOT)/lib/wasm/go_js_wasm_exec
GOOS=js GOARCH=wasm go test -short -timeout 5m -exec="$exec" ./mls
