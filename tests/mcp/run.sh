#!/usr/bin/env bash
# MCP servers of others, by stdio and HTTP, in both revisions of the protocol.
#   tests/mcp/run.sh [command …]       (default: cargo test -p quintet-mcp --lib tests::peers)
# Installs missing prerequisites: Node.js and Python from the system's packages, the servers from npm and PyPI. Fails
# if a process of a server is left.
set -euo pipefail

cd "$(dirname "$0")"
here=$PWD

install() {
  echo "installing $*" >&2
  local sudo=
  [[ $(id -u) == 0 ]] || sudo=sudo
  $sudo apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >&2
}

command -v node >/dev/null && command -v npm >/dev/null || install nodejs npm
if (($(node -p 'process.versions.node.split(".")[0]') < 20)); then
  echo "tests/mcp/run.sh: needs Node.js 20 or later, and this is $(node --version)" >&2
  exit 1
fi
python3 -c 'import venv, ensurepip' 2>/dev/null || install python3 python3-venv

# Installs again only when the pinned versions are newer than the installation.
if [[ ! node_modules/.package-lock.json -nt package-lock.json ]]; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
fi
if [[ ! venv/installed -nt requirements.txt ]]; then
  rm -rf venv
  python3 -m venv venv
  venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt >&2
  touch venv/installed
fi

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
