#!/usr/bin/env bash
# MCP servers of others, by stdio and HTTP, in both revisions of the protocol.
#   tests/mcp/run.sh [command …]       (default: cargo test -p quintet-mcp --lib tests::peers)
# Installs missing prerequisites: Node.js and Python from the system's packages, the servers from npm and PyPI. Fails
# if a process of a server is left.
set -euo pipefail

cd "$(dirname "$0")"
here=$PWD

source ../prerequisites.sh
need_node
npm_packages .
python_packages venv requirements.txt

export MCP_EVERYTHING=$here/node_modules/@modelcontextprotocol/server-everything/dist/index.js
export MCP_PYTHON=$here/venv/bin/python
cd ../..
[[ $# -gt 0 ]] || set -- cargo test --quiet --locked -p quintet-mcp --lib tests::peers
"$@"

left=$(pgrep -f "$here/(node_modules/@modelcontextprotocol|server.py)" || true)
if [[ -n $left ]]; then
  echo "tests/mcp/run.sh: processes of servers are left:" $left >&2
  exit 1
fi
