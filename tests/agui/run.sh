#!/usr/bin/env bash
# Remote agents of other projects, and the examples of `examples/agents`, driven through the service's own agent:
#
#   bash tests/agui/run.sh [command …]       (default: cargo test --test agui)
#
# Installs, below `target/agui`: pydantic-ai and LangGraph from PyPI; and in `node-*`: both generations of AG-UI's packages and aimock
# from npm. Missing prerequisites come from the system's packages: Python 3.10 or later with venv, Node.js 20 or later.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
home=${CARGO_TARGET_DIR:-target}/agui
mkdir -p "$home"
home=$(cd "$home" && pwd)

source tests/prerequisites.sh
need_node
python_packages "$home/venv" "$here/peers/requirements.txt"
python_packages "$home/langgraph" "$here/peers/requirements-langgraph.txt"
for generation in 1.0 0.0.59; do
  folder=$here/node-$generation
  npm_packages "$folder"
  # Where Node.js finds the packages.
  mkdir -p "$folder/node_modules/.peers"
  cp "$here"/peers/*.mjs examples/agents/agent.mjs "$folder/node_modules/.peers/"
done
typed=node_modules/.peers/client_agent
if [[ ! $here/node-1.0/$typed.mjs -nt examples/agents/client_agent.mts ]]; then
  cp examples/agents/client_agent.mts "$here/node-1.0/$typed.mts"
  (cd "$here/node-1.0" &&
    node_modules/.bin/tsc --module nodenext --target es2022 --strict --skipLibCheck "$typed.mts" >&2)
fi

export AGUI_PYTHON=$home/venv/bin/python
export AGUI_LANGGRAPH=$home/langgraph/bin/python
export AGUI_NODE_1=$here/node-1.0/node_modules/.peers
export AGUI_NODE_0=$here/node-0.0.59/node_modules/.peers
[[ $# -gt 0 ]] || set -- cargo test --locked --test agui
exec "$@"
