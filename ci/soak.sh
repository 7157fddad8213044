#!/usr/bin/env bash
# Long runs of the randomised tests. SEEDS says how many schedules each tries,
# FIRST with which seed the model of a room begins, OPS how long its schedules are.
set -euo pipefail
cd "$(dirname "$0")/.."
SECURELINK_SOAK="${SEEDS:-1000}" ROOM_SEED="${FIRST:-1000}" ROOM_OPS="${OPS:-500}" \
  go test -run 'Model|Simulation|Crash' -count=1 -timeout 0 -v ./...
