#!/usr/bin/env bash
# Long runs of the randomised tests: SEEDS says how many schedules each tries.
set -euo pipefail
cd "$(dirname "$0")/.."
SECURELINK_SOAK="${SEEDS:-1000}" go test -run 'Model|Simulation|Crash' -count=1 -timeout 0 -v ./...
