#!/usr/bin/env bash
# The web app: types, units, the interface in a browser against an engine that
# pretends, the sizes of the real build, and the real binary driven by browsers.
set -euo pipefail
cd "$(dirname "$0")/.."
CHROMIUM=$(ci/chromium.sh)
export CHROMIUM
ci/npm.sh
ci/build.sh
SECURELINK=$PWD/bin/securelink
export SECURELINK
cd web
npx --no-install svelte-check --tsconfig ./tsconfig.json --fail-on-warnings --output human
npx --no-install vite build --mode fake --logLevel warn
npx --no-install vitest run
