#!/usr/bin/env bash
# Build the one binary, without C and without paths of the machine that built it:
# the web app first, because the binary embeds it.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bin
ci/web-app.sh
CGO_ENABLED=0 go build -trimpath -o bin/securelink ./cmd/securelink
