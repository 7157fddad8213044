#!/usr/bin/env bash
# Refuse unformatted or suspicious code, natively and for js/wasm.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l)
if [ -n "$unformatted" ]; then
  echo "not gofmt-ed (run make fmt):" "$unformatted" >&2
  exit 1
fi
go vet ./...
# The yardsticks are a module of their own, for what only they need.
(cd test/socketio && go vet ./...)

# Built here because its release binary need not fit this Go; the version is pinned.
go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

# What a browser runs must build for it too.
wasm=()
for dir in seal link mls identity wire room client cmd/securelink-wasm; do
  if [ -d "$dir" ]; then wasm+=("./$dir"); fi
done
if [ ${#wasm[@]} -gt 0 ]; then
  GOOS=js GOARCH=wasm go vet "${wasm[@]}"
fi
