#!/usr/bin/env bash
# The chat page, driven in a headless Chromium against a real server.
#   tests/page/run.sh path/to/quintet [test-file ...]
# Installs missing prerequisites: Node.js and Chromium from the system's packages, Playwright from npm.
# PAGE_TEST_URL=http://127.0.0.1:PORT uses a server that runs already, and needs no binary.
set -euo pipefail

quintet=${1:-}
if [[ -z ${PAGE_TEST_URL:-} && ! -x $quintet ]]; then
  echo "usage: tests/page/run.sh path/to/quintet [test-file ...]" >&2
  exit 2
fi
[[ -z $quintet ]] || quintet=$(realpath "$quintet")
export PAGE_TEST_BINARY=$quintet
shift || true
cd "$(dirname "$0")"

source ../prerequisites.sh
need_node
need_chromium
npm_packages .

if [[ -z ${PAGE_TEST_URL:-} ]]; then
  folder=$(mktemp -d)
  coproc SERVER {
    exec "$quintet" dev --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --data-dir "$folder/data" 2>"$folder/log"
  }
  server=$SERVER_PID
  finish() {
    local code=$?
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    [[ $code == 0 ]] || { echo "--- the end of the server's log:" >&2; tail -n 40 "$folder/log" >&2; }
    rm -rf "$folder"
  }
  trap finish EXIT
  # The ready line is the first on stdout; a server that ends before it closes the pipe.
  IFS= read -r ready <&"${SERVER[0]}" || { echo "the server ended before it was ready" >&2; exit 1; }
  listen=$(node -p 'JSON.parse(process.argv[1]).listen' "$ready")
  export PAGE_TEST_URL=http://$listen
fi

if [[ $# == 0 ]]; then set -- *.test.js; fi
if [[ $1 == screenshot.js ]]; then
  node "$@"
else
  node --test --test-concurrency=1 --test-reporter=spec "$@"
fi
