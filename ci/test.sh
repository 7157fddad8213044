#!/usr/bin/env bash
# Everything that must pass, in the order in which a failure is cheapest.
# Steps that need more than Go install what they need first.
set -euo pipefail
cd "$(dirname "$0")/.."

ci/lint.sh

# The race detector needs a C compiler; without one the tests still run.
race=()
if command -v "$(go env CC)" >/dev/null 2>&1; then
  race=(-race)
else
  echo "no C compiler: the tests run without the race detector"
fi
CGO_ENABLED=$([ ${#race[@]} -gt 0 ] && echo 1 || echo 0) \
  go test "${race[@]}" -shuffle=on -timeout 12m ./...

for step in ci/test-*.sh; do
  [ -e "$step" ] || continue
  echo "== $step"
  "$step"
done
