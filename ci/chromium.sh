#!/usr/bin/env bash
# Print where Chromium is; install Debian's where there is none.
set -euo pipefail
for name in "${CHROMIUM:-}" /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome; do
  if [ -n "$name" ] && [ -x "$name" ]; then
    echo "$name"
    exit 0
  fi
done
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
{
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends chromium
} >&2
echo /usr/bin/chromium
