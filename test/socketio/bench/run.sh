#!/usr/bin/env bash
# The comparison: npm's socket.io server, a small Centrifuge server and ours,
# each on one core, under the same load generator on another; medians of RUNS.
# Modes: idle text binary frames (default: all), and libs-idle libs-text
# libs-frames for the WebSocket libraries by themselves.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-3} seconds=${SECONDS_EACH:-4} window=${WINDOW:-4} idle=${IDLE:-10000}
[ -d node_modules ] || npm ci --silent
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
go build -o "$work/" ./bench/ours ./bench/load ./bench/centrifuge ./bench/libs

pinned= other=
if command -v taskset >/dev/null && [ "$(nproc)" -gt 1 ]; then pinned="taskset -c 0" other="taskset -c 1"; fi

start() { # name port: starts the server in the background
  case $1 in
    ours) GOMAXPROCS=1 $pinned "$work/ours" -listen "127.0.0.1:$2" >&2 & ;;
    centrifuge) GOMAXPROCS=1 $pinned "$work/centrifuge" -listen "127.0.0.1:$2" >&2 & ;;
    gobwas | gws | coder) GOMAXPROCS=1 $pinned "$work/libs" -lib "$1" -listen "127.0.0.1:$2" >&2 & ;;
    node) $pinned node bench/node.mjs "127.0.0.1:$2" >&2 & ;;
  esac
  server=$!
  for _ in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; then return; fi
    sleep 0.1
  done
  echo "$1 does not listen" >&2
  exit 1
}

port=4100
once() { # name mode n
  port=$((port + 1))
  start "$1" "$port"
  local proto=sio
  case $1 in
    centrifuge) proto=centrifuge ;;
    gobwas | gws | coder) proto=ws ;;
  esac
  GOMAXPROCS=1 $other "$work/load" -url "ws://127.0.0.1:$port" -proto "$proto" -mode "$2" -n "$3" \
    -window "$window" -time "${seconds}s" -pid "$server"
  kill "$server"
  wait "$server" 2>/dev/null || true
  server=
}

median() { # name mode field
  grep "\"server\":\"$1\".*\"mode\":\"$2\"" "$work/all.jsonl" | sed -E "s/.*\"$3\":([0-9.]+).*/\1/" |
    sort -n | sed -n "$(((runs + 1) / 2))p"
}

if [ $# -eq 0 ]; then set -- idle text binary frames; fi
for mode in "$@"; do
  names="ours centrifuge node"
  if [[ $mode == libs-* ]]; then names="gobwas gws coder" mode=${mode#libs-}; fi
  case $mode in binary | frames) names=${names/centrifuge/} ;; esac # its JSON protocol has no bytes
  n=1000
  [ "$mode" != idle ] || n=$idle
  # In turns, so that whatever else the machine does is everyone's.
  for _ in $(seq "$runs"); do
    for name in $names; do
      once "$name" "$mode" "$n" | sed "s/^{/{\"server\":\"$name\",/" >>"$work/all.jsonl"
    done
  done
  for name in $names; do
    if [ "$mode" = idle ]; then
      echo "$mode $name: $(median "$name" idle idle_kib) KiB a connection"
    else
      echo "$mode $name: $(median "$name" "$mode" cpu_us) us of CPU a delivery, $(median "$name" "$mode" per_second) a second"
    fi
  done
done
echo "all runs:"
cat "$work/all.jsonl"
