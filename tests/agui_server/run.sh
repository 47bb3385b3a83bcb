#!/usr/bin/env bash
# Front ends of AG-UI against the real service: `@ag-ui/client` of both generations, CopilotKit's client classes, and its chat
# in Chromium.
#   tests/agui_server/run.sh path/to/quintet [test-file ...]
# Installs from npm what is missing.
set -euo pipefail

quintet=${1:-}
if [[ ! -x $quintet ]]; then
  echo "usage: tests/agui_server/run.sh path/to/quintet [test-file ...]" >&2
  exit 2
fi
AGUI_SERVER_BINARY=$(realpath "$quintet")
export AGUI_SERVER_BINARY
shift
cd "$(dirname "$0")"

source ../prerequisites.sh
need_node
need_chromium
npm_packages .

[[ $# -gt 0 ]] || set -- *.test.mjs
exec timeout 300 node --test --test-timeout=150000 --test-reporter=spec "${@##*/}"
