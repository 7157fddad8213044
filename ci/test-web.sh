#!/usr/bin/env bash
# The web app: types, units, the interface in a browser against an engine that
# pretends, and the budgets of the real build.
set -euo pipefail
cd "$(dirname "$0")/.."
ci/npm.sh
CHROMIUM=$(ci/chromium.sh)
export CHROMIUM
cd web
npx --no-install svelte-check --tsconfig ./tsconfig.json --fail-on-warnings --output human
npx --no-install vite build --mode fake --logLevel warn
npx --no-install vitest run
