#!/usr/bin/env bash
# Package mls in the browser's form, js/wasm under Node, and all its vectors
# natively: under the race detector two large files are run in part.
set -euo pipefail
cd "$(dirname "$0")/.."
exec=$(go env GOROOT)/lib/wasm/go_js_wasm_exec
GOOS=js GOARCH=wasm go test -short -timeout 5m -exec="$exec" ./mls
go test -count=1 -run Vectors ./mls
# Names in what a browser loads, where Unicode's normal forms are the browser's.
GOOS=js GOARCH=wasm go test -tags=browser -run 'Name|Normal' -exec="$exec" ./identity
