#!/usr/bin/env bash
# Install the web app's packages exactly as they are locked, if they are not yet.
set -euo pipefail
cd "$(dirname "$0")/../web"
lock=$(sha256sum package-lock.json | cut -d' ' -f1)
if [ "$(cat node_modules/.locked 2>/dev/null)" != "$lock" ]; then
  npm ci --no-audit --no-fund --loglevel=error
  echo "$lock" >node_modules/.locked
fi
