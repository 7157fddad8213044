#!/usr/bin/env bash
# The comparison: npm's socket.io server, a small Centrifuge server and ours,
# each on one core, under the same load generator on another; medians of RUNS.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-3} seconds=${SECONDS_EACH:-4} window=${WINDOW:-4} idle=${IDLE:-10000}
[ -d node_modules ] || npm ci --silent
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
go build -o "$work/" ./bench/ours ./bench/load ./bench/centrifuge

pinned= other=
if command -v taskset >/dev/null && [ "$(nproc)" -gt 1 ]; then pinned="taskset -c 0" other="taskset -c 1"; fi

start() { # name port: starts the server in the background
  case $1 in
    ours) GOMAXPROCS=1 $pinned "$work/ours" -listen "127.0.0.1:$2" >&2 & ;;
    centrifuge) GOMAXPROCS=1 $pinned "$work/centrifuge" -listen "127.0.0.1:$2" >&2 & ;;
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
  [ "$1" != centrifuge ] || proto=centrifuge
  GOMAXPROCS=1 $other "$work/load" -url "ws://127.0.0.1:$port" -proto "$proto" -mode "$2" -n "$3" \
    -window "$window" -time "${seconds}s" -pid "$server"
  kill "$server"
  wait "$server" 2>/dev/null || true
  server=
}

median() { # name mode n field
  for _ in $(seq "$runs"); do once "$1" "$2" "$3"; done | tee -a "$work/all.jsonl" |
    sed -E "s/.*\"$4\":([0-9.]+).*/\1/" | sort -n | sed -n "$(((runs + 1) / 2))p"
}

if [ $# -eq 0 ]; then set -- idle text binary frames; fi
for mode in "$@"; do
  for name in ours centrifuge node; do
    case $name/$mode in
      centrifuge/binary | centrifuge/frames) continue ;; # its JSON protocol has none
      */idle) echo "$mode $name: $(median $name idle "$idle" idle_kib) KiB a connection" ;;
      *) echo "$mode $name: $(median $name "$mode" 1000 cpu_us) us of CPU a delivery" ;;
    esac
  done
done
echo "all runs:"
cat "$work/all.jsonl"
