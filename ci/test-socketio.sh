#!/usr/bin/env bash
# Socket.IO's own clients, npm's and python-socketio, against the conformance
# server under the race detector.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

race=()
if command -v "$(go env CC)" >/dev/null 2>&1; then race=(-race); fi
CGO_ENABLED=$([ ${#race[@]} -gt 0 ] && echo 1 || echo 0) \
  go build "${race[@]}" -o "$work/conformance" ./socketio/conformance
GORACE=halt_on_error=1 "$work/conformance" -v -ping-timeout 5s -listen 127.0.0.1:0 >"$work/out" 2>"$work/log" &
server=$!
for _ in $(seq 100); do
  [ -s "$work/out" ] && break
  sleep 0.1
done
url=$(sed -n 's/^conformance: //p' "$work/out")
[ -n "$url" ] || { echo "the conformance server does not start"; cat "$work/log"; exit 1; }

client() { # name command...
  local name=$1
  shift
  if ! timeout 75 "$@" >"$work/$name" 2>&1; then
    cat "$work/$name"
    echo "why sessions ended:"
    tail -20 "$work/log"
    exit 1
  fi
  echo "$name: $(grep -c '^ok' "$work/$name") checks"
}

if command -v npm >/dev/null; then
  (cd test/socketio && npm ci --silent)
  client npm node test/socketio/clients/client.mjs "$url" 300
else
  echo "skipped: no npm, so not tested with npm's socket.io-client"
fi

# Debian's interpreter sees Debian's packages, whatever else is in the path.
python=/usr/bin/python3
has_python() { "$python" -c 'import socketio, aiohttp, requests, websocket' 2>/dev/null; }
if ! has_python && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  packages="python3-socketio python3-aiohttp python3-requests python3-websocket"
  apt-get install -y --no-install-recommends $packages >/dev/null 2>&1 ||
    { apt-get update >/dev/null 2>&1 && apt-get install -y --no-install-recommends $packages >/dev/null 2>&1; } || true
fi
if has_python; then
  client python "$python" test/socketio/clients/client.py "$url"
else
  echo "skipped: no python3-socketio, and no root or no apt to install it"
fi

# The server must still be alive, and must end by itself when asked to: its
# shutdown waits for every goroutine of every session.
kill -TERM "$server"
if ! wait "$server"; then
  echo "the conformance server did not end well"
  tail -40 "$work/log"
  exit 1
fi
server=
if grep -q 'DATA RACE' "$work/log"; then
  grep -A40 'DATA RACE' "$work/log"
  exit 1
fi
echo "sessions ended: $(grep -c 'session ended' "$work/log")"
