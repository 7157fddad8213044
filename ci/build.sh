#!/usr/bin/env bash
# Build the one binary, without C and without paths of the machine that built it.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bin
CGO_ENABLED=0 go build -trimpath -o bin/securelink ./cmd/securelink
