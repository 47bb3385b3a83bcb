#!/usr/bin/env bash
# Remote agents of other projects, and the examples of `examples/agents`, driven through the service's own agent:
#
#   bash tests/agui/run.sh [command …]       (default: cargo test --test agui)
#
# Installs, below `target/agui`: pydantic-ai from PyPI; and in `node-*`: both generations of AG-UI's packages and aimock
# from npm. Missing prerequisites come from the system's packages: Python 3.10 or later with venv, Node.js 20 or later.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
home=${CARGO_TARGET_DIR:-target}/agui
mkdir -p "$home"
home=$(cd "$home" && pwd)

install() {
  echo "installing $*" >&2
  local sudo=
  [[ $(id -u) == 0 ]] || sudo=sudo
  $sudo apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >&2
}

command -v node >/dev/null && command -v npm >/dev/null || install nodejs npm
if (($(node -p 'process.versions.node.split(".")[0]') < 20)); then
  echo "tests/agui/run.sh: needs Node.js 20 or later, and this is $(node --version)" >&2
  exit 1
fi
python3 -c 'import ensurepip, venv' 2>/dev/null || install python3 python3-venv

# Installs again only when a list of packages is newer than the installation.
requirements=$here/peers/requirements.txt
if [[ ! $home/venv/.installed -nt $requirements ]]; then
  rm -rf "$home/venv"
  python3 -m venv "$home/venv"
  "$home/venv/bin/pip" --disable-pip-version-check install --quiet -r "$requirements" >&2
  touch "$home/venv/.installed"
fi
for generation in 1.0 0.0.59; do
  folder=$here/node-$generation
  if [[ ! $folder/node_modules/.package-lock.json -nt $folder/package-lock.json ]]; then
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  fi
  # Where Node.js finds the packages.
  mkdir -p "$folder/node_modules/.peers"
  cp "$here"/peers/*.mjs "$here/../../examples/agents/agent.mjs" "$folder/node_modules/.peers/"
done

export AGUI_PYTHON=$home/venv/bin/python
export AGUI_NODE_1=$here/node-1.0/node_modules/.peers
export AGUI_NODE_0=$here/node-0.0.59/node_modules/.peers
[[ $# -gt 0 ]] || set -- cargo test --locked --test agui
exec "$@"
