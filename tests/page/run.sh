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

install() {
  echo "installing $*" >&2
  local sudo=
  [[ $(id -u) == 0 ]] || sudo=sudo
  $sudo apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >&2
}

command -v node >/dev/null && command -v npm >/dev/null || install nodejs npm
if (($(node -p 'process.versions.node.split(".")[0]') < 20)); then
  echo "tests/page/run.sh: needs Node.js 20 or later, and this is $(node --version)" >&2
  exit 1
fi
export CHROMIUM=${CHROMIUM:-$(command -v chromium || true)}
if [[ -z $CHROMIUM ]]; then
  install chromium
  CHROMIUM=$(command -v chromium)
fi
# Installs again only when the lock file is newer than the installation.
if [[ ! node_modules/.package-lock.json -nt package-lock.json ]]; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
fi

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
