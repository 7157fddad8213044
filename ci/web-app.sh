#!/usr/bin/env bash
# Build the web app into web/dist, from where the binary embeds it, and hold its
# budgets. What has not changed since the last time is not built again.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v npm >/dev/null 2>&1; then
  echo "Node 20 and npm are needed to build the web app" >&2
  exit 1
fi

# Everything that the app is made of, the engine's Go packages included.
stamp=$({
  go version
  node --version
  find web/src web/public web/index.html web/*.ts web/*.js web/*.mjs web/*.json \
    cmd/securelink-wasm client room mls identity seal link wire internal go.mod go.sum \
    -type f ! -name '*_test.go' ! -path '*/testdata/*' 2>/dev/null | LC_ALL=C sort | xargs sha256sum
} | sha256sum | cut -d' ' -f1)
if [ -e web/dist/index.html ] && [ "$(cat web/.build/stamp 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

ci/npm.sh
(cd web && node build.mjs)
echo "$stamp" >web/.build/stamp
